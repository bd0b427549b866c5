//! What can be found out about a TPM without a policy or a password.

use super::{
    connection::Tpm,
    layout::{Index, SRK_HANDLE},
    nv::{Access, Nv},
    response_code,
};
use crate::{
    digest,
    error::{Error, Kind, Result},
    tpm2::{
        NvPublic, StorageKey,
        constants::{permanent, pt},
        nv::attribute,
        query,
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

    /// The public area of an index; `None` where it is not defined. Not authenticated.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a response that is malformed; else those of a TPM that does not answer.
    pub fn nv_public(&mut self, index: u32) -> Result<Option<NvPublic>> {
        const WHAT: &str = "look at an index of the TPM";
        let response = match self.run_raw(WHAT, &query::nv_public(index)) {
            Err(_) if self.last_code() == response_code::HANDLE => return Ok(None),
            other => other?,
        };
        let public = query::parse_nv_public(&response).filter(|public| public.index == index);
        public.map(Some).ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the response is malformed"))
    }

    /// The same of an index that has been written: what a policy that compares it has of it.
    ///
    /// # Errors
    /// [`Kind::Unprovisioned`]: there is no such index, or it was never written.
    pub fn written_index(&mut self, index: u32) -> Result<NvPublic> {
        let missing = |why: &str| {
            Error::new(Kind::Unprovisioned, "look at an index of the TPM", format!("{index:#x} {why}"))
                .remedy("write it first")
        };
        let public = self.nv_public(index)?.ok_or_else(|| missing("is not there: the TPM does not hold it"))?;
        let is_written = public.attributes & attribute::WRITTEN != 0;
        is_written.then_some(public).ok_or_else(|| missing("has never been written"))
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
