//! The file of a key that a TPM has wrapped, as OpenSSL's tpm2 provider reads it (draft "ASN.1 Specification for
//! TPM 2.0 Key Files"). Nothing in it is secret to the TPM's own users. Pure.
//!
//! The program of the initrd writes one kind; [`any`] reads and writes them all.

#[cfg(feature = "host")]
mod any;

#[cfg(feature = "host")]
pub use any::{Alternative, KeyFile, KeyFileKind, Statement};

use crate::{pem, tpm2::duplication::tpm2b};
use der::{
    Encode, Tag, TagMode, TagNumber,
    asn1::{AnyRef, ContextSpecificRef, ObjectIdentifier, OctetStringRef},
};

/// Of the PEM block.
pub const LABEL: &str = "TSS2 PRIVATE KEY";
/// id-loadablekey.
const LOADABLE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.3");

/// A key without a password: `public` is a `TPMT_PUBLIC`, `private` what is in a `TPM2B_PRIVATE`.
pub fn encode(parent: u32, public: &[u8], private: &[u8]) -> Option<String> {
    let (public, private) = (tpm2b(public)?, tpm2b(private)?);
    let no_password = ContextSpecificRef { tag_number: TagNumber(0), tag_mode: TagMode::Explicit, value: &true };
    let mut fields = Vec::new();
    LOADABLE.encode_to_vec(&mut fields).ok()?;
    no_password.encode_to_vec(&mut fields).ok()?;
    parent.encode_to_vec(&mut fields).ok()?;
    for area in [&public, &private] {
        OctetStringRef::new(area).ok()?.encode_to_vec(&mut fields).ok()?;
    }
    let whole = AnyRef::new(Tag::Sequence, &fields).ok()?.to_der().ok()?;
    Some(pem::encode(LABEL, &whole))
}

/// Whether a file begins as one that [`encode`] has made.
pub fn is_one(file: &[u8]) -> bool {
    file.strip_prefix(b"-----BEGIN ").is_some_and(|rest| rest.starts_with(LABEL.as_bytes()))
}
