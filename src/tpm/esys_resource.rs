//! What ESYS knows of an index or a key, without asking the TPM again.
//!
//! `Esys_TR_Serialize` gives the public area that ESYS fetched with the
//! handle; `Esys_TR_Deserialize` takes one that is known beforehand. The form
//! is tpm2-tss's own (version 4.1.3, which build.rs compiles): handle, Name as
//! a `TPM2B`, a tag, then the `TPM2B` public area in TPM form. Pure.

use super::StorageKey;
use crate::{
    bytes::Reader,
    layout::{Index, POLICY_VERSION_NAME, attribute},
};

/// The tag of an NV index.
const NV_RESOURCE: u32 = 2;
/// The tag of a key.
const KEY_RESOURCE: u32 = 1;
/// `TPM_ALG_SHA256`.
pub const ALG_SHA256: u16 = 0x000b;

/// `TPMS_NV_PUBLIC` but for the handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPublic {
    /// `TPM_ALG_ID`.
    pub name_algorithm: u16,
    /// `TPMA_NV`.
    pub attributes: u32,
    /// The policy, if there is one.
    pub policy: Vec<u8>,
    /// Bytes of data.
    pub size: u16,
}

impl NvPublic {
    /// As the TPM marshals it, which its Name is the hash of.
    pub fn area(&self, index: Index) -> Vec<u8> {
        // No policy is longer than a digest.
        let policy = u16::try_from(self.policy.len()).unwrap_or_default();
        let (handle, attributes) = (index.handle().to_be_bytes(), self.attributes.to_be_bytes());
        let [algorithm, policy_size, size] = [self.name_algorithm, policy, self.size].map(u16::to_be_bytes);
        [&handle[..], &algorithm, &attributes, &policy_size, &self.policy, &size].concat()
    }
}

/// The public area behind handle, Name and the expected tag.
fn public(resource: &[u8], tag: u32) -> Option<&[u8]> {
    let mut reader = Reader::new(resource);
    reader.be32()?;
    reader.tpm2b()?;
    (reader.be32()? == tag).then_some(())?;
    reader.tpm2b()
}

/// The public area of an NV index.
pub fn nv_public(resource: &[u8]) -> Option<NvPublic> {
    let mut public = Reader::new(public(resource, NV_RESOURCE)?);
    public.be32()?;
    let name_algorithm = public.be16()?;
    let attributes = public.be32()?;
    let policy = public.tpm2b()?.to_vec();
    Some(NvPublic { name_algorithm, attributes, policy, size: public.be16()? })
}

/// The public area of a key, if it can be salted to.
pub fn storage_key(resource: &[u8]) -> Option<StorageKey> {
    StorageKey::parse(public(resource, KEY_RESOURCE)?)
}

/// Index 0x1500020 as every provisioned machine has it: its Name is part of
/// the layout, so that the TPM need not be asked. Where the index differs, the
/// TPM finds that the policy is not the one that was signed.
pub fn policy_version() -> Vec<u8> {
    let index = Index::PolicyVersion;
    let attributes = index.attributes() | attribute::WRITTEN;
    let public = NvPublic { name_algorithm: ALG_SHA256, attributes, policy: Vec::new(), size: 4 }.area(index);
    let mut resource = Vec::with_capacity(60);
    resource.extend_from_slice(&index.handle().to_be_bytes());
    resource.extend_from_slice(&[0, 34]);
    resource.extend_from_slice(&POLICY_VERSION_NAME);
    resource.extend_from_slice(&NV_RESOURCE.to_be_bytes());
    resource.extend_from_slice(&[0, 14]);
    resource.extend_from_slice(&public);
    resource
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hash;

    #[test]
    fn the_name_of_the_policy_version_is_that_of_its_public_area() {
        let resource = policy_version();
        let area = &resource[resource.len() - 14..];
        assert_eq!(POLICY_VERSION_NAME[2..], hash(&[area]));
        let public = nv_public(&resource).unwrap();
        assert_eq!(public, NvPublic { name_algorithm: 0x000b, attributes: 0x2006_0002, policy: vec![], size: 4 });
    }

    #[test]
    fn anything_shorter_is_nothing() {
        let resource = policy_version();
        for end in 0..resource.len() {
            assert_eq!(nv_public(&resource[..end]), None);
        }
        assert_eq!(storage_key(&resource), None);
    }
}
