//! Tools of cargo's that are compiled once and kept beside other caches of this user.

use crate::sh;
use anyhow::{Context, Result};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The version of cargo-deny that deny.toml is written for.
const CARGO_DENY: &str = "0.20.2";
/// The version of cargo-deb that the manifests in packaging/ are written for.
const CARGO_DEB: &str = "3.8.0";
/// The version of cargo-generate-rpm that they are written for.
const CARGO_GENERATE_RPM: &str = "0.21.1";
/// The version of cargo-fuzz that fuzz/ is written for.
const CARGO_FUZZ: &str = "0.13.1";

/// Rust's own library for a target: rustup brings it by itself, but where it is told to install nothing unasked.
pub fn standard_library(target: &str) -> Result<()> {
    let rustc = || {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(sh::workspace());
        rustc
    };
    let directory = sh::output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(String::from_utf8(directory)?.trim_end()).is_dir() {
        return Ok(());
    }
    println!("getting Rust's library for {target}");
    let mut rustup = Command::new("rustup");
    rustup.current_dir(sh::workspace()).args(["target", "add", target]);
    sh::run_quietly(&mut rustup).with_context(|| {
        format!(
            "the Rust compiler has no library for {target}, and rustup does not get it: `rustup target add {target}`"
        )
    })
}

/// The Rust compiler of this version, with nothing beside it.
pub fn compiler(version: &str) -> Result<()> {
    let is_there = |rustup: &mut Command| sh::run_quietly(rustup.args(["run", version, "cargo", "--version"])).is_ok();
    if is_there(&mut Command::new("rustup")) {
        return Ok(());
    }
    println!("getting Rust {version}");
    sh::run_quietly(Command::new("rustup").args(["toolchain", "install", "--profile", "minimal", version]))
        .with_context(|| format!("rustup does not get Rust {version}: `rustup toolchain install {version}`"))
}

/// cargo-deny.
pub fn cargo_deny() -> Result<PathBuf> {
    install("cargo-deny", CARGO_DENY)
}

/// cargo-deb.
pub fn cargo_deb() -> Result<PathBuf> {
    install("cargo-deb", CARGO_DEB)
}

/// cargo-generate-rpm.
pub fn cargo_generate_rpm() -> Result<PathBuf> {
    install("cargo-generate-rpm", CARGO_GENERATE_RPM)
}

/// cargo-fuzz.
pub fn cargo_fuzz() -> Result<PathBuf> {
    install("cargo-fuzz", CARGO_FUZZ)
}

/// The program of this name and version, compiled if it is not there yet.
fn install(name: &str, version: &str) -> Result<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => env::home_dir().context("there is no home directory")?.join(".cache"),
    };
    let root = caches.join(format!("trust-xtask/{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.is_file() {
        println!("compiling {name} {version}, once, to {}; this takes some minutes", root.display());
        let mut install = sh::cargo();
        // Its own speed does not matter: without optimisation it is there sooner.
        install.args(["install", "--quiet", "--locked", "--debug", name, "--version", version, "--root"]);
        sh::run(install.arg(&root).env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    }
    Ok(program)
}
