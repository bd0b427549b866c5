//! An authority that vouches for storage root keys: its certificate is in the signed image, what it has signed lies
//! anywhere, since nobody needs to vouch for that.
//!
//! The kernel reads the certificate and checks the signature (keyctl_pkey_verify(3)), as it does for its modules: not
//! a line of cryptography is added here for it.

#![allow(unsafe_code, reason = "add_key(2) and keyctl(2) for asymmetric keys, which no library here wraps")]

use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    files,
    identity::Public,
    tpm2::StorageKey,
};
use nix::{
    errno::Errno,
    libc::{SYS_add_key, SYS_keyctl, c_int, syscall},
};
use std::{ffi::CStr, io, path::Path};

/// More is no signature: RSA of 4096 bits has 512 bytes.
const MAX_SIGNATURE: usize = 1024;
/// The keyring that ends with the process.
const KEY_SPEC_PROCESS_KEYRING: c_int = -2;
const KEYCTL_PKEY_VERIFY: c_int = 28;

/// What is being done, in messages.
const WHAT: &str = "trust the TPM's storage root key";

/// Sees that one of the `authorities`, certificates in PEM, has signed the statement of `key`; where there are none,
/// nobody asks. The signature (RSASSA-PKCS1-v1_5 or ECDSA, with SHA-256) is in a file.
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
            "if this is a new TPM or a new machine, have its key signed: `trust sudi certify-tpm`; if it is not, somebody \
             may be on the bus of the TPM",
        )
    };
    let key = key.ok_or_else(|| refused("it has none that an authority could vouch for".into()))?;
    let signed = files::read(signature, MAX_SIGNATURE)
        .map_err(|why| refused(format!("nobody vouches for {}: {}: {why}", key.name(), signature.display())))?;
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
    let (der, public) = Public::of_certificate(certificate).map_err(corrupt)?;
    if signature.is_empty() {
        return Ok(false);
    }
    let encoding = match public {
        Public::Rsa { .. } => c"enc=pkcs1 hash=sha256",
        Public::Other(..) => c"enc=x962 hash=sha256",
    };
    let key = add(&der).map_err(|errno| match errno {
        Errno::EBADMSG | Errno::EINVAL | Errno::EKEYREJECTED => corrupt("the kernel finds it malformed"),
        other => unable(other),
    })?;
    match verify(key, encoding, digest, signature) {
        Ok(()) => Ok(true),
        // Malformed, or another's.
        Err(Errno::EKEYREJECTED | Errno::EBADMSG | Errno::EINVAL) => Ok(false),
        Err(other) => Err(unable(other)),
    }
}

/// Gives the kernel a certificate, and returns the key's serial number. Both end with the process.
fn add(der: &[u8]) -> nix::Result<i32> {
    let (kind, description) = (c"asymmetric", c"trust:authority");
    // SAFETY: two strings that end with a zero, and as many bytes as it is told; the kernel copies them all.
    let serial = unsafe {
        syscall(SYS_add_key, kind.as_ptr(), description.as_ptr(), der.as_ptr(), der.len(), KEY_SPEC_PROCESS_KEYRING)
    };
    Errno::result(serial).and_then(|serial| i32::try_from(serial).map_err(|_| Errno::EOVERFLOW))
}

/// `struct keyctl_pkey_params` (linux/keyctl.h).
#[repr(C)]
struct Params {
    key: i32,
    digest_size: u32,
    signature_size: u32,
    spare: [u32; 7],
}

/// Has the kernel check a signature over a digest.
fn verify(key: i32, encoding: &CStr, digest: &Digest, signature: &[u8]) -> nix::Result<()> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL);
    let params = Params { key, digest_size: size(digest)?, signature_size: size(signature)?, spare: [0; 7] };
    let (operation, params, encoding) = (KEYCTL_PKEY_VERIFY, &raw const params, encoding.as_ptr());
    // SAFETY: the parameters say how many bytes there are behind the two pointers; all are read alone.
    let outcome = unsafe { syscall(SYS_keyctl, operation, params, encoding, digest.as_ptr(), signature.as_ptr()) };
    Errno::result(outcome).map(drop)
}
