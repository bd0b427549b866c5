//! Initramfs images as dracut makes them.

use super::deployment::program;
use crate::{
    assets::{self, Kernel},
    keep_mounts_in, run, workspace,
};
use nix::unistd::Uid;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// What the tree lacks that its packages would have configured; then what the README says, and dracut.
const BUILD: &str = "\
release=$1; shift
ldconfig
depmod \"$release\"
cp -rL /mnt/90trust /usr/lib/dracut/modules.d/
mkdir -p /usr/lib/trust /etc/dracut.conf.d
cp /mnt/trust-initrd /usr/lib/trust/
cp /mnt/trust.conf /etc/dracut.conf.d/
cp -r /mnt/files/. /
dracut --quiet --force --no-hostonly --kver \"$release\" \"$@\" /mnt/initrd
";

/// A system with dracut and Trust's module for it.
#[derive(Debug)]
pub struct Dracut {
    suite: &'static str,
    dir: TempDir,
}

impl Dracut {
    /// Of a suite of Debian, with this configuration of the module.
    #[must_use]
    pub fn new(suite: &'static str, configuration: &str) -> Self {
        let dracut = Self { suite, dir: TempDir::with_prefix("dracut-").expect("a temporary directory") };
        fs::create_dir(dracut.path("files")).expect("a writable directory");
        run("cp", &["-rL", &text(&workspace().join("dracut-module/90trust")), &text(dracut.dir.path())]);
        fs::copy(program(), dracut.path("trust-initrd")).expect("a writable directory");
        fs::write(dracut.path("trust.conf"), configuration).expect("a writable directory");
        fs::write(dracut.path("build"), BUILD).expect("a writable directory");
        dracut
    }

    /// Puts a directory into that system.
    pub fn add_tree(&self, name: &str, dir: &Path) -> &Self {
        let to = self.path("files").join(name);
        fs::create_dir_all(&to).expect("a writable directory");
        run("cp", &["-rL", &text(&dir.join(".")), &text(&to)]);
        self
    }

    /// Puts a file into that system, and into the initramfs.
    pub fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.path("files").join(name);
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a writable directory");
        fs::write(path, content).expect("a writable directory");
        self
    }

    /// Runs dracut with these options, and returns the initramfs.
    #[must_use]
    #[track_caller]
    pub fn build(&self, options: &[&str]) -> PathBuf {
        in_debian(self.suite, self.dir.path(), options);
        let initrd = self.path("initrd");
        assert!(initrd.exists(), "dracut of {} made nothing", self.suite);
        initrd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Runs the script `build` of a directory, which is /mnt there, in a small system of Debian with the kernel's modules; what it
/// changes elsewhere is gone afterwards. Its arguments are the kernel's release, and these. Returns what it said.
#[track_caller]
pub fn in_debian(suite: &str, dir: &Path, arguments: &[&str]) -> String {
    let release = Kernel::new().release;
    let modules = assets::path(&format!("usr/lib/modules/{release}"));
    let mut command = Command::new("unshare");
    if Uid::effective().is_root() {
        keep_mounts_in(&mut command);
    } else {
        command.args(["--mount", "--user", "--map-root-user"]);
    }
    let _ = fs::create_dir(dir.join("system"));
    command.args(["sh", "-c", include_str!("dracut.sh"), "sh"]);
    command.arg(assets::tree(suite)).arg(modules).arg(&release).arg(dir).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("unshare is installed (Debian: util-linux)");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "in Debian's {suite}: {}\n{said}", output.status);
    said
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}
