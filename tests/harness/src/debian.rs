//! Whole systems of Debian, as mmdebstrap installs them: packages are tried in copies of them, which know nothing of the
//! machine's own. `cargo xtask assets --chroots` makes them.

use crate::assets;
use nix::unistd::Uid;
use std::{path::Path, process::Command};

/// Where they are, in the directory for assets: an archive each.
pub const DIRECTORY: &str = "chroot";

/// A system, and what is in it beside apt and what is essential to any.
#[derive(Debug)]
pub struct Debian {
    /// Its name, and that of its archive.
    pub name: &'static str,
    /// The suite that it is of.
    pub suite: &'static str,
    /// Packages, which come with all that they depend on and nothing else.
    pub packages: &'static [&'static str],
}

/// What our packages depend on, what shows manual pages, and another program called trust.
const TRY: &[&str] = &["cryptsetup-bin", "dmsetup", "kmod", "man-db", "p11-kit"];
/// To install, upgrade and purge packages in.
pub const BOOKWORM: Debian = Debian { name: "bookworm", suite: "bookworm", packages: TRY };
/// The same.
pub const TRIXIE: Debian = Debian { name: "trixie", suite: "trixie", packages: TRY };
/// To follow docs/first-machine.md in: [`OF_A_SYSTEM`], then what apt gets because of the packages and of that page.
pub const GUIDE: Debian = Debian {
    name: "guide",
    suite: "trixie",
    packages: &[
        "sudo",
        "systemd-sysv",
        "binutils",
        "console-setup",
        "cryptsetup",
        "kpartx",
        "lvm2",
        "mdadm",
        "systemd-cryptsetup",
        "zstd",
        // Ours ask for these,
        "cryptsetup-bin",
        "dmsetup",
        "dracut-core",
        "keyutils",
        "kmod",
        "systemd-boot-efi",
        // and the page for these.
        "mmdebstrap",
        "ovmf",
        "qemu-system-x86",
        "swtpm-tools",
    ],
};
/// How many of [`GUIDE`] an installed Debian has, or dracut-core recommends.
pub const OF_A_SYSTEM: usize = 10;
/// All of them.
pub const ALL: [&Debian; 3] = [&BOOKWORM, &TRIXIE, &GUIDE];

/// In namespaces of its own, without a network: a copy of the system in memory, and what becomes of it is gone with it.
const ENTER: &str = r#"
    mkdir "$root" && mount -t tmpfs -o mode=755 clean "$root"
    tar --extract --file "$archive" --directory "$root" --exclude './dev/*' --preserve-permissions --numeric-owner
    mount --bind "$shared" "$root/mnt"
    mount -t proc proc "$root/proc"
    for name in null zero random urandom $devices; do
        : >"$root/dev/$name" && mount --bind "/dev/$name" "$root/dev/$name"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    exec chroot "$root" /bin/sh -c "$script"
"#;

impl Debian {
    /// A shell script that root of a copy of it runs; `shared` is /mnt there, and the copy is below it.
    #[must_use]
    pub fn script(&self, shared: &Path, script: &str) -> Command {
        let mut unshare = Command::new("unshare");
        // Another id for each user of the system, which one that is mapped to root alone does not have.
        if !Uid::effective().is_root() {
            unshare.args(["--user", "--map-auto", "--map-root-user"]);
        }
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "sh", "-euc", ENTER]);
        let archive = assets::directory().join(DIRECTORY).join(format!("{}.tar", self.name));
        unshare.env("root", shared.join(self.name)).env("archive", archive).env("shared", shared);
        unshare.env("script", script).env("devices", "");
        unshare
    }
}
