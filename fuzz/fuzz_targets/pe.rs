//! A PE image, its digests and its signatures: nothing that is not signed by the anchor is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{host::{image::{authenticode, pe::Image}, uki::{inspect, measured, stub}, pki::key::Hash}, measure::bank::Bank};

/// A certificate whose key has signed nothing.
const ANCHOR: &[u8] = include_bytes!("../anchor.der");

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = Image::parse(bytes) else { return };
    for hash in [Hash::Sha256, Hash::Sha384] {
        let _ = authenticode::digest(&image, hash);
    }
    if let Ok(Some((_, version))) = stub::version(&image) {
        for profile in 0..measured::profiles(&image, version).min(4) {
            let _ = measured::sections(&image, version, profile, &[Bank::Sha256]);
        }
    }
    let _ = inspect::inspect(&image);
    if let Ok(report) = authenticode::verify(bytes, &[ANCHOR]) {
        assert!(!report.is_accepted());
    }
});
