//! `cargo xtask fetch`: the source of tpm2-tss, verified and patched, where build.rs looks for it.
//!
//! What it is and what it must hash to is data: src/tpm/tss2/source.toml.

use crate::{apt, sh};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The pinned source, and our patches beside it.
const LOCK: &str = "src/tpm/tss2";
/// Written last: says of which archive and which patches the tree is.
const STAMP: &str = ".trust-patched";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Source {
    version: String,
    license: String,
    tar_sha256: String,
    url: String,
    debian: Debian,
}

/// What a bill of materials says of the source.
pub struct Described {
    pub version: String,
    pub license: String,
    pub url: String,
    pub tar_sha256: String,
    /// Our patches: where they are in the workspace, and their SHA-256.
    pub patches: Vec<(String, String)>,
}

/// What is pinned in these sources.
pub fn describe(workspace: &Path) -> Result<Described> {
    let lock = workspace.join(LOCK);
    let Source { version, license, tar_sha256, url, .. } =
        toml::from_str(&fs::read_to_string(lock.join("source.toml"))?)?;
    let mut described = Vec::new();
    for patch in patches(&lock)? {
        let path = patch.strip_prefix(workspace)?.to_str().context("its name is text")?.to_owned();
        described.push((path, hex(&Sha256::digest(fs::read(&patch)?))));
    }
    Ok(Described { version, license, url, tar_sha256, patches: described })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Debian {
    suite: String,
    package: String,
}

/// Sees to it that the patched source is in vendor/, and returns its directory.
pub fn prepare() -> Result<PathBuf> {
    let lock = sh::workspace().join(LOCK);
    let source: Source = toml::from_str(&fs::read_to_string(lock.join("source.toml"))?)?;
    let patches = patches(&lock)?;
    let stamp = stamp(&source, &patches)?;

    let name = format!("tpm2-tss-{}", source.version);
    let vendor = sh::workspace().join("vendor");
    let tree = vendor.join(&name);
    fs::create_dir_all(&vendor)?;
    // Two at a time would get in each other's way. Unlocked when closed.
    let alone = fs::File::create(vendor.join(".lock"))?;
    alone.lock()?;
    if fs::read_to_string(tree.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(tree);
    }

    let archive = vendor.join(format!("{name}.tar.gz"));
    let tar = match read_verified(&archive, &source) {
        Ok(tar) => tar,
        Err(_) => download(&source, &vendor, &archive)?,
    };
    let work = vendor.join(".unpacked");
    empty(&work)?;
    sh::filter(Command::new("tar").args(["--extract", "--no-same-owner", "--directory"]).arg(&work), &tar)?;
    for patch in &patches {
        let mut command = Command::new("patch");
        command.args(["--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--input"]).arg(patch);
        sh::run_quietly(command.current_dir(work.join(&name)))?;
    }
    fs::write(work.join(&name).join(STAMP), stamp)?;
    // The tree is complete or it is not there.
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::rename(work.join(&name), &tree)?;
    fs::remove_dir_all(&work)?;
    eprintln!("{name} is ready, with {} patches", patches.len());
    Ok(tree)
}

/// Our patches, in the order of their names.
fn patches(lock: &Path) -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in fs::read_dir(lock)? {
        let path = entry?.path();
        if path.extension().is_some_and(|x| x == "patch") {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}

/// Differs when the source or any patch does.
fn stamp(source: &Source, patches: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(&source.tar_sha256);
    for patch in patches {
        hash.update(Sha256::digest(fs::read(patch)?));
    }
    Ok(hex(&hash.finalize()) + "\n")
}

/// The tar in an archive, if it is the pinned one.
fn read_verified(archive: &Path, source: &Source) -> Result<Vec<u8>> {
    let compressed = fs::read(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let tar = sh::filter(Command::new("gzip").args(["--decompress", "--stdout"]), &compressed)?;
    let found = hex(&Sha256::digest(&tar));
    if found != source.tar_sha256 {
        bail!("the tar in {} has SHA-256 {found} where {} was expected", archive.display(), source.tar_sha256);
    }
    Ok(tar)
}

/// Gets the archive from where it can be had, and keeps it.
fn download(source: &Source, vendor: &Path, archive: &Path) -> Result<Vec<u8>> {
    let work = vendor.join(".download");
    let mut failures = Vec::new();
    for name in ["Debian", "GitHub"] {
        eprintln!("getting tpm2-tss {} from {name}", source.version);
        empty(&work)?;
        let got = if name == "Debian" { from_debian(source, &work) } else { from_github(source, &work) };
        match got.and_then(|path| Ok((read_verified(&path, source)?, path))) {
            Ok((tar, path)) => {
                fs::rename(path, archive)?;
                fs::remove_dir_all(&work)?;
                return Ok(tar);
            }
            Err(e) => failures.push(format!("from {name}: {e:#}")),
        }
    }
    bail!(
        "cannot get tpm2-tss {}; put its archive, {}, at {}\n{}",
        source.version,
        source.url,
        archive.display(),
        failures.join("\n")
    );
}

fn from_debian(source: &Source, dir: &Path) -> Result<PathBuf> {
    apt::download_source(&source.debian.package, &source.debian.suite, dir)?;
    Ok(dir.join(format!("{}_{}.orig.tar.gz", source.debian.package, source.version)))
}

fn from_github(source: &Source, dir: &Path) -> Result<PathBuf> {
    let path = dir.join("archive.tar.gz");
    let mut curl = Command::new("curl");
    curl.args(["--proto", "=https", "--fail", "--silent", "--show-error", "--location"]);
    curl.args(["--connect-timeout", "30", "--output"]).arg(&path).arg(&source.url);
    sh::run_quietly(&mut curl)?;
    Ok(path)
}

/// Makes `dir` an empty directory.
fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::create_dir_all(dir)?)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
