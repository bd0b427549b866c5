//! Policies as a language: assertions, one after the other, and what they come to (TPM 2.0 Library part 1, section
//! 19.7; part 3, section 23). SHA-256 throughout.
//!
//! A [`Policy`] is a value. [`Policy::digest`] computes what a TPM's session comes to, the TPM asserts it
//! (`tpm/assert.rs`), and [`super::tree`] shows it.

use crate::{
    bytes::{Buffer, bounded},
    digest::{Digest, hash},
    tpm2::{Name, NvPublic, Selection, constants::cc, selection},
};

/// The digest of a session in which nothing has been asserted.
pub const EMPTY: Digest = [0; 32];
/// PCR selections in one assertion: a PC Client TPM has fewer banks.
pub(super) const MAX_SELECTIONS: usize = 8;
/// Bytes of the largest `TPML_PCR_SELECTION` of so many.
const MAX_SELECTION_LIST: usize = 4 + 6 * MAX_SELECTIONS;

/// An operand or a policyRef: at most as long as the largest digest.
pub type Operand = Buffer<64>;

/// Assertions that must all hold, in their order; of none, a policy that always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Vec<Assertion>);

/// One assertion of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// `TPM2_PolicyPCR`: these PCRs have values with this digest.
    Pcr {
        /// Which PCRs; one selection for each bank.
        selections: heapless::Vec<Selection, MAX_SELECTIONS>,
        /// SHA-256 over their values, in the order of the selections and of their numbers.
        values: Digest,
    },
    /// `TPM2_PolicyNV`: an index holds something that compares so with the operand.
    Nv {
        /// The index, whose Name enters the policy.
        index: NvPublic,
        /// What is compared with it.
        operand: Operand,
        /// From which byte of the index on.
        offset: u16,
        /// How.
        comparison: Comparison,
    },
    /// `TPM2_PolicyAuthorize`: a policy that this key has signed holds. What was asserted before has no part in it.
    Authorize {
        /// The Name of the key.
        signer: Name,
        /// What the signature is for.
        policy_ref: Operand,
    },
    /// `TPM2_PolicyAuthorizeNV`: the policy holds whose digest this index has. What was asserted before has no part in it.
    #[cfg(feature = "host")]
    AuthorizeNv {
        /// The index.
        index: NvPublic,
    },
    /// `TPM2_PolicyAuthValue`: the object's password is given, too.
    #[cfg(feature = "host")]
    AuthValue,
    /// `TPM2_PolicySecret`: the password of a hierarchy is given, too.
    #[cfg(feature = "host")]
    Secret {
        /// The hierarchy's handle, which is its Name.
        hierarchy: u32,
        /// What it is given for.
        policy_ref: Operand,
    },
    /// `TPM2_PolicySigned`: a key signs that this very session may.
    #[cfg(feature = "host")]
    Signed {
        /// The Name of the key.
        signer: Name,
        /// What it signs for.
        policy_ref: Operand,
    },
    /// `TPM2_PolicyCommandCode`: for this command alone.
    CommandCode(u32),
    /// `TPM2_PolicyOR`: one of these holds, each behind what was asserted before; two to eight.
    Or(Vec<Policy>),
}

/// How an index is compared with an operand: `TPM_EO` (part 2, section 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Comparison {
    /// It is the same.
    Equal = 0x0000,
    /// As an unsigned number it is smaller.
    #[cfg(feature = "host")]
    Below = 0x0005,
    /// As an unsigned number it is not smaller.
    #[cfg(feature = "host")]
    AtLeast = 0x0007,
}

#[cfg(feature = "host")]
impl Comparison {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Equal, Self::Below, Self::AtLeast];
}

impl Policy {
    /// These assertions.
    #[must_use]
    pub fn of(assertions: impl IntoIterator<Item = Assertion>) -> Self {
        Self(assertions.into_iter().collect())
    }

    /// The policy of what is opened by whatever policy the key of this Name has signed, for this reference.
    #[must_use]
    pub fn authorized_by(signer: Name, policy_ref: Operand) -> Self {
        Self(vec![Assertion::Authorize { signer, policy_ref }])
    }

    /// Its assertions, in their order.
    #[must_use]
    pub fn assertions(&self) -> &[Assertion] {
        &self.0
    }

    /// The digest of a session in which it has been asserted: the authPolicy of what it opens.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.behind(EMPTY)
    }

    /// The digest when it is asserted behind what came to `before`.
    pub(crate) fn behind(&self, before: Digest) -> Digest {
        self.0.iter().fold(before, |before, assertion| assertion.behind(&before))
    }
}

impl Assertion {
    /// PCR 7 of the SHA-256 bank has this value.
    #[must_use]
    pub fn pcr7(value: &Digest) -> Self {
        let selections = [Selection::SHA256_7].into_iter().collect();
        Self::Pcr { selections, values: hash(&[value]) }
    }

    /// An index holds this, from its first byte on.
    #[must_use]
    pub fn nv(index: NvPublic, operand: Operand) -> Self {
        Self::Nv { index, operand, offset: 0, comparison: Comparison::Equal }
    }

    /// The digest when it is asserted behind what came to `before`.
    pub(crate) fn behind(&self, before: &Digest) -> Digest {
        match self {
            Self::Pcr { selections, values } => {
                let list: Buffer<MAX_SELECTION_LIST> =
                    bounded(|writer| selection::write(selections, writer)).unwrap_or_default();
                hash(&[before, &cc::POLICY_PCR.to_be_bytes(), &list, values])
            }
            Self::Nv { index, operand, offset, comparison } => {
                let arguments = hash(&[operand, &offset.to_be_bytes(), &(*comparison as u16).to_be_bytes()]);
                hash(&[before, &cc::POLICY_NV.to_be_bytes(), &arguments, &index.name()])
            }
            Self::Authorize { signer, policy_ref } => {
                hash(&[&hash(&[&EMPTY, &cc::POLICY_AUTHORIZE.to_be_bytes(), signer]), policy_ref])
            }
            #[cfg(feature = "host")]
            Self::AuthorizeNv { index } => hash(&[&EMPTY, &cc::POLICY_AUTHORIZE_NV.to_be_bytes(), &index.name()]),
            #[cfg(feature = "host")]
            Self::AuthValue => hash(&[before, &cc::POLICY_AUTH_VALUE.to_be_bytes()]),
            #[cfg(feature = "host")]
            Self::Secret { hierarchy, policy_ref } => {
                let asked = hash(&[before, &cc::POLICY_SECRET.to_be_bytes(), &hierarchy.to_be_bytes()]);
                hash(&[&asked, policy_ref])
            }
            #[cfg(feature = "host")]
            Self::Signed { signer, policy_ref } => {
                hash(&[&hash(&[before, &cc::POLICY_SIGNED.to_be_bytes(), signer]), policy_ref])
            }
            Self::CommandCode(code) => hash(&[before, &cc::POLICY_COMMAND_CODE.to_be_bytes(), &code.to_be_bytes()]),
            Self::Or(branches) => {
                let digests: Vec<_> = branches.iter().flat_map(|branch| branch.behind(*before)).collect();
                hash(&[&EMPTY, &cc::POLICY_OR.to_be_bytes(), &digests])
            }
        }
    }
}
