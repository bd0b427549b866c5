//! The machine's identity as `provision` is given it: a certificate and its
//! private key, stored as given once they have been seen to belong together.

use crate::{
    error::{Error, Kind, Result},
    files,
    pem::{self, Block},
    secret::{MAX_SECRET, Secret},
};
use der::{
    Decode, Reader, SliceReader, Tag, TagNumber, Tagged,
    asn1::{AnyRef, BitStringRef, OctetStringRef},
};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use std::{io::Read, path::Path};

/// A certificate and the private key that belongs to it, both PEM as given.
pub struct Identity {
    certificate: Vec<u8>,
    key: Secret,
}

impl Identity {
    /// Reads both files and sees that they fit: a certificate first in its
    /// file, one unencrypted private key (PKCS#8, PKCS#1 or SEC 1), the same public key in both.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let bad = |path: &Path, why: String| {
            Error::new(Kind::Usage, format!("use {}", path.display()), why)
                .remedy("give a certificate and its unencrypted private key in PEM")
        };
        let pem = files::read(certificate, MAX_SECRET).map_err(|e| bad(certificate, e.to_string()))?;
        let public = Public::of_certificate(&pem).map_err(|why| bad(certificate, why.into()))?;
        let (mut file, size) = files::open(key, MAX_SECRET).map_err(|e| bad(key, e.to_string()))?;
        let key = Secret::filled(size, |buffer| {
            file.read_exact(buffer).map_err(|e| bad(key, e.to_string()))?;
            match Public::of_key(buffer) {
                Ok(of_key) if of_key.matches(&public) => Ok(()),
                Ok(_) => Err(bad(key, "it is not the private key of the certificate".into())),
                Err(why) => Err(bad(key, why.into())),
            }
        })?;
        Ok(Self { certificate: pem, key })
    }

    /// The certificate file.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The key file.
    #[must_use]
    pub const fn key(&self) -> &Secret {
        &self.key
    }
}

/// A public key, as far as it must be known to be compared.
#[derive(Debug, PartialEq, Eq)]
enum Public {
    /// The modulus.
    Rsa(Vec<u8>),
    /// The algorithm, and the public key if the private one carries it.
    Other(Vec<u8>, Option<Vec<u8>>),
}

type Why = &'static str;

impl Public {
    /// That of the first certificate in `text`.
    fn of_certificate(text: &[u8]) -> std::result::Result<Self, Why> {
        let block = pem::blocks(text).next().ok_or("it holds no PEM")?;
        if block.label != "CERTIFICATE" {
            return Err("it does not begin with a certificate");
        }
        let malformed = "its certificate is malformed";
        let der = block.der.ok_or(malformed)?;
        let spki = subject_public_key_info(&der).map_err(|_| malformed)?;
        Self::of_spki(&spki).ok_or(malformed)
    }

    fn of_spki(spki: &SubjectPublicKeyInfoRef<'_>) -> Option<Self> {
        let bits = spki.subject_public_key.as_bytes()?;
        if spki.algorithm.oid == pkcs1::ALGORITHM_OID {
            let key = pkcs1::RsaPublicKeyRef::from_der(bits).ok()?;
            return Some(Self::Rsa(key.modulus.as_bytes().to_vec()));
        }
        Some(Self::Other(algorithm(&spki.algorithm)?, Some(bits.to_vec())))
    }

    /// That of the one private key in `text`.
    fn of_key(text: &[u8]) -> std::result::Result<Self, Why> {
        let mut keys = pem::blocks(text).filter(|block| block.label.ends_with("PRIVATE KEY"));
        let key = keys.next().ok_or("it holds no private key in PEM")?;
        if keys.next().is_some() {
            return Err("it holds more than one private key");
        }
        if key.label == "ENCRYPTED PRIVATE KEY" || key.der.is_none() {
            return Err("its private key is encrypted, or no base64");
        }
        Self::of_block(&key).ok_or("its private key is malformed")
    }

    fn of_block(block: &Block<'_>) -> Option<Self> {
        let der = block.der.as_ref()?;
        match block.label {
            "RSA PRIVATE KEY" => Self::of_pkcs1(der),
            "EC PRIVATE KEY" => Self::of_sec1(der, None),
            "PRIVATE KEY" => {
                let (algorithm, inner) = pkcs8(der).ok()?;
                if algorithm.oid == pkcs1::ALGORITHM_OID {
                    return Self::of_pkcs1(inner);
                }
                if algorithm.oid == EC_PUBLIC_KEY {
                    return Self::of_sec1(inner, Some(&algorithm));
                }
                Some(Self::Other(self::algorithm(&algorithm)?, None))
            }
            _ => None,
        }
    }

    /// `RSAPrivateKey` (RFC 8017, appendix A.1.2).
    fn of_pkcs1(der: &[u8]) -> Option<Self> {
        let key = pkcs1::RsaPrivateKeyRef::from_der(der).ok()?;
        Some(Self::Rsa(key.modulus.as_bytes().to_vec()))
    }

    /// `ECPrivateKey` (RFC 5915, section 3); in PKCS#8 the curve stands outside.
    fn of_sec1(der: &[u8], outer: Option<&AlgorithmIdentifierRef<'_>>) -> Option<Self> {
        let (curve, public) = ec_private_key(der).ok()?;
        let algorithm = match (outer, curve) {
            (Some(outer), _) => self::algorithm(outer)?,
            (None, Some(curve)) => {
                self::algorithm(&AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(curve) })?
            }
            (None, None) => return None,
        };
        Some(Self::Other(algorithm, public))
    }

    /// Whether a private key's public half is that of a certificate.
    fn matches(&self, certificate: &Self) -> bool {
        match (self, certificate) {
            // A key that does not carry its public half can only be of the same kind.
            (Self::Other(ours, None), Self::Other(theirs, _)) => ours == theirs,
            _ => self == certificate,
        }
    }
}

/// id-ecPublicKey (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: der::asn1::ObjectIdentifier = der::asn1::ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// An algorithm in a form that can be compared.
fn algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Vec<u8>> {
    use der::Encode;
    algorithm.to_der().ok()
}

/// The public key of a certificate (RFC 5280, section 4.1).
fn subject_public_key_info(certificate: &[u8]) -> der::Result<SubjectPublicKeyInfoRef<'_>> {
    let outer = AnyRef::from_der(certificate)?;
    outer.tag().assert_eq(Tag::Sequence)?;
    let mut fields = SliceReader::new(outer.value())?;
    let tbs = AnyRef::decode(&mut fields)?;
    tbs.tag().assert_eq(Tag::Sequence)?;
    let mut fields = SliceReader::new(tbs.value())?;
    let first = AnyRef::decode(&mut fields)?;
    // serialNumber, signature, issuer, validity, subject; the version before them may be missing.
    let skip = if first.tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber(0) }) { 5 } else { 4 };
    for _ in 0..skip {
        AnyRef::decode(&mut fields)?;
    }
    SubjectPublicKeyInfoRef::decode(&mut fields)
}

/// `PrivateKeyInfo` (RFC 5958, section 2): the algorithm and what it wraps.
fn pkcs8(der: &[u8]) -> der::Result<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let outer = AnyRef::from_der(der)?;
    outer.tag().assert_eq(Tag::Sequence)?;
    let mut fields = SliceReader::new(outer.value())?;
    AnyRef::decode(&mut fields)?;
    let algorithm = AlgorithmIdentifierRef::decode(&mut fields)?;
    let wrapped = <&OctetStringRef>::decode(&mut fields)?;
    Ok((algorithm, wrapped.as_bytes()))
}

/// The curve and the public point of an `ECPrivateKey`, both optional.
fn ec_private_key(der: &[u8]) -> der::Result<(Option<AnyRef<'_>>, Option<Vec<u8>>)> {
    let outer = AnyRef::from_der(der)?;
    outer.tag().assert_eq(Tag::Sequence)?;
    let mut fields = SliceReader::new(outer.value())?;
    AnyRef::decode(&mut fields)?;
    AnyRef::decode(&mut fields)?;
    let (mut curve, mut public) = (None, None);
    while !fields.is_finished() {
        let field = AnyRef::decode(&mut fields)?;
        match field.tag() {
            Tag::ContextSpecific { number: TagNumber(0), .. } => curve = Some(AnyRef::from_der(field.value())?),
            Tag::ContextSpecific { number: TagNumber(1), .. } => {
                public = BitStringRef::from_der(field.value())?.as_bytes().map(<[u8]>::to_vec);
            }
            _ => {}
        }
    }
    Ok((curve, public))
}
