//! The outer wrap of a duplicated object (TPM 2.0 Library part 1, section 23.3): only the TPM that holds the new
//! parent can open it, and it opens nothing that has been changed. Pure, but for the randomness.

use super::super::{StorageKey, crypto::encrypt_cfb, ecdh};
use crate::digest::{Digest, hash};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A key as it crosses the bus.
pub struct Wrapped {
    /// What is in the `TPM2B_PRIVATE`: integrity, then the encrypted sensitive area.
    pub private: Vec<u8>,
    /// What is in the `TPM2B_ENCRYPTED_SECRET`: our point of the key exchange.
    pub seed: Vec<u8>,
}

/// Wraps a `TPMT_SENSITIVE` for `parent`, bound to the object of this Name.
pub fn wrap(parent: &StorageKey, name: &[u8], sensitive: &[u8]) -> Option<Wrapped> {
    let shared = ecdh::exchange(&parent.x, &parent.y)?;
    // The parent's coordinate at the size of the field, as the TPM has it in this place.
    let mut padded = [0; 32];
    padded.get_mut(32usize.checked_sub(parent.x.len())?..)?.copy_from_slice(&parent.x);
    let seed = kdf_e(&*shared.z, b"DUPLICATE\0", &shared.x, &padded);
    Some(Wrapped { private: seal(&*seed, name, sensitive)?, seed: [sized(&shared.x)?, sized(&shared.y)?].concat() })
}

/// Encrypts, then authenticates with the Name.
fn seal(seed: &[u8], name: &[u8], sensitive: &[u8]) -> Option<Vec<u8>> {
    let mut encrypted = Zeroizing::new(sized(sensitive)?);
    let key = kdf_a(seed, b"STORAGE\0", name, 128)?;
    encrypt_cfb(key.get(..16)?, &[0; 16], &mut encrypted)?;
    let key = kdf_a(seed, b"INTEGRITY\0", &[], 256)?;
    let integrity = hmac(&*key, &[&encrypted, name])?;
    Some([&sized(&*integrity)?, encrypted.as_slice()].concat())
}

/// One block of `KDFe` (part 1, section 11.4.10.3) with SHA-256.
fn kdf_e(z: &[u8], label: &[u8], ours: &[u8], theirs: &[u8]) -> Zeroizing<Digest> {
    Zeroizing::new(hash(&[&1u32.to_be_bytes(), z, label, ours, theirs]))
}

/// One block of `KDFa` (part 1, section 11.4.10.2) with SHA-256.
fn kdf_a(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Option<Zeroizing<Digest>> {
    hmac(key, &[&1u32.to_be_bytes(), label, context, &bits.to_be_bytes()])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<Zeroizing<Digest>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        hmac.update(part);
    }
    let mut digest = Zeroizing::new([0; 32]);
    digest.copy_from_slice(&hmac.finalize().into_bytes());
    Some(digest)
}

/// A `TPM2B`.
pub fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    let size = u16::try_from(bytes.len()).ok()?;
    // In one piece: what grows leaves copies behind.
    let mut whole = Vec::with_capacity(bytes.len() + 2);
    whole.extend_from_slice(&size.to_be_bytes());
    whole.extend_from_slice(bytes);
    Some(whole)
}
