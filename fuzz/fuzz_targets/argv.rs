//! The command line of both programs, one argument a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};
use trust::{commands::Command, host::cli};

fuzz_target!(|bytes: &[u8]| {
    let args: Vec<OsString> = bytes.split(|byte| *byte == b'\n').map(|arg| OsStr::from_bytes(arg).into()).collect();
    if let Some((command, rest)) = Command::of(&args) {
        if let Err(error) = command.parse(rest) {
            assert_eq!(error.kind().exit_status(), 2);
        }
    } else {
        let _ = cli::understands(std::iter::once("trust".into()).chain(args));
    }
});
