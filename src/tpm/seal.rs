//! Data sealed in the TPM and unsealed by it: at most 128 bytes, on the bus in encrypted sessions alone.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    parent::{LoadedParent, Parent, ParentAccess},
    response_code,
    session::Protect,
    unseal::Evidence,
};
use crate::{
    error::{Error, Kind, Result},
    policy::Policy,
    secret::Secret,
    tpm2::{
        constants::{alg, pt},
        sealed::{MAX_DATA, SealedPublic},
    },
};
use std::time::Instant;
use tss_esapi::{
    handles::{KeyHandle, ObjectHandle},
    interface_types::session_handles::{AuthSession, HmacSession, PolicySession},
    structures::{Auth, Private, Public, SensitiveData},
    traits::{Marshall, UnMarshall},
};

/// What fails, in messages.
const SEAL: &str = "seal";
const UNSEAL: &str = "unseal";

/// Sealed data as it is outside of the TPM: of use to that TPM alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBlob {
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// What is in the `TPM2B_PRIVATE`.
    pub private: Vec<u8>,
}

/// How sealed data is opened.
pub(super) enum Opening<'a> {
    /// By its password, which is empty where there is none.
    Password,
    /// By its policy.
    Policy {
        policy: &'a Policy,
        approvals: &'a [&'a Approval],
        /// What else it is asserted with.
        evidence: &'a Evidence,
        /// Which of the policy's alternatives is asserted.
        choice: usize,
        /// Whether that one asks for the PIN.
        needs_pin: bool,
    },
}

impl Opening<'_> {
    const fn needs_pin(&self) -> bool {
        matches!(self, Self::Password | Self::Policy { needs_pin: true, .. })
    }
}

/// The PIN of sealed data.
pub struct PinSource<'a> {
    /// Gets it; `None` where there is none. Called once at most, and not before it is needed.
    pub ask: &'a mut dyn FnMut() -> Result<Option<Secret>>,
    /// Whether there may be one: the data may have one that is not known.
    pub may_exist: bool,
}

impl Tpm {
    /// Seals `data` under the first of `parents` that there is, to be opened by the policy, or where there is none by the PIN alone. With a policy the
    /// PIN counts where the policy asks for it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: `data` is larger than [`MAX_DATA`], or empty; [`Kind::Refused`]: a password is wrong.
    pub fn seal(
        &mut self,
        parents: &[Parent],
        access: &ParentAccess,
        policy: Option<&Policy>,
        pin: Option<&Secret>,
        data: &Secret,
    ) -> Result<(SealedBlob, Parent)> {
        if data.is_empty() || data.len() > MAX_DATA {
            let why = format!("{} bytes are not 1 to {MAX_DATA}", data.len());
            return Err(Error::new(Kind::Usage, SEAL, why));
        }
        let (loaded, parent) = self.load_first(parents, access)?;
        let sealed = self.seal_under(loaded, policy, pin, data);
        let released = self.release_parent(loaded);
        let sealed = sealed?;
        released.map(|()| (sealed, parent))
    }

    fn seal_under(
        &mut self,
        parent: LoadedParent,
        policy: Option<&Policy>,
        pin: Option<&Secret>,
        data: &Secret,
    ) -> Result<SealedBlob> {
        let system = |e: tss_esapi::Error| Error::new(Kind::System, SEAL, e.to_string());
        let template = SealedPublic::template(policy.map(Policy::digest).as_ref(), pin.is_some());
        let template = Public::unmarshall(&template.area().unwrap_or_default()).map_err(system)?;
        let session: HmacSession = self.session_for(parent)?;
        let made = self.run_protected(SEAL, session, Protect::CommandAndEnd, |c| {
            let pin = pin.map(|pin| Auth::from_bytes(pin.expose())).transpose()?;
            let data = SensitiveData::from_bytes(data.expose())?;
            c.execute_with_session(Some(session.into()), |c| {
                c.create(parent.handle, template.clone(), pin, Some(data), None, None)
            })
        });
        let code = self.last_code();
        let made = made.map_err(|error| {
            let _ = self.end_session(session);
            explain_parent(code, SEAL, error)
        })?;
        let blob = SealedBlob {
            public: made.out_public.marshall().map_err(system)?,
            private: made.out_private.as_bytes().to_vec(),
        };
        let is_as_wanted = SealedPublic::parse(&blob.public)
            .is_some_and(|public| public.policy == policy.map(|policy| policy.digest().to_vec()).unwrap_or_default());
        is_as_wanted
            .then_some(blob)
            .ok_or_else(|| Error::new(Kind::Corrupt, SEAL, "the TPM made something else than it was told"))
    }

    /// A session salted to the parent, or where that cannot be, to another key of this TPM.
    fn session_for<S: super::session::Session>(&mut self, parent: LoadedParent) -> Result<S> {
        if parent.salts { self.start_session_salted_to(parent.handle) } else { Ok(self.start_session()?.session) }
    }

    /// Loads sealed data under the first of `parents` that is its own, and opens it. Whether it has a PIN need not be known.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it is of another TPM or parent, or it may not be opened now.
    pub(super) fn open_sealed(
        &mut self,
        blob: &SealedBlob,
        parents: &[Parent],
        access: &ParentAccess,
        pin: PinSource<'_>,
        openings: &[Opening<'_>],
    ) -> Result<Secret> {
        let public = SealedPublic::parse(&blob.public)
            .ok_or_else(|| Error::new(Kind::Corrupt, UNSEAL, "it is a key and not sealed data"))?;
        if public.name_algorithm != alg::SHA256 {
            return Err(Error::new(Kind::Corrupt, UNSEAL, "its policy is not of SHA-256")
                .remedy("unseal it with the program that sealed it"));
        }
        // Not while the TPM holds anything for it, if that can be.
        let PinSource { ask, may_exist } = pin;
        let first = may_exist && openings.first().is_some_and(Opening::needs_pin);
        let mut known = if first { Some(ask()?) } else { None };
        let (parent, object) = self.load_sealed(blob, parents, access)?;
        let mut pin = || known.take().map_or_else(&mut *ask, Ok);
        let opened = self.open_loaded(parent, object, PinSource { ask: &mut pin, may_exist }, openings);
        let flushed = self.flush(KeyHandle::from(object));
        let released = self.release_parent(parent);
        let opened = opened?;
        flushed.and(released).map(|()| opened)
    }

    fn load_sealed(
        &mut self,
        blob: &SealedBlob,
        parents: &[Parent],
        access: &ParentAccess,
    ) -> Result<(LoadedParent, ObjectHandle)> {
        let mut last = Error::new(Kind::Usage, UNSEAL, "no parent is named");
        for parent in parents {
            let loaded = match self.load_parent(*parent, access) {
                Err(error) if error.kind() == Kind::Unprovisioned => {
                    last = error;
                    continue;
                }
                other => other?,
            };
            match self.load_under(loaded, blob, access.password.is_some()) {
                Ok(object) => return Ok((loaded, object)),
                Err((code, error)) => {
                    self.release_parent(loaded)?;
                    last = error;
                    if code != response_code::INTEGRITY {
                        return Err(last);
                    }
                }
            }
        }
        Err(last)
    }

    fn load_under(
        &mut self,
        parent: LoadedParent,
        blob: &SealedBlob,
        has_password: bool,
    ) -> std::result::Result<ObjectHandle, (u32, Error)> {
        let bad = |e: tss_esapi::Error| (0, Error::new(Kind::Corrupt, UNSEAL, e.to_string()));
        let public = Public::unmarshall(&blob.public).map_err(bad)?;
        let private = Private::from_bytes(&blob.private).map_err(bad)?;
        // A password must not cross the bus; an empty one may.
        let session = if has_password {
            let session: HmacSession = self.session_for(parent).map_err(|error| (0, error))?;
            AuthSession::from(session)
        } else {
            AuthSession::Password
        };
        let loaded = self.run("load the sealed data", |c| {
            c.execute_with_session(Some(session), |c| c.load(parent.handle, private.clone(), public.clone()))
        });
        let code = self.last_code();
        if has_password {
            let _ = self.end_session(session);
        }
        loaded.map(ObjectHandle::from).map_err(|error| {
            let error = match code {
                response_code::INTEGRITY | response_code::BINDING | response_code::SIZE => {
                    let why = "it was sealed under another key: by another TPM, before this one was cleared, or for \
                               another parent; or it has been altered";
                    Error::new(Kind::Refused, UNSEAL, why).remedy(
                        "unseal it on the machine that sealed it, or name its parent: --parent owner, or a handle",
                    )
                }
                _ => explain_parent(code, UNSEAL, error),
            };
            (code, error)
        })
    }

    fn open_loaded(
        &mut self,
        parent: LoadedParent,
        object: ObjectHandle,
        pin: PinSource<'_>,
        openings: &[Opening<'_>],
    ) -> Result<Secret> {
        let mut is_known = !pin.may_exist;
        let mut last = Error::new(Kind::Refused, UNSEAL, "none of its policies can hold now");
        for opening in openings {
            if opening.needs_pin()
                && !is_known
                && let Some(pin) = (pin.ask)()?
            {
                self.run(UNSEAL, |c| c.tr_set_auth(object, Auth::from_bytes(pin.expose())?))?;
                is_known = true;
            }
            match self.open_by(parent, object, opening, is_known)? {
                Ok(secret) => return Ok(secret),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Unseals in one way. The inner error: it does not hold, and another may. A wrong PIN is not such an error: it would
    /// be tried again, and each time counts.
    fn open_by(
        &mut self,
        parent: LoadedParent,
        object: ObjectHandle,
        opening: &Opening<'_>,
        pin_is_known: bool,
    ) -> Result<Result<Secret>> {
        let session: AuthSession = match opening {
            Opening::Password => self.session_for::<HmacSession>(parent)?.into(),
            Opening::Policy { .. } => self.session_for::<PolicySession>(parent)?.into(),
        };
        // The password of what a session opens has a part in what it encrypts with, whether the policy asks for it or
        // not. Where it is not known, another session must encrypt.
        let other: Option<HmacSession> =
            if pin_is_known || opening.needs_pin() { None } else { Some(self.session_for(parent)?) };
        let opened = self.take_out((session, other.map(Into::into)), object, opening);
        let code = self.last_code();
        if let Err(error) = opened {
            let error = self.explain_pin(code, error);
            let _ = self.end_session(session);
            if let Some(other) = other {
                let _ = self.end_session(other);
            }
            let another_may = error.kind() == Kind::Refused && code != response_code::AUTH_FAIL;
            return if another_may { Ok(Err(error)) } else { Err(error) };
        }
        // With the response it has ended the session that encrypted.
        if other.is_some() {
            self.end_session(session)?;
        }
        opened.map(Ok)
    }

    /// Unseals in a session, and has another one encrypt if there is one; what is asserted is asserted again where PCRs
    /// have changed meanwhile.
    fn take_out(
        &mut self,
        (session, other): (AuthSession, Option<AuthSession>),
        object: ObjectHandle,
        opening: &Opening<'_>,
    ) -> Result<Secret> {
        let (start, patience) = (Instant::now(), self.patience());
        loop {
            let asserted = self.assert_opening(session, opening);
            let data = asserted.and_then(|()| {
                self.run_protected(UNSEAL, other.unwrap_or(session), Protect::ResponseAndEnd, |c| {
                    c.execute_with_sessions((Some(session), other, None), |c| c.unseal(object))
                })
            });
            match data {
                Ok(data) => {
                    return Secret::filled(data.len(), |buffer| {
                        buffer.copy_from_slice(&data);
                        Ok(())
                    });
                }
                Err(_) if self.last_code() == response_code::PCR_CHANGED && start.elapsed() < patience => {
                    if let Ok(session) = PolicySession::try_from(session) {
                        self.restart_policy(session)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn assert_opening(&mut self, session: AuthSession, opening: &Opening<'_>) -> Result<()> {
        match (opening, PolicySession::try_from(session)) {
            (Opening::Policy { policy, approvals, evidence, choice, .. }, Ok(session)) => {
                let grounds = Grounds { approvals, choices: &[*choice], evidence: Some(evidence) };
                self.assert(session, policy, grounds)
            }
            _ => Ok(()),
        }
    }

    /// Says of a wrong PIN how many more may be wrong.
    fn explain_pin(&mut self, code: u32, error: Error) -> Error {
        if code != response_code::AUTH_FAIL && code != response_code::LOCKOUT {
            return error;
        }
        let mut ask = |property| self.property("ask for the TPM's lockout", property).ok().flatten();
        let (failed, most, interval) = (ask(pt::LOCKOUT_COUNTER), ask(pt::MAX_AUTH_FAIL), ask(pt::LOCKOUT_INTERVAL));
        let state = match (failed, most, interval) {
            (Some(failed), Some(most), Some(interval)) => {
                format!("{failed} of {most} wrong ones are counted, and one is forgotten every {interval} s")
            }
            _ => "the TPM does not say how many more may be wrong".to_owned(),
        };
        if code == response_code::LOCKOUT {
            let why = format!("the TPM is in lockout after too many wrong PINs or passwords: {state}");
            return Error::new(Kind::LockedOut, UNSEAL, why);
        }
        Error::new(Kind::Refused, UNSEAL, format!("the PIN is wrong: {state}")).remedy("try again with the right one")
    }
}

fn explain_parent(code: u32, what: &'static str, error: Error) -> Error {
    match code {
        response_code::AUTH_FAIL | response_code::BAD_AUTH => {
            Error::new(Kind::Refused, what, "the parent has a password, and it is not the one that was given")
                .remedy("give it with --parent-password-file FILE")
        }
        response_code::TYPE | response_code::KEY | response_code::ATTRIBUTES => {
            Error::new(Kind::Usage, what, "the key that is named as its parent is no storage key")
                .remedy("name another one: --parent 0x81000001, or --parent owner")
        }
        _ => error,
    }
}
