//! `cargo xtask fuzz`: hostile input, made up by cargo-fuzz with a nightly compiler.

mod figures;

use crate::{fetch, packages, sh, tools};
use anyhow::{Context, Result, bail, ensure};
use figures::Figures;
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
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
    /// Whether the figures are added to the committed ones.
    pub record: bool,
    /// The targets; all when none is named.
    pub targets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 60, record: false, targets: Vec::new() }
    }
}

/// Runs the targets, and tells of each what it has been through. After a finding no other begins.
pub fn fuzz(options: &Options) -> Result<()> {
    let fuzzer = Fuzzer::build(&sh::workspace().join("fuzz/target/corpus"))?;
    if let Some(unknown) = options.targets.iter().find(|target| !fuzzer.targets.contains(target)) {
        bail!("there is no target {unknown}; there are: {}", fuzzer.targets.join(", "));
    }
    let chosen = |target: &&String| options.targets.is_empty() || options.targets.contains(target);
    let chosen: VecDeque<_> = fuzzer.targets.iter().filter(chosen).collect();
    let (number, seconds) = (chosen.len(), options.seconds);
    println!("{number} targets, two at a time, {seconds} s each; what they say is in fuzz/target/TARGET.log");
    let tell = Mutex::new(|target: &str, figures: &Figures| {
        println!("{target}: {figures}");
        if options.record { figures::add(target, figures) } else { Ok(()) }
    });
    fuzzer.run_all(chosen, seconds, &|target, figures| lock(&tell)(target, figures))
}

/// Whether there is a nightly compiler.
pub fn is_possible() -> bool {
    let mut rustc = clean("rustc");
    rustc.args(["+nightly", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    rustc.status().is_ok_and(|status| status.success())
}

/// Runs all targets for so many seconds each, from what is committed on; tells of those alone that find something.
pub fn check(seconds: u32) -> Result<()> {
    let found = tempfile::TempDir::with_prefix("trust-fuzz-")?;
    let fuzzer = Fuzzer::build(found.path())?;
    fuzzer.run_all(fuzzer.targets.iter().collect(), seconds, &|_, _| Ok(()))
}

/// The targets, built.
struct Fuzzer {
    /// cargo-fuzz.
    program: PathBuf,
    targets: Vec<String>,
    /// Where each target keeps what it finds on its way, and goes on from.
    found: PathBuf,
}

/// What is done with the figures of a target.
type Tell<'a> = &'a (dyn Fn(&str, &Figures) -> Result<()> + Sync);

impl Fuzzer {
    fn build(found: &Path) -> Result<Self> {
        ensure!(is_possible(), "cargo-fuzz needs a nightly compiler: rustup toolchain install nightly");
        packages::ensure(&[packages::BUILD, packages::FUZZ])?;
        fetch::prepare()?;
        let mut fuzzer = Self { program: tools::cargo_fuzz()?, targets: Vec::new(), found: found.to_owned() };
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

    /// Runs these, two at a time.
    fn run_all(&self, targets: VecDeque<&String>, seconds: u32, tell: Tell<'_>) -> Result<()> {
        let queue = &Mutex::new(targets);
        let work = || -> Result<()> {
            loop {
                let next = lock(queue).pop_front();
                let Some(target) = next else { return Ok(()) };
                self.run(target, seconds)
                    .and_then(|figures| tell(target, &figures))
                    .inspect_err(|_| lock(queue).clear())?;
            }
        };
        let outcomes = thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|thread| thread.join()));
        outcomes.into_iter().try_for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Where it begins is committed.
    fn run(&self, target: &str, seconds: u32) -> Result<Figures> {
        let fuzz = sh::workspace().join("fuzz");
        let found = self.found.join(target);
        fs::create_dir_all(&found)?;
        let mut seeds = vec![fuzz.join("corpus").join(target)];
        seeds.extend((target == RECORDED).then(|| fuzz.join("recorded")));
        seeds.retain(|directory| directory.is_dir());
        let mut command = self.cargo(&["run", "--dev", target]);
        command.arg(found).args(seeds);
        command.args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=2048", "-timeout=30"]);
        command.arg("-print_final_stats=1");

        let log = fuzz.join("target").join(format!("{target}.log"));
        let output = File::create(&log)?;
        let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(child.id().try_into()?)), ended)?;
        // As long as nobody has waited for it, the kernel remembers.
        let statistics = fs::read_to_string(format!("/proc/{}/stat", child.id()));
        let status = child.wait()?;
        let said = fs::read(&log)?;
        let said = String::from_utf8_lossy(&said);
        if !status.success() {
            let first = said.lines().count().saturating_sub(100);
            let end: Vec<_> = said.lines().skip(first).collect();
            bail!("{target} has found something ({status}); {}:\n{}", log.display(), end.join("\n"));
        }
        Figures::of(&said, &statistics?).with_context(|| format!("{target} does not say what it has been through"))
    }
}

/// The target that has recordings as well.
const RECORDED: &str = "tpm_answers";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of the toolchain that runs this program, nothing: the compiler is another one.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}
