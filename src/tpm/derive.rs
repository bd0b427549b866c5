//! What keys of applications are derived with: an HMAC of a primary key that never leaves the TPM.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    delegation::Delegation,
    primary::HierarchyAccess,
    response_code,
    session::Protect,
};
use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    policy::{Policy, approved::ApprovedPolicy},
    secret::Secret,
    tpm2::{Name, constants::rh, derivation, name},
};
use std::time::Instant;
use tss_esapi::{
    handles::{KeyHandle, ObjectHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        session_handles::{AuthSession, PolicySession},
    },
    structures::{CreatePrimaryKeyResult, MaxBuffer, Public},
    traits::{Marshall, UnMarshall},
};

/// What a TPM takes of a message at once (`MAX_DIGEST_BUFFER`), in bytes.
pub const MAX_MESSAGE: usize = 1024;
/// What fails, in messages.
const WHAT: &str = "derive a key";
const LOAD: &str = "make the key that others are derived from";

/// The key of this TPM that others are derived from, in use: made from the seed of the owner's hierarchy, which a clear of the
/// TPM replaces, and the same again whenever it is made.
pub struct DerivationKey {
    tpm: Tpm,
    handle: KeyHandle,
    name: Name,
    /// Salted; encrypts both directions, and asserts the policy where there is one.
    session: PolicySession,
    binding: Option<Binding>,
}

/// What a key that only an approved running system uses is opened by.
struct Binding {
    policy: Policy,
    approval: Approval,
}

impl DerivationKey {
    /// Makes it. Where it is `bound`, another one: only a running system for which the same key has signed can use it.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the owner has a password that is not given and delegates nothing to this running system, or nothing
    /// is signed for that.
    pub fn make(mut tpm: Tpm, access: &HierarchyAccess, bound: bool) -> Result<Self> {
        let delegation = access.delegation.as_ref().filter(|_| bound || access.password.is_none());
        let policy = match &access.delegation {
            Some(Delegation { signed: ApprovedPolicy { signer, policy_ref, .. }, .. }) if bound => {
                Some(Policy::authorized_by(signer.name(), policy_ref.clone()))
            }
            None if bound => {
                let why = "it is bound to a policy, and nothing is signed for this running system";
                return Err(Error::new(Kind::Refused, LOAD, why)
                    .remedy("name the directory of what is signed: --pcr7data DIR; or leave --system out"));
            }
            _ => None,
        };
        let template = derivation::template(policy.as_ref().map(Policy::digest).as_ref()).unwrap_or_default();
        let bad = |e: tss_esapi::Error| Error::new(Kind::System, LOAD, e.to_string());
        let public = Public::unmarshall(&template).map_err(bad)?;
        let session: PolicySession = tpm.start_session()?.session;
        let made = Self::make_in(&mut tpm, session, &public, access, delegation);
        // Where the key is bound, that comes after its use.
        if delegation.is_some() && (!bound || made.is_err()) {
            tpm.expect_power_cut();
        }
        let marshalled = |(made, approval): (CreatePrimaryKeyResult, _)| {
            Ok((made.key_handle, made.out_public.marshall().map_err(bad)?, approval))
        };
        let (handle, area, approval) = made.and_then(marshalled).inspect_err(|_| {
            let _ = tpm.end_session(session);
        })?;
        let binding = policy.zip(approval).map(|(policy, approval)| Binding { policy, approval });
        let key = Self { tpm, handle, name: name::of(&area), session, binding };
        if derivation::is_made_of(&template, &area) {
            return Ok(key);
        }
        key.release()?;
        Err(Error::new(Kind::Corrupt, LOAD, "the TPM made something else than it was told")
            .remedy("restart the machine; if this happens again, suspect the TPM or its bus"))
    }

    fn make_in(
        tpm: &mut Tpm,
        session: PolicySession,
        template: &Public,
        access: &HierarchyAccess,
        delegation: Option<&Delegation>,
    ) -> Result<(CreatePrimaryKeyResult, Option<Approval>)> {
        if access.password.is_some() {
            let approval = delegation.map(|delegation| delegation.verify(tpm)).transpose()?;
            return Ok((tpm.make_primary(LOAD, rh::OWNER, template, access)?, approval));
        }
        let mut approval = None;
        if let Some(delegation) = delegation {
            let (made, by) = tpm.make_primary_as_delegated(LOAD, template, session, delegation)?;
            if let Some(made) = made {
                return Ok((made, Some(by)));
            }
            tpm.restart_policy(session)?;
            approval = Some(by);
        }
        Ok((tpm.make_primary_freely(LOAD, rh::OWNER, template, approval.is_some())?, approval))
    }

    /// Its Name: another one on another TPM, and after a clear.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The HMAC of `message`, of 32 bytes. One TPM command; four more where the key is bound.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the message is longer than [`MAX_MESSAGE`]; [`Kind::Refused`]: the policy does not hold.
    pub fn derive(&mut self, message: &[u8]) -> Result<Secret> {
        self.derive_in_session(message, Protect::Both)
    }

    /// The same, for the last time: nothing is left in the TPM.
    ///
    /// # Errors
    /// As [`Self::derive`].
    pub fn derive_last(mut self, message: &[u8]) -> Result<Secret> {
        let derived = self.derive_in_session(message, Protect::BothAndEnd);
        if derived.is_err() {
            let _ = self.tpm.end_session(self.session);
        }
        let flushed = self.tpm.flush(self.handle);
        let derived = derived?;
        flushed.map(|()| derived)
    }

    /// Has the TPM forget it.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn release(mut self) -> Result<()> {
        let ended = self.tpm.end_session(self.session);
        self.tpm.flush(self.handle).and(ended)
    }

    fn derive_in_session(&mut self, message: &[u8], protect: Protect) -> Result<Secret> {
        let message = MaxBuffer::from_bytes(message)
            .map_err(|_| Error::new(Kind::Usage, WHAT, format!("its context is longer than {MAX_MESSAGE} bytes")))?;
        let (start, patience) = (Instant::now(), self.tpm.patience());
        let (session, handle) = (AuthSession::from(self.session), ObjectHandle::from(self.handle));
        let sessions = match self.binding {
            Some(_) => (Some(session), None, None),
            None => (Some(AuthSession::Password), Some(session), None),
        };
        loop {
            if let Some(Binding { policy, approval }) = &self.binding {
                self.tpm.assert(
                    self.session,
                    policy,
                    Grounds { approvals: &[approval], choices: &[], evidence: None },
                )?;
            }
            let derived = self.tpm.run_protected(WHAT, session, protect, |c| {
                c.execute_with_sessions(sessions, |c| c.hmac(handle, message.clone(), HashingAlgorithm::Null))
            });
            let code = self.tpm.last_code();
            match derived {
                Err(_) if code == response_code::PCR_CHANGED && start.elapsed() < patience => {
                    self.tpm.restart_policy(self.session)?;
                }
                derived => {
                    if self.binding.is_some() {
                        self.tpm.expect_power_cut();
                    }
                    let derived = derived?;
                    let bytes: &Digest = derived
                        .as_bytes()
                        .try_into()
                        .map_err(|_| Error::new(Kind::Corrupt, WHAT, "what the TPM gives is not of 32 bytes"))?;
                    return Secret::filled(bytes.len(), |buffer| {
                        buffer.copy_from_slice(bytes);
                        Ok(())
                    });
                }
            }
        }
    }
}
