//! Small systems of Debian, installed and configured as mmdebstrap does it: packages are tried in copies of them.

use super::{alone, empty};
use crate::{apt, packages, sh};
use anyhow::{Context, Result};
use harness::assets::{self, STAMP};
use std::{fs, path::Path, process::Command, thread};

/// Where they are, in the directory for assets: an archive each.
const DIRECTORY: &str = "chroot";
const SUITES: [&str; 2] = ["bookworm", "trixie"];
/// Beside apt and what is essential: what the packages depend on, what shows manual pages, and another program called trust.
const PACKAGES: &str = "cryptsetup-bin,dmsetup,kmod,man-db,p11-kit";

/// Ensures that they are there.
pub fn prepare() -> Result<()> {
    let root = assets::directory();
    let place = root.join(DIRECTORY);
    let wanted = format!("{} {PACKAGES}\n", SUITES.join(" "));
    let is_there = || fs::read_to_string(place.join(STAMP)).is_ok_and(|found| found == wanted);
    if is_there() {
        return Ok(());
    }
    packages::ensure(&[packages::CHROOTS])?;
    let _alone = alone(&root)?;
    if is_there() {
        return Ok(());
    }
    println!("installing small systems of Debian, about 80 MB, once, in {}", place.display());
    empty(&place)?;
    // Most of it is waiting.
    thread::scope(|scope| {
        let made =
            SUITES.map(|suite| scope.spawn(move || (suite, install(suite, &assets::directory().join(DIRECTORY)))));
        made.into_iter().try_for_each(|thread| {
            let (suite, made) = thread.join().expect("it does not panic");
            made.with_context(|| format!("cannot install a Debian {suite}"))
        })
    })?;
    Ok(fs::write(place.join(STAMP), wanted)?)
}

fn install(suite: &str, place: &Path) -> Result<()> {
    let sources = place.join(format!("{suite}.sources"));
    let archive = place.join(format!("{suite}.tar"));
    apt::try_mirrors(|mirror| {
        fs::write(&sources, apt::stanza(mirror, "deb", suite))?;
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.arg(if packages::is_root()? { "--mode=root" } else { "--mode=unshare" });
        mmdebstrap.args(["--quiet", "--variant=apt", "--architectures=amd64", &format!("--include={PACKAGES}")]);
        mmdebstrap.args(["--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"2\"", suite]);
        sh::run_quietly(mmdebstrap.arg(&archive).arg(&sources))
    })
}
