//! `trust man`, `trust completions`: made from the definition of the command line.

use super::{HostCommand, definition};
use crate::{
    error::{Error, Kind, Result},
    host::{fs::atomic, say::output},
};
use clap::{Parser, ValueHint};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::{io, path::PathBuf};

/// Manual pages, in roff
#[derive(Parser)]
#[command(
    name = "man",
    after_help = "Examples:\n  trust man keyset add | man -l -\n  trust man --output /usr/local/share/man/man1"
)]
pub struct Manual {
    /// The command whose page is shown [default: that of the program]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    path: Vec<String>,
    /// Write all pages into this directory instead
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

/// Completions for a shell
#[derive(Parser)]
#[command(
    name = "completions",
    after_help = "Example:\n  trust completions bash \\\n    >~/.local/share/bash-completion/completions/trust"
)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl HostCommand for Manual {
    fn run(self) -> Result<()> {
        let pages = pages(definition());
        if let Some(dir) = self.output {
            // For all users to read, unlike keysets.
            std::fs::create_dir_all(&dir).map_err(|e| atomic::cannot("make the directory", &dir, &e))?;
            return pages.iter().try_for_each(|command| {
                let file = dir.join(format!("{}.1", file_stem(command)));
                atomic::replace(&file, atomic::SHARED, &page(command)?)
            });
        }
        let wanted = [&["trust".to_owned()], self.path.as_slice()].concat().join("-");
        let command = pages.iter().find(|command| file_stem(command) == wanted).ok_or_else(|| {
            Error::new(Kind::Usage, "show a manual page", format!("there is no command {}", self.path.join(" ")))
        })?;
        output::bytes(&page(command)?)
    }
}

impl HostCommand for Completions {
    fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "trust", &mut script);
        output::bytes(&script)
    }
}

/// The program and all its commands, each as it is called: `trust-keyset-add`.
fn pages(program: clap::Command) -> Vec<clap::Command> {
    // `trust help` is these pages, in short.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let mut todo = vec![program];
    while let Some(command) = todo.pop() {
        todo.extend(command.get_subcommands().cloned());
        pages.push(command);
    }
    pages
}

fn file_stem(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// A page in roff.
fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Trust").source(format!("trust {}", env!("CARGO_PKG_VERSION")));
    sections(&man, command, &mut page).map_err(|e| Error::system("write a manual page", e))?;
    Ok(page)
}

fn sections(man: &Man, command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    let mut roff = Roff::new();
    after_help(&mut roff, &help.map(ToString::to_string).unwrap_or_default());
    exit_statuses(&mut roff);
    if file_stem(command) == "trust" {
        files(&mut roff);
    } else {
        roff.control("SH", ["SEE ALSO"]).text([bold("trust"), roman("(1)")]);
    }
    roff.to_writer(page)
}

/// What stands below a help: paragraphs of examples, and all others.
fn after_help(roff: &mut Roff, help: &str) {
    let is_example = |paragraph: &&str| paragraph.starts_with("Example");
    let (examples, notes): (Vec<_>, Vec<_>) = help.split("\n\n").filter(|part| !part.is_empty()).partition(is_example);
    for (heading, paragraphs) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !paragraphs.is_empty() {
            roff.control("SH", [heading]);
        }
        for paragraph in paragraphs {
            roff.control("PP", []);
            let lines = paragraph.lines().filter(|line| !["Example:", "Examples:"].contains(line));
            // A line that begins with a space begins a line of the page.
            for line in lines {
                roff.text([roman(line)]);
            }
        }
    }
}

fn exit_statuses(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    let failures = Kind::ALL.iter().map(|kind| (kind.exit_status(), kind.meaning()));
    for (status, meaning) in [(0, "done")].into_iter().chain(failures) {
        roff.control("TP", []).text([bold(status.to_string())]).text([roman(meaning)]);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (name, what) in [
        ("$XDG_DATA_HOME/machine/trust/keys/NAME", "the keysets (~/.local/share where XDG_DATA_HOME is not set)"),
        ("$XDG_DATA_HOME/machine/trust/vms/NAME", "the machines of `trust launch`"),
        ("$XDG_CONFIG_HOME/machine/trust/manifest/UUID", "product keys of `trust new-uuid` (~/.config)"),
        ("/run/trust/pcr7data", "the policies that are signed for the running system, if its boot has left them there"),
        ("/etc/trust/credentials", "sealed secrets that trust-credentials.socket gives to units"),
        ("/var/lib/trust/nv-policies", "the policies of `trust policy store`"),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
}
