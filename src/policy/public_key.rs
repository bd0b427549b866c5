//! The RSA public keys that sign policies.

use crate::{
    digest::{Name, hash},
    error::{Error, Kind, Result},
    pem,
};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

/// The only exponent that TPMs are sure to take.
pub const EXPONENT: u32 = 65537;
/// Sizes of moduli, in bytes, that TPMs know.
const MODULUS_SIZES: [usize; 3] = [256, 384, 512];
/// `TPMA_OBJECT` of the key as it is loaded: userWithAuth, decrypt, sign.
pub const OBJECT_ATTRIBUTES: u32 = 0x0006_0040;

/// An RSA public key with exponent 65537.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    modulus: Vec<u8>,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7) in PEM.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: not PEM, not RSA, an unusual size or exponent.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::new(Kind::Corrupt, "read a policy key", why);
        let block = pem::blocks(pem).find(|block| block.label == "PUBLIC KEY");
        let der = block.and_then(|block| block.der).ok_or_else(|| bad("it holds no PUBLIC KEY in PEM".into()))?;
        let modulus = modulus(&der).map_err(|e| bad(e.to_string()))?;
        Self::from_modulus(modulus)
    }

    /// A key of this modulus (big endian, no leading zeros).
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: not 2048, 3072 or 4096 bits.
    pub fn from_modulus(modulus: Vec<u8>) -> Result<Self> {
        if !MODULUS_SIZES.contains(&modulus.len()) || modulus.first().is_none_or(|first| first & 0x80 == 0) {
            return Err(Error::new(Kind::Corrupt, "use a policy key", "it is not of 2048, 3072 or 4096 bits"));
        }
        Ok(Self { modulus })
    }

    /// The modulus, big endian.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// Size of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> u16 {
        u16::try_from(self.modulus.len() * 8).unwrap_or(0)
    }

    /// Its `TPMT_PUBLIC` (part 2, section 12.2.4): the exponent spelled out, symmetric and scheme NULL.
    #[must_use]
    pub fn tpmt_public(&self) -> Vec<u8> {
        const RSA: u16 = 0x0001;
        const SHA256: u16 = 0x000b;
        const NULL: u16 = 0x0010;
        const NO_POLICY: u16 = 0;
        let mut public = Vec::with_capacity(24 + self.modulus.len());
        public.extend_from_slice(&RSA.to_be_bytes());
        public.extend_from_slice(&SHA256.to_be_bytes());
        public.extend_from_slice(&OBJECT_ATTRIBUTES.to_be_bytes());
        public.extend_from_slice(&NO_POLICY.to_be_bytes());
        public.extend_from_slice(&NULL.to_be_bytes());
        public.extend_from_slice(&NULL.to_be_bytes());
        public.extend_from_slice(&self.bits().to_be_bytes());
        public.extend_from_slice(&EXPONENT.to_be_bytes());
        public.extend_from_slice(&(self.bits() / 8).to_be_bytes());
        public.extend_from_slice(&self.modulus);
        public
    }

    /// The Name that the TPM gives the key (part 1, section 16): the digest of [`Self::tpmt_public`].
    #[must_use]
    pub fn name(&self) -> Name {
        let mut name = [0; 34];
        let (algorithm, digest) = name.split_at_mut(2);
        algorithm.copy_from_slice(&[0x00, 0x0b]);
        digest.copy_from_slice(&hash(&[&self.tpmt_public()]));
        name
    }
}

/// The modulus in a `SubjectPublicKeyInfo` of an RSA key with the usual exponent.
fn modulus(spki: &[u8]) -> der::Result<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef::from_der(spki)?;
    let bits = info.subject_public_key.as_bytes();
    if info.algorithm.oid != pkcs1::ALGORITHM_OID {
        return Err(der::Tag::ObjectIdentifier.value_error().into());
    }
    let key = pkcs1::RsaPublicKeyRef::from_der(bits.unwrap_or_default())?;
    if key.public_exponent.as_bytes() != [1, 0, 1] {
        return Err(der::Tag::Integer.value_error().into());
    }
    Ok(key.modulus.as_bytes().to_vec())
}
