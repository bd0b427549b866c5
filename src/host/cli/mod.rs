//! The command line of the administrator's side: one file for each group of commands.

mod arguments;
mod check;
mod efi;
mod enroll;
mod keys;
mod keyset;
mod launch;
mod luks;
mod machine;
mod manual;
mod pcr7;
mod pcr7data;
mod policy;
mod project;
mod show;
mod target;
mod uki;

use crate::{
    console,
    error::Result,
    host::{fs::interrupt, pki::key::passphrase},
    process,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Unattended, secure boot: keysets, certificates and signed policies.
#[derive(Parser)]
#[command(name = "trust", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// Taken for the sake of old scripts: messages say what there is to say
    #[arg(long, global = true, hide = true)]
    debug: bool,
    /// Have the passphrase of encrypted private keys from the first line of a file, and ask nobody
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a keyset: authorities, Secure Boot keys, image and policy keys, a first project
    #[command(name = "initkeyset", after_help = "Example:\n  trust initkeyset --keysetname acme --org 'Acme Ltd'")]
    InitKeyset(keyset::InitKeyset),
    /// Keysets: make, list, show, check, export, add signed policies
    #[command(subcommand)]
    Keyset(keyset::Keysets),
    /// Make a product: its UUID, and a key and certificate to sign its manifests with
    #[command(name = "new-uuid", alias = "newuuid")]
    NewUuid(project::NewUuid),
    /// Projects: the products of a keyset
    #[command(subcommand)]
    Project(project::Projects),
    /// SUDIs: the identities of a project's machines
    #[command(subcommand)]
    Sudi(project::Sudis),
    /// Compute the PCR 7 values of a keyset's boots
    #[command(
        name = "computePCR7",
        alias = "compute-pcr7",
        after_help = "Examples:\n  trust computePCR7 acme\n  trust computePCR7 acme --chain shim --shim shimx64.efi --explain"
    )]
    ComputePcr7(pcr7::ComputePcr7),
    /// Compute the policies for two PCR 7 values, unsigned
    #[command(name = "tpm-policy-gen")]
    TpmPolicyGen(policy::TpmPolicyGen),
    /// Sign for Secure Boot
    #[command(subcommand)]
    Sign(efi::Sign),
    /// Verify what is signed for Secure Boot
    #[command(subcommand)]
    Verify(efi::Verify),
    /// Unified kernel images: build, measure, look into
    #[command(subcommand)]
    Uki(uki::Ukis),
    /// Put a keyset's keys into a firmware
    #[command(subcommand)]
    Enroll(enroll::Enroll),
    /// Run a virtual machine that lives a machine's life: provisioned, installed, booted
    #[command(after_help = launch::HELP)]
    Launch(launch::Launch),
    /// Disks: headers of LUKS2 volumes that nobody else can change
    #[command(subcommand)]
    Luks(luks::Luks),
    /// Manual pages, in roff
    #[command(
        after_help = "Examples:\n  trust man keyset add | man -l -\n  trust man --output /usr/local/share/man/man1"
    )]
    Man(manual::Manual),
    /// Completions for a shell
    #[command(after_help = "Example:\n  trust completions bash > ~/.local/share/bash-completion/completions/trust")]
    Completions(manual::Completions),
}

/// The whole command line, with the commands that `main` does not hand to this module.
fn definition() -> clap::Command {
    flowing(target::add_to(Cli::command()))
}

/// Has paragraphs below the options flow into the width of the terminal: in the source they are broken at its own.
fn flowing(command: clap::Command) -> clap::Command {
    let below = command.get_after_help().map(|text| flow(&text.to_string()));
    let command = command.mut_subcommands(flowing);
    match below {
        Some(below) => command.after_help(below),
        None => command,
    }
}

/// Joins the lines of a paragraph; examples are indented and stay.
fn flow(text: &str) -> String {
    let mut flowing = String::new();
    for line in text.lines() {
        let in_paragraph = !flowing.is_empty() && !flowing.ends_with('\n');
        let stands_alone = line.is_empty() || line.starts_with(' ') || line.ends_with(':');
        if in_paragraph {
            flowing.push(if stands_alone { '\n' } else { ' ' });
        }
        flowing.push_str(line);
        if stands_alone {
            flowing.push('\n');
        }
    }
    flowing
}

fn parse(args: impl IntoIterator<Item = OsString>) -> clap::error::Result<Cli> {
    Cli::from_arg_matches(&definition().try_get_matches_from(args)?)
}

/// Whether this is a command line; nothing is done.
pub fn understands(args: impl IntoIterator<Item = OsString>) -> bool {
    parse(args).is_ok()
}

/// Does what the command line says.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Cli { passphrase_file, command, .. } = parse(args).unwrap_or_else(|e| e.exit());
    if let Some(file) = passphrase_file {
        passphrase::is_in(file);
    }
    interrupt::outlive_file_limits();
    // Private keys and PINs will be in our memory.
    let done = process::conceal().and_then(|_| command.run());
    if let Err(error) = &done {
        console::report(error);
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(signal) = interrupt::pending() {
                interrupt::end_by(signal);
            }
            ExitCode::from(error.kind().exit_status())
        }
    }
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::InitKeyset(command) => command.run(),
            Self::Keyset(command) => command.run(),
            Self::NewUuid(command) => command.run(),
            Self::Project(command) => command.run(),
            Self::Sudi(command) => command.run(),
            Self::ComputePcr7(command) => command.run(),
            Self::TpmPolicyGen(command) => command.run(),
            Self::Sign(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Uki(command) => command.run(),
            Self::Enroll(command) => command.run(),
            Self::Launch(command) => command.run(),
            Self::Luks(command) => command.run(),
            Self::Man(command) => command.run(definition()),
            Self::Completions(command) => command.run(definition()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        definition().debug_assert();
    }

    #[test]
    fn paragraphs_flow_and_examples_stay() {
        let text = "Examples:\n  one\n  two\n\nA paragraph\nof two lines.\n\nAnother.\n\nExample:\n  three";
        let flowing = "Examples:\n  one\n  two\n\nA paragraph of two lines.\n\nAnother.\n\nExample:\n  three\n";
        assert_eq!(flow(text), flowing);
    }
}
