//! A directory that appears when it is complete.

use super::{UNFINISHED, cannot, make_dirs, parent_of, refuse_existing, sync, unfinished_name};
use crate::{error::Result, host::fs::interrupt};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// A directory that is not visible under its name until it is complete.
///
/// It is removed when this is dropped, or, if the program was killed, when
/// the next one is made beside it: its lock is free then.
pub struct Staging {
    target: PathBuf,
    unfinished: Unfinished,
}

impl Staging {
    /// Begins the directory `target`; from here on a Ctrl-C waits for [`interrupt::check`].
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`]: it exists; otherwise [`crate::error::Kind::System`].
    pub fn begin(target: PathBuf) -> Result<Self> {
        refuse_existing(&target)?;
        let unfinished = Unfinished::begin(parent_of(&target))?;
        Ok(Self { target, unfinished })
    }

    /// Where to build it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.unfinished.path
    }

    /// Syncs it to the disk with its contents, and makes it visible.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`]: another process was faster; otherwise [`crate::error::Kind::System`].
    pub fn finish(self) -> Result<PathBuf> {
        sync_tree(self.path())?;
        interrupt::check()?;
        refuse_existing(&self.target)?;
        // rename(2) never replaces a directory with contents that another process has just made.
        if let Err(e) = std::fs::rename(self.path(), &self.target) {
            refuse_existing(&self.target)?;
            return Err(cannot("make", &self.target, &e));
        }
        sync(parent_of(&self.target))?;
        Ok(self.target.clone())
    }
}

/// A directory with a temporary name, removed when this is dropped.
pub(super) struct Unfinished {
    pub path: PathBuf,
    /// Holds the lock.
    pub dir: File,
}

impl Unfinished {
    /// Makes one in `parent`, which is made too, and removes those of killed processes.
    pub fn begin(parent: &Path) -> Result<Self> {
        interrupt::defer();
        make_dirs(parent)?;
        let failed = |e| cannot("lock", parent, &e);
        let parent_dir = File::open(parent).map_err(failed)?;
        flock(&parent_dir, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        remove_abandoned(parent);
        let path = parent.join(unfinished_name());
        make_dirs(&path)?;
        let dir = File::open(&path).map_err(failed)?;
        flock(&dir, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        Ok(Self { path, dir })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // If it cannot be removed, it stays invisible.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes unfinished directories of killed processes; the caller holds the lock of `parent`.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED))
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(dir) = File::open(entry.path())
            && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Syncs a directory tree to the disk.
fn sync_tree(dir: &Path) -> Result<()> {
    let failed = |e| cannot("list", dir, &e);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(dir)
}
