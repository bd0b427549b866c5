//! A skim of X.509 certificates (RFC 5280, section 4.1): what the programs need of those that others have issued. Pure.

use crate::foreign;
use der::{
    Decode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, ObjectIdentifier},
};
use spki::SubjectPublicKeyInfoRef;

/// `id-at-commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Characters of a name that are shown.
const MAX_NAME: usize = 64;

/// The public key of a certificate in DER.
///
/// # Errors
/// It is none.
pub fn subject_public_key_info(certificate: &[u8]) -> der::Result<SubjectPublicKeyInfoRef<'_>> {
    let mut fields = subject_and_more(certificate)?;
    AnyRef::decode(&mut fields)?;
    SubjectPublicKeyInfoRef::decode(&mut fields)
}

/// The common name of the subject of a certificate in DER, in quotation marks, if it has one.
#[must_use]
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let mut relatives = contents(AnyRef::decode(&mut subject_and_more(certificate).ok()?).ok()?, Tag::Sequence).ok()?;
    while !relatives.is_finished() {
        let mut attributes = contents(AnyRef::decode(&mut relatives).ok()?, Tag::Set).ok()?;
        while !attributes.is_finished() {
            let mut attribute = contents(AnyRef::decode(&mut attributes).ok()?, Tag::Sequence).ok()?;
            let kind = ObjectIdentifier::decode(&mut attribute).ok()?;
            let value = AnyRef::decode(&mut attribute).ok()?;
            if kind == COMMON_NAME {
                let name = String::from_utf8_lossy(value.value());
                return Some(format!("\"{}\"", name.chars().map(foreign::shown).take(MAX_NAME).collect::<String>()));
            }
        }
    }
    None
}

/// The fields of a `TBSCertificate` from the subject on.
fn subject_and_more(certificate: &[u8]) -> der::Result<SliceReader<'_>> {
    let mut certificate = contents(AnyRef::from_der(certificate)?, Tag::Sequence)?;
    let mut fields = contents(AnyRef::decode(&mut certificate)?, Tag::Sequence)?;
    // serialNumber, signature, issuer, validity; [0] version may stand before them.
    let first = AnyRef::decode(&mut fields)?;
    for _ in 0..if first.tag().is_universal() { 3 } else { 4 } {
        AnyRef::decode(&mut fields)?;
    }
    Ok(fields)
}

fn contents(any: AnyRef<'_>, tag: Tag) -> der::Result<SliceReader<'_>> {
    any.tag().assert_eq(tag)?;
    SliceReader::new(any.value())
}
