//! `cargo xtask`: builds, tests and shows the project.

mod apt;
mod fetch;
mod packages;
mod sh;

use anyhow::Result;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask SUBCOMMAND

  demo    shows the main job on a software TPM
  test    everything that must hold; `cargo xtask test --help` says more
  dist    builds the two programs into target/dist/ and checks them
  bench   counts what a boot costs
  fetch   gets and patches the source of tpm2-tss; the others do so when needed

Programs that are missing are installed as root on Debian and Ubuntu;
elsewhere they are named.
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let subcommand = args.next().unwrap_or_default();
    match run(&subcommand.to_string_lossy(), args.collect()) {
        Ok(status) => status,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(subcommand: &str, _args: Vec<std::ffi::OsString>) -> Result<ExitCode> {
    match subcommand {
        "fetch" => {
            packages::ensure(&[packages::BUILD])?;
            fetch::prepare()?;
        }
        "help" | "--help" | "-h" => print!("{HELP}"),
        _ => {
            eprint!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
