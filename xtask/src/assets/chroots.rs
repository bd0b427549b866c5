//! Small systems of Debian, installed and configured as mmdebstrap does it: packages are tried in copies of them.

use super::alone;
use crate::{apt, packages, sh};
use anyhow::{Context, Result};
use harness::{
    assets,
    debian::{ALL, DIRECTORY, Debian},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

/// Ensures that they are there.
pub fn prepare() -> Result<()> {
    let root = assets::directory();
    let place = root.join(DIRECTORY);
    let missing = || ALL.into_iter().filter(|system| !is_there(system, &place)).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok(());
    }
    packages::ensure(&[packages::CHROOTS])?;
    let _alone = alone(&root)?;
    let missing = missing();
    println!("installing small systems of Debian, about 250 MB, once, in {}", place.display());
    fs::create_dir_all(&place)?;
    // Most of it is waiting.
    thread::scope(|scope| {
        let made: Vec<_> =
            missing.into_iter().map(|system| (system, scope.spawn(|| install(system, &place)))).collect();
        made.into_iter().try_for_each(|(system, thread)| {
            let made = thread.join().expect("it does not panic");
            made.with_context(|| format!("cannot install a Debian {}", system.suite))
        })
    })
}

/// What says that a system is complete, and of what.
fn stamp(system: &Debian, place: &Path) -> PathBuf {
    place.join(format!("{}.packages", system.name))
}

/// What it says.
fn wanted(system: &Debian) -> String {
    format!("{} {}\n", system.suite, system.packages.join(" "))
}

fn is_there(system: &Debian, place: &Path) -> bool {
    fs::read_to_string(stamp(system, place)).is_ok_and(|found| found == wanted(system))
}

fn install(system: &Debian, place: &Path) -> Result<()> {
    let sources = place.join(format!("{}.sources", system.name));
    let archive = place.join(format!("{}.tar", system.name));
    let packages = system.packages.join(",");
    apt::try_mirrors(|mirror| {
        fs::write(&sources, apt::stanza(mirror, "deb", system.suite))?;
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.arg(if packages::is_root()? { "--mode=root" } else { "--mode=unshare" });
        mmdebstrap.args(["--quiet", "--variant=apt", "--architectures=amd64", &format!("--include={packages}")]);
        mmdebstrap.args(["--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"2\"", system.suite]);
        sh::run_quietly(mmdebstrap.arg(&archive).arg(&sources))
    })?;
    Ok(fs::write(stamp(system, place), wanted(system))?)
}
