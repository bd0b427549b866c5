//! `trust-initrd`, installed in an initrd as `trust`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    trust::commands::main("trust", &args)
}
