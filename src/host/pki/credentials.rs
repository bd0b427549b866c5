//! A private key and its certificate, as two files in a directory.

use super::{
    certificate::{self, Issuer, Template},
    key::{PrivateKey, PublicKey},
};
use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use std::path::Path;
use x509_cert::Certificate;

/// The file of the private key.
pub const KEY: &str = "privkey.pem";
const CERTIFICATE: &str = "cert.pem";

/// A private key and its certificate.
pub struct Credentials {
    /// The key.
    pub key: PrivateKey,
    /// Its certificate.
    pub certificate: Certificate,
}

impl Credentials {
    /// Certifies a new key by itself.
    ///
    /// # Errors
    /// As [`certificate::self_sign`].
    pub fn self_signed(key: PrivateKey, template: &Template) -> Result<Self> {
        let certificate = certificate::self_sign(template, &key)?;
        Ok(Self { key, certificate })
    }

    /// Certifies a new key.
    ///
    /// # Errors
    /// As [`certificate::issue`].
    pub fn issued(key: PrivateKey, template: &Template, issuer: &Self) -> Result<Self> {
        let issuer = Issuer { certificate: &issuer.certificate, key: &issuer.key };
        let certificate = certificate::issue(template, key.public(), issuer)?;
        Ok(Self { key, certificate })
    }

    /// Reads both from a directory.
    ///
    /// # Errors
    /// Those of reading; [`Kind::Corrupt`]: the certificate is for another key.
    pub fn load(dir: &Path) -> Result<Self> {
        let certificate = load_certificate(dir)?;
        let public = PublicKey::from_info(certificate.tbs_certificate().subject_public_key_info());
        let public = public.map_err(|e| in_file(&dir.join(CERTIFICATE), e))?;
        let key = load(dir, Some(&public))?;
        if !certificate::is_for(&certificate, key.public()) {
            return Err(corrupt(dir, "the certificate is for another private key"));
        }
        Ok(Self { key, certificate })
    }

    /// Writes both into a directory that exists and holds neither.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        atomic::create(&dir.join(KEY), atomic::PRIVATE, self.key.to_pem()?.as_bytes())?;
        atomic::create(&dir.join(CERTIFICATE), atomic::PUBLIC, certificate::to_pem(&self.certificate)?.as_bytes())
    }
}

/// Reads the private key from a directory.
///
/// # Errors
/// Those of [`PrivateKey::from_file`].
pub fn load_key(dir: &Path) -> Result<PrivateKey> {
    let certificate = load_certificate(dir).ok();
    let public = certificate.and_then(|c| PublicKey::from_info(c.tbs_certificate().subject_public_key_info()).ok());
    load(dir, public.as_ref())
}

/// `public` is the certificate's key, for a token without public keys.
fn load(dir: &Path, public: Option<&PublicKey>) -> Result<PrivateKey> {
    let path = dir.join(KEY);
    if !path.exists() && dir.join(CERTIFICATE).exists() {
        let why = "the private key of its certificate is missing";
        return Err(Error::new(Kind::Usage, format!("use {}", path.display()), why).remedy(
            "run it where that key is; or, if it is in a token, have the keyset name that: trust keyset use-key NAME ROLE \
             pkcs11:…",
        ));
    }
    PrivateKey::from_file(&path, public).map_err(|e| in_file(&path, e))
}

/// Reads the certificate from a directory.
///
/// # Errors
/// Those of reading and of [`certificate::first`].
pub fn load_certificate(dir: &Path) -> Result<Certificate> {
    let path = dir.join(CERTIFICATE);
    certificate::first(&atomic::read(&path)?).map_err(|e| in_file(&path, e))
}

/// Reads the certificate from a directory as it is encoded, byte for byte.
///
/// # Errors
/// As [`load_certificate`].
pub fn load_certificate_der(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join(CERTIFICATE);
    let pem = atomic::read(&path)?;
    certificate::first(&pem).map_err(|e| in_file(&path, e))?;
    certificate::first_der(&pem).map_err(|e| in_file(&path, e))
}

fn in_file(path: &Path, why: Error) -> Error {
    match why.kind() {
        Kind::Corrupt => corrupt(path, &why.cause()),
        _ => why.within(format!("use {}", path.display())),
    }
}

fn corrupt(path: &Path, why: &str) -> Error {
    Error::new(Kind::Corrupt, format!("use {}", path.display()), why.to_owned())
        .remedy("restore the keyset from a backup")
}
