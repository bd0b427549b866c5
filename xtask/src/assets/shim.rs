//! shim, compiled from Debian's source with room for a vendor database.
//!
//! Distributions' shims carry one certificate. A keyset has three that sign images, and each keyset has others; so the
//! space is left empty, and filled with the certificates of a keyset when one is needed.

use super::empty;
use crate::{apt, sh};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where it is put, in the directory for assets.
pub const PROGRAM: &str = "shim/shimx64.efi";
/// Enough for three certificates of RSA-4096 with long names.
const ROOM: usize = 8192;

/// Compiles shim of `suite` into `root`, and returns its version.
pub fn build(suite: &str, root: &Path) -> Result<String> {
    println!("compiling shim, once; this takes a minute or two");
    let work = root.join("shim.part");
    empty(&work)?;
    let tar = source("shim", suite, &work)?;
    let name = tar.file_name().context("a file has a name")?.to_string_lossy().into_owned();
    let tree = work.join("tree");
    fs::create_dir(&tree)?;
    let mut extract = Command::new("tar");
    extract.args(["--extract", "--no-same-owner", "--strip-components=1", "--directory"]).arg(&tree);
    sh::run_quietly(extract.arg("--file").arg(&tar))?;
    fs::write(tree.join("vendor-db.esl"), [0; ROOM])?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.current_dir(&tree).arg(format!("--jobs={jobs}")).arg("VENDOR_DB_FILE=vendor-db.esl").arg("shimx64.efi");
    // It would ask git, if installed, for the commit: of an unrelated tree.
    sh::run_quietly(make.arg("COMMIT_ID=none").env_remove("MAKEFLAGS").env_remove("MAKELEVEL"))?;
    let program = root.join(PROGRAM);
    fs::create_dir_all(program.parent().context("a file is in a directory")?)?;
    fs::copy(tree.join("shimx64.efi"), program)?;
    fs::remove_dir_all(&work)?;
    Ok(name)
}

/// The archive of a package's authors, whose hash apt has checked.
pub fn source(package: &str, suite: &str, work: &Path) -> Result<PathBuf> {
    apt::download_tar(package, suite, work)?;
    let files = fs::read_dir(work)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_tar = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".orig.tar.") && !name.ends_with(".asc")
    };
    files.iter().find(is_tar).cloned().with_context(|| format!("the source package of {package} has no archive"))
}
