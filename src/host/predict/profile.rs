//! What is not in a keyset of its machines: by default a freshly enrolled OVMF, and with a shim the boot kit that
//! earlier keysets were used with (shim 15.6, whose `vendor_db` was made without owners).

use super::{
    databases::{self, Chain, Foreign},
    firmware::Firmware,
    shim::{Shim, Vendor},
};
use crate::{
    digest,
    error::Result,
    host::{
        keyset::Keyset,
        uefi::{signature_list::SignatureList, variable::guid},
    },
};
use std::fmt;
use uuid::Uuid;

/// The owner of what the tools that enroll keys in OVMF put into dbx.
const OVMF_DBX_OWNER: Uuid = guid("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");
/// The `SbatLevel` that a shim sets which knows no revocations.
pub const ORIGINAL_SBAT_LEVEL: &[u8] = b"sbat,1,2021030218\n";

/// A machine, apart from its keyset.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What its firmware measures.
    pub firmware: Firmware,
    /// Who verifies the images.
    pub chain: Chain,
    /// What is in its databases in addition to the keyset's.
    pub foreign: Foreign,
    /// Its shim, if not that of the boot kit; ignored for [`Chain::Direct`].
    pub shim: Option<Shim>,
    /// Its SbatLevel, if not the one that its shim sets.
    pub sbat_level: Option<Vec<u8>>,
}

impl Machine {
    /// With nothing special.
    #[must_use]
    pub fn new(chain: Chain) -> Self {
        Self { firmware: Firmware::edk2(), chain, foreign: Foreign::default(), shim: None, sbat_level: None }
    }

    /// The shim of a machine that has one.
    pub(super) fn shim_of(&self, keyset: &Keyset) -> Result<Option<Shim>> {
        if self.chain == Chain::Direct {
            return Ok(None);
        }
        let mut shim = match &self.shim {
            Some(shim) => shim.clone(),
            None => boot_kit(keyset)?,
        };
        if let Some(level) = &self.sbat_level {
            shim.sbat_level.clone_from(level);
        }
        Ok(Some(shim))
    }
}

impl fmt::Display for Machine {
    /// As info.json comments on its PCR 7 values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.chain, &self.shim) {
            (Chain::Direct, _) => "verified by the firmware",
            (Chain::Shim, None) => "verified by the boot kit's shim",
            (Chain::Shim, Some(_)) => "verified by a shim",
        })?;
        f.write_str(if self.foreign.dbx.is_some() { ", dbx as given" } else { "" })?;
        f.write_str(if self.firmware.is_logged() { ", as its event log shows" } else { "" })
    }
}

/// The dbx of a freshly enrolled OVMF: the hash of nothing, which keeps it from being absent.
#[must_use]
pub fn dbx() -> Vec<SignatureList> {
    vec![SignatureList::sha256(OVMF_DBX_OWNER, &[digest::hash(&[])])]
}

/// The shim of the boot kit.
fn boot_kit(keyset: &Keyset) -> Result<Shim> {
    Ok(Shim {
        sbat_level: ORIGINAL_SBAT_LEVEL.to_vec(),
        latest_sbat_level: None,
        measures_mok_list_trusted: true,
        vendor: Vendor::Db(databases::vendor_db(keyset)?),
        denied: Vec::new(),
        has_own_certificate: false,
        signed: None,
    })
}
