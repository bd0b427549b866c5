//! Bytes that need not be in memory: images and initrds may be large, and are read piece by piece.

mod stream;

pub use stream::{Forward, Stream, failure};

use super::{
    atomic::{PRIVATE, cannot},
    interrupt,
};
use crate::error::{Error, Kind, Result};
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    ops::Range,
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Bytes read at once: few enough for a processor's cache, and enough to make system calls rare.
pub const PIECE: usize = 128 * 1024;
/// The limit of the 32-bit offsets of a PE image.
pub const MAX_IMAGE: u64 = u32::MAX as u64;

/// An open file, and its size when it was last read.
#[derive(Debug)]
pub struct Input {
    /// Its name in messages.
    path: PathBuf,
    file: File,
    len: usize,
}

impl Input {
    /// Opens a file of at most `most` bytes. A pipe is copied into an unnamed file first.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it does not exist; [`Kind::Corrupt`]: it is larger; otherwise [`Kind::System`].
    pub fn open(path: &Path, most: u64) -> Result<Self> {
        let failed = |e| cannot("read", path, &e);
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        let len = if kind.is_file() {
            metadata.len()
        } else if kind.is_fifo() || kind.is_socket() {
            let pipe = std::mem::replace(&mut file, nameless()?);
            io::copy(&mut pipe.take(most.saturating_add(1)), &mut file).map_err(failed)?
        } else {
            let why = if kind.is_dir() { "it is a directory" } else { "it is neither a file nor a pipe" };
            let error = Error::new(Kind::System, format!("read {}", path.display()), why);
            return Err(error.remedy("give a file"));
        };
        if len > most {
            return Err(too_large(path, most));
        }
        Ok(Self { path: path.to_owned(), file, len: usize::try_from(len).map_err(|_| too_large(path, most))? })
    }

    /// A file that is still empty.
    pub(super) fn of(file: File, path: &Path) -> Self {
        Self { path: path.to_owned(), file, len: 0 }
    }

    /// Records that so many bytes were appended to it.
    pub(super) const fn grow(&mut self, by: usize) {
        self.len += by;
    }

    /// The file itself.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// All of it.
    #[must_use]
    pub const fn data(&self) -> Data<'_> {
        Data(Region::File { input: self, start: 0, len: self.len })
    }
}

/// An empty unnamed file, in the directory for temporary files.
fn nameless() -> Result<File> {
    let path = std::env::temp_dir().join(format!("trust-{}", Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(&path);
    let file = file.and_then(|file| std::fs::remove_file(&path).map(|()| file));
    file.map_err(|e| cannot("write", &path, &e))
}

/// The error that a file is larger than it may be.
pub fn too_large(path: &Path, most: u64) -> Error {
    let why = match most.div_ceil(1 << 20) {
        mib if mib < 1024 => format!("it is larger than {mib} MiB"),
        mib => format!("it is larger than {} GiB", mib >> 10),
    };
    Error::new(Kind::Corrupt, format!("read {}", path.display()), why).remedy("check the name")
}

/// Bytes in memory, or a part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a>(Region<'a>);

#[derive(Clone, Copy, Debug)]
enum Region<'a> {
    Memory(&'a [u8]),
    File { input: &'a Input, start: usize, len: usize },
}

impl<'a> Data<'a> {
    /// How many bytes they are.
    #[must_use]
    pub const fn len(self) -> usize {
        match self.0 {
            Region::Memory(bytes) => bytes.len(),
            Region::File { len, .. } => len,
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A part of it, if it is within bounds.
    #[must_use]
    pub fn get(self, range: Range<usize>) -> Option<Self> {
        match self.0 {
            Region::Memory(bytes) => bytes.get(range).map(|bytes| Self(Region::Memory(bytes))),
            Region::File { input, start, len } => (range.start <= range.end && range.end <= len)
                .then(|| Self(Region::File { input, start: start + range.start, len: range.len() })),
        }
    }

    /// At most the first so many bytes.
    #[must_use]
    pub fn first(self, most: usize) -> Self {
        self.get(0..most.min(self.len())).unwrap_or(self)
    }

    /// All of it, in memory: for callers that know that it is small.
    ///
    /// # Errors
    /// [`Kind::System`]: they cannot be read, or the file has become shorter.
    pub fn read(self) -> Result<Cow<'a, [u8]>> {
        match self.0 {
            Region::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Region::File { len, .. } => {
                let mut bytes = vec![0; len];
                self.read_at(0, &mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Fills the buffer with the bytes from `at` on, which must exist.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_at(self, at: usize, buffer: &mut [u8]) -> Result<()> {
        match self.0 {
            Region::Memory(bytes) => {
                let there = bytes.get(at..).and_then(|bytes| bytes.get(..buffer.len()));
                buffer.copy_from_slice(there.ok_or_else(|| Error::system("read", ErrorKind::UnexpectedEof))?);
                Ok(())
            }
            Region::File { input, start, .. } => {
                let failed = |e: io::Error| match e.kind() {
                    ErrorKind::UnexpectedEof => changing(&input.path),
                    _ => cannot("read", &input.path, &e),
                };
                input.file.read_exact_at(buffer, start as u64 + at as u64).map_err(failed)
            }
        }
    }

    /// Passes all bytes to `see`, a piece at a time, each with its offset.
    ///
    /// # Errors
    /// As [`Self::read`], and those of `see`.
    pub fn pieces(self, mut see: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        if let Region::Memory(bytes) = self.0 {
            return (0..).step_by(PIECE).zip(bytes.chunks(PIECE)).try_for_each(|(at, piece)| see(at, piece));
        }
        let mut buffer = vec![0; PIECE.min(self.len())];
        let mut at = 0;
        while at < self.len() {
            let size = PIECE.min(self.len() - at);
            let Some(piece) = buffer.get_mut(..size) else { break };
            interrupt::check()?;
            self.read_at(at, piece)?;
            see(at, piece)?;
            at += size;
        }
        Ok(())
    }

    /// The file that it is a part of, and its offset there.
    pub(super) const fn in_file(self) -> Option<(&'a File, usize)> {
        match self.0 {
            Region::Memory(_) => None,
            Region::File { input, start, .. } => Some((&input.file, start)),
        }
    }
}

/// The error that another process changes the file meanwhile.
fn changing(path: &Path) -> Error {
    let why = "it has become shorter while it was read";
    Error::new(Kind::System, format!("read {}", path.display()), why)
        .remedy("run it again when no other program writes to it")
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Region::Memory(bytes))
    }
}

impl<'a> From<&'a Vec<u8>> for Data<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self(Region::Memory(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Data<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Region::Memory(bytes))
    }
}

impl<'a> From<&'a Input> for Data<'a> {
    fn from(input: &'a Input) -> Self {
        input.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::fd::AsRawFd};

    fn collected(data: Data<'_>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        data.pieces(|at, piece| {
            bytes.resize(at, b'?');
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    #[test]
    fn a_file_is_read_as_memory_is() {
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|at| at as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, &bytes).unwrap();
        let input = Input::open(&path, bytes.len() as u64).unwrap();
        for range in [0..bytes.len(), 7..PIECE + 7, 5..5, PIECE..bytes.len()] {
            for data in [input.data(), (&bytes).into()] {
                let part = data.get(range.clone()).unwrap();
                assert_eq!((part.len(), collected(part).unwrap()), (range.len(), bytes[range.clone()].to_vec()));
                assert_eq!(
                    *part.get(0..range.len().min(3)).unwrap().read().unwrap(),
                    bytes[range.clone()][..range.len().min(3)]
                );
                assert!(part.get(0..range.len() + 1).is_none());
            }
        }
        let refused = Input::open(&path, bytes.len() as u64 - 1).unwrap_err();
        assert!(refused.to_string().contains("larger than 1 MiB"), "{refused}");
        // It is truncated meanwhile.
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        let refused = collected(input.data()).unwrap_err();
        assert_eq!(refused.kind(), Kind::System);
        assert!(refused.to_string().contains("it has become shorter"), "{refused}");
    }

    #[test]
    fn a_pipe_is_read_as_a_file_is() {
        let open = |bytes: &'static [u8], most| {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(bytes).unwrap();
            drop(writer);
            Input::open(Path::new(&format!("/proc/self/fd/{}", reader.as_raw_fd())), most)
        };
        assert_eq!(collected(open(b"some words", 10).unwrap().data()).unwrap(), b"some words");
        assert!(open(b"some words", 9).unwrap_err().to_string().contains("larger than"));
        for path in ["/", "/dev/zero"] {
            assert_eq!(Input::open(Path::new(path), 9).unwrap_err().kind(), Kind::System);
        }
    }
}
