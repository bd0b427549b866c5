//! `cargo xtask test`: everything that must hold.

use crate::{
    assets,
    dist::{self, Build, Dist},
    inspect, packages, sh, tools,
};
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fmt::Display,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// How the names of the test programs begin that boot virtual machines.
const MACHINES: &str = "vm_";

/// What is asked for on the command line.
#[derive(Default)]
pub struct Options {
    /// Leave out what takes long and seldom fails.
    pub fast: bool,
    /// Run the tests alone, and only those of these names.
    pub filter: Vec<String>,
}

/// How many checks and tests ended how.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

/// Runs the checks and the tests. Whether all is well; a failure of one stops none of the others.
pub fn test(options: &Options) -> Result<bool> {
    packages::ensure(&[packages::BUILD, packages::RUN, packages::TEST])?;
    let mut tally = Tally::default();
    tally.check("firmware, kernel and boot loaders are there", assets::prepare);
    let dist = tally.check("both programs are built and as they should be", || dist::dist(&dist::Options::default()));
    if options.filter.is_empty() {
        tally.check("the sources are formatted", || sh::run(sh::cargo().args(["fmt", "--all", "--check"])));
        tally.check("clippy has no complaint: the host program", || {
            clippy(&["--workspace", "--all-targets", "--features", "trust/host"])
        });
        tally.check("clippy has no complaint: the program of the initrd", || clippy(&["--package", "trust"]));
    }
    if options.filter.is_empty() && !options.fast {
        tally.check("the documentation is complete", document);
        deny(&mut tally);
    }
    if let Some(dist) = dist {
        tests(&mut tally, &dist, options)?;
        if options.filter.is_empty() && !options.fast {
            tally.check("another directory gives the same trust-initrd", || reproduce(&dist));
        }
    }
    Ok(tally.report())
}

impl Tally {
    /// Runs one check, says how it ended and counts it.
    fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n== {name}?");
        let start = Instant::now();
        match check() {
            Ok(value) => {
                println!("== {name}: yes ({} s)", start.elapsed().as_secs());
                self.passed += 1;
                Some(value)
            }
            Err(e) => {
                println!("== {name}: NO\n{e:#}");
                self.fail(name);
                None
            }
        }
    }

    fn fail(&mut self, what: impl Display) {
        self.failed += 1;
        self.failures.push(what.to_string());
    }

    fn skip(&mut self, what: &str, why: &dyn Display) {
        println!("\n== SKIPPED: {what}: {why}");
        self.skipped += 1;
        self.skips.push(what.to_owned());
    }

    /// The closing lines.
    fn report(&self) -> bool {
        println!();
        for skip in &self.skips {
            println!("SKIPPED: {skip}");
        }
        for failure in &self.failures {
            println!("FAILED: {failure}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        self.failed == 0
    }
}

fn clippy(what: &[&str]) -> Result<()> {
    sh::run(sh::cargo().args(["clippy", "--quiet", "--locked"]).args(what).args(["--", "--deny", "warnings"]))
}

fn document() -> Result<()> {
    let mut doc = sh::cargo();
    doc.args(["doc", "--quiet", "--locked", "--no-deps", "--document-private-items", "--package", "trust"]);
    doc.args(["--features", "host"]);
    sh::run(doc.env("RUSTDOCFLAGS", "-Dwarnings -Arustdoc::private_intra_doc_links"))
}

/// Licences, sources and bans always; advisories where their database can be had.
fn deny(tally: &mut Tally) {
    let Some(program) = tally.check("cargo-deny is there", tools::cargo_deny) else {
        return;
    };
    let deny = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(sh::workspace()).args(["--log-level", "error"]).args(args);
        command
    };
    tally.check("licences, sources and names of the dependencies are allowed", || {
        sh::run(
            deny(&["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]).stdin(Stdio::null()),
        )
    });
    match sh::run_quietly(&mut deny(&["fetch", "db"])) {
        Ok(()) => {
            tally.check("no dependency has a known defect", || {
                sh::run(deny(&["--locked", "check", "--disable-fetch", "advisories"]).stdin(Stdio::null()))
            });
        }
        Err(e) => tally.skip("no dependency has a known defect (the RustSec database)", &e),
    }
}

/// All tests, or those that the filter names; every one of them counts.
fn tests(tally: &mut Tally, dist: &Dist, options: &Options) -> Result<()> {
    println!("\n== the tests");
    let mut command = sh::cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--workspace", "--features", "trust/host"]);
    if options.fast {
        command.args(["--lib", "--bins"]);
        for name in test_programs()?.iter().filter(|name| !name.starts_with(MACHINES)) {
            command.args(["--test", name]);
        }
    }
    command.arg("--").args(&options.filter);
    command.env("TRUST_INITRD", &dist.initrd).env("TRUST_HOST", &dist.host);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let failures = tally.failed;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        if let Some(counts) = Counts::of(&line) {
            tally.passed += counts.passed;
            tally.failed += counts.failed;
            tally.skipped += counts.ignored;
        } else if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            tally.failures.push(name.to_owned());
        } else if let Some((name, _)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ignored")) {
            tally.skips.push(name.to_owned());
        }
    }
    // Programs that do not compile, or die, count nothing.
    if !child.wait()?.success() && tally.failed == failures {
        tally.fail("cargo test");
    }
    Ok(())
}

/// The names of the test programs: the files of tests/, and of the harness.
fn test_programs() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for dir in ["tests", "tests/harness/tests"] {
        for entry in fs::read_dir(sh::workspace().join(dir))? {
            let path = entry?.path();
            if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(OsStr::to_str)) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// What libtest says at the end of a test program.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Counts {
    fn of(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |name: &str| counts.split("; ").find_map(|part| part.strip_suffix(name)?.trim().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
    }
}

/// Builds a copy of the sources in a directory of another name and length, and compares.
fn reproduce(dist: &Dist) -> Result<()> {
    let copy = sh::workspace().join("target/another place");
    // Its target directory stays: it makes the next time faster, and depends on nothing outside of the copy.
    for entry in fs::read_dir(&copy).into_iter().flatten() {
        let path = entry?.path();
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(sh::workspace());
    let files = String::from_utf8(sh::output(&mut git)?)?;
    for file in files.split_terminator('\0') {
        copy_file(&sh::workspace().join(file), &copy.join(file))?;
    }
    sh::run(
        Command::new("cp")
            .args(["--recursive", "--preserve=timestamps"])
            .arg(sh::workspace().join("vendor"))
            .arg(&copy),
    )?;
    let build = Build { workspace: &copy, target_dir: &copy.join("target") };
    let second = fs::read(build.initrd(&dist::Options::default().target)?)?;
    let first = fs::read(&dist.initrd)?;
    if first != second {
        bail!("SHA-256 {} here, {} in {}", inspect::sha256(&first), inspect::sha256(&second), copy.display());
    }
    println!("SHA-256 {}", inspect::sha256(&second));
    Ok(())
}

/// With its time of modification, by which cargo tells what to build again.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    if !from.is_file() {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    Ok(fs::File::options().append(true).open(to)?.set_modified(modified)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_test_program() {
        let counts = |passed, failed, ignored| Some(Counts { passed, failed, ignored });
        let ok = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.02s";
        assert_eq!(Counts::of(ok), counts(12, 0, 3));
        let bad = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s";
        assert_eq!(Counts::of(bad), counts(1, 2, 0));
        assert_eq!(Counts::of("test boot::result ... ok"), None);
    }
}
