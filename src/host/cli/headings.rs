//! The list of commands in the help of the program, under headings, which clap does not have for commands.

use super::COMMANDS;
use crate::commands::{ALL, Heading, arguments::fill};

/// The headings in the order of the help; those without a command are left out.
const HEADINGS: [(Heading, &str); 6] = [
    (Heading::Keys, "Keys"),
    (Heading::Images, "Images and firmware"),
    (Heading::Boot, "This machine's boot"),
    (Heading::Tpm, "This machine's TPM"),
    (Heading::Measurements, "This machine's measurements"),
    (Heading::Program, "This program"),
];

/// Where descriptions begin.
const INDENT: usize = 15;

/// Has the help of the program list its commands under headings.
pub fn list(program: clap::Command) -> clap::Command {
    let mut text = String::new();
    for (heading, title) in HEADINGS {
        let names = of_heading(heading);
        if names.is_empty() {
            continue;
        }
        text.push_str(&format!("{title}:\n"));
        for command in names.iter().filter_map(|name| program.find_subcommand(name)) {
            text.push_str(&format!("  {}", command.get_name()));
            fill(&mut text, INDENT, &command.get_about().map(ToString::to_string).unwrap_or_default());
        }
        if heading == Heading::Program {
            text.push_str("  help         Print this list, or the help of a command\n");
        }
        text.push('\n');
    }
    program.help_template(format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}Options:\n{{options}}"))
}

/// The commands under a heading: those of a machine's life in their order, others before them.
fn of_heading(heading: Heading) -> Vec<&'static str> {
    let ours = COMMANDS.iter().filter(|entry| entry.heading == heading);
    let mut names: Vec<_> = ours.map(|entry| entry.name).collect();
    // The others are listed by the help of their group.
    let theirs = ALL.iter().filter(|command| command.heading == heading && !command.name.contains(' '));
    names.extend(theirs.map(|command| command.name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cli::definition;

    /// The help would not show a command without one.
    #[test]
    fn every_command_is_under_one_heading() {
        let program = definition();
        for command in program.get_subcommands() {
            let headings = HEADINGS.iter().filter(|(heading, _)| of_heading(*heading).contains(&command.get_name()));
            assert_eq!(headings.count(), 1, "{}", command.get_name());
        }
    }
}
