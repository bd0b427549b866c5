//! The firmware's event log, and what is told of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{host::predict::firmware::Firmware, measure::explain::explain};

fuzz_target!(|bytes: &[u8]| {
    let _ = Firmware::of_log(bytes);
    let lists = ["SecureBoot 00\nPK 11\ndb 22 \"owner\"\n".to_owned()];
    for text in [explain(bytes, &[]), explain(bytes, &lists)] {
        assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
    }
});
