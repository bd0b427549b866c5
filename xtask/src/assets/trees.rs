//! Small systems of Debian, unpacked and not configured: what dracut takes the files of an initramfs from.

use super::empty;
use crate::{apt, sh};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Where they are put, in the directory for assets, each under its name.
const DIRECTORY: &str = "tree";
/// Debian 12 has dracut 059 and systemd 252, Debian 13 has 106 and 257, where systemd-cryptsetup is a package of its own.
/// Debian 14 is to have 112 and 262, whose units extend PCR 7.
pub const TREES: [Tree; 3] = [
    Tree { name: "bookworm", suite: "bookworm", packages: &[] },
    Tree { name: "trixie", suite: "trixie", packages: &["systemd-cryptsetup"] },
    Tree { name: "forky", suite: "forky", packages: &["systemd-cryptsetup", "systemd-tpm", "tpm2-tools"] },
];
/// With what else opens encrypted disks by a TPM: for the benchmark alone.
pub const BENCH: Tree = Tree {
    name: "trixie-bench",
    suite: "trixie",
    packages: &["systemd-cryptsetup", "libtss2-rc0t64", "clevis-dracut", "clevis-tpm2", "tpm2-tools"],
};
/// Beside what is essential to any system. They come with all that they depend on.
const PACKAGES: [&str; 9] =
    ["dracut-core", "systemd-sysv", "udev", "cryptsetup-bin", "dmsetup", "keyutils", "kmod", "lvm2", "zstd"];
/// Nothing reads it here.
const UNREAD: [&str; 4] = ["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info"];

/// A system, and what is in it beside [`PACKAGES`].
pub struct Tree {
    name: &'static str,
    /// Of Debian.
    pub suite: &'static str,
    packages: &'static [&'static str],
}

/// What is asked for, a line each.
pub fn wanted() -> String {
    TREES.iter().map(Tree::wanted).collect()
}

impl Tree {
    /// Its place below the directory for assets.
    pub fn place(&self) -> PathBuf {
        Path::new(DIRECTORY).join(self.name)
    }

    /// What is asked for, a line each.
    pub fn wanted(&self) -> String {
        self.packages().map(|name| format!("{DIRECTORY}/{}/{name}\n", self.name)).collect()
    }

    fn packages(&self) -> impl Iterator<Item = &'static str> {
        PACKAGES.into_iter().chain(self.packages.iter().copied())
    }
}

/// Unpacks a tree below `root`.
pub fn unpack(wanted: &Tree, root: &Path) -> Result<()> {
    let lists = root.join("apt");
    let get = || {
        empty(&lists)?;
        apt::with_suite(wanted.suite, &lists, |apt| {
            let mut command = apt.get();
            command.args(["-qq", "install", "--yes", "--download-only", "--no-install-recommends", "?essential"]);
            // Nothing of it is there.
            sh::run_quietly(command.args(wanted.packages()))
        })
    };
    get().or_else(|e| {
        println!("{e:#}\nonce more");
        get()
    })?;
    let tree = root.join(wanted.place());
    // The packages of Debian 12 still know the directories apart.
    for name in ["bin", "lib", "lib64", "sbin"] {
        let place = tree.join("usr").join(name);
        fs::create_dir_all(&place)?;
        symlink(Path::new("usr").join(name), tree.join(name))?;
    }
    extract(&lists.join("cache/archives"), &tree)?;
    accounts(&tree)?;
    Ok(fs::remove_dir_all(&lists)?)
}

/// Unpacks all packages in a directory below `tree`, without files that are not read here.
pub fn extract(packages: &Path, tree: &Path) -> Result<()> {
    for package in debs(packages)? {
        // A pipe needs a shell, and tar's status is that of all: dpkg-deb's end cut off is an archive cut off.
        let script = r#"package=$1; shift; dpkg-deb --fsys-tarfile "$package" | tar --extract "$@""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(package);
        shell
            .args(["--keep-directory-symlink", "--no-same-owner"])
            .args(UNREAD.map(|path| format!("--exclude={path}")));
        shell.arg("--directory").arg(tree);
        sh::run_quietly(&mut shell)?;
    }
    Ok(())
}

/// The packages in a directory, in the order of their names.
fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    found.retain(|path| path.extension().is_some_and(|x| x == "deb"));
    found.sort();
    Ok(found)
}

/// What base-passwd would have configured.
fn accounts(tree: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        let master = tree.join(format!("usr/share/base-passwd/{name}.master"));
        fs::copy(&master, tree.join("etc").join(name)).with_context(|| format!("there is no {}", master.display()))?;
    }
    Ok(())
}
