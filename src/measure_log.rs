//! The log of what the system has extended PCRs with, as systemd keeps it: a sequence of JSON texts (RFC 7464), each like
//! an event of TCG's Canonical Event Log without its number. A process that extends a PCR holds the file's lock (flock(2)) meanwhile.
//!
//! Trust does not need it: a log that cannot be opened, locked or written at once is left alone.

use crate::{console, digest::hex, files};
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// Where systemd keeps it. Where its directory is missing, no log is kept.
pub const PLACE: &str = "/run/log/systemd/tpm2-measure.log";
/// Where a successor by kexec finds that of the system before it.
pub const OF_PREDECESSOR: &str = "/.extra/tpm2-measure.log";

/// Upper bound in bytes of a log that is gone on with.
const MAX_LOG: usize = 1 << 20;

/// The end of a record: what the digests are of, as JSON has it.
const LOCKED: &str =
    concat!(r#"],"content_type":"systemd","content":{"string":"atomix\n","eventType":"phase"}}"#, "\n");

/// How often its lock is tried, and how long it waits in between.
const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// The log, and its lock from [`Self::hold`] on until it is dropped.
#[derive(Default)]
pub struct MeasureLog {
    /// Until it has been tried.
    path: Option<PathBuf>,
    file: Option<File>,
}

impl MeasureLog {
    /// The log in this file, which is not touched yet.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path: Some(path), file: None }
    }

    /// Keeps every other process that honours the lock from extending a PCR.
    pub fn hold(&mut self) {
        if let Some(path) = self.path.take() {
            self.file = open(&path).map_err(not_recorded).ok().flatten();
        }
    }

    /// Says that PCR 7 has been locked: that each bank, by its name, has been extended with this digest.
    pub fn append<'a>(&mut self, digests: impl Iterator<Item = (&'a str, &'a [u8])>) {
        self.write("\x1e{\"pcr\":7,\"digests\":[", digests, LOCKED);
    }

    /// Writes a record: what is before its digests, each bank by its name with its digest, and what is behind them.
    fn write<'a>(&mut self, head: &str, digests: impl Iterator<Item = (&'a str, &'a [u8])>, tail: &str) {
        let Some(file) = &mut self.file else { return };
        let mut record = String::from(head);
        let mut before = "{\"hashAlg\":\"";
        for (bank, digest) in digests {
            for part in [before, bank, "\",\"digest\":\"", &hex(digest), "\"}"] {
                record.push_str(part);
            }
            before = ",{\"hashAlg\":\"";
        }
        record.push_str(tail);
        let _ = file.write_all(record.as_bytes()).map_err(not_recorded);
    }
}

#[cfg(feature = "host")]
impl MeasureLog {
    /// As [`Self::hold`], for any PCR. `Some`: why nothing will be recorded.
    pub fn hold_or_say(&mut self) -> Option<String> {
        let path = self.path.take()?;
        let why = match open(&path) {
            Ok(Some(file)) => {
                self.file = Some(file);
                return None;
            }
            Ok(None) => "there is no such directory".to_owned(),
            Err(why) => why.to_string(),
        };
        Some(format!("{}: {why}", path.display()))
    }

    /// Says that a PCR has been extended: each bank, by its name, with this digest; and of what, as a text.
    pub fn append_event<'a>(&mut self, pcr: u8, digests: impl Iterator<Item = (&'a str, &'a [u8])>, event: &str) {
        let content = serde_json::json!({ "string": event });
        let tail = format!("],\"content_type\":\"systemd\",\"content\":{content}}}\n");
        self.write(&format!("\x1e{{\"pcr\":{pcr},\"digests\":["), digests, &tail);
    }
}

/// Opens it for appending, and locks it; `None` where there is none.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    // Its directory is missing where no log is kept.
    let file = match OpenOptions::new().append(true).create(true).custom_flags(flags).open(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Err(Errno::INVAL.into());
    }
    for _ in 0..ATTEMPTS {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            go_on(path, &file)?;
            return Ok(Some(file));
        }
        sleep(PAUSE);
    }
    Err(Errno::AGAIN.into())
}

/// A successor's log begins with that of the system before it, though systemd may have written first.
fn go_on(path: &Path, mut file: &File) -> io::Result<()> {
    let Ok(mut log) = files::read_to_end(Path::new(OF_PREDECESSOR), MAX_LOG) else { return Ok(()) };
    let here = files::read_to_end(path, MAX_LOG)?;
    if here.starts_with(&log) {
        return Ok(());
    }
    log.extend_from_slice(&here);
    file.set_len(0)?;
    file.write_all(&log)
}

fn not_recorded(why: io::Error) {
    console::warn(&format!("{PLACE} does not say that PCR 7 is locked: {why}"));
}
