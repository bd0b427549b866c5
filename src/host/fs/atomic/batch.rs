//! Many directories in one parent, each of which appears when it is complete.

use super::{cannot, make_dirs, staging::Unfinished, sync};
use crate::error::Result;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Directories made in bulk: as [`super::Staging`] makes one, but with one sync for many.
///
/// Each is on the disk before it is visible. What has not been published is
/// gone when this is dropped, or when the next one is begun in the same place.
pub struct Batch {
    parent: PathBuf,
    unfinished: Unfinished,
    /// Names of those that are complete, or existed before.
    ready: VecDeque<String>,
    /// Whether any of them is ours.
    made: bool,
}

impl Batch {
    /// Begins to make directories in `parent`; from here on a Ctrl-C waits for [`crate::host::fs::interrupt::check`].
    ///
    /// # Errors
    /// [`crate::error::Kind::System`].
    pub fn begin(parent: PathBuf) -> Result<Self> {
        let unfinished = Unfinished::begin(&parent)?;
        Ok(Self { parent, unfinished, ready: VecDeque::new(), made: false })
    }

    /// Makes the directory `name`, and has `fill` write its contents. It is not visible yet.
    ///
    /// # Errors
    /// [`crate::error::Kind::System`], and those of `fill`; the others stay as they are.
    pub fn make(&mut self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let path = self.unfinished.path.join(name);
        let made = make_dirs(&path).and_then(|()| fill(&path));
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&path);
        }
        made?;
        self.made = true;
        self.ready.push_back(name.to_owned());
        Ok(())
    }

    /// Has [`Self::publish`] report the directory `name`, which exists already, in its turn.
    pub fn keep(&mut self, name: &str) {
        self.ready.push_back(name.to_owned());
    }

    /// How many have not been reported yet.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Makes the complete ones visible, and reports each in the order in which it was made:
    /// its path, and whether it is ours. It is not if another process was faster.
    ///
    /// # Errors
    /// [`crate::error::Kind::System`], and those of `tell`; what has not been reported can be published later.
    pub fn publish(&mut self, mut tell: impl FnMut(&Path, bool) -> Result<()>) -> Result<()> {
        if self.made {
            let failed = |e: rustix::io::Errno| cannot("write", &self.parent, &e.into());
            rustix::fs::syncfs(&self.unfinished.dir).map_err(failed)?;
        }
        while let Some(name) = self.ready.front() {
            let (from, to) = (self.unfinished.path.join(name), self.parent.join(name));
            let is_there = || to.symlink_metadata().is_ok();
            // Another process may make it between the check and the renaming; rename(2) never replaces a directory with contents.
            let ours = !is_there()
                && match std::fs::rename(&from, &to) {
                    Ok(()) => true,
                    Err(_) if is_there() => false,
                    Err(e) => return Err(cannot("make", &to, &e)),
                };
            self.ready.pop_front();
            tell(&to, ours)?;
        }
        self.made = false;
        sync(&self.parent)
    }
}
