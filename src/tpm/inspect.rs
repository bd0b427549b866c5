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
        StorageKey,
        constants::{permanent, pt},
    },
};
use tss_esapi::interface_types::session_handles::HmacSession;

impl Tpm {
    /// The storage root key; `None` where the TPM has none that an authority could vouch for.
    ///
    /// # Errors
    /// Those of a TPM that does not answer as it should.
    pub fn into_storage_root_key(mut self) -> Result<Option<StorageKey>> {
        Ok(self.storage_key(SRK_HANDLE)?.map(|(_, key)| key))
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
