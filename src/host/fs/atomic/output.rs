//! A file of any size that appears when it is complete.

use super::{cannot, parent_of, sync, unfinished_name};
use crate::{
    error::{Error, Kind, Result},
    host::fs::{
        data::{Data, Input},
        interrupt,
    },
};
use rustix::{
    fs::{AtFlags, CWD, OFlags, copy_file_range, linkat},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// Bytes that the kernel copies between two checks for Ctrl-C.
const COPIED_AT_ONCE: usize = 32 << 20;

/// A file under construction. When it is finished it replaces an old one, if there is one; dropped before, it is removed.
///
/// Until then it has no name, if the file system supports that: however the program ends, nothing stays behind.
/// What has been written can be read back, so that a signature is over the very bytes that come out.
#[derive(Debug)]
pub struct Output {
    target: PathBuf,
    /// The temporary name, if it has one.
    unfinished: PathBuf,
    has_name: bool,
    written: Input,
}

impl Output {
    /// Begins a file that will be called `target`, in the same directory.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the existing target is not a regular file; otherwise [`Kind::System`].
    pub fn begin(target: &Path, mode: u32) -> Result<Self> {
        if target.symlink_metadata().is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
            let why = "the existing file is not a regular file";
            let what = format!("write {}", target.display());
            return Err(Error::new(Kind::Usage, what, why).remedy("choose another name"));
        }
        let unfinished = target.with_file_name(unfinished_name());
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode);
        let nameless = options.clone().custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(parent_of(target));
        let nameless = nameless.ok().filter(|file| path_of(file).exists());
        let has_name = nameless.is_none();
        let file = nameless.map_or_else(|| options.create_new(true).open(&unfinished), Ok);
        let file = file.map_err(|e| cannot("write", target, &e))?;
        Ok(Self { target: target.to_owned(), written: Input::of(file, target), unfinished, has_name })
    }

    /// What has been written so far.
    #[must_use]
    pub fn data(&self) -> Data<'_> {
        self.written.data()
    }

    /// Appends bytes; those of a file are copied by the kernel if it can.
    ///
    /// # Errors
    /// [`Kind::System`], and those of reading.
    pub fn append<'a>(&mut self, data: impl Into<Data<'a>>) -> Result<()> {
        let (data, end) = (data.into(), self.data().len());
        let copied = self.copy(data, end)?;
        let Some(rest) = data.get(copied..data.len()) else { return Ok(()) };
        rest.pieces(|at, piece| self.write(end + copied + at, piece))?;
        self.written.grow(data.len());
        Ok(())
    }

    /// Appends zeros, which take no room on most file systems.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn append_zeros(&mut self, len: usize) -> Result<()> {
        let end = self.data().len() + len;
        self.written.file().set_len(end as u64).map_err(|e| self.failed(e))?;
        self.written.grow(len);
        Ok(())
    }

    /// Appends zeros up to the next multiple of `alignment`.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn align(&mut self, alignment: usize) -> Result<()> {
        let len = self.data().len();
        self.append_zeros(len.next_multiple_of(alignment) - len)
    }

    /// Overwrites bytes that have been written.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.write(at, bytes)
    }

    /// Syncs it to the disk, and makes it visible.
    ///
    /// # Errors
    /// [`Kind::System`]; an old file is then still there.
    pub fn finish(mut self) -> Result<()> {
        let file = self.written.file();
        file.sync_all().map_err(|e| self.failed(e))?;
        if !self.has_name {
            let linked = linkat(CWD, path_of(file), CWD, &self.unfinished, AtFlags::SYMLINK_FOLLOW);
            linked.map_err(|errno| self.failed(errno.into()))?;
            self.has_name = true;
        }
        std::fs::rename(&self.unfinished, &self.target).map_err(|e| self.failed(e))?;
        sync(parent_of(&self.target))
    }

    /// Has the kernel copy to the offset `to`, and returns the number of bytes copied: 0 if it cannot.
    fn copy(&self, data: Data<'_>, to: usize) -> Result<usize> {
        let Some((from, start)) = data.in_file() else { return Ok(0) };
        let (mut from_at, mut to_at) = (start as u64, to as u64);
        let mut copied = 0;
        while copied < data.len() {
            interrupt::check()?;
            let size = COPIED_AT_ONCE.min(data.len() - copied);
            match copy_file_range(from, Some(&mut from_at), self.written.file(), Some(&mut to_at), size) {
                // What is read and written in our own way says what is wrong.
                Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => break,
                Ok(size) => copied += size,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(errno.into())),
            }
        }
        Ok(copied)
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.written.file().write_all_at(bytes, at as u64).map_err(|e| self.failed(e))
    }

    fn failed(&self, why: io::Error) -> Error {
        cannot("write", &self.target, &why)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After it is finished, this name no longer exists.
        if self.has_name {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

/// The path of an open file in /proc, by which it can be given a name.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn output_can_be_read_back_and_appears_when_finished() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, b"from a file").unwrap();
        std::fs::write(&to, b"old").unwrap();
        let input = Input::open(&from, 100).unwrap();
        for has_name in [false, true] {
            let mut output = Output::begin(&to, 0o600).unwrap();
            if has_name {
                // As on a file system without unnamed files.
                let file = File::options().read(true).write(true).create_new(true).open(&output.unfinished).unwrap();
                (output.written, output.has_name) = (Input::of(file, &to), true);
            }
            output.append(b"memory, ").unwrap();
            output.append(input.data().get(0..5).unwrap()).unwrap();
            output.append_zeros(3).unwrap();
            output.append(&input).unwrap();
            output.align(16).unwrap();
            output.put(0, b"M").unwrap();
            let expected = b"Memory, from \0\0\0from a file\0\0\0\0\0";
            assert_eq!(*output.data().read().unwrap(), *expected);
            assert_eq!(std::fs::read(&to).unwrap(), b"old");
            output.finish().unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), expected);
            assert_eq!(names(dir.path()), ["from", "to"]);
            std::fs::write(&to, b"old").unwrap();
        }
    }

    #[test]
    fn unfinished_output_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        let mut output = Output::begin(&to, 0o600).unwrap();
        output.append(b"half").unwrap();
        // If the program is killed now.
        assert!(output.has_name || names(dir.path()).is_empty());
        drop(output);
        assert!(names(dir.path()).is_empty());
        assert_eq!(Output::begin(dir.path(), 0o600).unwrap_err().kind(), Kind::Usage);
    }
}
