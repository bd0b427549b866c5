//! The RSA public keys that sign policies.

use crate::{
    error::{Error, Kind, Result},
    pem,
    tpm2::{
        Name, Public, name,
        public::{AsymmetricKey, attribute},
    },
};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

/// The only exponent that TPMs are sure to take.
const EXPONENT: u32 = 65537;
/// Sizes of moduli, in bytes, that TPMs know.
const MODULUS_SIZES: [usize; 3] = [256, 384, 512];
/// The key as it is loaded.
const OBJECT_ATTRIBUTES: u32 = attribute::USER_WITH_AUTH | attribute::DECRYPT | attribute::SIGN;

/// An RSA public key with exponent 65537.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyKey {
    modulus: Vec<u8>,
}

impl PolicyKey {
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

    /// As a TPM knows it: the exponent spelled out, symmetric and scheme NULL.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        let key = AsymmetricKey::Rsa { modulus: &self.modulus, exponent: EXPONENT };
        Public { attributes: OBJECT_ATTRIBUTES, policy: &[], encrypts_children: false, key }
    }

    /// Its Name (TPM 2.0 Library part 1, section 16).
    #[must_use]
    pub fn name(&self) -> Name {
        // No modulus is too large for one.
        name::of(&self.public().area().unwrap_or_default())
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
