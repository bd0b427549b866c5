//! A private key or a certificate in PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::pki::{certificate, key::{self, PrivateKey}};

fuzz_target!(|bytes: &[u8]| {
    let _ = certificate::first(bytes);
    // Where a key is in a token, opening it would load whatever module the bytes name.
    if let Ok(None) = key::uri_in(bytes)
        && let Ok(key) = PrivateKey::from_bytes(bytes)
    {
        let _ = key.public().to_info();
    }
});
