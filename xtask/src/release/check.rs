//! `cargo xtask release --check`: whether what is here can be released as it is.

use super::Release;
use crate::{package, sh};
use anyhow::Result;
use std::{
    fs,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

/// What is compared.
struct State {
    version: String,
    changelog: String,
    /// What `git status --porcelain` says.
    changed: String,
    /// Names of all tags, and of those of the last commit.
    tags: Vec<String>,
    tags_here: Vec<String>,
    /// Whether what is shipped is older than the last commit.
    stale: bool,
    /// Files that are shipped, and whether each is what `SHA256SUMS` says.
    files: Vec<(String, bool)>,
}

/// Says what is missing. Whether nothing is.
pub fn check() -> Result<bool> {
    let git = |args: &[&str]| -> Result<String> {
        Ok(String::from_utf8(sh::output(Command::new("git").current_dir(sh::workspace()).args(args))?)?)
    };
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    let (release, dist) = (Release::here()?, sh::workspace().join("target/dist"));
    let built = fs::metadata(&dist).and_then(|dir| dir.modified()).unwrap_or(UNIX_EPOCH);
    let state = State {
        version: release.version,
        changelog: fs::read_to_string(sh::workspace().join("CHANGELOG.md"))?,
        changed: git(&["status", "--porcelain"])?,
        tags: lines(git(&["tag", "--list"])?),
        tags_here: lines(git(&["tag", "--points-at", "HEAD"])?),
        stale: built < UNIX_EPOCH + Duration::from_secs(release.date),
        files: package::verify(&dist),
    };
    let findings = state.findings();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("{} can be released, as {}", state.version, state.tag());
    }
    Ok(findings.is_empty())
}

impl State {
    fn tag(&self) -> String {
        format!("v{}", self.version)
    }

    fn findings(&self) -> Vec<String> {
        let (version, tag) = (&self.version, self.tag());
        let mut findings = Vec::new();
        let top = self.changelog.lines().find_map(|line| line.strip_prefix("## ["));
        match top.and_then(|line| line.split_once("] - ")) {
            Some((found, date)) if found == version && is_date(date) => {}
            Some((found, _)) if found != version => {
                findings.push(format!("CHANGELOG.md is of {found}, Cargo.toml of {version}"));
            }
            _ => findings.push(format!("CHANGELOG.md does not begin with `## [{version}] - YYYY-MM-DD`")),
        }
        if !self.changed.is_empty() {
            findings.push(format!("not committed:\n{}", self.changed.trim_end()));
        }
        if self.tags.contains(&tag) && !self.tags_here.contains(&tag) {
            findings.push(format!("{tag} is another commit: choose the next version"));
        }
        if self.stale {
            findings.push("target/dist is older than the last commit: build it again".to_owned());
        }
        let wanted = [
            format!("trust-{version}.tar.gz"),
            format!("trust_{version}-1_"),
            format!("trust-initrd_{version}-1_"),
            format!("trust-{version}-1."),
            format!("trust-initrd-{version}-1."),
        ];
        for name in wanted {
            if !self.files.iter().any(|(file, _)| file.starts_with(&name)) {
                let how = "cargo xtask dist --deb --rpm && cargo xtask source";
                findings.push(format!("there is no {name}… in target/dist: {how}"));
            }
        }
        for (file, _) in self.files.iter().filter(|(_, is_as_listed)| !is_as_listed) {
            findings.push(format!("target/dist/{file} is not what SHA256SUMS says: build it again"));
        }
        findings
    }
}

/// Whether this is `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.trim_end().split('-').map(|part| (part.len(), part.parse::<u16>().is_ok())).collect();
    parts == [(4, true), (2, true), (2, true)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releasable() -> State {
        let files = ["trust-1.2.0.tar.gz", "trust_1.2.0-1_amd64.deb", "trust-initrd_1.2.0-1_amd64.deb"];
        let rpms = ["trust-1.2.0-1.x86_64.rpm", "trust-initrd-1.2.0-1.x86_64.rpm"];
        State {
            version: "1.2.0".into(),
            changelog: "# Changelog\n\n## [1.2.0] - 2026-12-01\n\n## [1.1.0] - 2026-11-28\n".into(),
            changed: String::new(),
            tags: vec!["v1.1.0".into()],
            tags_here: Vec::new(),
            stale: false,
            files: files.into_iter().chain(rpms).map(|name| (name.to_owned(), true)).collect(),
        }
    }

    #[test]
    fn whatever_is_missing_from_a_release_is_named() {
        assert!(releasable().findings().is_empty(), "{:?}", releasable().findings());
        let tagged = State { tags: vec!["v1.2.0".into()], tags_here: vec!["v1.2.0".into()], ..releasable() };
        assert!(tagged.findings().is_empty());
        let mut altered = releasable();
        altered.files[0].1 = false;
        let cases = [
            (State { version: "1.3.0".into(), ..releasable() }, "CHANGELOG.md is of 1.2.0, Cargo.toml of 1.3.0"),
            (State { changelog: "## [Unreleased]\n## [1.2.0] - 2026-12-01\n".into(), ..releasable() }, "begin with"),
            (State { changelog: "## [1.2.0] - soon\n".into(), ..releasable() }, "begin with"),
            (State { changed: " M src/lib.rs\n".into(), ..releasable() }, "not committed:\n M src/lib.rs"),
            (State { tags: vec!["v1.2.0".into()], ..releasable() }, "v1.2.0 is another commit"),
            (State { files: Vec::new(), ..releasable() }, "no trust-initrd_1.2.0-1_"),
            (State { stale: true, ..releasable() }, "older than the last commit"),
            (altered, "trust-1.2.0.tar.gz is not what SHA256SUMS says"),
        ];
        for (state, finding) in cases {
            let findings = state.findings().join("\n");
            assert!(findings.contains(finding), "{finding}: {findings}");
        }
    }
}
