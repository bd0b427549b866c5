//! Whether the firmware has left the TPM's hierarchies switched on.

use super::connection::Tpm;
use crate::error::{Error, Kind, Result};

/// `TPM_PT_STARTUP_CLEAR` and what it says (`TPMA_STARTUP_CLEAR`, part 2, section 8.7).
const PT_STARTUP_CLEAR: u32 = 0x201;
pub(super) const STORAGE: u32 = 1 << 1;
pub(super) const ENDORSEMENT: u32 = 1 << 2;

impl Tpm {
    /// Refuses a TPM without these hierarchies: what belongs to one that is switched off seems not to be there.
    ///
    /// # Errors
    /// [`Kind::NoTpm`].
    pub(super) fn check_hierarchies(&mut self, needed: u32) -> Result<()> {
        const WHAT: &str = "ask for the TPM's hierarchies";
        let enabled = self.property(WHAT, PT_STARTUP_CLEAR)?.unwrap_or(needed);
        if enabled & needed == needed {
            return Ok(());
        }
        let which = if enabled & STORAGE == 0 { "storage" } else { "endorsement" };
        Err(Error::new(Kind::NoTpm, "use the TPM", format!("the firmware has switched its {which} hierarchy off"))
            .remedy("switch it on in the firmware setup; do not clear the TPM, which would destroy what it holds"))
    }
}
