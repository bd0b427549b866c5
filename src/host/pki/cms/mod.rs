//! `SignedData` of PKCS #7 and CMS (RFC 2315, RFC 5652), as Authenticode and authenticated UEFI variables use it.
//!
//! Both are of PKCS #7: version 1, one signer, named by issuer and serial number.

mod build;
mod parse;

pub use build::{Attributed, sign_attributed, sign_detached};
pub use parse::{SignedData, SignerInfo, Tlv};

use der::oid::ObjectIdentifier;

/// `SpcIndirectDataContent`: what Authenticode signs.
pub const SPC_INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Kind,
        host::{
            keyset::profile::{self, Owner, Valid},
            pki::{
                certificate,
                key::{Hash, KeyType, PrivateKey},
            },
        },
    };
    use der::{Encode, Tag, oid::db::rfc5911::ID_DATA};
    use std::fs;
    use x509_cert::Certificate;

    fn credentials(kind: KeyType) -> (PrivateKey, Certificate) {
        let key = PrivateKey::generate(kind).unwrap();
        let owner = Owner { keyset: "k".into(), organizations: Vec::new() };
        let template = profile::code_signer("signer", &owner, Valid::Years(1)).unwrap();
        let certificate = certificate::self_sign(&template, &key).unwrap();
        (key, certificate)
    }

    #[test]
    fn detached_signatures_have_the_form_that_firmware_reads() {
        let (key, certificate) = credentials(KeyType::Rsa2048);
        let der = sign_detached(b"content", &key, &certificate, Hash::Sha256).unwrap();
        assert_eq!(der, sign_detached(b"content", &key, &certificate, Hash::Sha256).unwrap(), "no time in it");
        // A length of two bytes, version 1, and SHA-256 where EDK II looks for it.
        assert_eq!(der[..2], [0x30, 0x82]);
        assert_eq!(der[4..13], [2, 1, 1, 0x31, 0x0f, 0x30, 0x0d, 6, 9]);
        assert_eq!(der[13..22], *Hash::Sha256.oid().as_bytes());
        let signed = SignedData::parse(&der).unwrap();
        assert_eq!((signed.content_type, signed.content), (ID_DATA, None));
        assert_eq!(signed.certificates, [certificate.to_der().unwrap()]);
        assert!(signed.signer.attributes.is_none());
        assert!(signed.is_by(key.public(), b"content"));
        assert!(!signed.is_by(key.public(), b"contents"));
        let (other, another) = credentials(KeyType::Rsa2048);
        assert!(!signed.is_by(other.public(), b"content"));
        let error = sign_detached(b"content", &key, &another, Hash::Sha256).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
    }

    #[test]
    fn openssl_verifies_both_kinds() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(file("content"), b"\x04\x07content").unwrap();
        for (kind, hash) in
            [(KeyType::Rsa2048, Hash::Sha256), (KeyType::Rsa3072, Hash::Sha384), (KeyType::EcP256, Hash::Sha256)]
        {
            let (key, certificate) = credentials(kind);
            fs::write(file("cert.pem"), certificate::to_pem(&certificate).unwrap()).unwrap();
            let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-partial_chain"];
            let detached = sign_detached(b"\x04\x07content", &key, &certificate, hash).unwrap();
            // OpenSSL needs it wrapped, which firmware does itself.
            let wrapped = wrap(&detached);
            fs::write(file("detached"), wrapped).unwrap();
            let names = ["-CAfile", &file("cert.pem"), "-content", &file("content"), "-in", &file("detached")];
            harness::openssl(&[&verify[..], &names].concat());

            let content = Attributed { kind: ID_DATA, der: b"\x04\x07content" };
            let attributed = sign_attributed(content, &key, &certificate, &[], hash).unwrap();
            fs::write(file("attributed"), &attributed).unwrap();
            let names = ["-CAfile", &file("cert.pem"), "-in", &file("attributed")];
            assert_eq!(harness::openssl(&[&verify[..], &names].concat()), "content");
            let signed = SignedData::parse_content_info(&attributed).unwrap();
            assert!(signed.is_by(key.public(), b"content"));
            assert!(!signed.is_by(key.public(), b"another"));
        }
    }

    /// As `ContentInfo`.
    fn wrap(signed_data: &[u8]) -> Vec<u8> {
        let content = der::Any::from(der::asn1::AnyRef::try_from(signed_data).unwrap());
        let content_type = der::oid::db::rfc5911::ID_SIGNED_DATA;
        cms::content_info::ContentInfo { content_type, content }.to_der().unwrap()
    }

    #[test]
    fn a_change_of_any_byte_is_refused() {
        let (key, certificate) = credentials(KeyType::EcP256);
        let content = Attributed { kind: ID_DATA, der: b"\x04\x07content" };
        let der = sign_attributed(content, &key, &certificate, &[], Hash::Sha256).unwrap();
        let judged = |der: &[u8]| {
            SignedData::parse_content_info(der).is_ok_and(|signed| {
                // The type of the content and the owner of the key are checked by the caller.
                signed.content_type == ID_DATA
                    && signed.content.is_some_and(|content| content.tag() == Tag::OctetString)
                    && signed.certificates == [certificate.to_der().unwrap()]
                    && signed.is_by(key.public(), signed.content.unwrap().value())
            })
        };
        assert!(judged(&der));
        let mut passed = Vec::new();
        for at in 0..der.len() {
            assert!(!judged(&der[..at]));
            for bit in [0, 5, 7] {
                let mut damaged = der.clone();
                damaged[at] ^= 1 << bit;
                passed.extend(judged(&damaged).then_some((at, bit)));
            }
        }
        assert!(!judged(&[&der[..], &[0]].concat()));
        // The caller compares the signer's name with the certificate.
        let signed = SignedData::parse_content_info(&der).unwrap();
        let places = |part: &[u8]| {
            let start = part.as_ptr() as usize - der.as_ptr() as usize;
            start..start + part.len()
        };
        let (issuer, serial) = (places(signed.signer.issuer), places(signed.signer.serial_number));
        for (at, bit) in passed {
            assert!(issuer.contains(&at) || serial.contains(&at), "byte {at}, bit {bit}");
        }
    }
}
