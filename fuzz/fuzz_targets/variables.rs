//! What a firmware's variables are read from: its store in flash, signed updates, and a shim's own databases.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::{uefi::{authentication, variable_store::VariableStore}, predict::shim::Shim};

fuzz_target!(|bytes: &[u8]| {
    let _ = VariableStore::parse(bytes);
    let _ = authentication::contents(bytes);
    let _ = Shim::parse(bytes);
});
