//! A private key or a certificate in PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::{certificate, key::PrivateKey};

fuzz_target!(|bytes: &[u8]| {
    let _ = certificate::from_pem(bytes);
    if let Ok(key) = PrivateKey::from_pem(bytes) {
        let _ = key.public().to_info();
    }
});
