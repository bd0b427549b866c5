//! An initrd: archives, compressed or not, one behind the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::uki::{initrd, inspect};

fuzz_target!(|bytes: &[u8]| {
    let mut seen = 0usize;
    let _ = inspect::look_into(bytes);
    let _ = initrd::walk(bytes, 1 << 20, &mut |_| seen += 1);
});
