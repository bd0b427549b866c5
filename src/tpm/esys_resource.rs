//! What ESYS knows of an index or a key, without asking the TPM again.
//!
//! `Esys_TR_Serialize` gives the public area that ESYS fetched with the
//! handle; `Esys_TR_Deserialize` takes one that is known beforehand. The form
//! is tpm2-tss's own (version 4.1.3, which build.rs compiles): handle, Name as
//! a `TPM2B`, a tag, then the `TPM2B` public area in TPM form. Pure.

use crate::{
    bytes::{Buffer, Reader, bounded},
    tpm2::{NvPublic, StorageKey, nv},
};

/// The tag of an NV index.
const NV_RESOURCE: u32 = 2;
/// The tag of a key.
const KEY_RESOURCE: u32 = 1;
/// Bytes of the largest resource of an index.
const MAX: usize = 4 + 2 + 34 + 4 + 2 + nv::MAX_AREA;
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
    NvPublic::parse(public(resource, NV_RESOURCE)?)
}

/// The public area of a key, if it can be salted to.
pub fn storage_key(resource: &[u8]) -> Option<StorageKey> {
    StorageKey::parse(public(resource, KEY_RESOURCE)?)
}

/// An index whose public area is known, so that the TPM need not be asked. Where it is another in the TPM, a policy
/// that names it does not hold.
pub fn of_index(public: &NvPublic) -> Option<Buffer<MAX>> {
    bounded(|writer| writer.be32(public.index).tpm2b(&public.name()).be32(NV_RESOURCE).tpm2b(&public.area()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::version;

    #[test]
    fn encoded_names_are_decoded_and_shorter_ones_refused() {
        let resource = of_index(&version::index()).unwrap();
        assert_eq!(nv_public(&resource), Some(version::index()));
        for end in 0..resource.len() {
            assert_eq!(nv_public(&resource[..end]), None);
        }
        assert_eq!(storage_key(&resource), None);
    }
}
