//! A key that signs for policies (`TPM2_PolicySigned`): ECDSA with P-256, of which the TPM needs the public half alone.

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tpm2::{
        Name, Public,
        constants::{alg, curve},
        name,
        public::{AsymmetricKey, attribute},
    },
};
use aws_lc_rs::{
    encoding::{AsBigEndian, EcPrivateKeyBin},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};

const WHAT: &str = "use a key that signs for a policy";
/// Bytes of a coordinate, of a private key, and of each half of a signature.
const COORDINATE: usize = 32;

/// Such a key. AWS-LC wipes what it frees.
pub struct PolicySigner {
    /// `TPMT_PUBLIC`.
    area: Vec<u8>,
    key: EcdsaKeyPair,
}

impl PolicySigner {
    /// A new one, and its private half.
    ///
    /// # Errors
    /// [`Kind::System`]: no random numbers are to be had.
    pub fn make() -> Result<(Self, Secret)> {
        let failed = |()| Error::new(Kind::System, WHAT, "none can be made");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed(()))?;
        let private: EcPrivateKeyBin<'_> = key.private_key().as_be_bytes().map_err(|_| failed(()))?;
        let secret = Secret::filled(private.as_ref().len(), |buffer| {
            buffer.copy_from_slice(private.as_ref());
            Ok(())
        })?;
        let area = area(key.public_key().as_ref()).ok_or(()).map_err(failed)?;
        Ok((Self { area, key }, secret))
    }

    /// The one with this private half and this `TPMT_PUBLIC`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: they do not belong together.
    pub fn of(private: &Secret, area: &[u8]) -> Result<Self> {
        let bad = || Error::new(Kind::Corrupt, WHAT, "it is not the private half of the key that the policy names");
        let point = point(area).ok_or_else(bad)?;
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(alg, private.expose(), &point).map_err(|_| bad())?;
        Ok(Self { area: area.to_vec(), key })
    }

    /// Its `TPMT_PUBLIC`.
    #[must_use]
    pub fn area(&self) -> &[u8] {
        &self.area
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> Name {
        name::of(&self.area)
    }

    /// A signature over the hash of `message`, as a `TPMT_SIGNATURE`.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = || Error::new(Kind::System, WHAT, "it does not sign");
        let signature = self.key.sign(&SystemRandom::new(), message).map_err(|_| failed())?;
        let (r, s) = signature.as_ref().split_at_checked(COORDINATE).ok_or_else(failed)?;
        let size = [0, 0x20];
        Ok([&alg::ECDSA.to_be_bytes()[..], &alg::SHA256.to_be_bytes(), &size, r, &size, s].concat())
    }
}

/// The public area of the key with this uncompressed point (SEC 1, section 2.3.3).
fn area(point: &[u8]) -> Option<Vec<u8>> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(COORDINATE)?;
    let attributes = attribute::USER_WITH_AUTH | attribute::SIGN;
    let key = AsymmetricKey::Ecc { curve: curve::NIST_P256, x, y };
    Some(Public { attributes, policy: &[], encrypts_children: false, key }.area()?.to_vec())
}

/// The uncompressed point of such an area, and of no other.
fn point(public: &[u8]) -> Option<Vec<u8>> {
    let coordinates = public.get(public.len().checked_sub(2 * (2 + COORDINATE))?..)?;
    let (x, y) = coordinates.split_at_checked(2 + COORDINATE)?;
    let point = [&[4], x.get(2..)?, y.get(2..)?].concat();
    (area(&point)? == public).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_again_of_its_halves_and_of_no_others() {
        let (one, private) = PolicySigner::make().unwrap();
        let (other, _) = PolicySigner::make().unwrap();
        assert_eq!(PolicySigner::of(&private, one.area()).unwrap().area(), one.area());
        assert!(PolicySigner::of(&private, other.area()).is_err());
        assert!(PolicySigner::of(&private, &one.area()[1..]).is_err());
        assert_eq!(one.sign(b"message").unwrap().len(), 72);
    }
}
