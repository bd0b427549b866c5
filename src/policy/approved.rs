//! A policy and the signature that approves it (TPM 2.0 Library part 3, section 23.16). Pure.

use super::{
    assertion::{Operand, Policy},
    public_key::PolicyKey,
};
use crate::digest::Digest;

/// What `TPM2_PolicyAuthorize` is asserted with, as it is read: only the TPM says whether it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedPolicy {
    /// What must hold.
    pub policy: Policy,
    /// What it is approved for.
    pub policy_ref: Operand,
    /// The key that is said to have signed it.
    pub signer: PolicyKey,
    /// The signature over [`message`].
    pub signature: PolicySignature,
    /// Where it was found, for messages: a file, or a directory.
    pub source: String,
}

/// A signature over a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySignature {
    /// That of a keyset's key: RSASSA-PKCS1-v1_5 with SHA-256, as long as the key's modulus.
    RsaSsa(Vec<u8>),
    /// Of any kind: a `TPMT_SIGNATURE`.
    #[cfg(feature = "host")]
    Marshalled(Vec<u8>),
}

/// What is signed: the policy's digest, then the policyRef.
#[must_use]
pub fn message(policy: &Digest, policy_ref: &[u8]) -> Vec<u8> {
    [policy, policy_ref].concat()
}
