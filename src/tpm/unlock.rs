//! The signed policy: verified once, then asserted before every access.

use super::{connection::Tpm, esys_resource, pcr, response_code};
use crate::{
    digest::{self, hash},
    error::{Error, Kind, Result},
    policy::pcr7data::Entry,
};
use tss_esapi::{
    handles::NvIndexHandle,
    interface_types::{
        ArithmeticComparison,
        algorithm::HashingAlgorithm,
        reserved_handles::{Hierarchy, NvAuth},
        session_handles::{AuthSession, PolicySession},
    },
    structures::{Digest, Name, Nonce, Public, PublicKeyRsa, RsaSignature, Signature, VerifiedTicket},
    traits::UnMarshall,
    tss2_esys::TPMT_TK_VERIFIED,
};

/// A policy that the keyset's key has signed, as the TPM has verified it.
pub(super) struct Approved {
    /// The digest that the session must have.
    policy: Digest,
    /// The Name of the key that signed it.
    signer: Name,
    /// The policy of the indices that this opens.
    pub(super) opens: digest::Digest,
    /// The TPM's word that the signature is right; good until it is restarted.
    ticket: TPMT_TK_VERIFIED,
    /// Index 0x1500020 and what it must hold, where the policy asks for it.
    version: Option<(NvIndexHandle, [u8; 4])>,
}

impl Tpm {
    /// Has the TPM verify the signature over the policy of this boot.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the signature is not the key's.
    pub(super) fn approve(&mut self, entry: &Entry, pcr7: &digest::Digest) -> Result<Approved> {
        const WHAT: &str = "verify the signed policy";
        let kind = entry.info.kind;
        let policy = kind.policy(pcr7, &entry.info.policy_version)?;
        let (public_key, signature) = (entry.public_key(kind)?, entry.signature(kind)?);
        let system = |e: tss_esapi::Error| Error::new(Kind::Corrupt, WHAT, e.to_string());
        let public = Public::unmarshall(&public_key.tpmt_public()).map_err(system)?;
        let key = self.run("load the key that signs policies", |c| {
            c.execute_without_session(|c| c.load_external(None, public.clone(), Hierarchy::Owner))
        })?;
        let verified = self.run(WHAT, |c| {
            let signature = RsaSignature::create(HashingAlgorithm::Sha256, PublicKeyRsa::from_bytes(&signature)?)?;
            let digest = Digest::from_bytes(&hash(&[&policy]))?;
            c.execute_without_session(|c| c.verify_signature(key, digest, Signature::RsaSsa(signature)))
        });
        let code = self.last_code();
        let flushed = self.flush(key);
        let ticket = verified.map_err(|error| {
            if matches!(code, response_code::SIGNATURE | response_code::SIZE | response_code::VALUE) {
                let keyset = &entry.info.keyset;
                let why = format!("it is not signed by the policy key of the keyset {keyset}");
                return Error::new(Kind::Corrupt, WHAT, why)
                    .remedy("boot an image that was built with its keyset's pcr7data");
            }
            error
        })?;
        flushed?;
        let ticket = TPMT_TK_VERIFIED::try_from(ticket).map_err(system)?;
        let version = if kind.asks_for_the_version() {
            let known = esys_resource::policy_version();
            let index = self.run("know the policy version's index", |c| c.tr_deserialize(&known))?;
            Some((NvIndexHandle::from(index), entry.info.policy_version))
        } else {
            None
        };
        let policy = Digest::from_bytes(&policy).map_err(system)?;
        let name = public_key.name();
        let signer = Name::try_from(name.to_vec()).map_err(system)?;
        Ok(Approved { policy, signer, opens: digest::authorize(&name), ticket, version })
    }

    /// Asserts the policy in `session`; the next access uses it up.
    ///
    /// # Errors
    /// [`Kind::Refused`] when PCR 7 or the policy version is not what was signed.
    pub(super) fn assert(&mut self, session: AuthSession, approved: &Approved) -> Result<()> {
        let policy = PolicySession::try_from(session)
            .map_err(|e| Error::new(Kind::System, "assert the policy", e.to_string()))?;
        self.run("assert PCR 7", |c| {
            let selection = pcr::selection()?;
            c.execute_without_session(|c| c.policy_pcr(policy, Digest::default(), selection))
        })?;
        if let Some((index, version)) = approved.version {
            let compared = self.run("assert the policy version", |c| {
                let version = Digest::from_bytes(&version)?;
                c.execute_with_session(Some(AuthSession::Password), |c| {
                    c.policy_nv(policy, NvAuth::NvIndex(index), index, version, 0, ArithmeticComparison::Eq)
                })
            });
            compared.map_err(|error| self.explain_version(error))?;
        }
        let authorized = self.run("assert the signed policy", |c| {
            let ticket = VerifiedTicket::try_from(approved.ticket)?;
            c.execute_without_session(|c| {
                c.policy_authorize(policy, approved.policy.clone(), Nonce::default(), &approved.signer, ticket)
            })
        });
        authorized.map_err(|error| {
            if self.last_code() == response_code::VALUE {
                return Error::new(
                    Kind::Refused,
                    "assert the signed policy",
                    "PCR 7 or the index of the policy version is not what was signed",
                );
            }
            error
        })
    }

    /// Takes back what has been asserted in `session`.
    pub(super) fn restart_policy(&mut self, session: AuthSession) -> Result<()> {
        let Ok(policy) = PolicySession::try_from(session) else { return Ok(()) };
        self.run("assert the policy again", |c| c.execute_without_session(|c| c.policy_restart(policy)))
    }

    fn explain_version(&self, error: Error) -> Error {
        const WHAT: &str = "assert the policy version";
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
