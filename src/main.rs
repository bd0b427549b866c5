//! `trust`, the program of the administrator's machine, the build pipeline and the booted system.

use std::process::ExitCode;
use trust::{commands::Command, guard, host};

fn main() -> ExitCode {
    guard::install_panic_hook();
    let args: Vec<_> = std::env::args_os().collect();
    match Command::of(args.get(1..).unwrap_or_default()) {
        Some((command, rest)) => command.main("trust", rest),
        None => host::cli::main(args),
    }
}
