//! Many directories beside each other, each of which appears when it is complete.

use super::{cannot, make_dirs, staging::Unfinished, sync};
use crate::error::Result;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Directories that are made in numbers: as [`super::Staging`] makes one, but the disk is waited for once for many.
///
/// Each is on the disk before it is visible. What has not been published is
/// gone when this is dropped, or when the next one is begun in the same place.
pub struct Batch {
    parent: PathBuf,
    unfinished: Unfinished,
    /// Names of what is complete, or was there before.
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

    /// Makes the directory `name` and has `fill` write what belongs into it. Nobody sees it yet.
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

    /// Has [`Self::publish`] tell of the directory `name`, which is there already, when its turn comes.
    pub fn keep(&mut self, name: &str) {
        self.ready.push_back(name.to_owned());
    }

    /// How many have not been told of.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Makes visible what is complete, and tells of each in the order in which it was made:
    /// where it is, and whether it is ours. Where somebody else was faster, it is not.
    ///
    /// # Errors
    /// [`crate::error::Kind::System`], and those of `tell`; what has not been told of can be published later.
    pub fn publish(&mut self, mut tell: impl FnMut(&Path, bool) -> Result<()>) -> Result<()> {
        if self.made {
            let failed = |e: rustix::io::Errno| cannot("write", &self.parent, &e.into());
            rustix::fs::syncfs(&self.unfinished.dir).map_err(failed)?;
        }
        while let Some(name) = self.ready.front() {
            let (from, to) = (self.unfinished.path.join(name), self.parent.join(name));
            let is_there = || to.symlink_metadata().is_ok();
            // Between a look and the renaming somebody else may come; rename(2) never replaces a directory that holds something.
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
