//! Private keys: RSA, in PKCS#8 (RFC 5958).
//!
//! Whatever held one is wiped: by AWS-LC in its memory, by the allocator
//! ([`crate::memory`]) in ours.

use crate::error::{Error, Kind, Result};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use der::{
    Decode, Document,
    oid::{ObjectIdentifier, db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION},
};
use pem_rfc7468::LineEnding;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SignatureBitStringEncoding,
    SubjectPublicKeyInfoOwned,
};
use zeroize::Zeroizing;

/// The label of PKCS#8 in PEM (RFC 7468, section 10).
const PKCS8: &str = "PRIVATE KEY";
/// The label of PKCS#1 in PEM, as older OpenSSL writes it.
const PKCS1: &str = "RSA PRIVATE KEY";
/// The label of a `SubjectPublicKeyInfo` in PEM (RFC 7468, section 13).
const PUBLIC: &str = "PUBLIC KEY";

/// A private key that can sign.
///
/// It cannot be cloned, compared or printed.
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

/// The public half of a [`PrivateKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Document);

/// An RSASSA-PKCS1-v1_5 signature with SHA-256, as long as the key's modulus.
pub struct Signature(Vec<u8>);

impl PrivateKey {
    /// Makes a new RSA key of 2048 bits with exponent 65537.
    ///
    /// # Errors
    /// [`Kind::System`] when there is no randomness.
    pub fn generate() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed("make a private key"))?;
        Self::new(pair)
    }

    /// Reads PKCS#8, or PKCS#1, in PEM.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: not PEM, not RSA, encrypted.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let bad =
            |why: String| Error::new(Kind::Corrupt, "read a private key", why).remedy("give an RSA key in PKCS#8");
        let (label, der) = pem_rfc7468::decode_vec(pem).map_err(|e| bad(e.to_string()))?;
        let der = Zeroizing::new(der);
        let pair = match label {
            PKCS8 => KeyPair::from_pkcs8(&der),
            PKCS1 => KeyPair::from_der(&der),
            other => return Err(bad(format!("its label is {other} and not {PKCS8}"))),
        };
        Self::new(pair.map_err(|e| bad(e.to_string()))?)
    }

    fn new(pair: KeyPair) -> Result<Self> {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| failed("encode a public key"))?;
        let public = Document::try_from(der.as_ref()).map_err(|e| failed_with("encode a public key", &e))?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The key as PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`Kind::System`] when there is no memory.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| failed("encode a private key"))?;
        let pem = pem_rfc7468::encode_string(PKCS8, LineEnding::LF, der.as_ref());
        pem.map(Zeroizing::new).map_err(|e| failed_with("encode a private key", &e))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).
    ///
    /// # Errors
    /// [`Kind::System`] when AWS-LC refuses the key.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| failed("sign"))?;
        Ok(signature)
    }
}

impl PublicKey {
    /// Its `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// [`Kind::System`] when AWS-LC has encoded it wrongly.
    pub fn to_info(&self) -> Result<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_der(self.as_der()).map_err(|e| failed_with("decode a public key", &e))
    }

    /// Its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Its `SubjectPublicKeyInfo` in PEM.
    ///
    /// # Errors
    /// [`Kind::System`] when there is no memory.
    pub fn to_pem(&self) -> Result<String> {
        pem_rfc7468::encode_string(PUBLIC, LineEnding::LF, self.as_der())
            .map_err(|e| failed_with("encode a public key", &e))
    }
}

fn failed(what: &'static str) -> Error {
    Error::new(Kind::System, what, "the cryptographic library refused")
}

fn failed_with(what: &'static str, why: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::System, what, why.to_string())
}

// What x509-cert asks of whoever signs a certificate.

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(self.0.clone())
    }
}

impl signature::Keypair for PrivateKey {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl signature::Signer<Signature> for PrivateKey {
    fn try_sign(&self, message: &[u8]) -> signature::Result<Signature> {
        self.sign(message).map(Signature).map_err(signature::Error::from_source)
    }
}

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<der::asn1::BitString> {
        der::asn1::BitString::from_bytes(&self.0)
    }
}

impl DynSignatureAlgorithmIdentifier for PrivateKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        const OID: ObjectIdentifier = SHA_256_WITH_RSA_ENCRYPTION;
        // RFC 4055, section 5: the parameters are NULL, and not absent.
        Ok(AlgorithmIdentifierOwned { oid: OID, parameters: Some(der::asn1::Null.into()) })
    }
}
