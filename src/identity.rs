//! The machine's identity as `provision` is given it: a certificate and its
//! private key, stored as given once they have been seen to belong together.

use crate::{
    error::{Error, Kind, Result},
    files, pem,
    private_key::{self, KeyNumbers},
    secret::{MAX_SECRET, Secret},
    x509,
};
use der::{Decode, Encode, asn1::UintRef};
use spki::SubjectPublicKeyInfoRef;
use std::{io::Read, path::Path};
use zeroize::Zeroizing;

/// A certificate and the private key that belongs to it, both PEM as given.
pub struct Identity {
    certificate: Vec<u8>,
    public: CertifiedKey,
    key: Secret,
}

impl Identity {
    /// Reads both files and sees that they fit: a certificate first in its
    /// file, one unencrypted private key (PKCS#8, PKCS#1 or SEC 1), the same public key in both.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let bad = |path: &Path, why: String| {
            Error::new(Kind::Usage, format!("use {}", path.display()), why)
                .remedy("give a certificate and its unencrypted private key in PEM")
        };
        let pem = files::read(certificate, MAX_SECRET).map_err(|e| bad(certificate, e.to_string()))?;
        let (_, public) = CertifiedKey::of_certificate(&pem).map_err(|why| bad(certificate, why.into()))?;
        let (mut file, size) = files::open(key, MAX_SECRET).map_err(|e| bad(key, e.to_string()))?;
        let key = Secret::filled(size, |buffer| {
            file.read_exact(buffer).map_err(|e| bad(key, e.to_string()))?;
            match CertifiedKey::of_key(buffer) {
                Ok(of_key) if of_key.matches(&public) => Ok(()),
                Ok(_) => Err(bad(key, "it is not the private key of the certificate".into())),
                Err(why) => Err(bad(key, why.into())),
            }
        })?;
        Ok(Self { certificate: pem, public, key })
    }

    /// The certificate file.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The public key that is certified.
    #[must_use]
    pub const fn public(&self) -> &CertifiedKey {
        &self.public
    }

    /// The key file.
    #[must_use]
    pub const fn key(&self) -> &Secret {
        &self.key
    }
}

/// A public key, as far as it must be known to be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum CertifiedKey {
    /// Big-endian numbers without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The exponent.
        exponent: Vec<u8>,
    },
    /// The algorithm, and the public key if the private one carries it.
    Other(Vec<u8>, Option<Vec<u8>>),
}

type Why = &'static str;

impl CertifiedKey {
    /// The first certificate in `text`, in DER, and its public key.
    pub(crate) fn of_certificate(text: &[u8]) -> std::result::Result<(Zeroizing<Vec<u8>>, Self), Why> {
        let block = pem::blocks(text).next().ok_or("it holds no PEM")?;
        if block.label != "CERTIFICATE" {
            return Err("it does not begin with a certificate");
        }
        let malformed = "its certificate is malformed";
        let der = block.der.ok_or(malformed)?;
        let spki = x509::subject_public_key_info(&der).map_err(|_| malformed)?;
        let public = Self::of_spki(&spki).ok_or(malformed)?;
        Ok((der, public))
    }

    fn of_spki(spki: &SubjectPublicKeyInfoRef<'_>) -> Option<Self> {
        let bits = spki.subject_public_key.as_bytes()?;
        if spki.algorithm.oid == pkcs1::ALGORITHM_OID {
            let key = pkcs1::RsaPublicKeyRef::from_der(bits).ok()?;
            return Some(Self::rsa(key.modulus, key.public_exponent));
        }
        Some(Self::Other(spki.algorithm.to_der().ok()?, Some(bits.to_vec())))
    }

    /// That of the one private key in `text`.
    fn of_key(text: &[u8]) -> std::result::Result<Self, Why> {
        let block = private_key::only(text)?;
        Ok(match KeyNumbers::of_block(&block).ok_or("its private key is malformed")? {
            KeyNumbers::Rsa(key) => Self::rsa(key.modulus, key.public_exponent),
            KeyNumbers::Ec { algorithm, point, .. } => Self::Other(algorithm, point.map(<[u8]>::to_vec)),
            KeyNumbers::Other { algorithm, .. } => Self::Other(algorithm, None),
        })
    }

    fn rsa(modulus: UintRef<'_>, exponent: UintRef<'_>) -> Self {
        Self::Rsa { modulus: modulus.as_bytes().to_vec(), exponent: exponent.as_bytes().to_vec() }
    }

    /// Whether a private key's public half is that of a certificate.
    fn matches(&self, certificate: &Self) -> bool {
        match (self, certificate) {
            // A key that does not carry its public half can only be of the same kind.
            (Self::Other(ours, None), Self::Other(theirs, _)) => ours == theirs,
            _ => self == certificate,
        }
    }
}
