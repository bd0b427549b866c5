//! What the test program for arm64 runs: trust-initrd as it is shipped, and the host program and the library's unit tests
//! as they are quickly built.

use crate::{
    assets, cross,
    dist::{self, Build},
    inspect,
    progress::Progress,
    sh,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{path::PathBuf, process::Command, thread};

/// The test program.
pub const PROGRAM: &str = "vm_arm64";

/// Programs for arm64.
pub struct Arm64 {
    initrd: PathBuf,
    host: PathBuf,
    unit_tests: PathBuf,
}

impl Arm64 {
    /// Tells a test program where they are.
    pub fn tell(&self, command: &mut Command) {
        command.env("TRUST_INITRD_ARM64", &self.initrd).env("TRUST_HOST_ARM64", &self.host);
        command.env("TRUST_UNIT_TESTS_ARM64", &self.unit_tests);
    }
}

/// Builds them, and gets what they are booted with.
pub fn build() -> Result<Arm64> {
    cross::ensure(cross::INITRD)?;
    assets::prepare_arm64()?;
    let build = Build { workspace: sh::workspace(), target_dir: &sh::workspace().join("target"), alone: false };
    // The first ends on one core, in the linker's optimizer.
    let (initrd, tests) = thread::scope(|scope| {
        let tests = scope.spawn(tests);
        (build.initrd(cross::INITRD, &Progress::default()), tests.join().expect("it does not panic"))
    });
    let (initrd, (host, unit_tests)) = (initrd?, tests?);
    inspect::initrd(&initrd, &dist::Options { target: cross::INITRD.to_owned(), ..dist::Options::default() })?;
    Ok(Arm64 { initrd, host, unit_tests })
}

/// A line of `cargo test --message-format=json`.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The host program and the unit tests, without debugging information: guests have them in memory.
fn tests() -> Result<(PathBuf, PathBuf)> {
    let cargo = |command: &str| {
        let mut cargo = sh::cargo();
        cargo.args([command, "--locked", "--quiet", "--package", "trust", "--features", "host"]);
        cargo.args(["--target", cross::HOST, "--message-format=json-render-diagnostics"]);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "true").env("CARGO_INCREMENTAL", "0");
        cross::set_linker(&mut cargo);
        cargo
    };
    let host = executable(cargo("build").args(["--bin", "trust"]), "bin")?;
    let unit_tests = executable(cargo("test").args(["--lib", "--no-run"]), "lib")?;
    Ok((host, unit_tests))
}

/// The program of this kind that cargo builds.
fn executable(cargo: &mut Command, kind: &str) -> Result<PathBuf> {
    let messages = sh::output(cargo)?;
    let messages =
        messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let is_it = |target: &Target| target.name == "trust" && target.kind.iter().any(|other| other == kind);
    let mut found = messages.filter(|message| message.target.as_ref().is_some_and(is_it));
    found.find_map(|message| message.executable).with_context(|| format!("cargo has built no {kind}"))
}
