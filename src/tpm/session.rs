//! The one session of a run: salted to a key in the TPM, AES-128-CFB, so that
//! what it carries is neither seen nor changed on the bus.
//!
//! Somebody between us and the TPM who answers in its place from the start has a key of his own for that. What tells
//! the two apart is an authority that vouches for the TPM's ([`crate::authority`]), where the image asks for one.

use super::{StorageKey, connection::Tpm, esys_resource, response_code};
use crate::{
    error::{Error, Kind, Result},
    layout::SRK_HANDLE,
};
use tss_esapi::{
    Context,
    attributes::SessionAttributesBuilder,
    constants::SessionType,
    handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, SessionHandle, TpmHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        data_handles::Persistent,
        reserved_handles::{Hierarchy, Provision},
        session_handles::AuthSession,
    },
    structures::{Public, SymmetricDefinition},
    traits::UnMarshall,
};

/// `TPMT_PUBLIC` of the ECC P-256 storage root key (TCG TPM v2.0 Provisioning Guidance, section 7.5.1).
const SRK_TEMPLATE: [u8; 26] = [
    0x00, 0x23, // ECC
    0x00, 0x0b, // Name with SHA-256
    0x00, 0x03, 0x04, 0x72, // fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted decrypt
    0x00, 0x00, // no policy
    0x00, 0x06, 0x00, 0x80, 0x00, 0x43, // AES-128-CFB
    0x00, 0x10, // no scheme
    0x00, 0x03, // NIST P-256
    0x00, 0x10, // no KDF
    0x00, 0x00, 0x00, 0x00, // the TPM makes the point
];

/// What a session does with the parameters of the next command.
#[derive(Clone, Copy)]
pub(super) enum Protect {
    /// Encrypts the first parameter of the command.
    Command,
    /// Encrypts the first parameter of the answer.
    Answer,
    /// As [`Self::Command`], and the session ends with it.
    CommandAndEnd,
}

impl Tpm {
    /// Starts a salted session: a policy session for reading, an HMAC session for provisioning. It is salted to the
    /// persistent SRK, and in its absence to a primary key of the null hierarchy.
    ///
    /// The key that it is salted to is returned too, if that is the TPM's storage root key.
    pub(super) fn start_session(&mut self, kind: SessionType) -> Result<(AuthSession, Option<StorageKey>)> {
        if let Some((handle, key)) = self.storage_key(SRK_HANDLE)? {
            return Ok((self.start_session_salted_to(handle, kind)?, Some(key)));
        }
        let key = self.create_primary("make a key to salt the session to", Hierarchy::Null, None)?;
        let session = self.start_session_salted_to(key, kind);
        let flushed = self.flush(key);
        let session = session?;
        flushed?;
        Ok((session, None))
    }

    /// Starts a session that only the TPM that holds `key` can answer in.
    pub(super) fn start_session_salted_to(&mut self, key: KeyHandle, kind: SessionType) -> Result<AuthSession> {
        const WHAT: &str = "start an encrypted session with the TPM";
        let session = self.run(WHAT, |c| {
            c.execute_without_session(|c| {
                let symmetric = SymmetricDefinition::AES_128_CFB;
                c.start_auth_session(Some(key), None, None, kind, symmetric, HashingAlgorithm::Sha256)
            })
        });
        let session = session.map_err(|error| self.explain_algorithm(error))?;
        session.ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "it gives none"))
    }

    /// Has ESYS forget a session that has ended in the TPM, without asking for its removal.
    pub(super) fn forget_session(&mut self, session: AuthSession) {
        let mut ended = SessionHandle::from(session).into();
        let _ = self.run("forget the session", |c| Ok(c.tr_close(&mut ended).is_ok()));
    }

    /// Ends a session.
    pub(super) fn end_session(&mut self, session: AuthSession) -> Result<()> {
        self.run("end the session", |c| c.flush_context(SessionHandle::from(session).into()))
    }

    /// Sets what the session does with the next command; nothing is sent.
    pub(super) fn protect(c: &mut Context, session: AuthSession, how: Protect) -> tss_esapi::Result<()> {
        let (decrypt, encrypt, more) = match how {
            Protect::Command => (true, false, true),
            Protect::Answer => (false, true, true),
            Protect::CommandAndEnd => (true, false, false),
        };
        let (attributes, mask) = SessionAttributesBuilder::new()
            .with_decrypt(decrypt)
            .with_encrypt(encrypt)
            .with_continue_session(more)
            .build();
        c.tr_sess_set_attributes(session, attributes, mask)
    }

    /// The key at a persistent handle, if there is one that can be salted to.
    pub(super) fn storage_key(&mut self, handle: u32) -> Result<Option<(KeyHandle, StorageKey)>> {
        let Some(object) = self.find_persistent(handle)? else { return Ok(None) };
        let resource = self.run("look at the storage root key", |c| c.tr_serialize(object))?;
        Ok(esys_resource::storage_key(&resource).map(|key| (KeyHandle::from(object), key)))
    }

    /// What is at a persistent handle, if there is anything. One command.
    pub(super) fn find_persistent(&mut self, handle: u32) -> Result<Option<ObjectHandle>> {
        let handle = persistent(handle)?;
        let found = self.run("find the storage root key", |c| {
            c.execute_without_session(|c| c.tr_from_tpm_public(TpmHandle::Persistent(handle)))
        });
        match found {
            Err(_) if self.last_code() == response_code::HANDLE => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes the key at [`SRK_HANDLE`] unless something is there already; with owner authorization.
    pub(super) fn make_storage_root_key(&mut self) -> Result<()> {
        if self.find_persistent(SRK_HANDLE)?.is_some() {
            return Ok(());
        }
        let handle = persistent(SRK_HANDLE)?;
        let auth = Some(AuthSession::Password);
        let key = self.create_primary("make the storage root key", Hierarchy::Owner, auth)?;
        let kept = self.run("keep the storage root key", |c| {
            c.execute_with_session(auth, |c| {
                c.evict_control(Provision::Owner, key.into(), Persistent::Persistent(handle))
            })
        });
        let flushed = self.flush(key);
        kept.and(flushed)
    }

    fn create_primary(
        &mut self,
        what: &'static str,
        hierarchy: Hierarchy,
        auth: Option<AuthSession>,
    ) -> Result<KeyHandle> {
        let template = Public::unmarshall(&SRK_TEMPLATE).map_err(|e| Error::new(Kind::System, what, e.to_string()))?;
        let auth = auth.or(Some(AuthSession::Password));
        let made = self.run(what, |c| {
            c.execute_with_session(auth, |c| c.create_primary(hierarchy, template.clone(), None, None, None, None))
        });
        made.map(|made| made.key_handle).map_err(|error| self.explain_algorithm(error))
    }

    /// Says so where the TPM lacks what no session goes without.
    fn explain_algorithm(&self, error: Error) -> Error {
        if !response_code::is_unknown_algorithm(self.last_code()) {
            return error;
        }
        error
            .because("it lacks elliptic curves (P-256) or AES-128-CFB, which Trust cannot do without")
            .remedy("update the TPM's firmware, or use another TPM")
    }
}

fn persistent(handle: u32) -> Result<PersistentTpmHandle> {
    PersistentTpmHandle::new(handle)
        .map_err(|_| Error::new(Kind::Usage, "name the storage root key", "the handle is not that of a persistent key"))
}
