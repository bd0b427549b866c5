//! Policies asserted in a session. What a key must have signed is verified once, then asserted before every access.

#[cfg(feature = "host")]
use super::unseal::Evidence;
use super::{connection::Tpm, esys_resource, pcr, response_code};
#[cfg(feature = "host")]
use crate::tpm2::constants::rh;
use crate::{
    digest::{self, hash},
    error::{Error, Kind, Result},
    policy::{
        Assertion, Policy,
        approved::{self, ApprovedPolicy, PolicySignature},
        assertion::{Comparison, EMPTY, Operand},
        version,
    },
    tpm2::{Name, NvPublic, Selection},
};
#[cfg(feature = "host")]
use tss_esapi::{WrapperErrorKind, constants::CommandCode, handles::AuthHandle, structures::DigestList};
use tss_esapi::{
    handles::ObjectHandle,
    interface_types::{
        ArithmeticComparison,
        algorithm::HashingAlgorithm,
        reserved_handles::{Hierarchy, NvAuth},
        session_handles::{AuthSession, PolicySession},
    },
    structures::{self, Digest, Nonce, Public, PublicKeyRsa, RsaSignature, Signature, VerifiedTicket},
    traits::UnMarshall,
    tss2_esys::TPMT_TK_VERIFIED,
};

/// That a key has signed a policy, as the TPM has verified it: what [`Assertion::Authorize`] is asserted with.
pub(super) struct Approval {
    /// What has been signed, and must hold.
    policy: Policy,
    /// The key.
    signer: Name,
    /// What it was signed for.
    policy_ref: Operand,
    /// The TPM's word that the signature is right; good until it is cleared.
    ticket: TPMT_TK_VERIFIED,
}

impl Approval {
    /// The policy of what it opens.
    pub(super) fn opens(&self) -> Policy {
        Policy::authorized_by(self.signer, self.policy_ref.clone())
    }

    /// As the TPM has said earlier.
    #[cfg(feature = "host")]
    pub(super) fn by_ticket(
        ApprovedPolicy { policy, policy_ref, signer, .. }: &ApprovedPolicy,
        ticket: TPMT_TK_VERIFIED,
    ) -> Self {
        Self { policy: policy.clone(), signer: signer.name(), policy_ref: policy_ref.clone(), ticket }
    }

    /// The TPM's word.
    #[cfg(feature = "host")]
    pub(super) const fn ticket(&self) -> &TPMT_TK_VERIFIED {
        &self.ticket
    }

    /// The key that has signed.
    #[cfg(feature = "host")]
    pub(super) const fn signer(&self) -> Name {
        self.signer
    }

    /// What has been signed.
    #[cfg(feature = "host")]
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    fn is_of(&self, signer: &Name, policy_ref: &[u8]) -> bool {
        self.signer == *signer && self.policy_ref == *policy_ref
    }
}

/// What a policy is asserted with, beside what the TPM finds by itself.
#[derive(Clone, Copy)]
pub(super) struct Grounds<'a> {
    /// For what must have been signed.
    pub(super) approvals: &'a [&'a Approval],
    /// Which of the alternatives are taken, one number for each [`Assertion::Or`] on the way; the first, where it is not said.
    #[cfg(feature = "host")]
    pub(super) choices: &'a [usize],
    /// What is known of policies in indices, and keys that sign; `None` in a trial session, in which everything holds.
    #[cfg(feature = "host")]
    pub(super) evidence: Option<&'a Evidence>,
}

impl<'a> Grounds<'a> {
    /// These signatures.
    pub(super) const fn signed(approvals: &'a [&'a Approval]) -> Self {
        Self {
            approvals,
            #[cfg(feature = "host")]
            choices: &[],
            #[cfg(feature = "host")]
            evidence: None,
        }
    }
}

impl Tpm {
    /// Has the TPM verify the signature over a policy, by a key of any kind that it knows.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the signature is not the key's.
    pub(super) fn approve(&mut self, approved: ApprovedPolicy) -> Result<Approval> {
        const WHAT: &str = "verify the signed policy";
        let ApprovedPolicy { policy, policy_ref, signer, signature, source } = approved;
        let system = |e: tss_esapi::Error| Error::new(Kind::Corrupt, WHAT, e.to_string());
        let public = Public::unmarshall(signer.area()).map_err(system)?;
        let key = self.run("load the key that signs policies", |c| {
            c.execute_without_session(|c| c.load_external(None, public.clone(), Hierarchy::Owner))
        })?;
        let verified = self.run(WHAT, |c| {
            let signature = match &signature {
                PolicySignature::RsaSsa(bytes) => {
                    Signature::RsaSsa(RsaSignature::create(HashingAlgorithm::Sha256, PublicKeyRsa::from_bytes(bytes)?)?)
                }
                #[cfg(feature = "host")]
                PolicySignature::Marshalled(bytes) => Signature::unmarshall(bytes)?,
            };
            let digest = Digest::from_bytes(&hash(&[&approved::message(&policy.digest(), &policy_ref)]))?;
            c.execute_without_session(|c| c.verify_signature(key, digest, signature))
        });
        let code = self.last_code();
        let flushed = self.flush(key);
        let ticket = verified.map_err(|error| {
            if matches!(code, response_code::SIGNATURE | response_code::SIZE | response_code::VALUE) {
                let why = format!("{source}: the signature is not the key's");
                return Error::new(Kind::Corrupt, WHAT, why)
                    .remedy("boot an image that was built with its keyset's pcr7data");
            }
            error
        })?;
        flushed?;
        let ticket = TPMT_TK_VERIFIED::try_from(ticket).map_err(system)?;
        Ok(Approval { policy, signer: signer.name(), policy_ref, ticket })
    }

    /// Asserts `policy` in `session`, in which nothing has been asserted; the next access uses it up.
    ///
    /// # Errors
    /// [`Kind::Refused`] when it does not hold.
    pub(super) fn assert(&mut self, session: PolicySession, policy: &Policy, mut grounds: Grounds<'_>) -> Result<()> {
        self.assert_behind(session, EMPTY, policy, &mut grounds).map(|_| ())
    }

    /// The same behind what has come to `digest` in the session; returns what it then comes to.
    fn assert_behind(
        &mut self,
        session: PolicySession,
        mut digest: digest::Digest,
        policy: &Policy,
        grounds: &mut Grounds<'_>,
    ) -> Result<digest::Digest> {
        for assertion in policy.assertions() {
            match assertion {
                Assertion::Pcr { selections, values } => self.assert_pcrs(session, selections, values)?,
                Assertion::Nv { index, operand, offset, comparison } => {
                    self.assert_nv(session, index, operand, *offset, *comparison)?;
                }
                Assertion::Authorize { signer, policy_ref } => {
                    let mut approvals = grounds.approvals.iter();
                    let approval = approvals.find(|approval| approval.is_of(signer, policy_ref)).ok_or_else(|| {
                        Error::new(Kind::Refused, "assert the signed policy", "nothing is signed for it")
                    })?;
                    self.assert_behind(session, digest, &approval.policy, grounds)?;
                    self.assert_approved(session, approval)?;
                }
                #[cfg(not(feature = "host"))]
                Assertion::Or(_) | Assertion::CommandCode(_) => {
                    return Err(Error::new(Kind::System, "assert a policy", "it is one of the running system"));
                }
                #[cfg(feature = "host")]
                Assertion::Or(branches) => self.assert_one_of(session, digest, branches, grounds)?,
                #[cfg(feature = "host")]
                Assertion::AuthorizeNv { index } => self.assert_stored(session, index, grounds.evidence)?,
                #[cfg(feature = "host")]
                Assertion::AuthValue => self.run("assert that a password is given", |c| {
                    c.execute_without_session(|c| c.policy_auth_value(session))
                })?,
                #[cfg(feature = "host")]
                Assertion::Secret { hierarchy, policy_ref } => self.assert_secret(session, *hierarchy, policy_ref)?,
                #[cfg(feature = "host")]
                Assertion::Signed { signer, policy_ref } => {
                    self.assert_signature(session, signer, policy_ref, grounds.evidence)?;
                }
                #[cfg(feature = "host")]
                Assertion::CommandCode(code) => self.run("assert the command", |c| {
                    let code = CommandCode::try_from(*code)?;
                    c.execute_without_session(|c| c.policy_command_code(session, code))
                })?,
            }
            digest = assertion.behind(&digest);
        }
        Ok(digest)
    }

    fn assert_pcrs(&mut self, session: PolicySession, pcrs: &[Selection], values: &digest::Digest) -> Result<()> {
        const WHAT: &str = "assert the PCRs";
        let asserted = self.run(WHAT, |c| {
            let (pcrs, values) = (pcr::selection_list(pcrs)?, Digest::from_bytes(values)?);
            c.execute_without_session(|c| c.policy_pcr(session, values, pcrs))
        });
        asserted.map_err(|error| match self.last_code() {
            response_code::VALUE => Error::new(Kind::Refused, WHAT, "their values are not those of the policy"),
            _ => error,
        })
    }

    fn assert_nv(
        &mut self,
        session: PolicySession,
        index: &NvPublic,
        operand: &[u8],
        offset: u16,
        comparison: Comparison,
    ) -> Result<()> {
        let handle = self.known_index(index)?;
        let compared = self.run("assert what an index of the TPM holds", |c| {
            let operand = Digest::from_bytes(operand)?;
            let index = handle.into();
            let comparison = ArithmeticComparison::try_from(comparison as u16)?;
            c.execute_with_session(Some(AuthSession::Password), |c| {
                c.policy_nv(session, NvAuth::NvIndex(index), index, operand, offset, comparison)
            })
        });
        let compared = compared.map_err(|error| self.explain_index(index, error));
        self.forget(handle);
        compared
    }

    fn assert_approved(&mut self, session: PolicySession, approval: &Approval) -> Result<()> {
        const WHAT: &str = "assert the signed policy";
        let authorized = self.run(WHAT, |c| {
            let ticket = VerifiedTicket::try_from(approval.ticket)?;
            let policy = Digest::from_bytes(&approval.policy.digest())?;
            let (policy_ref, signer) =
                (Nonce::from_bytes(&approval.policy_ref)?, structures::Name::try_from(approval.signer.to_vec())?);
            c.execute_without_session(|c| c.policy_authorize(session, policy, policy_ref, &signer, ticket))
        });
        authorized.map_err(|error| {
            if self.last_code() == response_code::VALUE {
                let why = "PCR 7 or the index of the policy version is not what was signed";
                return Error::new(Kind::Refused, WHAT, why);
            }
            error
        })
    }

    /// Takes back what has been asserted in `session`.
    pub(super) fn restart_policy(&mut self, session: PolicySession) -> Result<()> {
        self.run("assert the policy again", |c| c.execute_without_session(|c| c.policy_restart(session)))
    }

    /// An index whose public area is known, for ESYS. Nothing is sent.
    pub(super) fn known_index(&mut self, index: &NvPublic) -> Result<ObjectHandle> {
        let resource = esys_resource::of_index(index).unwrap_or_default();
        self.run("know an index of the TPM", |c| c.tr_deserialize(&resource))
    }

    /// Has ESYS forget it.
    pub(super) fn forget(&mut self, mut index: ObjectHandle) {
        let _ = self.run("forget an index of the TPM", |c| Ok(c.tr_close(&mut index).is_ok()));
    }

    fn explain_index(&self, index: &NvPublic, error: Error) -> Error {
        const WHAT: &str = "assert the policy version";
        if index.index != version::INDEX {
            return error;
        }
        match self.last_code() {
            response_code::POLICY => Error::new(
                Kind::Refused,
                WHAT,
                "the TPM's policy version is not that of this image: its policies have been withdrawn, or are for later",
            )
            .remedy("boot a newer image, or raise the version with `trust raise`"),
            response_code::HANDLE | response_code::NV_UNINITIALIZED => {
                Error::new(Kind::Unprovisioned, WHAT, "the TPM holds no policy version")
            }
            _ => error,
        }
    }
}

#[cfg(feature = "host")]
impl Tpm {
    /// What `policy` comes to in a trial session, in which everything holds.
    ///
    /// # Errors
    /// Those of a TPM that does not know such a policy.
    pub fn trial(&mut self, policy: &Policy) -> Result<digest::Digest> {
        const WHAT: &str = "try a policy";
        let session = self.start_trial()?;
        let approvals = approvals_for(policy);
        let approvals: Vec<_> = approvals.iter().collect();
        let asserted = self.assert(session, policy, Grounds { approvals: &approvals, choices: &[], evidence: None });
        let came_to = asserted.and_then(|()| {
            let digest = self.run(WHAT, |c| c.execute_without_session(|c| c.policy_get_digest(session)))?;
            digest.as_bytes().try_into().map_err(|_| Error::new(Kind::Corrupt, WHAT, "its digest is not of 32 bytes"))
        });
        self.end_session(session)?;
        came_to
    }

    fn assert_one_of(
        &mut self,
        session: PolicySession,
        digest: digest::Digest,
        branches: &[Policy],
        grounds: &mut Grounds<'_>,
    ) -> Result<()> {
        let (choice, rest) = grounds.choices.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        grounds.choices = rest;
        let taken = branches.get(choice).ok_or_else(|| {
            Error::new(Kind::Usage, "assert one of several policies", format!("there is no number {choice}"))
        })?;
        self.assert_behind(session, digest, taken, grounds)?;
        self.run("assert one of several policies", |c| {
            let mut digests = DigestList::new();
            for branch in branches {
                digests.add(Digest::from_bytes(&branch.behind(digest))?)?;
            }
            c.execute_without_session(|c| c.policy_or(session, digests))
        })
    }

    /// With the password that ESYS knows, or an empty one.
    fn assert_secret(&mut self, session: PolicySession, hierarchy: u32, policy_ref: &[u8]) -> Result<()> {
        self.run("assert that a hierarchy's password is given", |c| {
            let hierarchy = match hierarchy {
                rh::OWNER => AuthHandle::Owner,
                rh::ENDORSEMENT => AuthHandle::Endorsement,
                rh::LOCKOUT => AuthHandle::Lockout,
                _ => return Err(tss_esapi::Error::WrapperError(WrapperErrorKind::InvalidParam)),
            };
            let policy_ref = Nonce::from_bytes(policy_ref)?;
            c.execute_with_session(Some(AuthSession::Password), |c| {
                c.policy_secret(session, hierarchy, Nonce::default(), Digest::default(), policy_ref, None)
            })
        })
        .map(|_| ())
    }
}

/// For a trial session: that everything has been signed.
#[cfg(feature = "host")]
fn approvals_for(policy: &Policy) -> Vec<Approval> {
    const ST_VERIFIED: u16 = 0x8022;
    let ticket = TPMT_TK_VERIFIED { tag: ST_VERIFIED, hierarchy: rh::NULL, ..Default::default() };
    let of = |assertion: &Assertion| match assertion {
        Assertion::Authorize { signer, policy_ref } => {
            vec![Approval { policy: Policy::default(), signer: *signer, policy_ref: policy_ref.clone(), ticket }]
        }
        Assertion::Or(branches) => branches.iter().flat_map(approvals_for).collect(),
        _ => Vec::new(),
    };
    policy.assertions().iter().flat_map(of).collect()
}
