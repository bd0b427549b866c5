//! Signing with a token.

use super::{complaint, slot::TokenPlace};
use crate::{
    error::{Error, Kind, Result},
    host::pki::key::{Family, Hash},
};
use cryptoki::{
    error::{Error as Cryptoki, RvError},
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, ObjectHandle},
    session::Session,
};
use der::{
    AnyRef, Encode, Tag,
    asn1::{Null, OctetStringRef, UintRef},
};
use spki::AlgorithmIdentifierOwned;

/// The token's mechanisms with hashes.
pub struct Mechanisms {
    /// CKM_SHA256_RSA_PKCS and CKM_SHA384_RSA_PKCS.
    hashing: Vec<MechanismType>,
}

impl Mechanisms {
    pub fn of(place: &TokenPlace, session: &Session, key: ObjectHandle) -> Result<Self> {
        let failed = |e: Cryptoki| complaint("ask the token", &e);
        let again = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate]).map_err(failed)?;
        if again.contains(&Attribute::AlwaysAuthenticate(true)) {
            return Err(failed(Cryptoki::Pkcs11(RvError::UserNotLoggedIn, cryptoki::context::Function::Sign)));
        }
        let hashing = place.module.get_mechanism_list(place.slot).map_err(failed)?;
        Ok(Self { hashing })
    }

    pub fn sign(
        &self,
        session: &Session,
        key: ObjectHandle,
        family: Family,
        hash: Hash,
        message: &[u8],
    ) -> Result<Vec<u8>> {
        let failed = |e: Cryptoki| complaint("sign", &e);
        if family == Family::Ec {
            let pair = session.sign(&Mechanism::Ecdsa, key, &hash.digest(message)).map_err(failed)?;
            return ecdsa_to_der(&pair);
        }
        let (mechanism, kind) = match hash {
            Hash::Sha256 => (Mechanism::Sha256RsaPkcs, MechanismType::SHA256_RSA_PKCS),
            Hash::Sha384 => (Mechanism::Sha384RsaPkcs, MechanismType::SHA384_RSA_PKCS),
        };
        if self.hashing.contains(&kind) {
            match session.sign(&mechanism, key, message) {
                Ok(signature) => return Ok(signature),
                // Supported by the token, but not allowed for this key.
                Err(Cryptoki::Pkcs11(RvError::MechanismInvalid, _)) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        session.sign(&Mechanism::RsaPkcs, key, &digest_info(hash, message)?).map_err(failed)
    }
}

/// `DigestInfo` (RFC 8017, section 9.2): what CKM_RSA_PKCS pads.
fn digest_info(hash: Hash, message: &[u8]) -> Result<Vec<u8>> {
    let encoded = || {
        let mut members = AlgorithmIdentifierOwned { oid: hash.oid(), parameters: Some(Null.into()) }.to_der()?;
        OctetStringRef::new(&hash.digest(message))?.encode_to_vec(&mut members)?;
        AnyRef::new(Tag::Sequence, &members)?.to_der()
    };
    encoded().map_err(wrong)
}

/// r and s in a row, each of half the length, as `Ecdsa-Sig-Value` (RFC 3279, section 2.2.3).
fn ecdsa_to_der(pair: &[u8]) -> Result<Vec<u8>> {
    if pair.is_empty() || !pair.len().is_multiple_of(2) {
        return Err(wrong(der::ErrorKind::Failed.into()));
    }
    let encoded = || {
        let (r, s) = pair.split_at(pair.len() / 2);
        let mut members = UintRef::new(r)?.to_der()?;
        UintRef::new(s)?.encode_to_vec(&mut members)?;
        AnyRef::new(Tag::Sequence, &members)?.to_der()
    };
    encoded().map_err(wrong)
}

fn wrong(why: der::Error) -> Error {
    Error::new(Kind::Corrupt, "sign", format!("the token's response is not a signature ({why})"))
        .remedy("check it with pkcs11-tool")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_and_s_are_encoded_in_der() {
        assert_eq!(ecdsa_to_der(&[0, 1, 0x80, 0]).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]);
        assert!(ecdsa_to_der(&[]).is_err() && ecdsa_to_der(&[1; 63]).is_err());
    }

    /// RFC 8017, section 9.2, note 1.
    #[test]
    fn digest_infos_equal_those_of_the_standard() {
        let sha256 = [
            &b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"[..],
            &Hash::Sha256.digest(b"m"),
        ];
        assert_eq!(digest_info(Hash::Sha256, b"m").unwrap(), sha256.concat());
        let sha384 = [
            &b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"[..],
            &Hash::Sha384.digest(b"m"),
        ];
        assert_eq!(digest_info(Hash::Sha384, b"m").unwrap(), sha384.concat());
    }
}
