//! The public keys that sign policies.

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

/// A public key as the TPM loads it: a keyset's is RSA with exponent 65537, spelled out, symmetric and scheme NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyKey {
    /// `TPMT_PUBLIC`.
    area: Vec<u8>,
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
        Self::from_modulus(&modulus)
    }

    /// A key of this modulus (big endian, no leading zeros).
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: not 2048, 3072 or 4096 bits.
    pub fn from_modulus(modulus: &[u8]) -> Result<Self> {
        if !MODULUS_SIZES.contains(&modulus.len()) || modulus.first().is_none_or(|first| first & 0x80 == 0) {
            return Err(Error::new(Kind::Corrupt, "use a policy key", "it is not of 2048, 3072 or 4096 bits"));
        }
        let key = AsymmetricKey::Rsa { modulus, exponent: EXPONENT };
        let public = Public { attributes: OBJECT_ATTRIBUTES, policy: &[], encrypts_children: false, key };
        // No modulus is too large for one.
        Ok(Self { area: public.area().unwrap_or_default().to_vec() })
    }

    /// The key of this `TPMT_PUBLIC`, whatever its kind: only a TPM says whether it is one.
    #[cfg(feature = "host")]
    #[must_use]
    pub const fn from_area(area: Vec<u8>) -> Self {
        Self { area }
    }

    /// Its `TPMT_PUBLIC`.
    #[must_use]
    pub fn area(&self) -> &[u8] {
        &self.area
    }

    /// Its Name (TPM 2.0 Library part 1, section 16).
    #[must_use]
    pub fn name(&self) -> Name {
        name::of(&self.area)
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
