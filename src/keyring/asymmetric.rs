//! `asymmetric` keys: the kernel reads a certificate and verifies with its key (keyctl_pkey_verify(3)), as it does for its
//! modules.

#![allow(unsafe_code, reason = "add_key(2) and keyctl(2) for asymmetric keys, which no library here wraps")]

use nix::{
    errno::Errno,
    libc::{SYS_add_key, SYS_keyctl, c_int, syscall},
};
use std::ffi::CStr;

/// The keyring that ends with the process.
const KEY_SPEC_PROCESS_KEYRING: c_int = -2;
/// The operation of keyctl(2) that verifies a signature.
pub const KEYCTL_PKEY_VERIFY: c_int = 28;

/// A public key that the kernel has; it ends with the process.
pub struct CertificateKey(i32);

/// `struct keyctl_pkey_params` (linux/keyctl.h).
#[repr(C)]
struct Params {
    key: i32,
    digest_size: u32,
    signature_size: u32,
    spare: [u32; 7],
}

impl CertificateKey {
    /// Gives the kernel a certificate in DER.
    ///
    /// # Errors
    /// `EBADMSG`, `EINVAL`, `EKEYREJECTED`: it is malformed, or self-signed and its signature is wrong; else what the
    /// kernel lacks.
    pub fn of_certificate(der: &[u8]) -> nix::Result<Self> {
        let (kind, description) = (c"asymmetric", c"trust:authority");
        // SAFETY: two strings that end with a zero, and a pointer with its length; the kernel copies them all.
        let serial = unsafe {
            syscall(SYS_add_key, kind.as_ptr(), description.as_ptr(), der.as_ptr(), der.len(), KEY_SPEC_PROCESS_KEYRING)
        };
        Errno::result(serial).and_then(|serial| i32::try_from(serial).map_err(|_| Errno::EOVERFLOW)).map(Self)
    }

    /// Has the kernel verify a signature over a digest; `encoding` says how it is encoded and with which hash.
    ///
    /// # Errors
    /// `EKEYREJECTED`, `EBADMSG`, `EINVAL`: it is malformed, or another key's; else what the kernel lacks.
    pub fn verify(&self, encoding: &CStr, digest: &[u8], signature: &[u8]) -> nix::Result<()> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL);
        let params =
            Params { key: self.0, digest_size: size(digest)?, signature_size: size(signature)?, spare: [0; 7] };
        let (operation, params, encoding) = (KEYCTL_PKEY_VERIFY, &raw const params, encoding.as_ptr());
        // SAFETY: the parameters say how many bytes there are behind the two pointers; all are only read.
        let outcome = unsafe { syscall(SYS_keyctl, operation, params, encoding, digest.as_ptr(), signature.as_ptr()) };
        Errno::result(outcome).map(drop)
    }
}
