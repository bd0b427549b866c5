//! NV indices: `TPMS_NV_PUBLIC` and `TPMA_NV` (part 2, sections 13.4 and 13.5).

use super::{Name, constants::alg, name};
use crate::{
    bytes::{Buffer, Reader, bounded},
    digest::Digest,
};

/// Bytes of the largest digest, and so of a policy.
const MAX_DIGEST: usize = 64;
/// Bytes of the largest `TPMS_NV_PUBLIC`.
pub const MAX_AREA: usize = 14 + MAX_DIGEST;

/// `TPMA_NV` bits.
pub mod attribute {
    /// Writable with owner authorization.
    pub const OWNERWRITE: u32 = 1 << 1;
    /// Writable with a policy session that satisfies the index' policy.
    pub const POLICYWRITE: u32 = 1 << 3;
    /// Readable with owner authorization.
    pub const OWNERREAD: u32 = 1 << 17;
    /// Readable with the index' own (empty) authorization value.
    pub const AUTHREAD: u32 = 1 << 18;
    /// Readable with a policy session that satisfies the index' policy.
    pub const POLICYREAD: u32 = 1 << 19;
    /// Not subject to dictionary attack protection: a lockout does not stop a boot.
    pub const NO_DA: u32 = 1 << 25;
    /// Has been written; set by the TPM, part of the Name.
    pub const WRITTEN: u32 = 1 << 29;

    /// Writable with the index' own authorization value.
    #[cfg(feature = "host")]
    pub const AUTHWRITE: u32 = 1 << 2;
    /// Removable by its policy alone, which the platform has to authorize.
    #[cfg(feature = "host")]
    pub const POLICY_DELETE: u32 = 1 << 10;
    /// Not writable until the next restart.
    #[cfg(feature = "host")]
    pub const WRITELOCKED: u32 = 1 << 11;
    /// Can be locked for good once it is written.
    #[cfg(feature = "host")]
    pub const WRITEDEFINE: u32 = 1 << 13;
    /// The type that counts up, and never down: `TPM_NT_COUNTER`.
    #[cfg(feature = "host")]
    pub const COUNTER: u32 = 1 << 4;
    /// Not readable until the next restart.
    #[cfg(feature = "host")]
    pub const READLOCKED: u32 = 1 << 28;
    /// Made by the platform, which alone removes it.
    #[cfg(feature = "host")]
    pub const PLATFORMCREATE: u32 = 1 << 30;

    /// The bits that are not the type, in the words of tpm2-tools.
    #[cfg(feature = "host")]
    pub const WORDS: [(u32, &str); 21] = [
        (1, "ppwrite"),
        (OWNERWRITE, "ownerwrite"),
        (AUTHWRITE, "authwrite"),
        (POLICYWRITE, "policywrite"),
        (POLICY_DELETE, "policydelete"),
        (WRITELOCKED, "writelocked"),
        (1 << 12, "writeall"),
        (WRITEDEFINE, "writedefine"),
        (1 << 14, "write_stclear"),
        (1 << 15, "globallock"),
        (1 << 16, "ppread"),
        (OWNERREAD, "ownerread"),
        (AUTHREAD, "authread"),
        (POLICYREAD, "policyread"),
        (NO_DA, "no_da"),
        (1 << 26, "orderly"),
        (1 << 27, "clear_stclear"),
        (READLOCKED, "readlocked"),
        (WRITTEN, "written"),
        (PLATFORMCREATE, "platformcreate"),
        (1 << 31, "read_stclear"),
    ];

    /// What a TPM sets itself, and nobody defines.
    #[cfg(feature = "host")]
    const BY_THE_TPM: u32 = WRITELOCKED | READLOCKED | WRITTEN;

    /// These bits in words.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn words(attributes: u32) -> Vec<&'static str> {
        WORDS.into_iter().filter(|(bit, _)| attributes & bit != 0).map(|(_, word)| word).collect()
    }

    /// The bits that words name, of those that an owner defines an ordinary index with: `ownerread|ownerwrite|no_da`.
    ///
    /// # Errors
    /// The word that is none, as a clause.
    #[cfg(feature = "host")]
    pub fn parse(text: &str) -> Result<u32, String> {
        text.split('|').try_fold(0, |attributes, word| {
            let known = WORDS.into_iter().find(|(_, known)| *known == word);
            let known = known.filter(|(bit, _)| bit & (BY_THE_TPM | PLATFORMCREATE) == 0);
            known.map(|(bit, _)| attributes | bit).ok_or_else(|| {
                let words = WORDS.into_iter().filter(|(bit, _)| bit & (BY_THE_TPM | PLATFORMCREATE) == 0);
                let words: Vec<_> = words.map(|(_, word)| word).collect();
                format!("{word:?} is not an attribute, which are {}, joined by |", words.join(", "))
            })
        })
    }
}

/// What kind of index it is: `TPM_NT` (part 2, section 13.2).
#[cfg(feature = "host")]
#[must_use]
pub const fn kind(attributes: u32) -> &'static str {
    match attributes >> 4 & 0xf {
        0 => "ordinary",
        1 => "counter",
        2 => "bits",
        4 => "extend",
        8 => "pinfail",
        9 => "pinpass",
        _ => "unknown",
    }
}

/// `TPMS_NV_PUBLIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPublic {
    /// The handle.
    pub index: u32,
    /// `TPM_ALG_ID`.
    pub name_algorithm: u16,
    /// `TPMA_NV`.
    pub attributes: u32,
    /// The policy; empty where there is none.
    pub policy: Buffer<MAX_DIGEST>,
    /// Bytes of data.
    pub size: u16,
}

impl NvPublic {
    /// An index with SHA-256 that a policy with this digest opens, or none.
    #[must_use]
    pub fn new(index: u32, attributes: u32, policy: Option<&Digest>, size: u16) -> Self {
        let policy = policy.map(|digest| (*digest).into()).unwrap_or_default();
        Self { index, name_algorithm: alg::SHA256, attributes, policy, size }
    }

    /// From its marshalled form.
    #[must_use]
    pub fn parse(area: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(area);
        let (index, name_algorithm, attributes) = (reader.be32()?, reader.be16()?, reader.be32()?);
        let policy = Buffer::from_slice(reader.tpm2b()?).ok()?;
        let size = reader.be16()?;
        reader.is_empty().then_some(Self { index, name_algorithm, attributes, policy, size })
    }

    /// As the TPM marshals it.
    #[must_use]
    pub fn area(&self) -> Buffer<MAX_AREA> {
        // The policy is the only field without a fixed size, and is bounded.
        bounded(|writer| {
            let writer = writer.be32(self.index).be16(self.name_algorithm).be32(self.attributes);
            writer.tpm2b(&self.policy).be16(self.size)
        })
        .unwrap_or_default()
    }

    /// Its Name, if its name algorithm is SHA-256.
    #[must_use]
    pub fn name(&self) -> Name {
        name::of(&self.area())
    }
}
