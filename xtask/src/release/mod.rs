//! What these sources are: version, date, maintainer; and whether they can be released.

mod check;

pub use check::check;

use crate::sh;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

/// What packages say of where they come from.
pub struct Release {
    /// As Cargo.toml has it.
    pub version: String,
    /// Seconds since 1970: of the last commit.
    pub date: u64,
    /// `NAME <MAIL>`.
    pub maintainer: String,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

impl Release {
    /// The one of this workspace. `SOURCE_DATE_EPOCH`, `DEBFULLNAME` and `DEBEMAIL` count for more than its last commit.
    pub fn here() -> Result<Self> {
        let manifest: Manifest = toml::from_str(&fs::read_to_string(sh::workspace().join("Cargo.toml"))?)?;
        Ok(Self { version: manifest.package.version, date: date()?, maintainer: maintainer() })
    }

    /// The date in RFC 5322's form.
    pub fn mail_date(&self) -> Result<String> {
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["--utc", "--rfc-email", "--date", &format!("@{}", self.date)]);
        Ok(String::from_utf8(sh::output(&mut date)?)?.trim_end().to_owned())
    }
}

fn date() -> Result<u64> {
    if let Ok(given) = env::var("SOURCE_DATE_EPOCH") {
        return given.parse().context("SOURCE_DATE_EPOCH is not a number of seconds");
    }
    if let Some(date) = last_commit("%ct") {
        return Ok(date.parse()?);
    }
    // A tarball of `cargo xtask source` has kept it.
    let modified = fs::metadata(sh::workspace().join("Cargo.toml"))?.modified()?;
    Ok(modified.duration_since(UNIX_EPOCH)?.as_secs())
}

fn maintainer() -> String {
    let (name, mail) = (env::var("DEBFULLNAME"), env::var("DEBEMAIL"));
    if let (Ok(name), Ok(mail)) = (name, mail) {
        return format!("{name} <{mail}>");
    }
    last_commit("%cn <%ce>").unwrap_or_else(|| "Trust <trust@packages.invalid>".to_owned())
}

/// What git says of the last commit; nothing where the sources are not in a repository of their own.
fn last_commit(format: &str) -> Option<String> {
    let is_ours = Path::new(&sh::workspace().join(".git")).exists();
    let mut git = Command::new("git");
    git.current_dir(sh::workspace()).args(["log", "-1", &format!("--format={format}")]).stderr(Stdio::null());
    let said = is_ours.then(|| git.output().ok()).flatten()?;
    let said = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    (!said.is_empty()).then_some(said)
}
