//! What an index holds, signed by a key that signs nothing but what the TPM itself says.

use super::{NvSpace, failure::named};
use crate::{
    error::{Error, Kind, Result},
    tpm::{nv::NvPlace, primary::HierarchyAccess},
    tpm2::{NvPublic, attest, constants::rh},
};
use tss_esapi::{
    handles::{KeyHandle, ObjectHandle},
    interface_types::{reserved_handles::NvAuth, session_handles::AuthSession},
    structures::{Auth, Data, Public, SignatureScheme},
    traits::{Marshall, UnMarshall},
};

/// What is done, in messages.
const WHAT: &str = "have the TPM certify an index";

/// A signed statement about an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvCertificate {
    /// The index, as it was.
    pub public: NvPublic,
    /// `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

impl NvSpace<'_> {
    /// Has the TPM certify all that these indices hold, which anyone may read, with the nonce of whoever asks; returns the
    /// attestation key as a `TPMT_PUBLIC` as well. That key is a primary key of the owner's, the same until a clear.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the owner has a password that is not given and delegates nothing to this running system.
    pub fn certify(&mut self, indices: &[u32], nonce: &[u8]) -> Result<(Vec<u8>, Vec<NvCertificate>)> {
        let bad = |e: tss_esapi::Error| Error::new(Kind::System, WHAT, e.to_string());
        let mut access = HierarchyAccess::default();
        if self.is_delegated()? {
            access.delegation.clone_from(&self.delegation);
        } else if self.owner_has_password()? {
            access.password = Some((self.ask_owner)()?);
        }
        let template = Public::unmarshall(&attest::template()).map_err(bad)?;
        let made = self.tpm.make_primary("make the attestation key", rh::OWNER, &template, &access)?;
        let certified = indices.iter().map(|index| self.certify_by(made.key_handle, *index, nonce)).collect();
        let flushed = self.tpm.flush(made.key_handle);
        let certified: Result<Vec<_>> = certified;
        let (certified, key) = (certified?, made.out_public.marshall().map_err(bad)?);
        flushed.map(|()| (key, certified))
    }

    fn certify_by(&mut self, key: KeyHandle, index: u32, nonce: &[u8]) -> Result<NvCertificate> {
        let found = self.tpm.find_nv(NvPlace::Other(index))?;
        let nv = found.ok_or_else(|| named(Kind::Usage, "certify index", index, "the TPM has no such index"))?;
        let handle = ObjectHandle::from(nv.handle);
        let sessions = (Some(AuthSession::Password), Some(AuthSession::Password), None);
        // Nothing is to be kept from anyone, and the signature shows what was altered.
        let (attest, signature) = self.tpm.run(WHAT, |c| {
            c.tr_set_auth(handle, Auth::default())?;
            let (nonce, scheme) = (Data::from_bytes(nonce)?, SignatureScheme::Null);
            c.execute_with_sessions(sessions, |c| {
                c.nv_certify(key, NvAuth::NvIndex(nv.handle), nv.handle, nonce, scheme, nv.public.size, 0)
            })
        })?;
        let bad = |e: tss_esapi::Error| Error::new(Kind::Corrupt, WHAT, e.to_string());
        let (attest, signature) = (attest.marshall().map_err(bad)?, signature.marshall().map_err(bad)?);
        Ok(NvCertificate { public: nv.public, attest, signature })
    }
}
