//! PKCS #7: signatures of programs and of variables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::pki::cms::SignedData;

fuzz_target!(|bytes: &[u8]| {
    let _ = SignedData::parse(bytes);
    let _ = SignedData::parse_content_info(bytes);
});
