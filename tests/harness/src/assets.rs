//! What other projects made: firmware, kernels, boot loaders, and their makers' tools. `cargo xtask assets` gets them.

mod kernel;

pub use kernel::Kernel;

use std::{env, path::PathBuf, process::Command};

/// Written last: says that [`directory`] is complete, and of what.
pub const STAMP: &str = ".complete";

/// Where they are: `$TRUST_ASSETS`, or a directory among this user's caches.
#[must_use]
pub fn directory() -> PathBuf {
    if let Some(dir) = env::var_os("TRUST_ASSETS").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let caches = caches.unwrap_or_else(|| env::home_dir().expect("there is a home directory").join(".cache"));
    caches.join("trust-xtask/assets-1")
}

/// A file of Debian 13's packages, such as `usr/lib/shim/shimx64.efi.signed`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    file(&format!("trixie/{name}"))
}

/// A file of Debian 12's packages: `usr/lib/systemd/boot/efi/linuxx64.efi.stub` is version 252.
#[must_use]
pub fn bookworm(name: &str) -> PathBuf {
    file(&format!("bookworm/{name}"))
}

/// A small system of Debian with dracut: `bookworm` has version 059, `trixie` has 106, `forky` 112.
#[must_use]
pub fn tree(suite: &str) -> PathBuf {
    file(&format!("tree/{suite}"))
}

/// A file of Debian 13's packages for arm64, such as `usr/lib/systemd/boot/efi/linuxaa64.efi.stub`.
#[must_use]
pub fn arm64(name: &str) -> PathBuf {
    let path = directory().join("arm64").join(name);
    let there = directory().join("arm64").join(STAMP).exists() && path.exists();
    assert!(there, "there is no {}: run `cargo xtask assets`, or set TRUST_ASSETS", path.display());
    path
}

/// Where Debian 13's packages came from, as sources.list(5) has it.
#[must_use]
pub fn sources() -> PathBuf {
    file("trixie.sources")
}

/// One of `mkosi`, `ukify`, `virt-fw-vars` and `systemd-measure`, ready to run.
#[must_use]
pub fn program(name: &str) -> Command {
    Command::new(file(&format!("bin/{name}")))
}

/// shim, compiled with room for a vendor database: [`crate::vm::shim_with`] fills it.
#[must_use]
pub fn shim() -> PathBuf {
    file("shim/shimx64.efi")
}

/// One of GRUB's programs `grub-protect` and `grub-emu`, compiled from its source.
#[must_use]
pub fn grub(program: &str) -> PathBuf {
    file(&format!("grub/{program}"))
}

fn file(name: &str) -> PathBuf {
    let root = directory();
    let path = root.join(name);
    let there = root.join(STAMP).exists() && path.exists();
    assert!(there, "there is no {}: run `cargo xtask assets`, or set TRUST_ASSETS", path.display());
    path
}
