//! Files from outside: regular ones of a bounded size, opened without waiting.

use rustix::{
    fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags, statx},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Opens a regular file of at most `limit` bytes; returns its size too.
///
/// # Errors
/// Also for FIFOs and devices, without waiting for them, and for larger files.
pub fn open(path: &Path, limit: usize) -> io::Result<(File, usize)> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let refuse = |why| Err(io::Error::new(ErrorKind::InvalidData, why));
    if !metadata.is_file() {
        return refuse("it is no regular file");
    }
    match usize::try_from(metadata.len()) {
        Ok(size) if size <= limit => Ok((file, size)),
        _ => refuse("it is too large"),
    }
}

/// Reads such a file as a whole.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let (file, size) = open(path, limit)?;
    let mut bytes = Vec::with_capacity(size);
    // It may grow meanwhile.
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file of the kernel's that does not say how large it is, but for what lies behind `limit`.
///
/// # Errors
/// Those of opening and reading.
pub fn read_to_end(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether something is mounted at `directory`; where there is no directory, there is nothing.
///
/// # Errors
/// Those of statx(2).
pub fn is_mount(directory: &Path) -> io::Result<bool> {
    match statx(CWD, directory, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(why) => Err(why.into()),
    }
}
