//! The kinds of keys, and the hashes that they sign.

use super::PublicKey;
use aws_lc_rs::digest;
use der::{
    asn1::Null,
    oid::{ObjectIdentifier, db::rfc5912},
};
use spki::AlgorithmIdentifierOwned;
use std::fmt;

/// The kinds of keys that are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyType {
    /// RSA with 2048 bits: supported by every firmware and every TPM 2.0.
    #[default]
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// ECDSA on NIST's curve P-256.
    EcP256,
}

impl KeyType {
    /// The default kind of a subject's key, given its authority's: P-256 under an authority on P-256.
    #[must_use]
    pub const fn like(key: &PublicKey) -> Self {
        match (key.family(), key.bits()) {
            (Family::Ec, _) => Self::EcP256,
            (Family::Rsa, ..3072) => Self::Rsa2048,
            (Family::Rsa, ..4096) => Self::Rsa3072,
            (Family::Rsa, _) => Self::Rsa4096,
        }
    }

    /// As the command line spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::EcP256 => "ec-p256",
        }
    }
}

/// A family of keys, of whatever size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RSA (RFC 8017).
    Rsa,
    /// Elliptic curves (RFC 5480): P-256.
    Ec,
}

impl Family {
    /// The algorithm identifier of its signatures in a certificate (RFC 4055, section 5; RFC 5758, section 3.2).
    #[must_use]
    pub fn signature_algorithm(self, hash: Hash) -> AlgorithmIdentifierOwned {
        match self {
            // The parameters are NULL, and not absent.
            Self::Rsa => AlgorithmIdentifierOwned { oid: self.signature_oid(hash), parameters: Some(Null.into()) },
            Self::Ec => AlgorithmIdentifierOwned { oid: self.signature_oid(hash), parameters: None },
        }
    }

    /// The identifier of such signatures.
    #[must_use]
    pub const fn signature_oid(self, hash: Hash) -> ObjectIdentifier {
        match (self, hash) {
            (Self::Rsa, Hash::Sha256) => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            (Self::Rsa, Hash::Sha384) => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            (Self::Ec, Hash::Sha256) => rfc5912::ECDSA_WITH_SHA_256,
            (Self::Ec, Hash::Sha384) => rfc5912::ECDSA_WITH_SHA_384,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ec => "EC P-256",
        })
    }
}

/// The hash of a message that is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// SHA-384 (FIPS 180-4).
    Sha384,
}

impl Hash {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha384];

    /// The hash of a message: 32 or 48 bytes.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        self.digest_all([message])
    }

    /// The hash of a message that is still to come.
    #[must_use]
    pub fn begin(self) -> digest::Context {
        digest::Context::new(match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
        })
    }

    /// The hash of a message that comes in parts.
    #[must_use]
    pub fn digest_all<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut context = self.begin();
        parts.into_iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    }

    /// Its identifier (RFC 5754, section 2).
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => rfc5912::ID_SHA_256,
            Self::Sha384 => rfc5912::ID_SHA_384,
        }
    }
}
