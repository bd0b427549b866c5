//! Public keys, and verifying signatures with them.

use super::{Family, Hash};
use crate::{
    error::{Error, Kind, Result},
    pem,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    UnparsedPublicKey, VerificationAlgorithm,
};
use der::{
    Decode, Document, Encode,
    oid::{
        ObjectIdentifier,
        db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1},
    },
};
use spki::{EncodePublicKey, SubjectPublicKeyInfoOwned};

/// The label of a `SubjectPublicKeyInfo` in PEM (RFC 7468, section 13).
const PUBLIC: &str = "PUBLIC KEY";
/// The sizes that AWS-LC verifies with, in bits of the modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key: RSA with 2048 to 8192 bits, or a point on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its `SubjectPublicKeyInfo`.
    info: Document,
    family: Family,
    bits: usize,
}

impl PublicKey {
    /// Takes the key of a certificate.
    ///
    /// # Errors
    /// [`Kind::Usage`]: an unsupported kind or size of key; [`Kind::Corrupt`]: not a key.
    pub fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self> {
        let (family, bits) = match info.algorithm.oid {
            RSA_ENCRYPTION => (Family::Rsa, rsa_bits(info)?),
            ID_EC_PUBLIC_KEY => (Family::Ec, ec_bits(info)?),
            other => return Err(unsupported(format!("its algorithm is {other} and neither RSA nor EC"))),
        };
        let der = info.to_der().map_err(|e| corrupt(e.to_string()))?;
        let info = Document::try_from(der).map_err(|e| corrupt(e.to_string()))?;
        let key = Self { info, family, bits };
        // Checks the numbers themselves: an even exponent, a point off the curve.
        match UnparsedPublicKey::new(key.algorithm(Hash::Sha256), key.as_der()).parse() {
            Ok(_) => Ok(key),
            Err(why) => Err(corrupt(why.to_string())),
        }
    }

    /// Takes a `SubjectPublicKeyInfo` in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// As [`Self::from_info`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        Self::from_info(&SubjectPublicKeyInfoOwned::from_der(der).map_err(|e| corrupt(e.to_string()))?)
    }

    /// Takes the first `SubjectPublicKeyInfo` in a text with PEM (RFC 7468, section 13).
    ///
    /// # Errors
    /// As [`Self::from_info`].
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let block = pem::blocks(pem).find(|block| block.label == PUBLIC);
        let der = block.and_then(|block| block.der).ok_or_else(|| corrupt("it holds no PUBLIC KEY in PEM".into()))?;
        Self::from_der(&der)
    }

    /// Its `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// [`Kind::Corrupt`], which does not happen: it came from one.
    pub fn to_info(&self) -> Result<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_der(self.as_der()).map_err(|e| corrupt(e.to_string()))
    }

    /// Its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        self.info.as_bytes()
    }

    /// Its `SubjectPublicKeyInfo` in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(PUBLIC, self.as_der())
    }

    /// RSA or EC.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The size of the modulus, or of the curve.
    #[must_use]
    pub const fn bits(&self) -> usize {
        self.bits
    }

    /// Whether `signature` is this key's for `message`: RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2.2),
    /// or ECDSA with r and s in DER (RFC 3279, section 2.2.3).
    #[must_use]
    pub fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm(hash), self.as_der()).verify(message, signature).is_ok()
    }

    const fn algorithm(&self, hash: Hash) -> &'static dyn VerificationAlgorithm {
        match (self.family, hash) {
            (Family::Rsa, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (Family::Rsa, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            (Family::Ec, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (Family::Ec, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
        }
    }
}

/// The bits of the modulus, checked before AWS-LC gets the key.
fn rsa_bits(info: &SubjectPublicKeyInfoOwned) -> Result<usize> {
    // RFC 3279, section 2.3.1.
    if !info.algorithm.parameters.as_ref().is_some_and(der::Any::is_null) {
        return Err(corrupt("the parameters of its algorithm are not NULL".into()));
    }
    let bytes = info.subject_public_key.as_bytes().ok_or_else(|| corrupt("a bit is missing".into()))?;
    let key = pkcs1::RsaPublicKeyRef::from_der(bytes).map_err(|e| corrupt(e.to_string()))?;
    let modulus = key.modulus.as_bytes();
    let top = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - top;
    if !RSA_BITS.contains(&bits) {
        let why = format!("it is RSA with {bits} bits and not {} to {}", RSA_BITS.start(), RSA_BITS.end());
        return Err(unsupported(why));
    }
    Ok(bits)
}

fn ec_bits(info: &SubjectPublicKeyInfoOwned) -> Result<usize> {
    let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    match curve {
        Some(SECP_256_R_1) => Ok(256),
        Some(other) => Err(unsupported(format!("its curve is {other} and not P-256"))),
        None => Err(unsupported("its curve has no name".into())),
    }
}

fn unsupported(why: String) -> Error {
    Error::new(Kind::Usage, "use a public key", why).remedy("give an RSA key with 2048 bits or more, or EC P-256")
}

fn corrupt(why: String) -> Error {
    Error::new(Kind::Corrupt, "read a public key", why)
        .remedy("get the key or certificate again from where it was made")
}

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(self.info.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::pki::key::{KeyType, PrivateKey};
    use der::asn1::{BitString, UintRef};

    /// An RSA key of these numbers, as a certificate might hold it.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> SubjectPublicKeyInfoOwned {
        let mut info = PrivateKey::generate(KeyType::Rsa2048).unwrap().public().to_info().unwrap();
        let [modulus, public_exponent] = [modulus, exponent].map(|number| UintRef::new(number).unwrap());
        let key = pkcs1::RsaPublicKeyRef { modulus, public_exponent };
        info.subject_public_key = BitString::from_bytes(&key.to_der().unwrap()).unwrap();
        info
    }

    /// An odd number of so many bits.
    fn number(bits: usize) -> Vec<u8> {
        let mut bytes = vec![0xa5; bits / 8];
        bytes[0] = 0x80;
        bytes
    }

    #[test]
    fn weak_keys_are_refused() {
        for bits in [8, 512, 1024, 2040, 8200, 16384] {
            let error = PublicKey::from_info(&rsa(&number(bits), &[1, 0, 1])).unwrap_err();
            assert!(error.to_string().contains(&format!("{bits} bits")), "{error}");
        }
        for exponent in [&[0][..], &[1], &[2], &[4], &[1, 0, 0], &number(2048), &number(64)] {
            assert!(PublicKey::from_info(&rsa(&number(2048), exponent)).is_err(), "{exponent:?}");
        }
        let mut even = number(2048);
        *even.last_mut().unwrap() = 2;
        assert!(PublicKey::from_info(&rsa(&even, &[1, 0, 1])).is_err());
        assert!(PublicKey::from_info(&rsa(&[0], &[0])).is_err());
        assert!(PublicKey::from_info(&rsa(&number(2048), &[1, 0, 1])).is_ok());
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        let good = PrivateKey::generate(KeyType::EcP256).unwrap().public().to_info().unwrap();
        let point = good.subject_public_key.as_bytes().unwrap().to_vec();
        let mut beside = point.clone();
        *beside.last_mut().unwrap() ^= 1;
        for bytes in [&beside[..], &point[..64], &[0], &[], &[4; 65]] {
            let info =
                SubjectPublicKeyInfoOwned { subject_public_key: BitString::from_bytes(bytes).unwrap(), ..good.clone() };
            assert!(PublicKey::from_info(&info).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn damaged_keys_are_refused_wherever_the_damage_is() {
        for kind in [KeyType::Rsa2048, KeyType::EcP256] {
            let key = PrivateKey::generate(kind).unwrap();
            let signature = key.sign(Hash::Sha256, b"message").unwrap();
            let der = key.public().as_der();
            for at in 0..der.len() {
                let mut damaged = der.to_vec();
                damaged[at] ^= 1;
                let damaged = PublicKey::from_der(&damaged);
                assert!(!damaged.is_ok_and(|k| k.verify(Hash::Sha256, b"message", &signature)), "{kind:?} byte {at}");
                assert!(PublicKey::from_der(&der[..at]).is_err(), "{kind:?} {at} bytes");
            }
        }
    }

    #[test]
    fn a_signature_verifies_for_one_message_hash_and_key() {
        for kind in [KeyType::Rsa2048, KeyType::Rsa3072, KeyType::EcP256] {
            let (key, other) = (PrivateKey::generate(kind).unwrap(), PrivateKey::generate(kind).unwrap());
            let signature = key.sign(Hash::Sha256, b"message").unwrap();
            assert!(key.public().verify(Hash::Sha256, b"message", &signature));
            assert!(!key.public().verify(Hash::Sha384, b"message", &signature));
            assert!(!key.public().verify(Hash::Sha256, b"massage", &signature));
            assert!(!other.public().verify(Hash::Sha256, b"message", &signature));
            for at in (0..signature.len()).step_by(7) {
                let mut damaged = signature.clone();
                damaged[at] ^= 1;
                assert!(!key.public().verify(Hash::Sha256, b"message", &damaged), "{kind:?} byte {at}");
                assert!(!key.public().verify(Hash::Sha256, b"message", &signature[..at]), "{kind:?} {at} bytes");
            }
        }
    }
}
