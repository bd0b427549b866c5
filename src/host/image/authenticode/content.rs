//! `SpcIndirectDataContent`: what is signed in place of the image, its kind and its digest.

use crate::{
    error::{Error, Kind, Result},
    host::pki::{cms::Tlv, key::Hash},
};
use der::{
    Encode, Sequence, Tag, Tagged,
    asn1::AnyRef,
    oid::{ObjectIdentifier, db::rfc5912::ID_SHA_1},
};
use spki::AlgorithmIdentifierRef;

/// `SPC_PE_IMAGE_DATAOBJ`.
const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// What pesign says in its place: that the signer is a person.
const SPC_INDIVIDUAL_SP_KEY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.21");
/// Contents of a `SpcPeImageData` that says nothing: no flags, and as file an empty string.
const NOTHING_TO_SAY: [u8; 9] = [0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00];

#[derive(Sequence)]
struct SpcIndirectDataContent<'a> {
    data: SpcAttribute<'a>,
    message_digest: DigestInfo<'a>,
}

#[derive(Sequence)]
struct SpcAttribute<'a> {
    kind: ObjectIdentifier,
    value: AnyRef<'a>,
}

#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    digest: AnyRef<'a>,
}

/// The content to sign for an image of this digest, in DER.
///
/// # Errors
/// [`Kind::System`], which cannot be.
pub fn encode(hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
    let encode = || {
        SpcIndirectDataContent {
            data: SpcAttribute { kind: SPC_PE_IMAGE_DATA, value: AnyRef::new(Tag::Sequence, &NOTHING_TO_SAY)? },
            message_digest: DigestInfo {
                algorithm: AlgorithmIdentifierRef { oid: hash.oid(), parameters: Some(AnyRef::NULL) },
                digest: AnyRef::new(Tag::OctetString, digest)?,
            },
        }
        .to_der()
    };
    encode().map_err(|why| Error::new(Kind::System, "encode a signature", why.to_string()))
}

/// The hash and the digest that a signature speaks of.
///
/// # Errors
/// [`Kind::Corrupt`]: it speaks of something else; [`Kind::Refused`]: a hash that is not to be trusted.
pub fn decode<'a>(content: &Tlv<'a>) -> Result<(Hash, &'a [u8])> {
    let parts = content.parts(Tag::Sequence, 2)?;
    let [data, message_digest] = parts.as_slice() else { return Err(bad("SpcIndirectDataContent is not complete")) };
    let kind = data.parts(Tag::Sequence, 2)?.first().map(Tlv::decode).transpose()?;
    if kind != Some(SPC_PE_IMAGE_DATA) && kind != Some(SPC_INDIVIDUAL_SP_KEY_PURPOSE) {
        return Err(bad("it is for something other than a PE image"));
    }
    let DigestInfo { algorithm, digest } = message_digest.decode()?;
    if algorithm.parameters.is_some_and(|parameters| !parameters.is_null()) {
        return Err(bad("the digest's algorithm has parameters"));
    }
    let hash = Hash::ALL.into_iter().find(|hash| hash.oid() == algorithm.oid);
    let hash = hash.ok_or_else(|| unsupported(algorithm.oid))?;
    if digest.tag() != Tag::OctetString {
        return Err(bad("the digest is not an OCTET STRING"));
    }
    Ok((hash, digest.value()))
}

/// Refuses a hash.
pub fn unsupported(oid: ObjectIdentifier) -> Error {
    let why = match oid {
        ID_SHA_1 => "its digest is SHA-1, which can be forged".to_owned(),
        other => format!("its digest is of kind {other}, neither SHA-256 nor SHA-384"),
    };
    Error::new(Kind::Refused, "accept a signature", why).remedy("sign it with SHA-256 or SHA-384")
}

fn bad(why: &'static str) -> Error {
    Error::new(Kind::Corrupt, "read a signature", why).remedy("sign it again")
}
