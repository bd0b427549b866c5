//! What is known of a machine: `facts.json` in its directory.

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the file.
const FILE: &str = "facts.json";

/// What a machine is, how far it has come in its life, and what it boots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The keyset, by name or directory.
    pub keyset: String,
    /// The product that it is one of.
    pub project: String,
    /// Its serial number: the name of its identity in the project.
    pub serial: String,
    /// What it was last given to boot.
    pub images: Images,
    /// What it is made of.
    pub hardware: Hardware,
    /// How far it has come.
    pub reached: Reached,
}

/// What a machine boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// What stores its identity in the TPM.
    pub provision: Option<PathBuf>,
    /// What makes its disk.
    pub install: Option<PathBuf>,
    /// What it boots from then on; its own disk where there is none.
    pub production: Option<PathBuf>,
    /// What the firmware starts before each of them, if it does not check them itself.
    pub shim: Option<PathBuf>,
}

/// What a machine is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hardware {
    /// The code of its firmware.
    pub firmware: PathBuf,
    /// Its memory, in MiB.
    pub memory: u32,
    /// How many processors it has.
    pub processors: u32,
}

/// How far a machine has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// It is there, and its firmware knows the keys of its keyset.
    Made,
    /// Its TPM holds its identity.
    Provisioned,
    /// Its disk is as it will be, or nobody wants one.
    Installed,
    /// It has run, and was switched off.
    Ran,
}

impl Facts {
    /// Reads those of the machine in this directory.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        serde_json::from_slice(&atomic::read(&path)?).map_err(|e| {
            Error::new(Kind::Corrupt, format!("use {}", path.display()), e.to_string())
                .remedy(format!("remove {} and launch the machine anew", dir.display()))
        })
    }

    /// Writes them down, in the place of what was known before.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::system("write JSON", e))?;
        text.push(b'\n');
        atomic::replace(&dir.join(FILE), atomic::PRIVATE, &text)
    }
}
