//! An authority that vouches for storage root keys: its certificate is in the signed image, what it has signed lies
//! anywhere: the signature is verified, wherever it comes from.
//!
//! The kernel reads the certificate and checks the signature (keyctl_pkey_verify(3)), as it does for its modules: not
//! a line of cryptography is added here for it.

use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    files,
    identity::CertifiedKey,
    keyring::asymmetric::CertificateKey,
    tpm2::StorageKey,
};
use nix::errno::Errno;
use std::{io, path::Path};

/// Upper bound of a signature in bytes: one by RSA 4096 has 512.
const MAX_SIGNATURE: usize = 1024;

/// What is being done, in messages.
const WHAT: &str = "trust the TPM's storage root key";

/// Sees that one of the `authorities`, certificates in PEM, has signed the statement of `key`; where there are none,
/// no signature is needed. The signature (RSASSA-PKCS1-v1_5 or ECDSA, with SHA-256) is in a file.
///
/// # Errors
/// [`Kind::Refused`] when there is no key or no such signature; [`Kind::Corrupt`] when a certificate is malformed;
/// [`Kind::System`] when this kernel cannot check it.
pub fn vouches_for(authorities: &[Vec<u8>], signature: &Path, key: Option<&StorageKey>) -> Result<()> {
    if authorities.is_empty() {
        return Ok(());
    }
    let refused = |why: String| {
        Error::new(Kind::Refused, WHAT, why).remedy(
            "if this is a new TPM or a new machine, have its key signed: `trust sudi certify-tpm`; if it is not, an \
             attacker may be on the bus of the TPM",
        )
    };
    let key = key.ok_or_else(|| refused("it has none that an authority could vouch for".into()))?;
    let signed = files::read(signature, MAX_SIGNATURE)
        .map_err(|why| refused(format!("no authority vouches for {}: {}: {why}", key.name(), signature.display())))?;
    let digest = hash(&[key.statement().as_bytes()]);
    for authority in authorities {
        if has_signed(authority, &digest, &signed)? {
            return Ok(());
        }
    }
    Err(refused(format!("{} is not an authority's signature of {}", signature.display(), key.name())))
}

/// Whether the key of a certificate has signed a message with this SHA-256.
fn has_signed(certificate: &[u8], digest: &Digest, signature: &[u8]) -> Result<bool> {
    let corrupt = |why: &'static str| Error::new(Kind::Corrupt, "use the certificate of an authority", why);
    let unable = |errno: Errno| {
        let why = format!("this kernel does not check such signatures: {}", io::Error::from(errno));
        Error::new(Kind::System, WHAT, why).remedy(
            "build it with CONFIG_ASYMMETRIC_PUBLIC_KEY_SUBTYPE, CONFIG_X509_CERTIFICATE_PARSER, and CONFIG_CRYPTO_RSA or \
             CONFIG_CRYPTO_ECDSA",
        )
    };
    let (der, public) = CertifiedKey::of_certificate(certificate).map_err(corrupt)?;
    if signature.is_empty() {
        return Ok(false);
    }
    let encoding = match public {
        CertifiedKey::Rsa { .. } => c"enc=pkcs1 hash=sha256",
        CertifiedKey::Other(..) => c"enc=x962 hash=sha256",
    };
    let key = CertificateKey::of_certificate(&der).map_err(|errno| match errno {
        Errno::EBADMSG | Errno::EINVAL | Errno::EKEYREJECTED => corrupt("the kernel finds it malformed"),
        other => unable(other),
    })?;
    match key.verify(encoding, digest, signature) {
        Ok(()) => Ok(true),
        // Malformed, or another's.
        Err(Errno::EKEYREJECTED | Errno::EBADMSG | Errno::EINVAL) => Ok(false),
        Err(other) => Err(unable(other)),
    }
}
