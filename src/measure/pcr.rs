//! PCRs: what extending does to them (TPM 2.0 Library part 1, section 11.4.2), and which extensions of PCR 7 are known.

#[cfg(feature = "host")]
use super::event::Event;
use crate::digest::{Digest, hash};

/// What the lock extends PCR 7 with, in every bank the hash of these bytes.
pub const LOCK_EVENT: &[u8; 7] = b"atomix\n";

/// What systemd 261 and later extend PCR 7 with, in an initrd.
pub const OS_SEPARATOR: &[u8; 12] = b"os-separator";

/// The value of a sha256 PCR after `digest` has been extended into `pcr`.
#[must_use]
pub fn extend(pcr: &Digest, digest: &Digest) -> Digest {
    hash(&[pcr, digest])
}

/// The values of a sha256 PCR after each of its events, from zeros on.
#[cfg(feature = "host")]
#[must_use]
pub fn replay(events: &[Event]) -> Vec<Digest> {
    let mut pcr = [0; 32];
    let mut after = |event: &Event| {
        pcr = extend(&pcr, &event.digest);
        pcr
    };
    events.iter().map(&mut after).collect()
}

/// The value of PCR 7 once it has been locked.
#[must_use]
pub fn locked(pcr7: &Digest) -> Digest {
    extend(pcr7, &hash(&[LOCK_EVENT]))
}

/// What PCR 7 is while the system runs, after a production boot with this value: once it has been locked, and once systemd
/// has extended it as well.
#[must_use]
pub fn of_running_system(pcr7: &Digest) -> [Digest; 2] {
    let locked = locked(pcr7);
    [locked, separated(&locked)]
}

/// The value of PCR 7 once systemd has extended it.
#[must_use]
pub fn separated(pcr7: &Digest) -> Digest {
    extend(pcr7, &hash(&[OS_SEPARATOR]))
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
