//! The purposes of a keyset's certificates, and whether their extensions match.

use der::oid::{
    ObjectIdentifier,
    db::{
        rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_CODE_SIGNING, ID_KP_SERVER_AUTH},
        rfc5912::ID_EC_PUBLIC_KEY,
    },
};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages},
};

/// The purpose of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Issues certificates of projects or machines.
    Authority,
    /// The UEFI platform key: issues the KEK.
    PlatformKey,
    /// The UEFI KEK: signs updates.
    UpdateSigner,
    /// Signs images or policies.
    CodeSigner,
    /// Signs the manifests of a product.
    Manifest,
    /// Authenticates a machine.
    Sudi,
}

impl Purpose {
    /// Whether verifiers of such certificates check these extensions. Firmware does not.
    #[must_use]
    pub const fn is_enforced(self) -> bool {
        matches!(self, Self::Authority | Self::Manifest | Self::Sudi)
    }

    /// What a certificate lacks for its purpose, each as a clause.
    ///
    /// An extension that is missing forbids nothing (RFC 5280, section 4.2.1), but issuers and machines must have them.
    #[must_use]
    pub fn complaints(self, certificate: &Certificate) -> Vec<String> {
        let tbs = certificate.tbs_certificate();
        let (constraints, usage, extended) = match (
            tbs.get_extension::<BasicConstraints>(),
            tbs.get_extension::<KeyUsage>(),
            tbs.get_extension::<ExtendedKeyUsage>(),
        ) {
            (Ok(constraints), Ok(usage), Ok(extended)) => (constraints, usage, extended),
            _ => return vec!["an extension of it cannot be understood".into()],
        };
        let mut complaints = Vec::new();
        let ca = constraints.is_some_and(|(_, constraints)| constraints.ca);
        if ca != self.is_ca() {
            let what = if ca {
                "it may issue certificates, which it need not"
            } else {
                "it may not issue certificates (CA:FALSE)"
            };
            complaints.push(what.to_owned());
        }
        let strict = matches!(self, Self::Manifest | Self::Sudi);
        match usage {
            Some((_, usage)) => {
                let on_curve = tbs.subject_public_key_info().algorithm.oid == ID_EC_PUBLIC_KEY;
                let missing = self.key_usage(on_curve).iter().filter(|(bit, _)| !usage.0.contains(*bit));
                complaints.extend(missing.map(|(_, name)| format!("its keyUsage lacks {name}")));
            }
            None if strict => complaints.push("it has no keyUsage".into()),
            None => {}
        }
        match extended {
            Some((_, extended)) => {
                let missing = self.extended_key_usage().iter().filter(|(oid, _)| !extended.0.contains(oid));
                complaints.extend(missing.map(|(_, name)| format!("its extendedKeyUsage lacks {name}")));
            }
            None if strict => complaints.push("it has no extendedKeyUsage".into()),
            None => {}
        }
        complaints
    }

    const fn is_ca(self) -> bool {
        matches!(self, Self::Authority | Self::PlatformKey)
    }

    /// TLS before 1.3 encrypts to an RSA key, never to one on a curve.
    const fn key_usage(self, on_curve: bool) -> &'static [(KeyUsages, &'static str)] {
        const SIGN: (KeyUsages, &str) = (KeyUsages::DigitalSignature, "digitalSignature");
        match self {
            Self::Authority | Self::PlatformKey => &[(KeyUsages::KeyCertSign, "keyCertSign")],
            Self::UpdateSigner | Self::CodeSigner | Self::Manifest => &[SIGN],
            Self::Sudi if on_curve => &[SIGN],
            Self::Sudi => &[
                SIGN,
                (KeyUsages::KeyEncipherment, "keyEncipherment"),
                (KeyUsages::DataEncipherment, "dataEncipherment"),
            ],
        }
    }

    const fn extended_key_usage(self) -> &'static [(ObjectIdentifier, &'static str)] {
        match self {
            Self::Authority | Self::PlatformKey | Self::UpdateSigner => &[],
            Self::CodeSigner | Self::Manifest => &[(ID_KP_CODE_SIGNING, "codeSigning")],
            Self::Sudi => &[(ID_KP_SERVER_AUTH, "serverAuth"), (ID_KP_CLIENT_AUTH, "clientAuth")],
        }
    }
}
