//! What can be found out about a TPM without a policy or a password.

use super::{
    connection::Tpm,
    layout::{Index, SRK_HANDLE},
    nv::{Access, Nv},
};
use crate::{
    digest,
    error::Result,
    tpm2::{
        StorageKey, capability,
        constants::{cap, permanent, pt, rh},
    },
};
use tss_esapi::interface_types::session_handles::HmacSession;

impl Tpm {
    /// The storage root key; `None` where the TPM has none that an authority could vouch for.
    ///
    /// # Errors
    /// Those of a TPM that does not answer as it should.
    pub fn into_storage_root_key(mut self) -> Result<Option<StorageKey>> {
        self.storage_root_key()
    }

    /// The same.
    ///
    /// # Errors
    /// As [`Self::into_storage_root_key`].
    pub fn storage_root_key(&mut self) -> Result<Option<StorageKey>> {
        Ok(self.storage_key(SRK_HANDLE)?.map(|(_, key)| key))
    }

    /// What in this TPM has this policy, as it tells anyone: indices, and hierarchies, where it tells that.
    ///
    /// # Errors
    /// As [`Self::nv_indices`].
    pub fn users_of_policy(&mut self, policy: &digest::Digest) -> Result<Vec<String>> {
        let indices = self.nv_indices()?.into_iter().filter(|index| index.policy == *policy);
        let mut users: Vec<_> = indices.map(|public| format!("index {:#x}", public.index)).collect();
        let what = "ask for the policies of the TPM's hierarchies";
        let response = match self.run_raw(what, &capability::get(cap::AUTH_POLICIES, rh::OWNER, capability::AT_ONCE)) {
            // Older TPMs do not tell.
            Err(_) if self.has_answered() => return Ok(users),
            other => other?,
        };
        let policies = capability::policies(&response).map(|page| page.items).unwrap_or_default();
        let hierarchies = policies.into_iter().filter(|(_, digest)| digest == policy);
        users.extend(hierarchies.map(|(hierarchy, _)| match hierarchy {
            rh::OWNER => "the owner".to_owned(),
            rh::ENDORSEMENT => "the endorsement hierarchy".to_owned(),
            rh::LOCKOUT => "the lockout hierarchy".to_owned(),
            rh::PLATFORM => "the platform".to_owned(),
            other => format!("the hierarchy {other:#x}"),
        }));
        Ok(users)
    }

    /// Whether `provision` has been through with it, for this certificate.
    ///
    /// # Errors
    /// Those of a TPM that does not answer as it should.
    pub fn is_provisioned_with(mut self, certificate: &[u8]) -> Result<bool> {
        // Its owner's password is the last thing that `provision` sets.
        let attributes = self.property("ask who owns the TPM", pt::PERMANENT)?.unwrap_or(0);
        if attributes & permanent::OWNER_AUTH_SET == 0 {
            return Ok(false);
        }
        let Some(nv) = self.find_nv(Index::Proof)?.filter(Nv::is_written) else { return Ok(false) };
        let session = self.start_session::<HmacSession>()?.session;
        let known = self.read_nv(&nv, Access::Anyone(session.into()), &mut |_| Ok(()))?;
        Ok(known.expose().starts_with(&digest::hash(&[certificate])))
    }
}
