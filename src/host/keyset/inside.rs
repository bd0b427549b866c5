//! What of a keyset goes to others is read from within it alone: no symbolic link on the way is followed.
//!
//! A keyset may come from elsewhere, and a link in it may lead to whatever its user can read.

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Larger files are not what they should be.
const MAX_FILE: u64 = 1024 * 1024;
const LINK: &str = "a symbolic link leads there";
/// What every directory and file is opened with.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A directory, and what is below it.
pub struct Inside {
    root: File,
    path: PathBuf,
}

impl Inside {
    /// A directory that somebody has named, by way of links or not.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn of(directory: &Path) -> Result<Self> {
        let root = File::open(directory).map_err(|e| atomic::cannot("open", directory, &e))?;
        Ok(Self { root, path: directory.to_owned() })
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a link is on the way, or it is no file of at most 1 MiB; else as [`atomic::read`].
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.open(path, OFlags::empty())?;
        if !fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file()) {
            return Err(self.misfit(path, "it is no regular file"));
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(MAX_FILE + 1).read_to_end(&mut bytes);
        match read {
            Ok(size) if size as u64 > MAX_FILE => Err(self.misfit(path, "it is larger than 1 MiB")),
            Ok(_) => Ok(bytes),
            Err(e) => Err(atomic::cannot("read", &self.path.join(path), &e)),
        }
    }

    /// The names in a directory that are finished, sorted.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a link is on the way; else as [`atomic::list`].
    pub fn list(&self, path: &Path) -> Result<Vec<String>> {
        let failed = |e: Errno| atomic::cannot("list", &self.path.join(path), &e.into());
        let mut names = Vec::new();
        for entry in Dir::new(self.open(path, OFlags::DIRECTORY)?).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Whether it is a directory.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is a link, or one is on the way; [`Kind::Usage`]: there is nothing.
    pub fn is_dir(&self, path: &Path) -> Result<bool> {
        let found = self.open(path, OFlags::PATH)?;
        match fstat(&found).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => Err(self.misfit(path, LINK)),
            kind => Ok(kind == Ok(FileType::Directory)),
        }
    }

    /// Opens what the names in `path` lead to, one after the other.
    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        let mut way = path.iter().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(name) = way.next() {
            let from = at.as_ref().map_or_else(|| std::os::fd::AsFd::as_fd(&self.root), std::os::fd::AsFd::as_fd);
            let own = if way.peek().is_some() { OFlags::DIRECTORY } else { flags };
            let next = openat(from, name, FLAGS | own, Mode::empty()).map_err(|e| {
                let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW);
                match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Ok(FileType::Symlink) => self.misfit(path, LINK),
                    Ok(kind) if kind != FileType::Directory && own == OFlags::DIRECTORY => {
                        self.misfit(path, "it is no directory")
                    }
                    _ => atomic::cannot("read", &self.path.join(path), &io::Error::from(e)),
                }
            })?;
            at = Some(next);
        }
        at.ok_or_else(|| atomic::cannot("read", &self.path, &ErrorKind::InvalidInput.into()))
    }

    fn misfit(&self, path: &Path, why: &'static str) -> Error {
        Error::new(Kind::Corrupt, format!("give others {}", self.path.join(path).display()), why)
            .remedy("put the file or directory itself there, if it is one for everybody; else remove it")
    }
}
