//! Where a key in a token is: the URI, and the file that holds one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::pki::{pkcs11_uri::{Pin, Uri}, provider_uri};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = provider_uri::decode(bytes) {
        assert_eq!(provider_uri::encode(text).as_deref().ok(), Some(bytes));
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(uri.as_str(), text);
        let shown = uri.to_string();
        if let Pin::Value(_) = uri.pin {
            assert!(shown.split(['?', '&']).any(|part| part == "pin-value=…"));
        } else {
            assert!(!shown.contains('…'));
        }
    }
});
