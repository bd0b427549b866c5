//! Makes `cargo xtask` work where there is rustup and nothing else.
//!
//! Rust links with the C compiler, so without one not even xtask can be built.
//! This program can: it has no dependencies, and .cargo/config.toml has it
//! linked statically by the linker that comes with Rust.

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

const PACKAGES: [&str; 2] = ["gcc", "libc6-dev"];

fn main() -> ExitCode {
    if !(links() || install() && links()) {
        eprintln!("xtask: cannot link programs: the C compiler or the C library's files are missing; install them");
        eprintln!("       (on Debian and Ubuntu, as root: apt-get install {})", PACKAGES.join(" "));
        return ExitCode::FAILURE;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let error = Command::new(cargo)
        .args(["run", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(env::args_os().skip(1))
        .exec();
    eprintln!("xtask: cannot run cargo: {error}");
    ExitCode::FAILURE
}

/// Whether `cc` is there and knows where the C library's start files are.
fn links() -> bool {
    let found = Command::new("cc").arg("-print-file-name=Scrt1.o").stderr(Stdio::null()).output();
    // A file that it does not find it prints as it was asked for, without a directory.
    found.is_ok_and(|output| output.stdout.contains(&b'/'))
}

/// Installs the compiler where that is possible: for root, where there is apt.
fn install() -> bool {
    // cargo has no use for a user id, and std knows none: /proc/self is ours.
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        return false;
    }
    eprintln!("xtask: installing {}", PACKAGES.join(" "));
    let apt = |args: &[&str]| {
        let status = Command::new("apt-get")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success())
    };
    let install = [["install", "-y", "--no-install-recommends"].as_slice(), &PACKAGES].concat();
    apt(&["update"]) && apt(&install)
}
