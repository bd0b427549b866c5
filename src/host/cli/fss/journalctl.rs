//! What the real journalctl says of a file's structure. It is asked about a copy, sealed with a key that nobody needs to
//! keep: without a key it verifies nothing of a sealed file.

use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        fs::atomic::cannot,
        journal::{VerificationKey, reseal},
    },
};
use rustix::rand::{GetRandomFlags, getrandom};
use std::{
    env,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A directory for nobody else, which goes with what is in it.
struct Scratch(PathBuf);

impl Scratch {
    /// On disk: journals may be large.
    fn new() -> Result<Self> {
        let mut name = [0; 8];
        getrandom(&mut name, GetRandomFlags::empty()).map_err(|e| Error::system("make a name", e))?;
        let base = env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let path = base.join(format!("trust-fss-{}", crate::digest::hex(&name)));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| Error::system(format!("make {}", path.display()), e))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It holds nothing that could not be read before.
        let _ = fs::remove_file(self.0.join(COPY)).and_then(|()| fs::remove_dir(&self.0));
    }
}

/// The name of the copy.
const COPY: &str = "copy.journal";

/// What it says of files that are newer than it.
const TOO_NEW: &str = "unknown extensions";

/// What journalctl objects to; `None`: nothing.
///
/// # Errors
/// It cannot be asked.
pub fn objection(path: &Path, times: (u64, u64)) -> Result<Option<String>> {
    let scratch = Scratch::new()?;
    let copy = scratch.0.join(COPY);
    fs::copy(path, &copy).map_err(|e| cannot("copy", path, &e))?;
    let key = VerificationKey::throw_away(times)?;
    let text = key.to_text();
    reseal(&copy, key)?;
    let mut command = Command::new("journalctl");
    command.args(["--verify", "--quiet", &format!("--verify-key={}", *text), "--file"]).arg(&copy);
    command.stdin(Stdio::null()).env("LC_ALL", "C").env("SYSTEMD_LOG_LEVEL", "err").env("SYSTEMD_COLORS", "0");
    let output = command.output().map_err(|e| {
        Error::new(Kind::System, "ask journalctl", e.to_string())
            .remedy("install systemd, or leave --with-journalctl out")
    })?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains(TOO_NEW) {
        let why = format!("it does not know files like {}", path.display());
        return Err(Error::new(Kind::System, "ask journalctl", why)
            .remedy("ask that of the systemd that wrote them, or leave --with-journalctl out"));
    }
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word");
    Ok(Some(printable(first.trim())))
}
