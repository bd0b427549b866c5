//! `trust`, the program of the administrator's machine, the build pipeline and the booted system.

use std::process::ExitCode;
use trust::{commands::Command, guard, host};

fn main() -> ExitCode {
    guard::install_panic_hook();
    let mut args = std::env::args_os();
    let target = args.nth(1).and_then(|name| Command::named(name.to_str()?));
    match target {
        Some(command) => command.main("trust", args),
        None => host::cli::main(std::env::args_os()),
    }
}
