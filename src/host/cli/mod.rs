//! The command line of `trust`. Each command is a file: its name, its arguments, its help, and what it does with them.
//! To add one, write such a file, and a line in [`COMMANDS`].

mod accept;
mod admin;
mod arguments;
mod check;
mod credential;
mod derive;
mod efi;
mod enroll;
mod event_logs;
mod eventlog;
mod explain;
mod firmware_variables;
mod fss;
mod headings;
mod kexec;
mod keys;
mod keyset;
mod launch;
mod luks;
mod machine;
mod manual;
mod nv;
mod nv_policies;
mod old;
mod owner_password;
mod pcr;
mod pcr7;
mod pcr7data;
mod plaintext;
mod policy;
mod policy_known;
mod policy_options;
mod policy_show;
mod policy_sign;
mod policy_store;
mod predict;
mod project;
mod seal;
mod secrets;
mod show;
mod signed_policies;
mod state;
mod system_policies;
mod target;
mod tpm;
mod tpm_options;
mod uki;
mod unseal;

use crate::{
    commands::Heading,
    console,
    error::{Error, Kind, Result},
    host::{fs::interrupt, pki::key::passphrase},
    process,
};
use clap::{ArgMatches, CommandFactory, Parser, ValueHint};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// The commands, in the order of the help; those of [`crate::commands`] stand behind them under the same headings.
const COMMANDS: &[CommandEntry] = &[
    CommandEntry::new::<keyset::Keysets>("keyset", Heading::Keys),
    CommandEntry::new::<project::Projects>("project", Heading::Keys),
    CommandEntry::new::<project::Sudis>("sudi", Heading::Keys),
    CommandEntry::new::<project::NewUuid>("new-uuid", Heading::Keys),
    CommandEntry::new::<pcr7::ComputePcr7>("compute-pcr7", Heading::Keys),
    CommandEntry::new::<policy::PolicyCommand>("policy", Heading::Keys),
    CommandEntry::new::<uki::Ukis>("uki", Heading::Images),
    CommandEntry::new::<efi::Sign>("sign", Heading::Images),
    CommandEntry::new::<efi::Verify>("verify", Heading::Images),
    CommandEntry::new::<enroll::Enroll>("enroll", Heading::Images),
    CommandEntry::new::<launch::Launch>("launch", Heading::Images),
    CommandEntry::new::<luks::Luks>("luks", Heading::Boot),
    CommandEntry::new::<kexec::Kexec>("kexec", Heading::Boot),
    CommandEntry::new::<nv::NvCommand>("nv", Heading::Tpm).with_secrets(),
    CommandEntry::new::<pcr::PcrCommand>("pcr", Heading::Tpm),
    CommandEntry::new::<admin::AdminCommand>("admin", Heading::Tpm),
    CommandEntry::new::<seal::Seal>("seal", Heading::Tpm).with_secrets(),
    CommandEntry::new::<unseal::Unseal>("unseal", Heading::Tpm).with_secrets(),
    CommandEntry::new::<derive::Derive>("derive", Heading::Tpm).with_secrets(),
    CommandEntry::new::<fss::FssCommand>("fss", Heading::Tpm).with_secrets(),
    CommandEntry::new::<tpm::TpmCommand>("tpm", Heading::Tpm),
    CommandEntry::new::<eventlog::EventLogCommand>("eventlog", Heading::Measurements),
    CommandEntry::new::<explain::Explain>("explain", Heading::Measurements),
    CommandEntry::new::<predict::Predict>("predict", Heading::Measurements),
    CommandEntry::new::<state::State>("state", Heading::Measurements),
    CommandEntry::new::<manual::Manual>("man", Heading::Program),
    CommandEntry::new::<manual::Completions>("completions", Heading::Program),
];

/// A command, or a group of commands.
struct CommandEntry {
    /// As its definition has it.
    name: &'static str,
    /// Under which heading the help lists it.
    heading: Heading,
    definition: fn() -> clap::Command,
    /// Whether it reads or writes secrets of the running system, which are kept out of the swap.
    has_secrets: bool,
    run: fn(&ArgMatches) -> Result<()>,
}

impl CommandEntry {
    const fn new<C: HostCommand>(name: &'static str, heading: Heading) -> Self {
        Self {
            name,
            heading,
            definition: C::command,
            has_secrets: false,
            run: |matches| C::from_arg_matches(matches).map_or_else(|e| e.exit(), C::run),
        }
    }

    const fn with_secrets(self) -> Self {
        Self { has_secrets: true, ..self }
    }
}

/// What a command does, once its arguments are read.
trait HostCommand: Parser {
    /// Runs it.
    fn run(self) -> Result<()>;
}

/// Unattended, secure boot: keysets, signed images and policies, and what a machine does with them
#[derive(Parser)]
#[command(name = "trust", version, max_term_width = 80, arg_required_else_help = true, subcommand_required = true)]
struct CommandLine {
    /// Accepted for old scripts; it does nothing
    #[arg(long, global = true, hide = true)]
    debug: bool,
    /// Read the passphrase of encrypted private keys from the first line of a file, and do not ask for it
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 900)]
    passphrase_file: Option<PathBuf>,
}

/// The whole command line, with the commands that `main` does not hand to this module.
fn definition() -> clap::Command {
    let program =
        COMMANDS.iter().fold(CommandLine::command(), |program, entry| program.subcommand((entry.definition)()));
    headings::list(flowing(target::add_to(program, |_| true)))
}

/// As much of it as this command line needs: to make all of it takes longer than most commands. Whatever does not begin with a
/// command, such as an option or a word that is none, needs all.
fn definition_for(args: &[OsString]) -> clap::Command {
    let entry = args.get(1).and_then(|word| COMMANDS.iter().find(|entry| *word == *entry.name));
    let Some(entry) = entry else { return definition() };
    let program = CommandLine::command().subcommand((entry.definition)());
    flowing(target::add_to(program, |command| {
        command.name.split_once(' ').is_some_and(|(group, _)| group == entry.name)
    }))
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
    // What grows is copied, and wiped where it was.
    let mut flowing = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        let in_paragraph = !flowing.is_empty() && !flowing.ends_with('\n');
        let stands_alone = line.is_empty() || line.starts_with(' ');
        if in_paragraph {
            flowing.push(if stands_alone { '\n' } else { ' ' });
        }
        flowing.push_str(line);
        if stands_alone || line.ends_with(':') {
            flowing.push('\n');
        }
    }
    flowing
}

/// Whether this is a command line; nothing is done.
pub fn understands(args: impl IntoIterator<Item = OsString>) -> bool {
    definition().try_get_matches_from(old::translated(args)).is_ok()
}

/// Does what the command line says.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = old::translated(args);
    let matches = definition_for(&args).try_get_matches_from(args).unwrap_or_else(|e| e.exit());
    if let Some(file) = matches.get_one::<PathBuf>("passphrase_file") {
        passphrase::is_in(file.clone());
    }
    interrupt::outlive_file_limits();
    // Private keys and PINs will be in our memory.
    let done = process::conceal().and_then(|_| run(&matches));
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

/// Runs the command that was found.
fn run(matches: &ArgMatches) -> Result<()> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    let entry = COMMANDS.iter().find(|entry| entry.name == name);
    let entry = entry.filter(|_| !target::is_one(name, matches));
    let entry = entry.ok_or_else(|| {
        Error::new(Kind::Usage, format!("run {name}"), "options of the whole program stand before it")
    })?;
    if entry.has_secrets
        && let Some(advice) = process::lock_memory()
    {
        console::note(&advice);
    }
    (entry.run)(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_definition_is_consistent() {
        definition().debug_assert();
    }

    /// The help of a command and of all below it.
    fn helps(command: &mut clap::Command) -> String {
        let mut text = command.render_long_help().to_string();
        text.extend(command.get_subcommands_mut().map(helps));
        text
    }

    #[test]
    fn one_command_is_defined_as_among_all() {
        let mut all = definition();
        all.build();
        for entry in COMMANDS {
            let mut one = definition_for(&["trust".into(), entry.name.into()]);
            one.build();
            let [ours, theirs] = [&mut one, &mut all].map(|program| program.find_subcommand_mut(entry.name).map(helps));
            assert!(ours.is_some() && ours == theirs, "{}", entry.name);
            assert_eq!(one.get_subcommands().count(), 2, "{} and help", entry.name);
        }
    }

    /// A longer one would be broken anywhere.
    #[test]
    fn examples_fit_a_line() {
        let (mut todo, mut wide) = (vec![definition()], Vec::new());
        while let Some(command) = todo.pop() {
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            wide.extend(
                below.lines().filter(|line| line.starts_with(' ') && line.chars().count() > 80).map(str::to_owned),
            );
            todo.extend(command.get_subcommands().cloned());
        }
        assert_eq!(wide, Vec::<String>::new());
    }

    #[test]
    fn paragraphs_are_joined_and_examples_kept() {
        let text = "Examples:\n  one\n  two\n\nA paragraph\nof two lines.\n\nAnother\none:\n  three";
        let flowing = "Examples:\n  one\n  two\n\nA paragraph of two lines.\n\nAnother one:\n  three\n";
        assert_eq!(flow(text), flowing);
    }
}
