//! `cargo xtask fuzz`: hostile input, made up by cargo-fuzz with a nightly compiler.

use crate::{fetch, packages, sh, tools};
use anyhow::{Result, bail, ensure};
use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

/// tpm2-tss is watched as Rust is, and the fuzzer knows its ways; undefined behaviour ends the process. By clang, since
/// GCC counts ways that libFuzzer does not know.
const SANITIZED: &str = "-fsanitize=address,undefined,fuzzer-no-link -fsanitize-trap=undefined -fno-omit-frame-pointer";

/// The rest of C is cryptography, which is somebody else's and takes long enough to compile.
const NOT_SANITIZED: &str = "-O1";

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
    let fuzzer = Fuzzer::build()?;
    if let Some(unknown) = options.targets.iter().find(|target| !fuzzer.targets.contains(target)) {
        bail!("there is no target {unknown}; there are: {}", fuzzer.targets.join(", "));
    }
    let chosen = |target: &&String| options.targets.is_empty() || options.targets.contains(target);
    for target in fuzzer.targets.iter().filter(chosen) {
        println!("\n== {target}, {} s", options.seconds);
        sh::run(&mut fuzzer.run(target, options.seconds)?)?;
    }
    Ok(())
}

/// Whether there is a nightly compiler.
pub fn is_possible() -> bool {
    let mut rustc = clean("rustc");
    rustc.args(["+nightly", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    rustc.status().is_ok_and(|status| status.success())
}

/// Runs all targets for so many seconds each, two at a time; tells of those alone that find something.
pub fn check(seconds: u32) -> Result<()> {
    let fuzzer = &Fuzzer::build()?;
    let queue = &Mutex::new(fuzzer.targets.iter());
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            let Some(target) = next else { return Ok(()) };
            sh::run_quietly(&mut fuzzer.run(target, seconds)?)?;
        }
    };
    let outcomes = thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|thread| thread.join()));
    outcomes.into_iter().try_for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// The targets, built.
struct Fuzzer {
    /// cargo-fuzz.
    program: PathBuf,
    targets: Vec<String>,
}

impl Fuzzer {
    fn build() -> Result<Self> {
        ensure!(is_possible(), "cargo-fuzz needs a nightly compiler: rustup toolchain install nightly");
        packages::ensure(&[packages::BUILD, packages::FUZZ])?;
        fetch::prepare()?;
        let mut fuzzer = Self { program: tools::cargo_fuzz()?, targets: Vec::new() };
        let targets = String::from_utf8(sh::output(&mut fuzzer.cargo(&["list"]))?)?;
        fuzzer.targets = targets.lines().map(ToOwned::to_owned).collect();
        sh::run(&mut fuzzer.cargo(&["build", "--dev"]))?;
        Ok(fuzzer)
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut path = OsString::from(self.program.parent().unwrap_or(&self.program));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = clean("cargo");
        command.current_dir(sh::workspace()).env("PATH", path).args(["+nightly", "fuzz"]).args(args);
        command.env("CC", "clang").env("CFLAGS", SANITIZED).env("AWS_LC_SYS_CFLAGS", NOT_SANITIZED);
        command
    }

    /// What is found on the way stays in target/; where it begins is committed.
    fn run(&self, target: &str, seconds: u32) -> Result<Command> {
        let fuzz = sh::workspace().join("fuzz");
        let found = fuzz.join("target/corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut seeds = vec![fuzz.join("corpus").join(target)];
        seeds.extend((target == RECORDED).then(|| fuzz.join("recorded")));
        seeds.retain(|directory| directory.is_dir());
        let mut command = self.cargo(&["run", "--dev", target]);
        command.arg(found).args(seeds);
        command.args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=2048", "-timeout=30"]);
        Ok(command)
    }
}

/// The target that has recordings as well.
const RECORDED: &str = "tpm_answers";

/// Of the toolchain that runs this program, nothing: the compiler is another one.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}
