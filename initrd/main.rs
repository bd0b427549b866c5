//! `trust-initrd`, installed in an initrd as `trust`.

#[cfg(all(target_env = "musl", not(test)))]
mod unwind;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    trust::commands::main("trust", &args)
}
