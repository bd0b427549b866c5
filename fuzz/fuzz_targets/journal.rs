//! Journal files: as they are, and under seals that fit, which a fuzzer does not guess.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::journal::{Circumstances, JournalVerdict, SealKeys, VerificationKey, resealed, verify},
    secret::Secret,
};

/// That of the seeds.
const KEY: &[u8] = include_bytes!("../journal.key");

fn key() -> VerificationKey {
    let secret = Secret::read_from(&mut &*KEY).expect("it is in memory").expect("it is small");
    VerificationKey::parse(&secret).expect("it is one")
}

thread_local! {
    /// Its primes are looked for once.
    static KEYS: std::cell::RefCell<SealKeys> = SealKeys::new(vec![key()]).into();
}

fuzz_target!(|bytes: &[u8]| {
    let verdict = |bytes: &[u8]| {
        let circumstances = Circumstances { now: 1 << 51, is_put_aside: false };
        let verify = |keys: &mut SealKeys| verify(bytes.into(), keys, circumstances, &mut |_| {});
        let report = KEYS.with_borrow_mut(verify).expect("memory is read");
        assert_eq!(report.misfit.is_some(), report.verdict.has_misfit());
        report.verdict
    };
    verdict(bytes);
    if let Some(bytes) = KEYS.with_borrow_mut(|keys| resealed(bytes, keys)) {
        let _: JournalVerdict = verdict(&bytes);
    }
});
