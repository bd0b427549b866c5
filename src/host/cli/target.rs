//! The commands of [`crate::commands`] as clap knows them: for help, manual pages and completions.
//!
//! They parse their arguments themselves, from the same declarations, and need no clap.

use crate::commands::{
    ALL, Command,
    arguments::{Argument, Spec},
};
use clap::{Arg, ArgAction, ValueHint, builder::PossibleValuesParser};

/// How each is called: they themselves have no room for it.
const EXAMPLES: [(&str, &str); 10] = [
    ("admin delegate", "  trust admin delegate"),
    ("finish", "  trust finish --root /sysroot\n  trust finish --root /sysroot --key-to-tpm"),
    ("init", "  rdinit=/usr/bin/trust -- init --end    # the end of a signed command line"),
    ("lock", "  trust lock"),
    ("luks check", "  trust luks check /sysroot"),
    (
        "luks open",
        "  trust luks open LABEL=root root\n  trust luks open UUID=6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10 root",
    ),
    ("preinit", "  trust preinit"),
    ("provision", "  trust provision cert.pem key.pem\n  trust provision --srk-public srk.pub cert.pem key.pem"),
    ("raise", "  trust raise 0002"),
    ("setup", "  trust setup\n  trust setup --also-as cryptsetup --key-timeout 60"),
];

/// Adds those that are wanted to the definition of the command line, in which their groups must be.
pub fn add_to(program: clap::Command, is_wanted: impl Fn(&Command) -> bool) -> clap::Command {
    ALL.into_iter().filter(|command| is_wanted(command)).fold(program, |program, command| {
        match command.name.split_once(' ') {
            Some((group, name)) => program.mut_subcommand(group, |group| group.subcommand(described(command, name))),
            None => program.subcommand(described(command, command.name)),
        }
    })
}

/// Whether clap has found one of them, behind options of the whole program.
pub fn is_one(name: &str, matches: &clap::ArgMatches) -> bool {
    let name = matches.subcommand_name().map_or_else(|| name.to_owned(), |more| format!("{name} {more}"));
    ALL.iter().any(|command| command.name == name)
}

fn described(command: &Command, name: &'static str) -> clap::Command {
    let arguments: Vec<_> = command.with_arguments(|arguments| arguments.iter().map(arg).collect());
    let described = clap::Command::new(name).about(command.about.trim_end_matches('.'));
    let examples = EXAMPLES.into_iter().find(|(of, _)| *of == command.name).map(|(_, examples)| examples);
    let described = described.after_help(examples.map(|examples| format!("Examples:\n{examples}")).unwrap_or_default());
    // In their way: options of the whole program, which these do not know.
    let foreign = [("debug", "debug"), ("passphrase_file", "passphrase-file")];
    let foreign = foreign.map(|(id, long)| Arg::new(id).long(long).hide(true).action(ArgAction::SetTrue));
    described.aliases(command.alias).args(arguments).args(foreign)
}

fn arg(argument: &Argument<'_>) -> Arg {
    let Spec { name, value, default, help } = argument.spec;
    let help = if default.is_empty() { (*help).to_owned() } else { format!("{help} ({default})") };
    let arg = Arg::new(*name).help(help);
    if !argument.spec.is_option() {
        let arg = arg.value_hint(ValueHint::FilePath);
        return if argument.is_rest() { arg.last(true).num_args(0..) } else { arg.required(true) };
    }
    let arg = arg.long(name.trim_start_matches("--"));
    if value.is_empty() {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.action(ArgAction::Append).value_name(*value).value_hint(hint(value));
    if value.contains('|') {
        return arg.value_parser(PossibleValuesParser::new(value.split('|'))).hide_possible_values(true);
    }
    arg
}

/// What a shell completes it with.
fn hint(value: &str) -> ValueHint {
    match value {
        "DIR" => ValueHint::DirPath,
        "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    }
}
