//! Where machines are kept: `${XDG_DATA_HOME:-~/.local/share}/machine/trust/vms/NAME/`.
//!
//! ```text
//! facts.json      what it is, and the last step that it has completed
//! variables.fd    its firmware's variables
//! tpm/            the state of its TPM
//! disk.img        its disk, sparse
//! boot.img        what it was last booted from
//! trust.srk.cred  the authority's signature of its storage root key, if its keyset asks for that
//! trust-data.img  its identity, only while it is being provisioned
//! console.log     console output since it was last launched
//! ```

use super::facts::MachineFacts;
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::{self, Staging},
            xdg,
        },
        keyset::check_name,
    },
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// The directory of a machine, locked against a second start.
pub struct Directory {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Directory {
    /// Makes the directory of a new machine, whole or not at all: `fill` writes its contents.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the name is taken or invalid; otherwise those of `fill` and of writing.
    pub(super) fn create(name: &str, fill: impl FnOnce(&Path) -> Result<MachineFacts>) -> Result<(Self, MachineFacts)> {
        let staging = Staging::begin(path_of(name)?)?;
        let facts = fill(staging.path())?;
        facts.write(staging.path())?;
        Ok((Self::lock(staging.finish()?, name)?, facts))
    }

    /// Whether a machine of this name exists.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the name is invalid.
    pub(super) fn exists(name: &str) -> Result<bool> {
        Ok(path_of(name)?.symlink_metadata().is_ok())
    }

    /// The error that the name of this machine is taken.
    pub(super) fn taken(&self, name: &str, why: &str) -> Error {
        Error::new(Kind::Usage, format!("launch a new machine {name:?}"), format!("there is one of this name, {why}"))
            .remedy(format!(
                "start that one with `trust launch {name} --again`, choose another name, or remove {}",
                self.path.display()
            ))
    }

    /// Opens the directory of an existing machine that is off.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is none of this name, or it is running; otherwise those of reading.
    pub fn open(name: &str) -> Result<(Self, MachineFacts)> {
        let path = path_of(name)?;
        if !path.is_dir() {
            return Err(Error::new(Kind::Usage, format!("start the machine {name:?}"), "there is none of this name")
                .remedy(format!("make it with `trust launch {name} --project KEYSET:PROJECT …`")));
        }
        let directory = Self::lock(path, name)?;
        let facts = MachineFacts::read(directory.path())?;
        Ok((directory, facts))
    }

    fn lock(path: PathBuf, name: &str) -> Result<Self> {
        let failed = |e| atomic::cannot("lock", &path, &e);
        let lock = File::open(&path).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(Errno::WOULDBLOCK) => {
                Err(Error::new(Kind::Usage, format!("start the machine {name:?}"), "it is running already")
                    .remedy("end the `trust launch` that runs it, or wait for its end"))
            }
            Err(why) => Err(failed(why.into())),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The directory for a machine of this name, whether it exists or not.
fn path_of(name: &str) -> Result<PathBuf> {
    check_name("virtual machine", name)?;
    Ok(xdg::data()?.join("machine/trust/vms").join(name))
}
