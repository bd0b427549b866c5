//! Files and directories: with their final mode from the first instant, whole or not at all.

mod batch;
mod output;
mod staging;

pub use batch::Batch;
pub use output::Output;
pub use staging::Staging;

pub use super::data::too_large;
use crate::error::{Error, Kind, Result};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};
use uuid::Uuid;

/// Mode of files that only their owner may read.
pub const PRIVATE: u32 = 0o600;
/// Mode of files that their group may read, too.
pub const PUBLIC: u32 = 0o640;
/// Mode of files that all may read.
pub const SHARED: u32 = 0o644;
/// Mode of directories.
const DIRECTORY: u32 = 0o700;
/// Prefix of the names of unfinished files and directories. No keyset, project or machine may have such a name.
pub const UNFINISHED: &str = ".new-";
/// Upper bound for a file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A failure to do `what` to `path`, with a remedy for the usual reasons.
pub fn cannot(what: &str, path: &Path, why: &io::Error) -> Error {
    let (kind, remedy) = match why.kind() {
        ErrorKind::NotFound => (Kind::Usage, "check the name"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (Kind::System, "run it as the owner, or choose another place")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::System, "free some space and run it again"),
        ErrorKind::FileTooLarge => (Kind::System, "raise the limit (`ulimit -f`), or choose another file system"),
        ErrorKind::OutOfMemory => (Kind::System, "give it more memory (`ulimit -v`) and run it again"),
        _ => (Kind::System, "check the file system"),
    };
    Error::new(kind, format!("{what} {}", path.display()), why.to_string()).remedy(remedy)
}

/// Makes a directory and those above it.
///
/// # Errors
/// [`Kind::System`].
pub fn make_dirs(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path).map_err(|e| cannot("make the directory", path, &e))
}

/// Reads a whole file.
///
/// # Errors
/// [`Kind::Usage`]: it does not exist; [`Kind::Corrupt`]: it is larger than 1 MiB; otherwise [`Kind::System`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_up_to(path, MAX_FILE)
}

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// As [`read`], but for the size.
pub fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = File::open(path).and_then(|file| {
        // At once: what is outgrown is copied, and wiped.
        let expected = file.metadata().map_or(0, |metadata| metadata.len()).min(most) + 1;
        bytes.reserve(usize::try_from(expected).unwrap_or(0));
        file.take(most + 1).read_to_end(&mut bytes)
    });
    match size {
        Ok(size) if size as u64 > most => Err(too_large(path, most)),
        Ok(_) => Ok(bytes),
        Err(e) => Err(cannot("read", path, &e)),
    }
}

/// Writes a new file.
///
/// # Errors
/// [`Kind::System`].
pub fn create(path: &Path, mode: u32, contents: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(contents)).map_err(|e| cannot("write", path, &e))
}

/// Writes a file, replacing an existing one atomically: a reader sees the whole old or the whole new one.
///
/// # Errors
/// [`Kind::Usage`]: the existing one is not a regular file; otherwise [`Kind::System`]. The old file is then still there.
pub fn replace(path: &Path, mode: u32, contents: &[u8]) -> Result<()> {
    let mut output = Output::begin(path, mode)?;
    output.append(contents)?;
    output.finish()
}

/// The names in a directory, sorted, without unfinished ones.
///
/// # Errors
/// [`Kind::Usage`]: there is no such directory; otherwise [`Kind::System`].
pub fn list(path: &Path) -> Result<Vec<String>> {
    let failed = |e| cannot("list", path, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

/// The directory that a file or directory is in.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unfinished_name() -> String {
    format!("{UNFINISHED}{}", Uuid::new_v4())
}

fn refuse_existing(target: &Path) -> Result<()> {
    match target.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(cannot("look at", target, &e)),
        Ok(_) => Err(Error::new(Kind::Usage, format!("make {}", target.display()), "it exists")
            .remedy("choose another name, or remove it if nothing depends on it")),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| cannot("write", path, &e))
}
