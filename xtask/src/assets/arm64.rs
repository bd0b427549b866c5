//! What virtual machines of arm64 boot with: firmware, kernel, stub, and the programs of a small initrd.

use super::{empty, kernel, trees};
use crate::{apt, sh};
use anyhow::Result;
use harness::assets::STAMP;
use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

/// Where it is put, in the directory for assets.
pub const DIRECTORY: &str = "arm64";
/// Of Debian.
pub const SUITE: &str = "trixie";
/// Taken alone: it depends on what makes initrds.
const KERNEL: &str = "linux-image-cloud-arm64";
/// They come with the libraries that they need.
const PACKAGES: [&str; 7] =
    ["busybox-static", "cryptsetup-bin", "keyutils", "libgcc-s1", "qemu-efi-aarch64", "strace", "systemd-boot-efi"];

/// Where the firmware is, and what of it is kept: the code that checks signatures, and variables without keys.
const FIRMWARE: &str = "usr/share/AAVMF";
const KEPT: [&str; 2] = ["AAVMF_CODE.secboot.fd", "AAVMF_VARS.fd"];

/// What is asked for, a line each.
pub fn wanted() -> String {
    std::iter::once(KERNEL).chain(PACKAGES).map(|name| format!("{DIRECTORY}/{name}\n")).collect()
}

/// Unpacks all of it below `root`.
pub fn unpack(root: &Path) -> Result<()> {
    println!("getting firmware, kernel and some programs of arm64, about 60 MB, once, to {}", root.display());
    let (work, lists) = (root.join("arm64.part"), root.join("arm64.apt"));
    let get = || {
        empty(&lists)?;
        apt::with_arm64_suite(SUITE, &lists, |apt| {
            let mut command = apt.get();
            command.args(["-qq", "install", "--yes", "--download-only", "--no-install-recommends"]);
            sh::run_quietly(command.args(PACKAGES))?;
            let archives = lists.join("cache/archives");
            sh::run_quietly(apt.get().args(["-qq", "download", &kernel(KERNEL, apt)?]).current_dir(archives))
        })
    };
    get().or_else(|e| {
        println!("{e:#}\nonce more");
        get()
    })?;
    empty(&work)?;
    for name in ["bin", "lib", "sbin"] {
        fs::create_dir_all(work.join("usr").join(name))?;
        symlink(Path::new("usr").join(name), work.join(name))?;
    }
    trees::extract(&lists.join("cache/archives"), &work)?;
    fs::remove_dir_all(&lists)?;
    keep_firmware(&work.join(FIRMWARE))?;
    fs::write(work.join(STAMP), wanted())?;
    // It is complete or it is not there.
    let place = root.join(DIRECTORY);
    empty(&place)?;
    Ok(fs::rename(&work, &place)?)
}

/// Leaves what is used, with holes in the place of zeros: each file is as large as its flash memory, 64 MiB.
fn keep_firmware(dir: &Path) -> Result<()> {
    let all = dir.with_extension("all");
    fs::rename(dir, &all)?;
    fs::create_dir(dir)?;
    for name in KEPT {
        sh::run_quietly(
            Command::new("cp").args(["--sparse=always", "--dereference"]).arg(all.join(name)).arg(dir.join(name)),
        )?;
    }
    Ok(fs::remove_dir_all(all)?)
}
