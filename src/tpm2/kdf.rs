//! Key derivation of the TPM (part 1, section 11.4.10), with SHA-256: one block of it, which is all that is needed.

use crate::digest::{Digest, hash};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// `KDFe`: from a shared secret and the x coordinates of both points. `label` ends with a zero.
pub fn kdf_e(z: &[u8], label: &[u8], ours: &[u8], theirs: &[u8]) -> Zeroizing<Digest> {
    Zeroizing::new(hash(&[&1u32.to_be_bytes(), z, label, ours, theirs]))
}

/// `KDFa`: from a key. `label` ends with a zero.
pub fn kdf_a(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Option<Zeroizing<Digest>> {
    hmac(key, &[&1u32.to_be_bytes(), label, context, &bits.to_be_bytes()])
}

/// HMAC-SHA-256 of the concatenation of `parts`.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<Zeroizing<Digest>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        hmac.update(part);
    }
    let mut digest = Zeroizing::new([0; 32]);
    digest.copy_from_slice(&hmac.finalize().into_bytes());
    Some(digest)
}
