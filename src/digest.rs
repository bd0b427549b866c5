//! Policy digests, computed as the TPM does (TPM 2.0 Library part 3, the
//! `TPM2_Policy…` commands; part 1, section 19.7). SHA-256 throughout.

use crate::layout::POLICY_VERSION_NAME;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];
/// A Name of an entity with name algorithm SHA-256: the algorithm, then the digest.
pub type Name = [u8; 34];

/// The policy of a session that nothing has been asserted in.
const EMPTY: Digest = [0; 32];

const CC_POLICY_NV: u32 = 0x0000_0149;
const CC_POLICY_AUTHORIZE: u32 = 0x0000_016a;
const CC_POLICY_PCR: u32 = 0x0000_017f;
const EO_EQ: u16 = 0x0000;
/// `TPML_PCR_SELECTION` of sha256:7.
const SHA256_PCR_7: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x80, 0, 0];

/// What the lock extends PCR 7 with, in every bank the hash of these bytes.
pub const LOCK_EVENT: &[u8; 7] = b"atomix\n";

/// What systemd 261 and later extend PCR 7 with, in an initrd.
pub const OS_SEPARATOR: &[u8; 12] = b"os-separator";

/// The policy that allows PCR 7 = `pcr7` and nothing else: that of the TPM admin password.
#[must_use]
pub fn passwd(pcr7: &Digest) -> Digest {
    hash(&[&EMPTY, &CC_POLICY_PCR.to_be_bytes(), &SHA256_PCR_7, &hash(&[pcr7])])
}

/// The policy that allows PCR 7 = `pcr7` while index 0x1500020 holds `version`: that of the LUKS secrets.
#[must_use]
pub fn luks(pcr7: &Digest, version: &[u8; 4]) -> Digest {
    let offset = 0u16.to_be_bytes();
    let args = hash(&[version, &offset, &EO_EQ.to_be_bytes()]);
    hash(&[&passwd(pcr7), &CC_POLICY_NV.to_be_bytes(), &args, &POLICY_VERSION_NAME])
}

/// The policy of an index that is opened by whatever policy the key of this Name has signed.
#[must_use]
pub fn authorize(signer: &Name) -> Digest {
    let policy_ref = [];
    hash(&[&hash(&[&EMPTY, &CC_POLICY_AUTHORIZE.to_be_bytes(), signer]), &policy_ref])
}

/// The value of a sha256 PCR after `digest` has been extended into `pcr`.
#[must_use]
pub fn extend(pcr: &Digest, digest: &Digest) -> Digest {
    hash(&[pcr, digest])
}

/// The value of PCR 7 once it has been locked.
#[must_use]
pub fn locked(pcr7: &Digest) -> Digest {
    extend(pcr7, &hash(&[LOCK_EVENT]))
}

/// Whether `now` is what `known` becomes when PCR 7 is extended by the lock and by systemd, in any order, at most `times`
/// times; and if so, whether the lock came first.
#[must_use]
pub fn moved_on(known: &Digest, now: &Digest, times: u8) -> Option<bool> {
    let leads = |event| {
        let next = extend(known, &hash(&[event]));
        next == *now || times > 1 && moved_on(&next, now, times - 1).is_some()
    };
    if leads(LOCK_EVENT) { Some(true) } else { leads(OS_SEPARATOR).then_some(false) }
}

/// SHA-256 of the concatenation of `parts`.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> Digest {
    let mut h = Sha256::new();
    for part in parts {
        h.update(part);
    }
    h.finalize().into()
}

/// Bytes in hexadecimal: lower case, two digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
