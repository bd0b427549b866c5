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
    /// RSASSA-PKCS1-v1_5 with SHA-256 over [`message`], as long as the key's modulus.
    pub signature: Vec<u8>,
    /// Whose key that is, for messages: the name of the keyset.
    pub keyset: String,
}

impl ApprovedPolicy {
    /// The policy of what it opens.
    #[must_use]
    pub fn opens(&self) -> Policy {
        Policy::authorized_by(self.signer.name(), self.policy_ref.clone())
    }
}

/// What is signed: the policy's digest, then the policyRef.
#[must_use]
pub fn message(policy: &Digest, policy_ref: &[u8]) -> Vec<u8> {
    [policy, policy_ref].concat()
}
