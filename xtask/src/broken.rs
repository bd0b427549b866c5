//! `cargo xtask broken`: whether the tests that attack a guarantee notice when it does not hold.
//!
//! A patch in tests/broken/ removes one protection. A line `Notices: PROGRAM::TEST: WORDS` above it names a test that
//! must then fail with these words: any other failure would prove nothing about the attack. The patch is applied to a copy
//! of the sources; the shipped programs contain no switch for any of this.

use crate::{dist, fetch, packages, sh};
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Prefix of test programs that boot the program, and so need it static.
const MACHINES: &str = "vm_";

/// A way to break the program.
struct Breakage {
    /// The patch's file name, without its extension.
    name: String,
    patch: PathBuf,
    /// What is broken: the patch's first line.
    what: String,
    /// The tests that must notice, and what they then say, by their programs.
    tests: BTreeMap<String, BTreeMap<String, String>>,
}

/// The breakages whose names contain one of `filter`; all where that is empty.
fn list(filter: &[String]) -> Result<Vec<Breakage>> {
    let dir = sh::workspace().join("tests/broken");
    let files = fs::read_dir(&dir)?.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>>>()?;
    let mut found = Vec::new();
    for patch in files.into_iter().filter(|path| path.extension().is_some_and(|x| x == "patch")) {
        found.push(read(patch.clone()).with_context(|| format!("cannot understand {}", patch.display()))?);
    }
    found.retain(|breakage| filter.is_empty() || filter.iter().any(|part| breakage.name.contains(part.as_str())));
    ensure!(!found.is_empty(), "there is no such patch in {}", dir.display());
    Ok(found)
}

fn read(patch: PathBuf) -> Result<Breakage> {
    let text = fs::read_to_string(&patch)?;
    let name = patch.file_stem().and_then(|name| name.to_str()).context("its name is no text")?.to_owned();
    let what = text.lines().next().context("it is empty")?.to_owned();
    let mut tests: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in text.lines().take_while(|line| !line.starts_with("--- ")) {
        if let Some(test) = line.strip_prefix("Notices: ") {
            let parts = test.split_once("::").and_then(|(program, test)| Some((program, test.split_once(": ")?)));
            let (program, (test, words)) = parts.with_context(|| format!("{test:?} is not PROGRAM::TEST: WORDS"))?;
            tests.entry(program.to_owned()).or_default().insert(test.to_owned(), words.to_owned());
        }
    }
    ensure!(!tests.is_empty(), "it names no test that notices");
    Ok(Breakage { name, patch, what, tests })
}

/// The outcome of a test that must notice a breakage.
struct Row {
    breakage: String,
    /// The test, or what was being done instead of running it.
    test: String,
    noticed: bool,
    /// The words that it must print, or otherwise what it has printed.
    words: String,
}

/// Breaks the program in each of these ways, and reports which tests did not notice.
pub fn broken(filter: &[String]) -> Result<bool> {
    packages::ensure(&[packages::BUILD, packages::RUN, packages::TEST])?;
    let tss = fetch::prepare()?;
    let mut rows = Vec::new();
    for breakage in &list(filter)? {
        let start = Instant::now();
        println!("\n== broken: {} ({})", breakage.what, breakage.name);
        let noticed = breakage.check(&tss).unwrap_or_else(|e| {
            let (test, words) = ("(not tried)".to_owned(), format!("{e:#}"));
            vec![Row { breakage: breakage.name.clone(), test, noticed: false, words }]
        });
        noticed.iter().for_each(print);
        println!("{} s", start.elapsed().as_secs());
        rows.extend(noticed);
    }
    println!("\n{:24} {:8} test: words", "breakage", "noticed");
    rows.iter().for_each(print);
    let blind: BTreeSet<_> = rows.iter().filter(|row| !row.noticed).map(|row| &row.breakage).collect();
    let all: BTreeSet<_> = rows.iter().map(|row| &row.breakage).collect();
    println!("{} of {} breakages noticed by all of their tests", all.len() - blind.len(), all.len());
    Ok(blind.is_empty())
}

fn print(row: &Row) {
    let noticed = if row.noticed { "yes" } else { "NO" };
    println!("{:24} {noticed:8} {}: {}", row.breakage, row.test, row.words);
}

impl Breakage {
    /// Builds the broken program, and runs the tests that must fail.
    ///
    /// # Errors
    /// A patch that does not apply; a program that does not compile.
    fn check(&self, tss: &Path) -> Result<Vec<Row>> {
        let work = sh::workspace().join("target/broken");
        let tree = work.join("tree");
        copy(&tree)?;
        let input = fs::File::open(&self.patch)?;
        let mut patch = Command::new("patch");
        patch.current_dir(&tree).args(["--strip=1", "--forward", "--quiet", "--no-backup-if-mismatch"]);
        let applied = patch.stdin(input).status().context("cannot run patch")?;
        ensure!(applied.success(), "{} does not apply any more", self.patch.display());
        let build = Build { tree: &tree, target: &work.join("target"), tss };
        let is_static = self.tests.keys().any(|program| program.starts_with(MACHINES));
        let programs = build.programs(is_static)?;
        if self.tests.keys().any(|program| build.is_of_packages(program)) {
            build.dist()?;
        }
        let mut rows = Vec::new();
        for (program, tests) in &self.tests {
            let said = build.run(program, tests.keys(), &programs)?;
            fs::write(work.join(format!("{}.{program}.log", self.name)), &said)?;
            for (test, words) in tests {
                let own = words_of(&said, test);
                let noticed = own.contains(words);
                let words = if noticed { words.clone() } else { instead(&said, test, own) };
                rows.push(Row { breakage: self.name.clone(), test: format!("{program}::{test}"), noticed, words });
            }
        }
        Ok(rows)
    }
}

/// What a test said that did not say what it must.
fn instead(said: &str, test: &str, own: &str) -> String {
    if said.contains(&format!("test {test} ... ok")) {
        return "it passes".to_owned();
    }
    let mut lines = own.lines().skip_while(|line| !line.contains(" panicked at ")).skip(1);
    lines
        .next()
        .map_or("it did not run to its end: see its log".to_owned(), |line| format!("it fails, saying {line:?}"))
}

/// What a test that failed has said, of all that its program said.
fn words_of<'a>(said: &'a str, test: &str) -> &'a str {
    let from = said.split_once(&format!("---- {test} stdout ----\n")).map_or("", |(_, rest)| rest);
    from.split_once("\n---- ").or_else(|| from.split_once("\nfailures:\n")).map_or(from, |(words, _)| words)
}

/// Makes `tree` a copy of the sources as they are. Files that are as they should be keep their time: cargo goes by that.
fn copy(tree: &Path) -> Result<()> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(sh::workspace()).args(args);
        sh::output(&mut command)
    };
    let listed = git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let listed = String::from_utf8(listed)?;
    // What is listed and was removed is not there; links may lead to directories.
    let there = |name: &&str| !name.is_empty() && sh::workspace().join(name).symlink_metadata().is_ok();
    let names: BTreeSet<&str> = listed.split('\0').filter(there).collect();
    for old in files_below(tree)? {
        let name = old.strip_prefix(tree)?.to_str().context("its name is no text")?;
        if !names.contains(name) {
            fs::remove_file(&old)?;
        }
    }
    for name in names {
        let (from, to) = (sh::workspace().join(name), tree.join(name));
        if let Ok(target) = fs::read_link(&from) {
            fs::create_dir_all(to.parent().context("it is below the tree")?)?;
            let _ = fs::remove_file(&to);
            symlink(target, &to)?;
        } else if fs::read(&to).ok() != Some(fs::read(&from)?) {
            fs::create_dir_all(to.parent().context("it is below the tree")?)?;
            let _ = fs::remove_file(&to);
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry?;
        // Links to directories are not followed.
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Where a broken program is built.
struct Build<'a> {
    tree: &'a Path,
    target: &'a Path,
    /// The source of tpm2-tss.
    tss: &'a Path,
}

/// The broken programs.
struct Programs {
    initrd: PathBuf,
    host: PathBuf,
}

impl Build<'_> {
    fn cargo(&self, subcommand: &str, package: &str) -> Command {
        let mut cargo = sh::cargo();
        cargo.current_dir(self.tree).args([subcommand, "--locked", "--package", package]);
        cargo.env("CARGO_TARGET_DIR", self.target).env("TPM2_TSS_SOURCE", self.tss);
        // What has to fit into the memory of a guest.
        for (name, value) in [("OPT_LEVEL", "1"), ("DEBUG", "none"), ("STRIP", "symbols")] {
            cargo.env(format!("CARGO_PROFILE_DEV_{name}"), value);
        }
        cargo
    }

    /// Whether it is a program of xtask's tests, which make packages of what `cargo xtask dist` has built.
    fn is_of_packages(&self, program: &str) -> bool {
        let tests = self.tree.join("xtask/tests");
        tests.join(program).is_dir() || tests.join(format!("{program}.rs")).exists()
    }

    /// Gives the tree what `cargo xtask dist` has built here: what breaks packages leaves the programs in them as they are.
    fn dist(&self) -> Result<()> {
        let dist = dist::Options::default().place();
        if !dist.join("trust").exists() {
            dist::dist(&dist::Options::default())?;
        }
        let target = self.tree.join("target");
        fs::create_dir_all(&target)?;
        sh::run_quietly(
            Command::new("cp").args(["--recursive", "--no-target-directory"]).arg(dist).arg(target.join("dist")),
        )
    }

    fn programs(&self, is_static: bool) -> Result<Programs> {
        sh::run_quietly(self.cargo("build", "trust").args(["--features", "host", "--bins"]))?;
        let mut programs =
            Programs { initrd: self.target.join("debug/trust-initrd"), host: self.target.join("debug/trust") };
        if is_static {
            let target = dist::Options::default().target;
            sh::run_quietly(self.cargo("build", "trust").args(["--bin", "trust-initrd", "--target", &target]))?;
            programs.initrd = self.target.join(target).join("debug/trust-initrd");
            dist::share(self.tree, &programs.initrd)?;
        }
        Ok(programs)
    }

    /// Runs tests of a program with the broken programs, and returns what it says.
    fn run<'a>(&self, program: &str, tests: impl Iterator<Item = &'a String>, programs: &Programs) -> Result<String> {
        let mut cargo = if self.is_of_packages(program) {
            self.cargo("test", "xtask")
        } else {
            let mut cargo = self.cargo("test", "trust");
            cargo.args(["--features", "host"]);
            cargo
        };
        cargo.args(["--test", program, "--", "--exact"]).args(tests).stdin(Stdio::null());
        cargo.env("TRUST_INITRD", &programs.initrd).env("TRUST_HOST", &programs.host).env("RUST_BACKTRACE", "0");
        let output = cargo.output().context("cannot run cargo test")?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}
