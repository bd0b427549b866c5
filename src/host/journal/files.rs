//! Journal files on disk: which there are, and each verified while journald may go on writing to it.

use super::{
    format::{JournalHeader, LEAST_HEADER, MOST_HEADER},
    report::{JournalFacts, JournalReport, JournalVerdict},
    seal_keys::SealKeys,
    verify::{Circumstances, facts, verify},
};
use crate::{
    digest::{hex, unhex},
    error::{Error, Kind, Result},
    host::fs::{
        atomic::{self, cannot},
        data::Input,
    },
};
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Where journals are that outlive a restart.
pub const JOURNALS: &str = "/var/log/journal";
/// No file system has larger files.
const MOST: u64 = i64::MAX as u64;
/// How often a file is read again that was written to meanwhile.
const ATTEMPTS: usize = 5;

/// This machine's machine-id(5).
///
/// # Errors
/// [`Kind::System`]: it has none.
pub fn machine_id() -> Result<[u8; 16]> {
    let text = atomic::read(Path::new("/etc/machine-id"))?;
    let id = str::from_utf8(&text).ok().and_then(|text| unhex(text.trim_end())).and_then(|id| id.try_into().ok());
    id.ok_or_else(|| {
        Error::new(Kind::System, "read /etc/machine-id", "it holds none")
            .remedy("have one made: systemd-machine-id-setup")
    })
}

/// The directory of a machine's journal.
#[must_use]
pub fn of_machine(id: &[u8; 16]) -> PathBuf {
    Path::new(JOURNALS).join(hex(id))
}

/// The journal files of a directory, in the order of their names.
///
/// # Errors
/// It cannot be read.
pub fn in_directory(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: io::Error| cannot("read", directory, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_journal = |name: &str| name.ends_with(".journal") || name.ends_with(".journal~");
        if path.file_name().is_some_and(|name| is_journal(&name.to_string_lossy())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Verifies the file at `path`; `None`: it is not there any more.
///
/// # Errors
/// It cannot be read. What is wrong with its contents is in the report.
pub fn verify_file(
    path: &Path,
    keys: &mut SealKeys,
    now: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<JournalReport>> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("read", path, &e)),
        // Nobody would open a pipe for writing.
        Ok(metadata) if !metadata.is_file() => return Ok(Some(JournalReport::unreadable("it is not a file"))),
        Ok(_) => {}
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let circumstances = Circumstances { now, is_put_aside: name.contains('@') || name.ends_with('~') };
    let mut attempt = 1;
    loop {
        let before = header(path)?;
        let input = Input::open(path, MOST)?;
        let report = verify(input.data(), keys, circumstances, progress);
        let is_doubtful = match &report {
            Ok(report) => matches!(report.verdict, JournalVerdict::Altered | JournalVerdict::OtherKey),
            // It has become shorter: journald cuts what is left when it puts a file aside.
            Err(_) => true,
        };
        if !is_doubtful || attempt == ATTEMPTS || before == header(path)? {
            return report.map(Some);
        }
        attempt += 1;
    }
}

/// What a file's header says, without the file; `None`: it has none.
///
/// # Errors
/// It cannot be read.
pub fn said(path: &Path) -> Result<Option<JournalFacts>> {
    Ok(JournalHeader::parse(&header(path)?).map(|header| facts(&header)))
}

fn header(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: io::Error| cannot("read", path, &e);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = vec![0; MOST_HEADER];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64).map_err(failed)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(if filled < LEAST_HEADER { 0 } else { filled });
    Ok(bytes)
}
