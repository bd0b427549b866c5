//! X.509 certificates (RFC 5280): issued, and read back as issuers.

use super::{
    cms::Tlv,
    key::{Hash, PrivateKey, PublicKey},
};
use crate::{
    error::{Error, Kind, Result},
    pem,
};
use der::{
    Decode, Encode, Tag,
    asn1::{BitString, ObjectIdentifier},
};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::{
    Certificate, TbsCertificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension, ToExtension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    time::{Time, Validity},
};

/// The contents of a certificate, except its key and its issuer.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its subject.
    pub subject: Name,
    /// Its validity, from now on; RFC 5280 decides its encoding.
    pub not_after: Time,
    /// Whether it is a CA.
    pub ca: bool,
    /// The usages of its key.
    pub key_usage: KeyUsage,
    /// The extended usages; empty for no extension.
    pub extended_key_usage: Vec<ObjectIdentifier>,
}

/// The issuer of a certificate.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// The key that belongs to it.
    pub key: &'a PrivateKey,
}

/// Issues a certificate for a key.
///
/// # Errors
/// [`Kind::System`] when it cannot be encoded or signed.
pub fn issue(template: &Template, subject_key: &PublicKey, issuer: Issuer<'_>) -> Result<Certificate> {
    let tbs = issuer.certificate.tbs_certificate();
    let key_id = tbs.get_extension::<SubjectKeyIdentifier>().map_err(|e| failed(&e.into()))?.map(|(_, id)| id.0);
    let issued_by = IssuedBy { name: tbs.subject().clone(), key_id };
    build(Contents { template, issued_by: Some(issued_by) }, subject_key, issuer.key)
}

/// Issues a certificate that its own key signs.
///
/// # Errors
/// As [`issue`].
pub fn self_sign(template: &Template, key: &PrivateKey) -> Result<Certificate> {
    build(Contents { template, issued_by: None }, key.public(), key)
}

/// What a certificate in DER is signed over: its `TBSCertificate`.
#[must_use]
pub fn to_be_signed(certificate: &[u8]) -> Option<&[u8]> {
    let parts = Tlv::read(certificate).and_then(|certificate| certificate.parts(Tag::Sequence, 3)).ok()?;
    parts.first().map(|tbs| tbs.der)
}

/// The labels of a certificate in PEM: today's, and older ones of OpenSSL.
const LABELS: [&str; 2] = [LABEL, "X509 CERTIFICATE"];
/// RFC 7468, section 5.
const LABEL: &str = "CERTIFICATE";

/// Reads the first certificate of a file.
///
/// # Errors
/// [`Kind::Corrupt`]: there is none, or it is malformed.
pub fn first(file: &[u8]) -> Result<Certificate> {
    Certificate::from_der(&first_der(file)?).map_err(|e| none(e.to_string()))
}

/// The first certificate of a file as it is encoded, byte for byte.
///
/// # Errors
/// [`Kind::Corrupt`]: there is none.
pub fn first_der(file: &[u8]) -> Result<Vec<u8>> {
    all(file)?.into_iter().next().ok_or_else(|| none("it holds no certificate, neither in PEM nor in DER".into()))
}

/// The certificates of a file as they are encoded, byte for byte: one in DER, or any number in PEM, also none. Their
/// contents are not checked.
///
/// # Errors
/// [`Kind::Corrupt`]: one in PEM is malformed.
pub fn all(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    // Unlike text and signature lists, DER begins with a SEQUENCE and a length of more than one byte.
    if matches!(file, [0x30, 0x81..=0x84, ..]) {
        return Ok(vec![file.to_vec()]);
    }
    let blocks = pem::blocks(file).filter(|block| LABELS.contains(&block.label));
    let ders = blocks.map(|block| block.der.map(|der| der.to_vec()).ok_or_else(|| none("it is not base64".into())));
    ders.collect()
}

/// Checks that these bytes are a readable certificate in DER.
///
/// # Errors
/// [`Kind::Corrupt`]: they are not.
pub fn readable(der: &[u8]) -> Result<()> {
    Certificate::from_der(der).map(drop).map_err(|e| none(e.to_string()))
}

fn none(why: String) -> Error {
    Error::new(Kind::Corrupt, "read a certificate", why).remedy("give an X.509 certificate in PEM or DER")
}

/// Writes a certificate in PEM.
///
/// # Errors
/// [`Kind::System`]: out of memory.
pub fn to_pem(certificate: &Certificate) -> Result<String> {
    Ok(pem::encode(LABEL, &certificate.to_der().map_err(|e| failed(&e.into()))?))
}

/// Reads a certificate in strict DER: encoded again, it must be the same to the last byte, or its signature would be
/// lost.
///
/// # Errors
/// [`Kind::Corrupt`]: it is not one.
pub fn from_der(der: &[u8]) -> Result<Certificate> {
    let bad = |why: String| Error::new(Kind::Corrupt, "read a certificate", why).remedy("give an X.509 certificate");
    let certificate = Certificate::from_der(der).map_err(|e| bad(e.to_string()))?;
    match certificate.to_der() {
        Ok(again) if again == der => Ok(certificate),
        _ => Err(bad("it is not in DER".into())),
    }
}

/// Whether `key` is the one in `certificate`.
#[must_use]
pub fn is_for(certificate: &Certificate, key: &PublicKey) -> bool {
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
    spki.is_ok_and(|der| der == key.as_der())
}

/// Whether `issuer` has signed `certificate`; names, purposes and dates are not checked.
#[must_use]
pub fn is_signed_by(certificate: &Certificate, issuer: &PublicKey) -> bool {
    let algorithm = certificate.signature_algorithm();
    // RFC 5280, section 4.1.1.2: the signed part must name the same algorithm.
    if algorithm != certificate.tbs_certificate().signature() {
        return false;
    }
    let hash = Hash::ALL.into_iter().find(|hash| algorithm.oid == issuer.family().signature_oid(*hash));
    let (tbs, signature) = (certificate.tbs_certificate().to_der(), certificate.signature().as_bytes());
    matches!((hash, tbs, signature), (Some(hash), Ok(tbs), Some(signature)) if issuer.verify(hash, &tbs, signature))
}

fn build(contents: Contents<'_>, subject_key: &PublicKey, signer: &PrivateKey) -> Result<Certificate> {
    let validity = Validity::new(Time::now().map_err(|e| failed(&e.into()))?, contents.template.not_after);
    let build = CertificateBuilder::new(contents, serial_number()?, validity, subject_key.to_info()?);
    let mut builder = build.map_err(|e| failed(&e))?;
    // In two steps, so that a token's error is not lost.
    let tbs = builder.finalize(signer).map_err(|e| failed(&e))?;
    let signature = BitString::from_bytes(&signer.sign(Hash::Sha256, &tbs)?).map_err(|e| failed(&e.into()))?;
    builder.assemble(signature, signer).map_err(|e| failed(&e))
}

/// 126 random bits, and always 16 bytes long.
fn serial_number() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::new(Kind::System, "draw a serial number", "there is no randomness"))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::new(&bytes).map_err(|e| failed(&e.into()))
}

fn failed(why: &builder::Error) -> Error {
    Error::new(Kind::System, "issue a certificate", why.to_string())
}

/// The part of a certificate that comes from its issuer's.
struct IssuedBy {
    name: Name,
    /// The issuer's subjectKeyIdentifier, whatever it was computed from.
    key_id: Option<der::asn1::OctetString>,
}

/// A template as x509-cert asks for it.
struct Contents<'a> {
    template: &'a Template,
    issued_by: Option<IssuedBy>,
}

impl BuilderProfile for Contents<'_> {
    fn get_issuer(&self, subject: &Name) -> Name {
        self.issued_by.as_ref().map_or_else(|| subject.clone(), |issuer| issuer.name.clone())
    }

    fn get_subject(&self) -> Name {
        self.template.subject.clone()
    }

    fn build_extensions(
        &self,
        subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let mut extensions = Vec::new();
        if self.template.ca {
            let constraints = BasicConstraints { ca: true, path_len_constraint: None };
            extensions.push((&constraints).to_extension(subject, &extensions)?);
        }
        extensions.push((&self.template.key_usage).to_extension(subject, &extensions)?);
        if !self.template.extended_key_usage.is_empty() {
            let usage = ExtendedKeyUsage(self.template.extended_key_usage.clone());
            extensions.push((&usage).to_extension(subject, &extensions)?);
        }
        extensions.push((&SubjectKeyIdentifier::try_from(subject_key)?).to_extension(subject, &extensions)?);
        if let Some(key_id) = self.issued_by.as_ref().and_then(|issuer| issuer.key_id.clone()) {
            let authority = AuthorityKeyIdentifier { key_identifier: Some(key_id), ..Default::default() };
            extensions.push((&authority).to_extension(subject, &extensions)?);
        }
        Ok(extensions)
    }
}
