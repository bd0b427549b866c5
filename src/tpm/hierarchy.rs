//! The TPM's hierarchies: whether the firmware has left them switched on, and whether an attacker has left them a policy.

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

    /// Leaves no policy to the endorsement, lockout and owner hierarchies, whose passwords must still be empty: who has set
    /// one has the hierarchy's rights by it, whatever its password is.
    ///
    /// `TPM2_SetPrimaryPolicy` (part 3, section 24.3). The answer is not authenticated: who sits on the bus of a TPM that
    /// has no owner yet can have anything of it.
    pub(super) fn take_policies_away(&mut self) -> Result<()> {
        for hierarchy in [0x0b, 0x0a, 0x01] {
            #[rustfmt::skip]
            let command = [
                0x80, 0x02, 0, 0, 0, 31, 0, 0, 0x01, 0x2e,
                0x40, 0, 0, hierarchy,
                // No nonce, no attributes, an empty password.
                0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0,
                // No policy, and TPM_ALG_NULL.
                0, 0, 0x00, 0x10,
            ];
            self.run_raw("take a policy of the TPM's away", &command)?;
        }
        Ok(())
    }
}
