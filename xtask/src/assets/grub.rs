//! Two programs of GRUB, compiled from Debian's source: Debian builds one without the protector of keys by a TPM, and the
//! other not at all.
//!
//! `grub-protect` seals a key in a file, and `grub-emu` is the boot loader as a program, which opens volumes with such a key.

use super::{empty, shim};
use crate::sh;
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// The suite whose GRUB it is: 2.14 is the first that has them.
const SUITE: &str = "forky";
/// Where they are put, in the directory for assets.
pub const DIRECTORY: &str = "grub";
/// What is built, in which directory of the build, by make's names. What they need comes first.
const TARGETS: [(&str, &str); 3] = [("grub-core/lib/gnulib", "all"), (".", "grub-protect"), ("grub-core", "grub-emu")];
/// Without what needs more libraries.
const OPTIONS: [&str; 12] = [
    "--with-platform=emu",
    "--enable-grub-protect",
    "--disable-nls",
    "--disable-werror",
    "--disable-grub-mkfont",
    "--disable-grub-mount",
    "--disable-grub-themes",
    "--disable-device-mapper",
    "--disable-libzfs",
    "--disable-liblzma",
    "--disable-grub-emu-sdl",
    "--disable-grub-emu-sdl2",
];

/// What is asked for, a line each.
pub fn wanted() -> String {
    TARGETS[1..].iter().map(|(_, program)| format!("{DIRECTORY}/{program}\n")).collect()
}

/// Compiles them into `root`, and returns the version.
pub fn build(root: &Path) -> Result<String> {
    println!("compiling two programs of GRUB, once; this takes a minute or two");
    let work = root.join("grub.part");
    empty(&work)?;
    let tar = shim::source("grub2", SUITE, &work)?;
    let name = tar.file_name().context("a file has a name")?.to_string_lossy().into_owned();
    let tree = work.join("tree");
    fs::create_dir(&tree)?;
    let mut extract = Command::new("tar");
    extract.args(["--extract", "--no-same-owner", "--strip-components=1", "--directory"]).arg(&tree);
    sh::run_quietly(extract.arg("--file").arg(&tar))?;
    sh::run_quietly(Command::new("./configure").current_dir(&tree).args(OPTIONS))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let place = root.join(DIRECTORY);
    fs::create_dir_all(&place)?;
    for (directory, target) in TARGETS {
        let mut make = Command::new("make");
        make.current_dir(tree.join(directory)).args([&format!("--jobs={jobs}"), target]);
        sh::run_quietly(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL"))?;
        if target != "all" {
            let mut strip = Command::new("strip");
            sh::run_quietly(strip.arg("-o").arg(place.join(target)).arg(tree.join(directory).join(target)))?;
        }
    }
    fs::remove_dir_all(&work)?;
    Ok(name)
}
