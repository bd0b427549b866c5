//! Private and public keys: RSA, and ECDSA on P-256.
//!
//! Whatever held a private key is wiped: by AWS-LC in its memory, by the
//! allocator ([`crate::memory`]) in ours.

mod kind;
mod pem;
mod public;
mod software;

pub use kind::{Family, Hash, KeyType};
pub use public::PublicKey;

use super::atomic;
use crate::error::{Error, Kind, Result};
use pem::Block;
use software::Software;
use spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SignatureBitStringEncoding};
use std::path::Path;
use zeroize::Zeroizing;

/// A private key that can sign.
///
/// It cannot be cloned, compared or printed.
pub struct PrivateKey {
    source: Software,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key; of RSA with exponent 65537.
    ///
    /// # Errors
    /// [`Kind::System`] when there is no randomness.
    pub fn generate(kind: KeyType) -> Result<Self> {
        Self::new(Software::generate(kind)?)
    }

    /// Opens what `--key` names: a file in PEM.
    ///
    /// # Errors
    /// Those of reading and of [`Self::from_pem`].
    pub fn open(place: &str) -> Result<Self> {
        let path = Path::new(place);
        let pem = Zeroizing::new(atomic::read(path)?);
        Self::from_pem(&pem).map_err(|e| e.within(format!("use {}", path.display())))
    }

    /// Reads PKCS#8, PKCS#1 or SEC 1 in PEM.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: no key; [`Kind::Usage`]: one that is encrypted or of a kind that is not for us.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        match Block::find(pem)? {
            Block::Key(key) => Self::new(Software::decode(&key)?),
            Block::Elsewhere => Err(Error::new(Kind::Usage, "read a private key", "it lies in a token")),
        }
    }

    fn new(source: Software) -> Result<Self> {
        let public = source.public()?;
        Ok(Self { source, public })
    }

    /// The key as PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`Kind::System`] when there is no memory.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        self.source.to_pem()
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`: RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2), as long as the modulus, or
    /// ECDSA, r and s in DER (RFC 3279, section 2.2.3).
    ///
    /// # Errors
    /// [`Kind::Usage`]: a hash that does not go with the key; [`Kind::System`] when AWS-LC refuses it.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>> {
        self.source.sign(hash, message)
    }
}

/// A signature with SHA-256.
pub struct Signature(Vec<u8>);

// What x509-cert and cms ask of whoever signs.

impl signature::Keypair for PrivateKey {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl signature::Signer<Signature> for PrivateKey {
    fn try_sign(&self, message: &[u8]) -> signature::Result<Signature> {
        self.sign(Hash::Sha256, message).map(Signature).map_err(signature::Error::from_source)
    }
}

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<der::asn1::BitString> {
        der::asn1::BitString::from_bytes(&self.0)
    }
}

impl DynSignatureAlgorithmIdentifier for PrivateKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.public.family().signature_algorithm(Hash::Sha256))
    }
}
