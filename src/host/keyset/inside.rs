//! Reads the files of a keyset that are exported, without following symbolic links.
//!
//! A keyset may be foreign, and a link in it may lead to any file that its user can read.

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

/// Upper bound for a file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
const LINK: &str = "a symbolic link leads there";
/// The flags with which every directory and file is opened.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A directory, and what is below it.
pub struct Inside {
    root: File,
    path: PathBuf,
}

impl Inside {
    /// A directory given by the user, possibly through links.
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
    /// [`Kind::Corrupt`]: the path contains a link, or is not a file of at most 1 MiB; otherwise as [`atomic::read`].
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.open(path, OFlags::empty())?;
        if !fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file()) {
            return Err(self.misfit(path, "it is not a regular file"));
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(MAX_FILE + 1).read_to_end(&mut bytes);
        match read {
            Ok(size) if size as u64 > MAX_FILE => Err(self.misfit(path, "it is larger than 1 MiB")),
            Ok(_) => Ok(bytes),
            Err(e) => Err(atomic::cannot("read", &self.path.join(path), &e)),
        }
    }

    /// The names in a directory, sorted, without unfinished ones.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: the path contains a link; otherwise as [`atomic::list`].
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
    /// [`Kind::Corrupt`]: it is a link, or the path contains one; [`Kind::Usage`]: it does not exist.
    pub fn is_dir(&self, path: &Path) -> Result<bool> {
        let found = self.open(path, OFlags::PATH)?;
        match fstat(&found).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => Err(self.misfit(path, LINK)),
            kind => Ok(kind == Ok(FileType::Directory)),
        }
    }

    /// Opens `path`, component by component.
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
                        self.misfit(path, "it is not a directory")
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
            .remedy("put the file or directory itself there if it is public; otherwise remove it")
    }
}
