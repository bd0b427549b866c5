//! Building for arm64 on another machine: what compiles and links there, and what runs the result here.
//!
//! trust-initrd is static, as everywhere. The host program is not: keys in tokens are reached through PKCS#11 modules,
//! libraries of the system that a static program cannot load.

use crate::{packages, sh, tools};
use anyhow::{Result, bail};
use std::{ffi::OsStr, process::Command};

/// The target of trust-initrd.
pub const INITRD: &str = "aarch64-unknown-linux-musl";
/// The target of the host program, and of tests.
pub const HOST: &str = "aarch64-unknown-linux-gnu";
/// How cargo is told what links for [`HOST`], and Debian's name of it.
const LINKER: [&str; 2] = ["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"];
/// Where Debian's cross compiler has the libraries that its programs are linked with.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Ensures that programs can be built for `target`, trust-initrd's.
pub fn ensure(target: &str) -> Result<()> {
    if target != INITRD {
        bail!("Trust cannot be built for {target} here: --target takes {INITRD}");
    }
    packages::ensure(&[packages::BUILD, packages::CROSS])?;
    tools::standard_library(INITRD)?;
    tools::standard_library(HOST)
}

/// Has cargo link programs for [`HOST`].
pub fn set_linker(cargo: &mut Command) {
    cargo.env(LINKER[0], LINKER[1]);
}

/// The command that runs a program built for [`HOST`].
pub fn run(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(sh::find("qemu-aarch64").unwrap_or_else(|| "qemu-aarch64".into()));
    command.args(["-L", LIBRARIES]).arg(program);
    command
}
