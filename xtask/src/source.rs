//! `cargo xtask source`: what is committed, with all that building it needs beside a compiler, in one archive.
//!
//! The crates are in `vendor/crates`, where cargo is told to look for them, and tpm2-tss, patched, where build.rs does.
//! The same commit gives the same bytes.

use crate::{fetch, package, release::Release, sh};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where cargo finds crates instead of asking a registry.
pub const CRATES: &str = "vendor/crates";

/// Makes the archive in target/dist/, and returns it.
pub fn source() -> Result<PathBuf> {
    let release = Release::here()?;
    let tss = fetch::prepare()?;
    let name = format!("trust-{}", release.version);
    let work = sh::workspace().join("target/source");
    let tree = work.join(&name);
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&tree)?;

    let mut git = Command::new("git");
    git.current_dir(sh::workspace()).args(["archive", "--format=tar", "HEAD"]);
    let committed =
        sh::output(&mut git).context("the sources are those of a commit: this needs git, and its repository")?;
    sh::filter(Command::new("tar").args(["--extract", "--directory"]).arg(&tree), &committed)?;
    vendor(&tree)?;
    let to = tree.join("vendor").join(tss.file_name().context("it has a name")?);
    sh::run_quietly(Command::new("cp").args(["-r", "--"]).arg(&tss).arg(to))?;

    let dist = sh::workspace().join("target/dist");
    fs::create_dir_all(&dist)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    pack(&work, &name, release.date, &archive)?;
    fs::remove_dir_all(&work)?;
    package::checksums(&dist)?;
    println!("{}", archive.display());
    Ok(archive)
}

/// What cargo's configuration says of it.
const CONFIGURATION: &str = r#"
# Built without a network.
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "vendor/crates"
"#;

/// Puts all crates of the lock file into a tree, and tells cargo so.
fn vendor(tree: &Path) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.current_dir(tree).args(["vendor", "--quiet", "--locked", "--versioned-dirs", CRATES]);
    sh::run_quietly(&mut cargo)?;
    let config = tree.join(".cargo/config.toml");
    Ok(fs::write(&config, fs::read_to_string(&config)? + CONFIGURATION)?)
}

/// An archive without anything of this machine: names sorted, dates of the commit, no owners.
fn pack(work: &Path, name: &str, date: u64, archive: &Path) -> Result<()> {
    let script = r#"tar --create --format=gnu --sort=name --mtime="@$date" --owner=0 --group=0 --numeric-owner \
        --mode=u+rw,go=rX --directory "$work" "$name" | gzip --no-name >"$archive""#;
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]).env("date", date.to_string());
    sh::run_quietly(shell.env("work", work).env("name", name).env("archive", archive))
}
