//! The one session of a run: salted to a key in the TPM, AES-128-CFB, so that
//! what it carries is neither seen nor changed on the bus.
//!
//! An attacker between us and the TPM who responds in its place from the start has a key of their own for that. What
//! tells the two apart is an authority that vouches for the TPM's ([`crate::authority`]), where the image asks for one.

use super::{connection::Tpm, esys_resource, layout::SRK_HANDLE, response_code};
use crate::{
    error::{Error, Kind, Result},
    tpm2::{self, StorageKey},
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
        session_handles::{AuthSession, HmacSession, PolicySession},
    },
    structures::{Public, SymmetricDefinition},
    traits::UnMarshall,
};

const START: &str = "start an encrypted session with the TPM";

/// The kinds of session: what one authorizes, the other cannot.
pub(super) trait Session: Copy + Into<AuthSession> + TryFrom<AuthSession> {
    /// `TPM_SE`.
    const TYPE: SessionType;
}

/// Authorizes by what has been asserted in it.
impl Session for PolicySession {
    const TYPE: SessionType = SessionType::Policy;
}

/// Authorizes by the knowledge of a password.
impl Session for HmacSession {
    const TYPE: SessionType = SessionType::Hmac;
}

/// A session, and the key that it is salted to: without the private half of that, no one can take part in it.
pub(super) struct Salted<S> {
    pub session: S,
    /// The storage root key; `None` for a primary key of the null hierarchy, which no authority can vouch for.
    pub to: Option<StorageKey>,
}

/// What a session does with the parameters of the next command.
#[derive(Clone, Copy)]
pub(super) enum Protect {
    /// Encrypts the first parameter of the command.
    Command,
    /// Encrypts the first parameter of the response.
    Response,
    /// As [`Self::Command`], and the session ends with it.
    CommandAndEnd,
    /// Authenticates command and response, neither of which can be encrypted.
    #[cfg(feature = "host")]
    Nothing,
    /// As [`Self::Response`], and the session ends with it.
    #[cfg(feature = "host")]
    ResponseAndEnd,
    /// Encrypts the first parameters of command and response.
    #[cfg(feature = "host")]
    Both,
    /// As [`Self::Both`], and the session ends with it.
    #[cfg(feature = "host")]
    BothAndEnd,
}

impl Tpm {
    /// Starts a session that is salted to the persistent SRK, and in its absence to a primary key of the null hierarchy.
    pub(super) fn start_session<S: Session>(&mut self) -> Result<Salted<S>> {
        if let Some((handle, key)) = self.storage_key(SRK_HANDLE)? {
            return Ok(Salted { session: self.start_session_salted_to(handle)?, to: Some(key) });
        }
        let key = self.create_primary("make a key to salt the session to", Hierarchy::Null, None)?;
        let session = self.start_session_salted_to(key);
        let flushed = self.flush(key);
        let session = session?;
        flushed?;
        Ok(Salted { session, to: None })
    }

    /// Starts a session that only the TPM that holds `key` can answer in.
    pub(super) fn start_session_salted_to<S: Session>(&mut self, key: KeyHandle) -> Result<S> {
        let session = self.start(Some(key), S::TYPE).map_err(|error| self.explain_algorithm(error))?;
        S::try_from(session).map_err(|_| Error::new(Kind::System, START, "it is of another kind"))
    }

    /// Starts a session in which a policy can be tried, and nothing else be done.
    #[cfg(feature = "host")]
    pub(super) fn start_trial(&mut self) -> Result<PolicySession> {
        let session = self.start(None, SessionType::Trial)?;
        PolicySession::try_from(session).map_err(|_| Error::new(Kind::System, START, "it is of another kind"))
    }

    fn start(&mut self, key: Option<KeyHandle>, kind: SessionType) -> Result<AuthSession> {
        let session = self.run(START, |c| {
            c.execute_without_session(|c| {
                let symmetric = SymmetricDefinition::AES_128_CFB;
                c.start_auth_session(key, None, None, kind, symmetric, HashingAlgorithm::Sha256)
            })
        })?;
        session.ok_or_else(|| Error::new(Kind::Corrupt, START, "it gives none"))
    }

    /// Has ESYS forget a session that has ended in the TPM, without asking for its removal.
    fn forget_session(&mut self, session: AuthSession) {
        let mut ended = SessionHandle::from(session).into();
        let _ = self.run("forget the session", |c| Ok(c.tr_close(&mut ended).is_ok()));
    }

    /// Ends a session.
    pub(super) fn end_session(&mut self, session: impl Into<AuthSession>) -> Result<()> {
        let session = SessionHandle::from(session.into());
        self.run("end the session", |c| c.flush_context(session.into()))
    }

    /// As [`Self::run`], for a command whose parameters `session` protects: as the one that authorizes it, or besides.
    pub(super) fn run_protected<T>(
        &mut self,
        what: &'static str,
        session: impl Into<AuthSession>,
        how: Protect,
        mut command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T> {
        let session = session.into();
        let (decrypt, encrypt, more) = match how {
            Protect::Command => (true, false, true),
            Protect::Response => (false, true, true),
            Protect::CommandAndEnd => (true, false, false),
            #[cfg(feature = "host")]
            Protect::Nothing => (false, false, true),
            #[cfg(feature = "host")]
            Protect::ResponseAndEnd => (false, true, false),
            #[cfg(feature = "host")]
            Protect::Both => (true, true, true),
            #[cfg(feature = "host")]
            Protect::BothAndEnd => (true, true, false),
        };
        let (attributes, mask) = SessionAttributesBuilder::new()
            .with_decrypt(decrypt)
            .with_encrypt(encrypt)
            .with_continue_session(more)
            .build();
        let done = self.run(what, |c| {
            c.tr_sess_set_attributes(session, attributes, mask)?;
            command(c)
        })?;
        if !more {
            self.forget_session(session);
        }
        Ok(done)
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
        let template = tpm2::Public::STORAGE_ROOT_KEY.area().unwrap_or_default();
        let template = Public::unmarshall(&template).map_err(|e| Error::new(Kind::System, what, e.to_string()))?;
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
