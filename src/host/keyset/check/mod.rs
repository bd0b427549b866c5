//! Whether a keyset is complete and sound: all of it is checked, whatever is missing.
//!
//! Needs no private key: what can be checked without one is.

mod files;

mod keys;
mod policies;

pub use files::{is_policy_file, is_private};

use super::Keyset;
use crate::error::{Error, Result};
use serde::Serialize;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something will not work, or others may read or change what is only for the owner.
    Error,
    /// It should be reviewed.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The severity of a finding.
    pub severity: Severity,
    /// What it is about, relative to the keyset's directory; empty for the whole.
    pub path: PathBuf,
    /// What is wrong, as a clause without a full stop.
    pub what: String,
    /// What to do, or nothing.
    pub remedy: String,
    /// Other files with the same finding and remedy.
    pub also: Vec<PathBuf>,
}

/// What was found, and how much of each.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// Name of the keyset.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// The worst first, then by path.
    pub findings: Vec<Finding>,
}

/// Checks everything.
///
/// # Errors
/// [`crate::error::Kind::System`] when the keyset's directory itself cannot be read.
pub fn check(keyset: &Keyset) -> Result<CheckReport> {
    let mut findings = Findings { root: keyset.path().to_owned(), list: Vec::new() };
    files::check(keyset, &mut findings)?;
    keys::check(keyset, &mut findings);
    policies::check(keyset, &mut findings);
    let findings = summed_up(findings.list);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    Ok(CheckReport {
        name: keyset.name().to_owned(),
        path: keyset.path().to_owned(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        findings,
    })
}

/// What has been found so far.
struct Findings {
    root: PathBuf,
    list: Vec<Finding>,
}

impl Findings {
    fn error(&mut self, path: &Path, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, path, what.into(), remedy.into());
    }

    fn warning(&mut self, path: &Path, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, path, what.into(), remedy.into());
    }

    fn note(&mut self, path: &Path, what: impl Into<String>) {
        self.add(Severity::Note, path, what.into(), String::new());
    }

    /// Something that could not be read or understood.
    fn failed(&mut self, path: &Path, why: &Error) {
        match path.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => self.error(path, "is missing", RESTORE),
            _ => self.error(path, why.cause(), RESTORE),
        }
    }

    /// Adds a consequence to the finding at or in `path`, in place of a further one; if there is none, reports it alone.
    fn follows(&mut self, path: &Path, what: &str) {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let is_cause =
            |finding: &&mut Finding| finding.severity == Severity::Error && finding.path.starts_with(relative);
        match self.list.iter_mut().find(is_cause) {
            Some(finding) => finding.what += &format!(": {what}"),
            None => self.warning(path, what, RESTORE),
        }
    }

    fn add(&mut self, severity: Severity, path: &Path, what: String, remedy: String) {
        let path = path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        self.list.push(Finding { severity, path, what, remedy, also: Vec::new() });
    }
}

/// The worst first, then by path; findings with one cause are merged.
fn summed_up(mut list: Vec<Finding>) -> Vec<Finding> {
    list.sort();
    list.dedup();
    let mut findings: Vec<Finding> = Vec::new();
    for finding in list {
        let is_like = |other: &&mut Finding| {
            (other.severity, &other.what, &other.remedy) == (finding.severity, &finding.what, &finding.remedy)
                && is_sibling(&other.path, &finding.path)
        };
        match findings.iter_mut().find(is_like) {
            Some(other) => other.also.push(finding.path),
            None => findings.push(finding),
        }
    }
    findings
}

/// Whether these are the same file of two machines of a project, or of two PCR 7 values.
fn is_sibling(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(|path| path.iter().collect::<Vec<_>>());
    let among_same = |count| one.get(..count) == other.get(..count) && one.get(4) == other.get(4);
    match one.first().and_then(|first| first.to_str()) {
        Some("manifest") => one.len() == 5 && among_same(3),
        Some("pcr7data") => one.len() >= 4 && one.get(2).is_some_and(|part| part.len() == 2) && among_same(2),
        _ => false,
    }
}

/// What to do where something is gone or broken.
const RESTORE: &str = "restore it from a backup";

/// `1 machine`, `2 machines`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
