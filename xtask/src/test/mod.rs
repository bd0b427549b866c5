//! `cargo xtask test`: everything that must hold.

mod arm64;
mod programs;
mod tally;

use crate::{
    assets,
    dist::{self, Build, Dist},
    fuzz, inspect, packages,
    progress::Progress,
    sh, source, tools,
};
use anyhow::{Result, bail};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use tally::Tally;

/// What is asked for on the command line.
#[derive(Default)]
pub struct Options {
    /// Leave out what takes long and seldom fails.
    pub fast: bool,
    /// Run the tests alone, and only those of these names, or in programs of these names.
    pub filter: Vec<String>,
}

/// Runs the checks and the tests. Whether all is well; a failure of one stops none of the others.
pub fn test(options: &Options) -> Result<bool> {
    packages::ensure(&[packages::BUILD, packages::RUN, packages::TEST, packages::ASSETS])?;
    if !options.fast {
        packages::ensure(&[packages::CROSS])?;
    }
    packages::ensure_namespaces()?;
    let mut tally = Tally::default();
    if let Err(e) = packages::ensure(&[packages::BROWSER]) {
        tally.skip("a real browser shows the pages", &e);
    }
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
        oldest_compiler(&mut tally);
        deny(&mut tally);
        hostile_input(&mut tally);
    }
    if let Some(dist) = dist {
        programs::run(&mut tally, &dist, options)?;
        if options.filter.is_empty() && !options.fast {
            reproduced(&mut tally, &dist);
        }
    }
    Ok(tally.report())
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

/// The compiler that Cargo.toml promises as the oldest one.
fn oldest_compiler(tally: &mut Tally) {
    const WHAT: &str = "the oldest promised compiler takes the sources";
    let version = env!("CARGO_PKG_RUST_VERSION");
    match tools::compiler(version) {
        Ok(()) => {
            tally.check(WHAT, || {
                let mut check = Command::new("rustup");
                check.args(["run", version, "cargo", "check", "--quiet", "--locked", "--target-dir", "target/oldest"]);
                // What this one has been started with is the newer one's.
                check.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC").env_remove("CARGO");
                check.args(["--package", "trust", "--package", "xtask", "--features", "trust/host"]);
                sh::run(check.current_dir(sh::workspace()).stdin(Stdio::null()))
            });
        }
        Err(e) => tally.skip(WHAT, &e),
    }
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

/// All fuzz targets, for a moment: what was found before, and whatever comes to mind.
fn hostile_input(tally: &mut Tally) {
    const SECONDS: u32 = 5;
    const WHAT: &str = "hostile input ends in a result or a message";
    if fuzz::is_possible() {
        tally.check(WHAT, || fuzz::check(SECONDS));
    } else {
        tally.skip(WHAT, &"there is no nightly compiler (rustup toolchain install nightly)");
    }
}

/// The archive has what is committed, and nothing else.
fn reproduced(tally: &mut Tally, dist: &Dist) {
    const WHAT: &str = "the source archive gives the same trust-initrd, elsewhere and without a network";
    let mut changes = Command::new("git");
    changes.current_dir(sh::workspace()).args(["status", "--porcelain", "--untracked-files=no"]);
    match sh::output(&mut changes) {
        Ok(none) if none.is_empty() => {
            tally.check(WHAT, || reproduce(dist));
        }
        Ok(_) => tally.skip(WHAT, &"there are changes that are not committed"),
        Err(e) => tally.skip(WHAT, &format!("the archive is made of a git repository: {e:#}")),
    }
}

/// Builds what is in the source archive, in a directory of another name and length and without a network, and compares.
fn reproduce(dist: &Dist) -> Result<()> {
    let archive = source::source()?;
    let copy = sh::workspace().join("target/another place");
    // Its target directory stays: it makes the next time faster, and depends on nothing outside of the copy.
    for entry in fs::read_dir(&copy).into_iter().flatten() {
        let path = entry?.path();
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    fs::create_dir_all(&copy)?;
    // Every file is of now: cargo tells by that what to build again, and the archive's dates are those of the commit.
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--touch", "--strip-components=1", "--file"]).arg(archive).arg("--directory").arg(&copy);
    sh::run(&mut tar)?;
    let build = Build { workspace: &copy, target_dir: &copy.join("target"), alone: true };
    let second = fs::read(build.initrd(&dist::Options::default().target, &Progress::default())?)?;
    let first = fs::read(&dist.initrd)?;
    if first != second {
        bail!("SHA-256 {} here, {} in {}", inspect::sha256(&first), inspect::sha256(&second), copy.display());
    }
    println!("SHA-256 {}", inspect::sha256(&second));
    let target = dist::Options::default().target;
    let bill = |workspace: &Path| dist::bill_of_materials(workspace, &dist.initrd, &target, true);
    if bill(&copy)? != bill(sh::workspace())? {
        bail!("the bill of materials of trust-initrd is another one in {}", copy.display());
    }
    Ok(())
}
