//! The commands of the target as clap knows them: for help, manual pages and completions.
//!
//! They are parsed from the same table by [`crate::commands::options`], which needs no clap.

use crate::commands::{Command, options};
use clap::{Arg, ArgAction, ValueHint, builder::PossibleValuesParser};

/// Adds all of them to the definition of the command line.
pub fn add_to(program: clap::Command) -> clap::Command {
    Command::ALL.into_iter().fold(program, |program, command| match command.name().split_once(' ') {
        Some((group, name)) => program.mut_subcommand(group, |group| group.subcommand(described(command, name))),
        None => program.subcommand(described(command, command.name())),
    })
}

fn described(command: Command, name: &'static str) -> clap::Command {
    let options = options::SPECS.iter().filter(|spec| spec.commands.contains(&command)).map(option);
    let operands = command.operands().iter().map(|name| operand(name));
    let described = clap::Command::new(name).about(command.about().trim_end_matches('.'));
    // In their way: options of the whole program, which these do not know.
    let foreign = [("debug", "debug"), ("passphrase_file", "passphrase-file")];
    let foreign = foreign.map(|(id, long)| Arg::new(id).long(long).hide(true).action(ArgAction::SetTrue));
    described.aliases(command.alias()).args(options).args(operands).args(foreign)
}

fn option(spec: &'static options::Spec) -> Arg {
    let arg = Arg::new(spec.name).long(spec.name.trim_start_matches("--")).help(spec.help);
    if spec.value.is_empty() {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.action(ArgAction::Append).value_name(spec.value).value_hint(hint(spec.value));
    if spec.value.contains('|') {
        return arg.value_parser(PossibleValuesParser::new(spec.value.split('|'))).hide_possible_values(true);
    }
    arg
}

fn operand(name: &'static str) -> Arg {
    Arg::new(name).required(true).value_hint(ValueHint::FilePath)
}

/// What a shell completes it with.
fn hint(value: &str) -> ValueHint {
    match value {
        "DIR" => ValueHint::DirPath,
        "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    }
}
