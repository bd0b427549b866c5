//! What an initrd reads of pcr7data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::policy::{pcr7data, public_key::PolicyKey};

fuzz_target!(|bytes: &[u8]| {
    let _ = pcr7data::parse_info(bytes);
    if let Ok(key) = PolicyKey::from_pem(bytes) {
        assert_eq!(key.name()[..2], [0, 11]);
    }
});
