//! The facts of a certificate (RFC 5280), as text and as JSON members.

use super::key::{Family, Hash, PublicKey};
use crate::{digest::hex, foreign::printable};
use der::{
    Encode, Tag, Tagged,
    asn1::{BmpString, Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef},
    oid::ObjectIdentifier,
    oid::db::rfc4519::{CN, SERIAL_NUMBER},
};
use serde::Serialize;
use x509_cert::{Certificate, attr::AttributeTypeAndValue, name::Name};

/// The facts of a certificate. Text from the certificate holds no control characters.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateFacts {
    /// The commonName of its subject, or nothing.
    pub common_name: String,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// Its serial number in hex.
    pub serial_number: String,
    /// Valid from: `2026-11-22T10:11:12Z`.
    pub not_before: String,
    /// Valid until.
    pub not_after: String,
    /// `rsa2048`, `ec-p256` and so on, as `--key-type` spells it; or `unknown`.
    pub key_type: String,
    /// SHA-256 of it in DER, in hex.
    pub sha256: String,
}

impl CertificateFacts {
    /// Those of a certificate.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let tbs = certificate.tbs_certificate();
        let public = PublicKey::from_info(tbs.subject_public_key_info());
        Self {
            common_name: common_name(tbs.subject()),
            subject: printable(&tbs.subject().to_string()),
            issuer: printable(&tbs.issuer().to_string()),
            serial_number: hex(tbs.serial_number().as_bytes()),
            not_before: tbs.validity().not_before.to_string(),
            not_after: tbs.validity().not_after.to_string(),
            key_type: public.as_ref().map_or_else(|_| "unknown".to_owned(), key_type),
            sha256: hex(&Hash::Sha256.digest(&certificate.to_der().unwrap_or_default())),
        }
    }

    /// The day on which it ends: `2051-11-22`.
    #[must_use]
    pub fn last_day(&self) -> &str {
        self.not_after.split('T').next().unwrap_or_default()
    }
}

/// The commonName of a name, or nothing.
#[must_use]
pub fn common_name(name: &Name) -> String {
    printable(&attribute(name, CN))
}

/// The attribute serialNumber of a name, or nothing.
#[must_use]
pub fn serial_number(name: &Name) -> String {
    printable(&attribute(name, SERIAL_NUMBER))
}

/// As `--key-type` spells it.
fn key_type(key: &PublicKey) -> String {
    match key.family() {
        Family::Rsa => format!("rsa{}", key.bits()),
        Family::Ec => "ec-p256".to_owned(),
    }
}

/// The most specific attribute of this kind.
fn attribute(name: &Name, oid: ObjectIdentifier) -> String {
    let found = name.iter().filter(|attribute| attribute.oid == oid).last();
    found.and_then(text).unwrap_or_default()
}

/// A `DirectoryString` (RFC 5280, section 4.1.2.4), or an `IA5String`.
fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    let value = &attribute.value;
    match value.tag() {
        Tag::PrintableString => PrintableStringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
        Tag::Utf8String => Utf8StringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
        Tag::Ia5String => Ia5StringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
        Tag::TeletexString => TeletexStringRef::try_from(value).ok().map(|text| text.as_str().to_owned()),
        Tag::BmpString => value.decode_as::<BmpString>().ok().map(|text| text.to_string()),
        _ => None,
    }
}
