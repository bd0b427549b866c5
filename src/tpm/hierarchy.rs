//! The TPM's hierarchies: whether the firmware has left them switched on, and which policies they have.

use super::{connection::Tpm, session::Protect, store::TpmStore};
use crate::{
    error::{Error, Kind, Result},
    policy::{Policy, boot_kind::BootKind, delegation, pcr7data::Entry},
    tpm2::constants::{pt, startup_clear::STORAGE_ENABLED},
};
use tss_esapi::{
    interface_types::{algorithm::HashingAlgorithm, reserved_handles::HierarchyAuth, session_handles::HmacSession},
    structures::Digest,
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

    /// Gives the owner's hierarchy this policy, and leaves none to the endorsement and lockout hierarchies: an attacker who
    /// has set one has the hierarchy's rights by it, whatever its password is. The passwords must still be empty.
    pub(super) fn set_policies(&mut self, owner: &Policy, session: HmacSession) -> Result<()> {
        self.set_policy(HierarchyAuth::Endorsement, None, session)?;
        self.set_policy(HierarchyAuth::Lockout, None, session)?;
        self.set_policy(HierarchyAuth::Owner, Some(owner), session)
    }

    /// Gives a hierarchy this policy in the place of the one that it has, with the password that ESYS knows.
    fn set_policy(&mut self, hierarchy: HierarchyAuth, policy: Option<&Policy>, session: HmacSession) -> Result<()> {
        self.run_protected("set a policy of the TPM's", session, Protect::Command, |c| {
            let (digest, hash) = match policy {
                Some(policy) => (Digest::from_bytes(&policy.digest())?, HashingAlgorithm::Sha256),
                None => (Digest::default(), HashingAlgorithm::Null),
            };
            c.execute_with_session(Some(session.into()), |c| c.set_primary_policy(hierarchy, digest, hash))
        })
    }
}

/// The owner's policy on machines of this entry's keyset.
pub(super) fn owners_policy(entry: &Entry) -> Result<Policy> {
    entry.public_key(BootKind::Production.into()).map(|key| delegation::policy(key.name()))
}

impl TpmStore {
    /// Sets the owner's policy that `provision` sets, with the TPM admin password, which this boot must be allowed to read.
    /// One command: cut off, the policy is the old one or the new one.
    ///
    /// # Errors
    /// [`Kind::Refused`] where this is no TPM administration boot; else as [`crate::store::Truststore::read`].
    pub fn delegate(&mut self) -> Result<()> {
        let open = self.admit(BootKind::Admin)?;
        let policy = owners_policy(&self.entry()?)?;
        let session = self.owner_session(&open)?;
        self.tpm.set_policy(HierarchyAuth::Owner, Some(&policy), session)
    }
}
