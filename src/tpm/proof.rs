//! Index 0x1500023: what shows that this TPM was provisioned, as it is now, with the machine's private key at hand.
//!
//! Everything else that `provision` leaves can be laid out by an attacker who owns the TPM: policies and certificate are
//! public. 64 bytes: SHA-256 of the certificate (PEM as given), then
//!
//! ```text
//! HMAC-SHA-256(
//!     SHA-256("trust: key of the proof of provisioning, version 1" ‖ number),
//!     "trust: proof of provisioning, version 1" ‖ SHA-256 of the certificate ‖ salted ‖ Name ‖ areas)
//! ```
//!
//! - number: what [`KeyNumbers::number`] gives, the same in whichever form of PEM the key comes;
//! - salted: one byte, 1 if sessions are salted to the key at 0x81000001, else 0;
//! - Name: that key's, 34 bytes; a TPM that has been cleared has another one, see [`RootKey`];
//! - areas: `TPMS_NV_PUBLIC` of every index, written, 0x1500002 first, then in the order of the handles.
//!
//! Pure.

use super::root_key::RootKey;
use crate::{
    digest::hash,
    error::{Error, Kind, Result},
    identity::Identity,
    private_key::{self, KeyNumbers},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::hint::black_box;
use zeroize::Zeroizing;

const KEY: &[u8] = b"trust: key of the proof of provisioning, version 1";
const PROOF: &[u8] = b"trust: proof of provisioning, version 1";
/// Before there were proofs, the digest was all.
pub const DIGEST_LEN: usize = 32;
pub const LEN: usize = DIGEST_LEN + 32;

/// What the index is to hold in a TPM with this storage root key and these indices, if it is the machine's.
pub fn of(identity: &Identity, root: &RootKey, areas: &[u8]) -> Result<[u8; LEN]> {
    let unfit = |why: &'static str| Error::new(Kind::Usage, "prove that the TPM is this machine's", why);
    let block = private_key::only(identity.key().expose()).map_err(unfit)?;
    let key = KeyNumbers::of_block(&block).ok_or_else(|| unfit("its private key is malformed"))?;
    let key = Zeroizing::new(hash(&[KEY, key.number()]));
    let digest = hash(&[identity.certificate()]);
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key).map_err(|_| unfit("its private key is malformed"))?;
    for part in [PROOF, &digest, &[root.salted.into()], &root.name, areas] {
        mac.update(part);
    }
    let mut whole = [0; LEN];
    let (first, second) = whole.split_at_mut(DIGEST_LEN);
    first.copy_from_slice(&digest);
    second.copy_from_slice(&mac.finalize().into_bytes());
    Ok(whole)
}

/// Whether the index holds that. It takes the same time for all contents of that size.
pub fn is(found: &[u8], proof: &[u8; LEN]) -> bool {
    let differences = found.iter().zip(proof).fold(0, |differences, (a, b)| black_box(differences | (a ^ b)));
    found.len() == LEN && differences == 0
}
