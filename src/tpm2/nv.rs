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
