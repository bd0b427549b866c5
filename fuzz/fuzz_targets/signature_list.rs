//! Signature lists, bare and behind the header of an authenticated variable: what is read is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::uefi::signature_list;

fuzz_target!(|bytes: &[u8]| {
    let _ = signature_list::parse_file(bytes);
    if let Ok(lists) = signature_list::parse(bytes) {
        assert_eq!(signature_list::to_bytes(&lists).ok().as_deref(), Some(bytes));
    }
});
