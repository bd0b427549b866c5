//! Debian's packages, without touching the system's apt.
//!
//! A private apt configuration takes the mirror, and the key that the machine
//! trusts it by, from the machine's own sources. apt checks the signatures.

mod mirrors;

use crate::sh;
use anyhow::{Result, bail};
pub use mirrors::Mirror;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The file with the one source of packages, in its directory.
pub const SOURCES: &str = "apt.sources";

/// apt with one suite of one mirror, and nothing of the system's but its proxy.
pub struct Apt {
    dir: PathBuf,
    /// As Debian names it.
    architecture: &'static str,
}

/// What a suite is looked through for.
#[derive(Clone, Copy)]
enum Types {
    /// Packages for this architecture.
    Binaries(&'static str),
    Sources,
}

/// Downloads the source package of `package` in `suite` to `dir`.
pub fn download_source(package: &str, suite: &str, dir: &Path) -> Result<()> {
    with_mirror(Types::Sources, suite, dir, |apt| {
        sh::run_quietly(apt.get().arg("-qq").args(["source", "--download-only", package]))
    })
}

/// Downloads the archive of the source package of `package` in `suite` to `dir`, and nothing else of it.
pub fn download_tar(package: &str, suite: &str, dir: &Path) -> Result<()> {
    with_mirror(Types::Sources, suite, dir, |apt| {
        sh::run_quietly(apt.get().arg("-qq").args(["source", "--download-only", "--tar-only", package]))
    })
}

/// Has `work` get packages for amd64 of `suite`, from the first of the machine's mirrors with which it succeeds.
/// `dir` is for apt's lists.
pub fn with_suite<T>(suite: &str, dir: &Path, work: impl Fn(&Apt) -> Result<T>) -> Result<T> {
    with_mirror(Types::Binaries("amd64"), suite, dir, work)
}

/// The same for arm64.
pub fn with_arm64_suite<T>(suite: &str, dir: &Path, work: impl Fn(&Apt) -> Result<T>) -> Result<T> {
    with_mirror(Types::Binaries("arm64"), suite, dir, work)
}

fn with_mirror<T>(types: Types, suite: &str, dir: &Path, work: impl Fn(&Apt) -> Result<T>) -> Result<T> {
    if sh::find("apt-get").is_none() {
        bail!("this machine has no apt");
    }
    try_mirrors(|mirror| Apt::new(mirror, types, suite, dir).and_then(|apt| work(&apt)))
}

/// Has `work` done with the first of the machine's mirrors with which it succeeds.
pub fn try_mirrors<T>(work: impl Fn(&Mirror) -> Result<T>) -> Result<T> {
    let mut failures = Vec::new();
    for mirror in mirrors::mirrors()? {
        match work(&mirror) {
            Ok(value) => return Ok(value),
            Err(e) => failures.push(format!("{}: {e:#}", mirror.uri)),
        }
    }
    if failures.is_empty() {
        bail!("this machine has no package sources of Debian");
    }
    bail!("{}", failures.join("\n"))
}

/// What sources.list(5) is to say: `types` of packages, `deb` or `deb-src`, of a suite.
pub fn stanza(mirror: &Mirror, types: &str, suite: &str) -> String {
    let mut stanza = format!("Types: {types}\nURIs: {}\nSuites: {suite}\nComponents: main\n", mirror.uri);
    if let Some(key) = &mirror.signed_by {
        stanza.push_str(&format!("Signed-By: {key}\n"));
    }
    stanza
}

impl Apt {
    fn new(mirror: &Mirror, types: Types, suite: &str, dir: &Path) -> Result<Self> {
        let (types, architecture) = match types {
            Types::Binaries(architecture) => ("deb", architecture),
            Types::Sources => ("deb-src", "amd64"),
        };
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        fs::write(dir.join(SOURCES), stanza(mirror, types, suite))?;
        fs::write(dir.join("status"), "")?;
        let apt = Self { dir: dir.to_path_buf(), architecture };
        sh::run_quietly(apt.get().args(["-qq", "update"]))?;
        Ok(apt)
    }

    /// `apt-get`, in its directory.
    pub fn get(&self) -> Command {
        self.command("apt-get")
    }

    /// `apt-cache`.
    pub fn cache(&self) -> Command {
        self.command("apt-cache")
    }

    fn command(&self, program: &str) -> Command {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let settings = [
            ("Dir::Etc::SourceList", path(SOURCES)),
            ("Dir::Etc::SourceParts", "/dev/null".into()),
            ("Dir::Etc::Preferences", "/dev/null".into()),
            ("Dir::Etc::PreferencesParts", "/dev/null".into()),
            ("Dir::State", path("state")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("cache")),
            ("APT::Architecture", self.architecture.into()),
            ("APT::Architectures", self.architecture.into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "1".into()),
            ("Acquire::http::Timeout", "30".into()),
            ("APT::Update::Error-Mode", "any".into()),
            // The user `_apt` may have no way to this directory.
            ("APT::Sandbox::User", "root".into()),
        ];
        let mut command = Command::new(program);
        command.current_dir(&self.dir);
        for (key, value) in settings {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command
    }
}
