//! The outer wrap of a duplicated object (TPM 2.0 Library part 1, section 23.3): only the TPM that holds the new
//! parent can open it, and it opens nothing that has been changed. Pure, but for the randomness.

use super::{
    StorageKey, cfb, ecdh,
    kdf::{hmac, kdf_a, kdf_e},
};
use crate::bytes::{Buffer, Writer, bounded};
use zeroize::Zeroizing;

/// Bytes of the largest `TPMS_ECC_POINT` on P-256.
const MAX_POINT: usize = 2 * (2 + 32);

/// An object as it crosses the bus.
pub struct Wrapped {
    /// What is in the `TPM2B_PRIVATE`: integrity, then the encrypted sensitive area.
    pub private: Vec<u8>,
    /// What is in the `TPM2B_ENCRYPTED_SECRET`: our point of the key exchange.
    pub seed: Buffer<MAX_POINT>,
}

/// Wraps a `TPMT_SENSITIVE` for `parent`, bound to the object of this Name.
pub fn wrap(parent: &StorageKey, name: &[u8], sensitive: &[u8]) -> Option<Wrapped> {
    let shared = ecdh::exchange(&parent.x, &parent.y)?;
    let seed = kdf_e(&*shared.z, b"DUPLICATE\0", &shared.x, &parent.x);
    let point = bounded(|writer| writer.tpm2b(&shared.x).tpm2b(&shared.y))?;
    Some(Wrapped { private: seal(&*seed, name, sensitive)?, seed: point })
}

/// Encrypts, then authenticates with the Name.
fn seal(seed: &[u8], name: &[u8], sensitive: &[u8]) -> Option<Vec<u8>> {
    let mut encrypted = Zeroizing::new(tpm2b(sensitive)?);
    let key = kdf_a(seed, b"STORAGE\0", name, 128)?;
    cfb::encrypt(key.get(..16)?, &[0; 16], &mut encrypted)?;
    let key = kdf_a(seed, b"INTEGRITY\0", &[], 256)?;
    let integrity = hmac(&*key, &[&encrypted, name])?;
    Some([tpm2b(&*integrity)?, encrypted.to_vec()].concat())
}

/// A `TPM2B`, in one piece: what grows leaves copies behind.
pub fn tpm2b(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = vec![0; bytes.len() + 2];
    Writer::new(&mut whole).tpm2b(bytes).finish()?;
    Some(whole)
}
