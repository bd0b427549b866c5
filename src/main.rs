//! `trust`, the program of the administrator's machine, the build pipeline and the booted system.

use std::process::ExitCode;
use trust::{guard, host};

fn main() -> ExitCode {
    guard::install_panic_hook();
    host::cli::main(std::env::args_os())
}
