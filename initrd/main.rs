//! `trust-initrd`, installed in an initrd as `trust`.

use std::process::ExitCode;

fn main() -> ExitCode {
    trust::commands::main("trust", std::env::args_os().skip(1))
}
