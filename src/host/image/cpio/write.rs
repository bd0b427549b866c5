//! Archives, written.

use super::{ALIGNMENT, DIRECTORY, KIND, MAGIC, MAX_NAME, REGULAR, SYMLINK, TRAILER};
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// Zeros after an archive: LZ4 marks its end in no other way.
const SEPARATOR: usize = 4;

/// An archive to be written: the same entries give the same bytes, in whatever order they came.
#[derive(Debug, Default)]
pub struct Archive {
    /// Mode and data. In the order of the names every directory comes before what is in it.
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Archive {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; it may be there.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn directory(&mut self, path: &str) -> Result<()> {
        for (slash, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let parent = path.get(..slash).unwrap_or_default();
            match self.entries.get(parent) {
                None => self.insert(parent, DIRECTORY | 0o755, Vec::new())?,
                Some((mode, _)) if mode & KIND == DIRECTORY => {}
                Some(_) => return Err(unwritable(parent, "it is not a directory")),
            }
        }
        Ok(())
    }

    /// Adds a file with these permissions, and the directories above it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the path leads out of the archive, is too long or taken.
    pub fn file(&mut self, path: &str, permissions: u32, data: Vec<u8>) -> Result<()> {
        self.add(path, REGULAR | permissions & 0o7777, data)
    }

    /// Adds a symbolic link, and the directories above it.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, SYMLINK | 0o777, target.as_bytes().to_vec())
    }

    /// The archive, its length a multiple of four: owned by root, without times.
    ///
    /// # Errors
    /// [`Kind::Usage`] when a file is larger than 4 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (inode, (path, (mode, data))) in (1_u32..).zip(&self.entries) {
            write(&mut bytes, inode, path, *mode, data)?;
        }
        write(&mut bytes, 0, TRAILER, 0, &[])?;
        Ok(bytes)
    }

    fn add(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.insert(path, mode, data)
    }

    fn insert(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if path.len() >= MAX_NAME || path == TRAILER || !path.split('/').all(plain) {
            return Err(unwritable(path, "it is not a path in an initrd"));
        }
        if self.entries.contains_key(path) {
            return Err(unwritable(path, "it is there already"));
        }
        self.entries.insert(path.to_owned(), (mode, data));
        Ok(())
    }
}

/// Puts an archive, compressed or not, behind what an initrd holds already.
pub fn append(initrd: &mut Vec<u8>, archive: &[u8]) {
    initrd.extend_from_slice(separator(initrd.len()));
    initrd.extend_from_slice(archive);
}

/// The zeros that go between an archive and what an initrd of this length holds already.
#[must_use]
pub fn separator(length: usize) -> &'static [u8] {
    const ZEROS: [u8; SEPARATOR + ALIGNMENT] = [0; SEPARATOR + ALIGNMENT];
    let zeros = if length == 0 { 0 } else { (length + SEPARATOR).next_multiple_of(ALIGNMENT) - length };
    ZEROS.get(..zeros).unwrap_or_default()
}

fn write(bytes: &mut Vec<u8>, inode: u32, path: &str, mode: u32, data: &[u8]) -> Result<()> {
    let size = |len: usize| u32::try_from(len).map_err(|_| unwritable(path, "it is larger than 4 GiB"));
    let links = if mode & KIND == DIRECTORY { 2 } else { 1 };
    // Inode, mode, uid, gid, links, mtime, size, device, device of a special file, size of the name, sum.
    let fields = [inode, mode, 0, 0, links, 0, size(data.len())?, 0, 0, 0, 0, size(path.len() + 1)?, 0];
    bytes.extend_from_slice(MAGIC);
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

fn unwritable(path: &str, why: &'static str) -> Error {
    Error::new(Kind::Usage, format!("put {path:?} into an archive"), why)
}
