//! `cargo xtask fuzz`: hostile input, made up by cargo-fuzz with a nightly compiler.

use crate::{fetch, packages, sh, tools};
use anyhow::{Context, Result, bail};
use std::{ffi::OsString, fs, process::Command};

/// tpm2-tss, and whatever else is C, watched as Rust is: a wild access is reported, undefined behaviour ends the process.
const SANITIZED: &str =
    "-fsanitize=address -fsanitize=undefined -fsanitize-undefined-trap-on-error -fno-omit-frame-pointer";

/// What is asked for on the command line.
pub struct Options {
    /// How long each target runs.
    pub seconds: u32,
    /// The targets; all when none is named.
    pub targets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 60, targets: Vec::new() }
    }
}

/// Runs the targets one after the other; the first finding ends it.
pub fn fuzz(options: &Options) -> Result<()> {
    packages::ensure(&[packages::BUILD])?;
    fetch::prepare()?;
    let program = tools::cargo_fuzz()?;
    let fuzz = |args: &[&str]| {
        let mut path = OsString::from(program.parent().unwrap_or(&program));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("cargo");
        // Of the toolchain that runs this program, nothing: the compiler is another one.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
        command.current_dir(sh::workspace()).env("PATH", path).args(["+nightly", "fuzz"]).args(args);
        // What is random comes from fuzz/src/lib.rs.
        command.env("RUSTFLAGS", "--cfg getrandom_backend=\"custom\"").env("CFLAGS", SANITIZED);
        command
    };
    let known = String::from_utf8(sh::output(&mut fuzz(&["list"]))?)?;
    let known: Vec<_> = known.lines().collect();
    if let Some(unknown) = options.targets.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("there is no target {unknown}; there are: {}", known.join(", "));
    }
    let chosen = known.iter().filter(|name| options.targets.is_empty() || options.targets.iter().any(|t| t == *name));
    sh::run(&mut fuzz(&["build", "--dev"]))
        .context("cargo-fuzz needs a nightly compiler: rustup toolchain install nightly")?;
    for target in chosen {
        println!("\n== {target}, {} s", options.seconds);
        // What is found goes to the first; the second one is committed.
        let found = sh::workspace().join("fuzz/target/corpus").join(target);
        let seeds = sh::workspace().join("fuzz/corpus").join(target);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&seeds)?;
        let seconds = format!("-max_total_time={}", options.seconds);
        sh::run(fuzz(&["run", "--dev", target]).arg(&found).arg(&seeds).args([
            "--",
            &seconds,
            "-rss_limit_mb=2048",
            "-timeout=10",
        ]))?;
    }
    Ok(())
}
