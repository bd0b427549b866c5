//! What is measured into PCR 7 when a kernel is about to be replaced by another without the firmware: whose the successor is.
//!
//! Whoever may extend PCRs can claim this, and need not replace anything: no policy opens for it what a boot has locked.

use super::pcr;
use crate::digest::{Digest, hash, hex};

/// Successors in a row that policies can be signed for.
pub const MOST_SUCCESSORS: u8 = 4;

/// What comes before the signer.
const KIND: &str = "kexec ";

/// The text that is measured: the word, and the SHA-256 of the certificate that the successor's image is signed with, in hex.
#[must_use]
pub fn event(signer: &Digest) -> String {
    format!("{KIND}{}", hex(signer))
}

/// The digest of that in the sha256 bank.
#[must_use]
pub fn digest(signer: &Digest) -> Digest {
    hash(&[event(signer).as_bytes()])
}

/// The signer that such a text names.
#[must_use]
pub fn signer(event: &str) -> Option<&str> {
    let signer = event.strip_prefix(KIND)?;
    (signer.len() == 64 && signer.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(signer)
}

/// What PCR 7 is in the `number`-th successor in a row after a production boot with this value, where this signer has signed them
/// all: with its start; once its initrd has locked it again, which is all that `setup` does there; and once systemd has extended
/// either. Those before it were alike in that, and may have differed from the system that the firmware has started.
///
/// 8 values for the first successor, 32 for each further one.
#[must_use]
pub fn of_successor(pcr7: &Digest, signer: &Digest, number: u8) -> Vec<Digest> {
    let starts = pcr::of_running_system(pcr7);
    let mut values: Vec<Digest> = Vec::new();
    for (start, manner) in starts.iter().flat_map(|start| (0..4).map(move |manner| (start, manner))) {
        let alike = |before: Digest, _| of_next(&before, signer).into_iter().nth(manner).unwrap_or(before);
        let before = (1..number).fold(*start, alike);
        values.extend(of_next(&before, signer));
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// What this value becomes in the next successor.
fn of_next(before: &Digest, signer: &Digest) -> [Digest; 4] {
    let started = pcr::extend(before, &digest(signer));
    let [locked, both] = pcr::of_running_system(&started);
    [started, locked, pcr::separated(&started), both]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_names_the_signer() {
        let text = event(&[0xab; 32]);
        assert_eq!(text, format!("kexec {}", "ab".repeat(32)));
        assert_eq!(digest(&[0xab; 32]), hash(&[text.as_bytes()]));
        assert_eq!(signer(&text), Some("ab".repeat(32).as_str()));
        for other in ["", "kexec ", "kexec zz", "os-separator"] {
            assert_eq!(signer(other), None, "{other}");
        }
    }

    #[test]
    fn successors_are_locked_or_not_and_never_twice() {
        let [lock, separator] = [&pcr::LOCK_EVENT[..], pcr::OS_SEPARATOR].map(|event| hash(&[event]));
        let after = |events: &[Digest]| events.iter().fold([7; 32], |value, event| pcr::extend(&value, event));
        let kexec = digest(&[1; 32]);
        let [first, second] = [1, 2].map(|number| of_successor(&[7; 32], &[1; 32], number));
        assert_eq!((first.len(), second.len()), (8, 32));
        for events in [&[lock, kexec][..], &[lock, kexec, lock], &[lock, separator, kexec, lock, separator]] {
            assert!(first.contains(&after(events)) && !second.contains(&after(events)));
            assert!(second.contains(&after(&[events, &[kexec]].concat())));
        }
        for events in [
            &[lock][..],
            &[kexec],
            &[kexec, lock],
            &[lock, kexec, lock, lock],
            &[lock, kexec, lock, separator, lock],
            &[lock, lock, kexec],
            &[lock, digest(&[2; 32])],
            &[lock, kexec, kexec, kexec],
        ] {
            assert!(!first.contains(&after(events)) && !second.contains(&after(events)), "{}", events.len());
        }
    }
}
