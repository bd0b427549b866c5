//! Reads `SignedData`, which may be hostile.
//!
//! In place: signatures and hashes are checked over the very bytes that were
//! read. What BER allows beyond DER (overlong or indefinite lengths) is refused,
//! except for the order within sets, which many signers do not keep.

use crate::{
    error::{Error, Kind, Result},
    host::pki::key::{Family, Hash, PublicKey},
};
use der::{
    AnyRef, Decode, Reader, SliceReader, Tag, TagNumber,
    oid::{
        ObjectIdentifier,
        db::{
            rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA},
            rfc5912::RSA_ENCRYPTION,
        },
    },
};

/// The tag of a set (X.690, section 8.12).
const SET: u8 = 0x31;
/// Upper bound for certificates.
const MAX_CERTIFICATES: usize = 32;
/// Upper bound for attributes.
const MAX_ATTRIBUTES: usize = 32;

/// A value in DER: tag, length and value together, and the value alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The whole of it.
    pub der: &'a [u8],
    any: AnyRef<'a>,
}

/// `SignedData` with one signer.
#[derive(Clone, Debug)]
pub struct SignedData<'a> {
    /// `contentType` of the content.
    pub content_type: ObjectIdentifier,
    /// The content, unless it is elsewhere.
    pub content: Option<Tlv<'a>>,
    /// X.509 certificates, each in DER, unread.
    pub certificates: Vec<&'a [u8]>,
    /// Its one signer.
    pub signer: SignerInfo<'a>,
}

/// The signer: who has signed, and how.
#[derive(Clone, Debug)]
pub struct SignerInfo<'a> {
    /// `issuer` of the signer's certificate: a `Name` in DER.
    pub issuer: &'a [u8],
    /// `serialNumber` of the signer's certificate: an `INTEGER` in DER.
    pub serial_number: &'a [u8],
    /// `digestAlgorithm`.
    pub digest_algorithm: ObjectIdentifier,
    /// `authenticatedAttributes`: kind and the one value, and all of them as they were signed.
    pub attributes: Option<Attributes<'a>>,
    /// `digestEncryptionAlgorithm`.
    pub signature_algorithm: ObjectIdentifier,
    /// `encryptedDigest`.
    pub signature: &'a [u8],
}

/// Attributes that are signed in place of the content.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    each: Vec<(ObjectIdentifier, Vec<Tlv<'a>>)>,
    signed: Vec<u8>,
}

impl<'a> Tlv<'a> {
    /// Reads one value, and nothing after it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn read(der: &'a [u8]) -> Result<Self> {
        Ok(Self { der, any: AnyRef::from_der(der).map_err(|e| malformed(&e))? })
    }

    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.any.header().tag()
    }

    /// What follows tag and length.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.any.value()
    }

    /// Decodes a primitive type.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: another type.
    pub fn decode<T: Decode<'a, Error = der::Error>>(&self) -> Result<T> {
        T::from_der(self.der).map_err(|e| malformed(&e))
    }

    /// The parts of a constructed value of this tag.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: another tag, more than `most` parts.
    pub fn parts(&self, tag: Tag, most: usize) -> Result<Vec<Self>> {
        if self.tag() != tag {
            return Err(bad(format!("there is {} where {tag} should be", self.tag())));
        }
        let mut reader = SliceReader::new(self.value()).map_err(|e| malformed(&e))?;
        let mut parts = Vec::new();
        while !reader.is_finished() {
            if parts.len() == most {
                return Err(bad(format!("{tag} has more than {most} parts")));
            }
            parts.push(Self::read(reader.tlv_bytes().map_err(|e| malformed(&e))?)?);
        }
        Ok(parts)
    }
}

impl<'a> SignedData<'a> {
    /// Reads a `ContentInfo` that holds `SignedData`, and nothing after it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not one, is not in DER, or does not have exactly one signer.
    pub fn parse_content_info(der: &'a [u8]) -> Result<Self> {
        let parts = Tlv::read(der)?.parts(Tag::Sequence, 2)?;
        let [kind, content] = parts.as_slice() else { return Err(bad("ContentInfo is not complete")) };
        if kind.decode::<ObjectIdentifier>()? != ID_SIGNED_DATA {
            return Err(bad("its content is no SignedData"));
        }
        let content = content.parts(context(0), 1)?;
        let [signed_data] = content.as_slice() else { return Err(bad("ContentInfo is empty")) };
        Self::read(signed_data)
    }

    /// Reads a bare `SignedData`, and nothing after it.
    ///
    /// # Errors
    /// As [`Self::parse_content_info`].
    pub fn parse(der: &'a [u8]) -> Result<Self> {
        Self::read(&Tlv::read(der)?)
    }

    fn read(signed_data: &Tlv<'a>) -> Result<Self> {
        let parts = signed_data.parts(Tag::Sequence, 6)?;
        let [version, algorithms, content, optional @ .., signers] = parts.as_slice() else {
            return Err(bad("SignedData is not complete"));
        };
        expect_version_1(version)?;
        let digest_algorithms = algorithms.parts(Tag::Set, 1)?.iter().map(algorithm).collect::<Result<Vec<_>>>()?;
        let (content_type, content) = read_content(content)?;
        let certificates = match optional {
            [] => Vec::new(),
            [certificates] if certificates.tag() == context(1) => Vec::new(),
            [certificates] => read_certificates(certificates)?,
            [certificates, crls] if crls.tag() == context(1) => read_certificates(certificates)?,
            _ => return Err(bad("SignedData has a part that does not belong there")),
        };
        let signers = signers.parts(Tag::Set, 1)?;
        let [signer] = signers.as_slice() else { return Err(bad("there is no signer")) };
        let signer = SignerInfo::read(signer)?;
        if digest_algorithms != [signer.digest_algorithm] {
            return Err(bad("SignedData and its signer speak of different hashes"));
        }
        Ok(Self { content_type, content, certificates, signer })
    }
    /// Whether `key` has signed `content`, which is the value of [`Self::content`] if there is one: through the
    /// attributes, or otherwise directly.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey, content: &[u8]) -> bool {
        let by = &self.signer;
        let Some(hash) = by.hash() else { return false };
        let algorithm = by.signature_algorithm == key.family().signature_oid(hash)
            || key.family() == Family::Rsa && by.signature_algorithm == RSA_ENCRYPTION;
        let signed = match &by.attributes {
            None => key.verify(hash, content, by.signature),
            Some(attributes) => {
                attributes.are_for(self.content_type, &hash.digest(content))
                    && key.verify(hash, &attributes.signed, by.signature)
            }
        };
        algorithm && signed
    }
}

fn read_content<'a>(content: &Tlv<'a>) -> Result<(ObjectIdentifier, Option<Tlv<'a>>)> {
    match content.parts(Tag::Sequence, 2)?.as_slice() {
        [kind] => Ok((kind.decode()?, None)),
        [kind, content] => {
            let content = content.parts(context(0), 1)?;
            Ok((kind.decode()?, content.first().copied()))
        }
        _ => Err(bad("the content has no type")),
    }
}

fn read_certificates<'a>(certificates: &Tlv<'a>) -> Result<Vec<&'a [u8]>> {
    let certificates = certificates.parts(context(0), MAX_CERTIFICATES)?;
    // Choices other than X.509 have tags of their own: RFC 5652, section 10.2.2.
    Ok(certificates.iter().filter(|choice| choice.tag() == Tag::Sequence).map(|choice| choice.der).collect())
}

impl<'a> SignerInfo<'a> {
    fn read(signer: &Tlv<'a>) -> Result<Self> {
        let parts = signer.parts(Tag::Sequence, 7)?;
        let [version, id, digest_algorithm, rest @ ..] = parts.as_slice() else {
            return Err(bad("SignerInfo is not complete"));
        };
        expect_version_1(version)?;
        let id = id.parts(Tag::Sequence, 2)?;
        let [issuer, serial_number] = id.as_slice() else { return Err(bad("the signer is not named")) };
        let (attributes, rest) = match rest {
            [attributes, rest @ ..] if attributes.tag() == context(0) => (Some(Attributes::read(attributes)?), rest),
            _ => (None, rest),
        };
        // Unsigned attributes prove nothing.
        let (signature_algorithm, signature) = match rest {
            [algorithm, signature] => (algorithm, signature),
            [algorithm, signature, unsigned] if unsigned.tag() == context(1) => (algorithm, signature),
            _ => return Err(bad("SignerInfo is not complete")),
        };
        if signature.tag() != Tag::OctetString {
            return Err(bad("the signature is no OCTET STRING"));
        }
        Ok(Self {
            issuer: issuer.der,
            serial_number: serial_number.der,
            digest_algorithm: algorithm(digest_algorithm)?,
            attributes,
            signature_algorithm: algorithm(signature_algorithm)?,
            signature: signature.value(),
        })
    }

    /// The signer's hash, if it is a secure one.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.oid() == self.digest_algorithm)
    }
}

impl<'a> Attributes<'a> {
    fn read(attributes: &Tlv<'a>) -> Result<Self> {
        let mut each = Vec::new();
        for attribute in attributes.parts(context(0), MAX_ATTRIBUTES)? {
            let parts = attribute.parts(Tag::Sequence, 2)?;
            let [kind, values] = parts.as_slice() else { return Err(bad("an attribute is not complete")) };
            each.push((kind.decode()?, values.parts(Tag::Set, MAX_ATTRIBUTES)?));
        }
        // Signed attributes have the tag of a set, and not the one that they are stored under: RFC 2315, section 9.3.
        let mut signed = attributes.der.to_vec();
        if let Some(tag) = signed.first_mut() {
            *tag = SET;
        }
        Ok(Self { each, signed })
    }

    /// The value of an attribute that occurs once, with one value.
    #[must_use]
    pub fn get(&self, kind: ObjectIdentifier) -> Option<Tlv<'a>> {
        let mut found = self.each.iter().filter(|(oid, _)| *oid == kind);
        match (found.next(), found.next()) {
            (Some((_, values)), None) => <&[_; 1]>::try_from(values.as_slice()).ok().map(|[value]| *value),
            _ => None,
        }
    }

    fn are_for(&self, kind: ObjectIdentifier, digest: &[u8]) -> bool {
        let content_type = self.get(ID_CONTENT_TYPE).and_then(|value| value.decode().ok());
        let message_digest = self.get(ID_MESSAGE_DIGEST).filter(|value| value.tag() == Tag::OctetString);
        content_type == Some(kind) && message_digest.is_some_and(|value| value.value() == digest)
    }
}

/// The identifier of an algorithm whose parameters are NULL or absent.
fn algorithm(identifier: &Tlv<'_>) -> Result<ObjectIdentifier> {
    match identifier.parts(Tag::Sequence, 2)?.as_slice() {
        [oid] => oid.decode(),
        [oid, parameters] if parameters.any.is_null() => oid.decode(),
        _ => Err(bad("an algorithm has parameters")),
    }
}

fn expect_version_1(version: &Tlv<'_>) -> Result<()> {
    if version.decode::<u8>()? == 1 { Ok(()) } else { Err(bad("it is not of version 1")) }
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn malformed(why: &der::Error) -> Error {
    bad(format!("it is not in DER: {why}"))
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Corrupt, "read a signature", why).remedy("sign it again")
}
