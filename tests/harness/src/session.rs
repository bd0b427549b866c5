//! What both ends of a TPM's session arrive at, by SHA-256.
//!
//! TPM 2.0 Library part 1, sections 11.4.10 (key derivation) and 19.6 (sessions).

use hmac::{Hmac, KeyInit, Mac};
use p256::{NonZeroScalar, PublicKey};
use sha2::{Digest, Sha256};

/// The salt of a session, by `KDFe`: of the secret shared between a key and an ephemeral one, of which `private` is one
/// and `peer` the other; `ephemeral` and `key` are the x coordinates of both.
#[must_use]
pub fn salt(private: &NonZeroScalar, peer: &PublicKey, ephemeral: &[u8], key: &[u8]) -> [u8; 32] {
    let shared = p256::ecdh::diffie_hellman(private, peer.as_affine());
    let parts = [&1u32.to_be_bytes()[..], shared.raw_secret_bytes(), b"SECRET\0", ephemeral, key];
    Sha256::digest(parts.concat()).into()
}

/// One block of `KDFa`: 256 bits. The label ends with a zero byte.
#[must_use]
pub fn kdf_a(key: &[u8], label: &[u8], [newer, older]: [&[u8]; 2]) -> [u8; 32] {
    hmac(key, &[&1u32.to_be_bytes(), label, newer, older, &256u32.to_be_bytes()])
}

/// HMAC over all parts.
///
/// # Panics
/// Never: a key of any size will do.
#[must_use]
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("any size");
    parts.iter().for_each(|part| hmac.update(part));
    hmac.finalize().into_bytes().into()
}
