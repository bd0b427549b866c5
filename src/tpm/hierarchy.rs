//! The TPM's hierarchies: whether the firmware has left them switched on, and whether an attacker has left them a policy.

use super::connection::Tpm;
use crate::{
    error::{Error, Kind, Result},
    tpm2::{
        command,
        constants::{pt, rh, startup_clear::STORAGE_ENABLED},
    },
};

impl Tpm {
    /// Refuses a TPM without these hierarchies: what belongs to one that is switched off seems not to be there.
    ///
    /// # Errors
    /// [`Kind::NoTpm`].
    pub(super) fn check_hierarchies(&mut self, needed: u32) -> Result<()> {
        const WHAT: &str = "ask for the TPM's hierarchies";
        let enabled = self.property(WHAT, pt::STARTUP_CLEAR)?.unwrap_or(needed);
        if enabled & needed == needed {
            return Ok(());
        }
        let which = if enabled & STORAGE_ENABLED == 0 { "storage" } else { "endorsement" };
        Err(Error::new(Kind::NoTpm, "use the TPM", format!("the firmware has switched its {which} hierarchy off"))
            .remedy("switch it on in the firmware setup; do not clear the TPM, which would destroy what it holds"))
    }

    /// Leaves no policy to the endorsement, lockout and owner hierarchies, whose passwords must still be empty: an
    /// attacker who has set one has the hierarchy's rights by it, whatever its password is.
    ///
    /// The response is not authenticated: an attacker on the bus of a TPM that
    /// has no owner yet can do anything with it.
    pub(super) fn take_policies_away(&mut self) -> Result<()> {
        for hierarchy in [rh::ENDORSEMENT, rh::LOCKOUT, rh::OWNER] {
            self.run_raw("take a policy of the TPM's away", &command::take_policy_away(hierarchy))?;
        }
        Ok(())
    }
}
