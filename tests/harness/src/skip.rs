//! Tests that are not made here: said aloud, and counted by `cargo xtask test`.

use nix::unistd::Uid;
use std::{io::Write, thread};

/// Says that the test which calls this is not made, and why; it is to return then.
///
/// # Panics
/// When nothing can be written to standard error.
pub fn skip(why: &str) {
    let test = thread::current();
    let line = format!("\nSKIPPED {}: {why}\n", test.name().unwrap_or("a test"));
    // Past libtest, which keeps to itself what a test prints that passes.
    std::io::stderr().lock().write_all(line.as_bytes()).expect("standard error takes a line");
}

/// Whether this is root, without whom the test is not made; `why` says what takes root.
#[must_use]
pub fn is_root_or_skip(why: &str) -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        skip(why);
    }
    is_root
}
