//! Builds `SignedData`: the same bytes each time, if the signature itself is deterministic (RSA).

use crate::{
    error::{Error, Kind, Result},
    host::pki::{
        certificate,
        key::{Family, Hash, PrivateKey},
    },
};
use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::{CmsVersion, ContentInfo},
    signed_data::{
        CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo,
        SignerInfos,
    },
};
use der::{
    Any, AnyRef, Decode, Encode, Tag,
    asn1::{Null, OctetString, SetOfVec},
    oid::{
        ObjectIdentifier,
        db::{
            rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA},
            rfc5912::RSA_ENCRYPTION,
        },
    },
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{Certificate, attr::Attribute};

/// Content that is signed together with its kind.
#[derive(Clone, Copy, Debug)]
pub struct Attributed<'a> {
    /// `contentType`.
    pub kind: ObjectIdentifier,
    /// A whole value in DER. Its hash is that of what follows tag and length (RFC 2315, section 9.3).
    pub der: &'a [u8],
}

/// Signs detached content, as `EFI_VARIABLE_AUTHENTICATION_2` requires: a bare
/// `SignedData`, no attributes, so that the signature is over the content itself
/// (UEFI Specification 2.10, section 8.2.2, with SHA-256 only).
///
/// # Errors
/// [`Kind::Usage`]: the certificate is for another key; those of [`PrivateKey::sign`]; [`Kind::System`] when it cannot be encoded.
pub fn sign_detached(content: &[u8], key: &PrivateKey, certificate: &Certificate, hash: Hash) -> Result<Vec<u8>> {
    refuse_foreign(key, certificate)?;
    let content_info = EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None };
    let signature = key.sign(hash, content)?;
    let signer = signer_info(key, certificate, hash, None, signature);
    signer.and_then(|signer| signed_data(content_info, signer, &[certificate], hash)?.to_der()).map_err(failed)
}

/// Signs included content through the attributes contentType and messageDigest: a
/// `ContentInfo`. The first certificate is the signer's.
///
/// # Errors
/// As [`sign_detached`].
pub fn sign_attributed(
    content: Attributed<'_>,
    key: &PrivateKey,
    certificate: &Certificate,
    others: &[Certificate],
    hash: Hash,
) -> Result<Vec<u8>> {
    refuse_foreign(key, certificate)?;
    let value = AnyRef::from_der(content.der).map_err(failed)?;
    let attributes = attributes(content.kind, &hash.digest(value.value())).map_err(failed)?;
    let signature = key.sign(hash, &attributes.to_der().map_err(failed)?)?;
    let content_info = EncapsulatedContentInfo { econtent_type: content.kind, econtent: Some(value.into()) };
    let certificates: Vec<_> = std::iter::once(certificate).chain(others).collect();
    let signer = signer_info(key, certificate, hash, Some(attributes), signature);
    signer.and_then(|signer| content_info_of(&signed_data(content_info, signer, &certificates, hash)?)).map_err(failed)
}

fn attributes(kind: ObjectIdentifier, digest: &[u8]) -> der::Result<SignedAttributes> {
    let attribute =
        |oid, value: Any| -> der::Result<_> { Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? }) };
    SetOfVec::try_from(vec![
        attribute(ID_CONTENT_TYPE, Any::encode_from(&kind)?)?,
        attribute(ID_MESSAGE_DIGEST, Any::new(Tag::OctetString, digest)?)?,
    ])
}

fn signer_info(
    key: &PrivateKey,
    certificate: &Certificate,
    hash: Hash,
    signed_attrs: Option<SignedAttributes>,
    signature: Vec<u8>,
) -> der::Result<SignerInfo> {
    let tbs = certificate.tbs_certificate();
    let (issuer, serial_number) = (tbs.issuer().clone(), tbs.serial_number().clone());
    Ok(SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { issuer, serial_number }),
        digest_alg: digest_algorithm(hash),
        signed_attrs,
        signature_algorithm: match key.public().family() {
            // PKCS #7 names only the cipher, and so do all its readers (RFC 2315, section 9.2).
            Family::Rsa => AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Null.into()) },
            family @ Family::Ec => family.signature_algorithm(hash),
        },
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    })
}

fn signed_data(
    encap_content_info: EncapsulatedContentInfo,
    signer: SignerInfo,
    certificates: &[&Certificate],
    hash: Hash,
) -> der::Result<SignedData> {
    let certificates = certificates.iter().map(|c| CertificateChoices::Certificate((*c).clone())).collect::<Vec<_>>();
    Ok(SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![digest_algorithm(hash)])?,
        encap_content_info,
        certificates: Some(CertificateSet::try_from(certificates)?),
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer])?,
    })
}

/// With NULL: firmwares look for the identifier at a fixed place.
fn digest_algorithm(hash: Hash) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: hash.oid(), parameters: Some(Null.into()) }
}

fn content_info_of(signed_data: &SignedData) -> der::Result<Vec<u8>> {
    let content = Any::encode_from(signed_data)?;
    debug_assert_eq!(content.header().tag(), Tag::Sequence);
    ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der()
}

/// Refuses a certificate of another key: the signature could not be verified.
fn refuse_foreign(key: &PrivateKey, certificate: &Certificate) -> Result<()> {
    if certificate::is_for(certificate, key.public()) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "sign", "the certificate is for another private key")
        .remedy("give the certificate that belongs to the key"))
}

fn failed(why: der::Error) -> Error {
    Error::new(Kind::System, "encode a signature", why.to_string()).remedy("check that the certificate is in DER")
}
