//! Data sealed in the TPM and unsealed by it: at most 128 bytes, on the bus in encrypted sessions alone.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    parent::{LoadedParent, Parent, Passwords},
    response_code,
    session::Protect,
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
    Policy { policy: &'a Policy, approvals: &'a [&'a Approval], choice: usize },
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
        passwords: &Passwords,
        policy: Option<&Policy>,
        pin: Option<&Secret>,
        data: &Secret,
    ) -> Result<(SealedBlob, Parent)> {
        if data.is_empty() || data.len() > MAX_DATA {
            let why = format!("{} bytes are not 1 to {MAX_DATA}", data.len());
            return Err(Error::new(Kind::Usage, SEAL, why));
        }
        let (loaded, parent) = self.load_first(parents, passwords)?;
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

    /// Loads sealed data under the first of `parents` that is its own, and opens it.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it is of another TPM or parent, or it may not be opened now.
    pub(super) fn open_sealed(
        &mut self,
        blob: &SealedBlob,
        parents: &[Parent],
        passwords: &Passwords,
        pin: Option<&Secret>,
        openings: &[Opening<'_>],
    ) -> Result<Secret> {
        let public = SealedPublic::parse(&blob.public)
            .ok_or_else(|| Error::new(Kind::Corrupt, UNSEAL, "it is a key and not sealed data"))?;
        if public.name_algorithm != alg::SHA256 {
            return Err(Error::new(Kind::Corrupt, UNSEAL, "its policy is not of SHA-256")
                .remedy("unseal it with the program that sealed it"));
        }
        let (parent, object) = self.load_sealed(blob, parents, passwords)?;
        let opened = self.open_loaded(parent, object, pin, openings);
        let flushed = self.flush(KeyHandle::from(object));
        let released = self.release_parent(parent);
        let opened = opened?;
        flushed.and(released).map(|()| opened)
    }

    fn load_sealed(
        &mut self,
        blob: &SealedBlob,
        parents: &[Parent],
        passwords: &Passwords,
    ) -> Result<(LoadedParent, ObjectHandle)> {
        let mut last = Error::new(Kind::Usage, UNSEAL, "no parent is named");
        for parent in parents {
            let loaded = match self.load_parent(*parent, passwords) {
                Err(error) if error.kind() == Kind::Unprovisioned => {
                    last = error;
                    continue;
                }
                other => other?,
            };
            match self.load_under(loaded, blob, passwords.parent.is_some()) {
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
        pin: Option<&Secret>,
        openings: &[Opening<'_>],
    ) -> Result<Secret> {
        if let Some(pin) = pin {
            self.run(UNSEAL, |c| c.tr_set_auth(object, Auth::from_bytes(pin.expose())?))?;
        }
        let mut last = Error::new(Kind::Refused, UNSEAL, "none of its policies can hold now");
        for opening in openings {
            let opened = match opening {
                Opening::Password => {
                    let session: HmacSession = self.session_for(parent)?;
                    self.take_out(session.into(), object, |_, _| Ok(()))
                }
                Opening::Policy { policy, approvals, choice } => {
                    let session: PolicySession = self.session_for(parent)?;
                    let grounds = Grounds { approvals, choices: &[*choice] };
                    self.take_out(session.into(), object, |tpm, again| {
                        if again {
                            tpm.restart_policy(session)?;
                        }
                        tpm.assert(session, policy, grounds)
                    })
                }
            };
            match opened {
                Ok(secret) => return Ok(secret),
                // A wrong PIN is not tried again by way of another policy: each time it counts.
                Err(error) if error.kind() == Kind::Refused && self.last_code() != response_code::AUTH_FAIL => {
                    last = error
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Unseals in a session that ends in any case; what is asserted is asserted again where PCRs have changed meanwhile.
    fn take_out(
        &mut self,
        session: AuthSession,
        object: ObjectHandle,
        mut assert: impl FnMut(&mut Self, bool) -> Result<()>,
    ) -> Result<Secret> {
        let (start, patience) = (Instant::now(), self.patience());
        let mut again = false;
        loop {
            let asserted = assert(self, again);
            let data = asserted.and_then(|()| {
                self.run_protected(UNSEAL, session, Protect::ResponseAndEnd, |c| {
                    c.execute_with_session(Some(session), |c| c.unseal(object))
                })
            });
            let code = self.last_code();
            let error = match data {
                Ok(data) => {
                    return Secret::filled(data.len(), |buffer| {
                        buffer.copy_from_slice(&data);
                        Ok(())
                    });
                }
                Err(error) => error,
            };
            if code == response_code::PCR_CHANGED && start.elapsed() < patience {
                again = true;
                continue;
            }
            let error = self.explain_pin(code, error);
            let _ = self.end_session(session);
            return Err(error);
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
