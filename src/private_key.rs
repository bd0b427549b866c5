//! Private keys as people have them: PKCS#8, PKCS#1, SEC 1, in PEM. Pure.

use crate::pem::{self, Block};
use der::{
    Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef},
};
use pkcs1::RsaPrivateKeyRef;
use spki::AlgorithmIdentifierRef;

/// id-ecPublicKey (RFC 5480, section 2.1.1).
pub const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A private key, in the block that it was found in.
pub enum KeyNumbers<'a> {
    /// RSA.
    Rsa(RsaPrivateKeyRef<'a>),
    /// A point's discrete logarithm.
    Ec {
        /// The algorithm with its curve, as a certificate has it.
        algorithm: Vec<u8>,
        /// The private scalar, big endian.
        scalar: &'a [u8],
        /// The public point, if it is there.
        point: Option<&'a [u8]>,
    },
    /// Another algorithm.
    Other {
        /// As in `Ec`.
        algorithm: Vec<u8>,
        /// What PKCS#8 wraps.
        secret: &'a [u8],
    },
}

/// The one private key in `text`.
///
/// # Errors
/// Says why there is none that can be read.
pub fn only(text: &[u8]) -> Result<Block<'_>, &'static str> {
    let mut keys = pem::blocks(text).filter(|block| block.label.ends_with("PRIVATE KEY"));
    let key = keys.next().ok_or("it holds no private key in PEM")?;
    if keys.next().is_some() {
        return Err("it holds more than one private key");
    }
    if key.encrypted || key.label == "ENCRYPTED PRIVATE KEY" {
        return Err("its private key is encrypted");
    }
    if key.der.is_none() {
        return Err("its private key is not base64");
    }
    Ok(key)
}

impl<'a> KeyNumbers<'a> {
    /// The key in a block of PEM.
    #[must_use]
    pub fn of_block(block: &'a Block<'_>) -> Option<Self> {
        let der = block.der.as_ref()?;
        match block.label {
            "RSA PRIVATE KEY" => RsaPrivateKeyRef::from_der(der).ok().map(Self::Rsa),
            "EC PRIVATE KEY" => Self::sec1(der, None).ok(),
            "PRIVATE KEY" => Self::pkcs8(der).ok(),
            _ => None,
        }
    }

    /// What only this key has, and has in every form: the private exponent of RSA or the scalar of a curve, big endian
    /// without leading zeros; else what PKCS#8 wraps.
    #[must_use]
    pub fn number(&self) -> &'a [u8] {
        match self {
            Self::Rsa(key) => key.private_exponent.as_bytes(),
            Self::Ec { scalar, .. } => {
                let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
                scalar.get(zeros..).unwrap_or_default()
            }
            Self::Other { secret, .. } => secret,
        }
    }

    /// `PrivateKeyInfo` (RFC 5958, section 2): the algorithm and what it wraps.
    fn pkcs8(der: &'a [u8]) -> der::Result<Self> {
        let outer = AnyRef::from_der(der)?;
        outer.tag().assert_eq(Tag::Sequence)?;
        let mut fields = SliceReader::new(outer.value())?;
        AnyRef::decode(&mut fields)?;
        let algorithm = AlgorithmIdentifierRef::decode(&mut fields)?;
        let inner = <&OctetStringRef>::decode(&mut fields)?.as_bytes();
        if algorithm.oid == pkcs1::ALGORITHM_OID {
            return RsaPrivateKeyRef::from_der(inner).map(Self::Rsa);
        }
        if algorithm.oid == EC_PUBLIC_KEY {
            return Self::sec1(inner, Some(algorithm));
        }
        Ok(Self::Other { algorithm: algorithm.to_der()?, secret: inner })
    }

    /// `ECPrivateKey` (RFC 5915, section 3); in PKCS#8 the curve stands outside.
    fn sec1(der: &'a [u8], outside: Option<AlgorithmIdentifierRef<'a>>) -> der::Result<Self> {
        let outer = AnyRef::from_der(der)?;
        outer.tag().assert_eq(Tag::Sequence)?;
        let mut fields = SliceReader::new(outer.value())?;
        AnyRef::decode(&mut fields)?;
        let scalar = <&OctetStringRef>::decode(&mut fields)?.as_bytes();
        let (mut algorithm, mut point) = (outside, None);
        while !fields.is_finished() {
            let field = AnyRef::decode(&mut fields)?;
            match field.tag() {
                Tag::ContextSpecific { number: TagNumber(0), .. } if outside.is_none() => {
                    let curve = AnyRef::from_der(field.value())?;
                    algorithm = Some(AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(curve) });
                }
                Tag::ContextSpecific { number: TagNumber(1), .. } => {
                    point = BitStringRef::from_der(field.value())?.as_bytes();
                }
                _ => {}
            }
        }
        let algorithm = algorithm.ok_or_else(|| Tag::ObjectIdentifier.value_error())?.to_der()?;
        Ok(Self::Ec { algorithm, scalar, point })
    }
}
