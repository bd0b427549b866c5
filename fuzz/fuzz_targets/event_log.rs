//! The firmware's event log, and what is told of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::predict::firmware::Firmware,
    measure::{bank::Bank, explain::explain, history::Logs},
};

fuzz_target!(|bytes: &[u8]| {
    let _ = Firmware::of_log(bytes);
    let lists = ["SecureBoot 00\nPK 11\ndb 22 \"owner\"\n".to_owned()];
    for text in [explain(bytes, &[]), explain(bytes, &lists)] {
        assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
    }
    // As the firmware's log, and as the system's behind an empty one.
    let empty = b"\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for logs in [
        Logs { firmware: bytes.to_vec(), user_space: Vec::new() },
        Logs { firmware: empty, user_space: bytes.to_vec() },
    ] {
        for bank in [Bank::Sha1, Bank::Sha256] {
            let text = logs.since(bank, 7, &[7; 32], &[8; 32]).unwrap_or_default();
            assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
});
