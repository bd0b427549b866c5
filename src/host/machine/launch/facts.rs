//! What is recorded of a machine: `facts.json` in its directory.

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the file.
const FILE: &str = "facts.json";

/// What a machine is, which step it has reached, and what it boots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineFacts {
    /// The keyset, by name or directory.
    pub keyset: String,
    /// The project: the product that it is a unit of.
    pub project: String,
    /// Its serial number: the name of its identity in the project.
    pub serial: String,
    /// The images last given.
    pub images: Images,
    /// Its hardware.
    pub hardware: Hardware,
    /// The last step that it has completed.
    pub reached: Reached,
}

/// The images of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Stores its identity in the TPM.
    pub provision: Option<PathBuf>,
    /// Installs its disk.
    pub install: Option<PathBuf>,
    /// Booted from then on; without one it boots from its own disk.
    pub production: Option<PathBuf>,
    /// The shim that the firmware starts before each of them, if there is one.
    pub shim: Option<PathBuf>,
}

/// The hardware of a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hardware {
    /// The code of its firmware.
    pub firmware: PathBuf,
    /// Its memory, in MiB.
    pub memory: u32,
    /// How many processors it has.
    pub processors: u32,
}

/// The last completed step of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// It exists, and its firmware holds the keys of its keyset.
    Made,
    /// Its TPM holds its identity.
    Provisioned,
    /// Its disk is installed, or installation is skipped.
    Installed,
    /// It has run, and was powered off.
    Ran,
}

impl MachineFacts {
    /// Reads the facts in a machine's directory.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        serde_json::from_slice(&atomic::read(&path)?).map_err(|e| {
            Error::new(Kind::Corrupt, format!("use {}", path.display()), e.to_string())
                .remedy(format!("remove {} and launch the machine anew", dir.display()))
        })
    }

    /// Writes them, replacing those of before.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::system("write JSON", e))?;
        text.push(b'\n');
        atomic::replace(&dir.join(FILE), atomic::PRIVATE, &text)
    }
}
