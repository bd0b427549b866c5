//! An ordinary user at home, with Trust from the sources, on a Debian whose packages were unpacked and not configured.

use super::text;
use harness::{
    assets::{self, Kernel},
    run, trust_host, trust_initrd,
    vm::in_debian,
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

pub struct User {
    suite: &'static str,
    dir: TempDir,
}

impl User {
    /// One on a Debian of this suite.
    pub fn new(suite: &'static str) -> Self {
        let user = Self { suite, dir: TempDir::with_prefix("docs-").unwrap() };
        for name in ["bin", "commands", "home/work", "home/.local/bin", "home/.local/share"] {
            fs::create_dir_all(user.path(name)).unwrap();
        }
        run("chmod", &["755", text(user.dir.path())]);
        let stub = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";
        let stub = if suite == "bookworm" { assets::bookworm(stub) } else { assets::path(stub) };
        for (from, to) in [(Kernel::new().image, "vmlinuz"), (stub, "stub"), ("/bin/busybox".into(), "busybox")] {
            fs::copy(from, user.path(to)).unwrap();
        }
        user.program("bin/uname", "#!/bin/sh\necho \"$KERNEL\"\n");
        user.program("bin/mmdebstrap", include_str!("mmdebstrap.sh"));
        user.program("build", include_str!("unpacked.sh"));
        // As `cargo xtask install --prefix ~/.local` has it.
        fs::copy(trust_host(), user.path("home/.local/bin/trust")).unwrap();
        let share = trust_initrd().with_file_name("share");
        run("cp", &["-rT", text(&share), text(&user.path("home/.local/share/trust"))]);
        user
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.path(name), script).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Types these commands.
    pub fn types(&self, commands: &[String]) {
        for (number, command) in commands.iter().enumerate() {
            fs::write(self.path("commands").join(format!("{number:03}")), command).unwrap();
        }
        in_debian(self.suite, self.dir.path(), &[]);
    }
}
