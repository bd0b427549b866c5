//! The public half of a key in a token.

use super::complaint;
use crate::{
    error::{Error, Kind, Result},
    host::pki::key::PublicKey,
};
use cryptoki::{
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use der::{
    Any, AnyRef, Decode, Encode,
    asn1::{BitString, OctetStringRef, UintRef},
    oid::{
        ObjectIdentifier,
        db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION},
    },
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::Certificate;

/// From whichever object of the token has it, or `known`.
pub fn of(session: &Session, key: ObjectHandle, known: Option<&PublicKey>) -> Result<PublicKey> {
    let own = ObjectFacts::of(session, key)?;
    let mut infos: Vec<Option<SubjectPublicKeyInfoOwned>> = vec![own.info()];
    if let Some(id) = own.id.clone().filter(|id| !id.is_empty()) {
        for public in beside(session, ObjectClass::PUBLIC_KEY, &id) {
            infos.push(ObjectFacts::of(session, public)?.info());
        }
        for certificate in beside(session, ObjectClass::CERTIFICATE, &id) {
            infos.push(ObjectFacts::of(session, certificate)?.certified());
        }
    }
    match (infos.iter().flatten().next(), known) {
        (Some(info), _) => PublicKey::from_info(info),
        (None, Some(known)) => Ok(known.clone()),
        (None, None) => Err(Error::new(Kind::Usage, "find its public key", "the token has none with the same id")
            .remedy("store the public key, or the certificate, in the token beside it")),
    }
}

/// The objects with the id of the key.
fn beside(session: &Session, class: ObjectClass, id: &[u8]) -> Vec<ObjectHandle> {
    session.find_objects(&[Attribute::Class(class), Attribute::Id(id.to_vec())]).unwrap_or_default()
}

/// The attributes of an object.
#[derive(Default)]
struct ObjectFacts {
    kind: Option<KeyType>,
    id: Option<Vec<u8>>,
    modulus: Option<Vec<u8>>,
    exponent: Option<Vec<u8>>,
    curve: Option<Vec<u8>>,
    point: Option<Vec<u8>>,
    info: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl ObjectFacts {
    fn of(session: &Session, object: ObjectHandle) -> Result<Self> {
        const WANTED: [AttributeType; 7] = [
            AttributeType::KeyType,
            AttributeType::Id,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::PublicKeyInfo,
        ];
        let class =
            session.get_attributes(object, &[AttributeType::Class]).map_err(|e| complaint("ask the token", &e))?;
        // The value of a private key is never read, even if the token would give it.
        let wanted = if class.contains(&Attribute::Class(ObjectClass::CERTIFICATE)) {
            &[AttributeType::Value][..]
        } else {
            &WANTED
        };
        let mut facts = Self::default();
        for attribute in session.get_attributes(object, wanted).map_err(|e| complaint("ask the token", &e))? {
            match attribute {
                Attribute::KeyType(kind) => facts.kind = Some(kind),
                Attribute::Id(id) => facts.id = Some(id),
                Attribute::Modulus(modulus) => facts.modulus = Some(modulus),
                Attribute::PublicExponent(exponent) => facts.exponent = Some(exponent),
                Attribute::EcParams(curve) => facts.curve = Some(curve),
                Attribute::EcPoint(point) => facts.point = Some(point),
                Attribute::PublicKeyInfo(info) => facts.info = Some(info),
                Attribute::Value(value) => facts.value = Some(value),
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Its public key, if it is complete.
    fn info(&self) -> Option<SubjectPublicKeyInfoOwned> {
        if let Some(info) = self.info.as_ref().and_then(|der| SubjectPublicKeyInfoOwned::from_der(der).ok()) {
            return Some(info);
        }
        match self.kind {
            Some(KeyType::RSA) => rsa(self.modulus.as_ref()?, self.exponent.as_ref()?),
            Some(KeyType::EC) => ec(self.curve.as_ref()?, self.point.as_ref()?),
            _ => None,
        }
    }

    /// The public key of a certificate.
    fn certified(&self) -> Option<SubjectPublicKeyInfoOwned> {
        let certificate = Certificate::from_der(self.value.as_ref()?).ok()?;
        Some(certificate.tbs_certificate().subject_public_key_info().clone())
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let key =
        pkcs1::RsaPublicKeyRef { modulus: UintRef::new(modulus).ok()?, public_exponent: UintRef::new(exponent).ok()? };
    info(RSA_ENCRYPTION, Any::null(), &key.to_der().ok()?)
}

/// CKA_EC_POINT is a point in an OCTET STRING; some tokens omit that.
fn ec(curve: &[u8], point: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let point = <&OctetStringRef>::from_der(point).map_or(point, |wrapped| wrapped.as_bytes());
    info(ID_EC_PUBLIC_KEY, Any::from(AnyRef::from_der(curve).ok()?), point)
}

fn info(oid: ObjectIdentifier, parameters: Any, key: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let algorithm = AlgorithmIdentifierOwned { oid, parameters: Some(parameters) };
    Some(SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(key).ok()? })
}
