//! The commands of a machine. Each is a file: what it is called, what it takes, which system calls it makes, and its
//! steps. To add one, write such a file, and a line in [`ALL`].

pub mod arguments;
mod delegate;
mod finish;
mod init;
mod lock;
mod luks_check;
mod luks_open;
mod options;
pub(crate) mod phases;
mod preinit;
mod provision;
mod raise;
mod setup;

use crate::{
    console,
    error::{Error, Kind, Result},
    guard, memory,
    process::{self, Before},
    seccomp::{self, call::Call},
};
use arguments::Arguments;
use std::{ffi::OsString, process::ExitCode};

/// All commands, in the order of a machine's life.
pub static ALL: [&Command; 10] = [
    &provision::COMMAND,
    &preinit::COMMAND,
    &setup::COMMAND,
    &luks_open::COMMAND,
    &luks_check::COMMAND,
    &finish::COMMAND,
    &lock::COMMAND,
    &raise::COMMAND,
    &delegate::COMMAND,
    &init::COMMAND,
];

/// A command.
pub struct Command {
    /// As argv has it.
    pub name: &'static str,
    /// The name that the tool before this one had for it.
    pub alias: Option<&'static str>,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Under which heading the help of `trust` lists it.
    pub heading: Heading,
    /// The phases whose system calls it makes, beside [`phases::PROCESS`]. `None`: it becomes or starts another program,
    /// which a filter would bind as well.
    pub(crate) calls: Option<&'static [&'static [Call]]>,
    /// A run of it, without its arguments.
    new: fn() -> Box<dyn Run>,
}

/// The headings of `trust --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// Keysets, certificates, policies.
    Keys,
    /// Boot images, and the keys of firmware.
    Images,
    /// The steps of a boot, and what they leave.
    Boot,
    /// The TPM, and what it keeps.
    Tpm,
    /// Event logs and PCRs.
    Measurements,
    /// Manual pages and the like.
    Program,
}

/// One run of a command: its typed arguments, and its steps.
pub trait Run {
    /// Declares the arguments, each with its place.
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>);

    /// Runs it.
    ///
    /// # Errors
    /// By remedy: any [`Kind`].
    fn run(&self) -> Result<()>;
}

impl Command {
    /// The command whose name or alias `args` begin with, and what follows it.
    #[must_use]
    pub fn of(args: &[OsString]) -> Option<(&'static Self, &[OsString])> {
        ALL.into_iter().find_map(|command| {
            let mut names = std::iter::once(command.name).chain(command.alias);
            names.find_map(|name| after(args, name)).map(|rest| (command, rest))
        })
    }

    /// What follows its name in argv. `None`: it asks for help.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn parse(&self, args: &[OsString]) -> Result<Option<Box<dyn Run>>> {
        let mut run = (self.new)();
        let parsed = self.arguments(&mut *run).parse(self.name, args.iter().cloned())?;
        Ok(parsed.map(|()| run))
    }

    /// Its arguments, which are set to their defaults.
    fn arguments<'a>(&self, run: &'a mut dyn Run) -> Arguments<'a> {
        let mut arguments = Arguments::default();
        run.declare(&mut arguments);
        arguments
    }

    /// Has all its arguments looked at.
    #[cfg(feature = "host")]
    pub fn with_arguments<T>(&self, look: impl FnOnce(&Arguments<'_>) -> T) -> T {
        look(&self.arguments(&mut *(self.new)()))
    }

    /// Its help.
    fn help(&self, program: &str) -> String {
        let mut text = String::new();
        arguments::fill(&mut text, 0, self.about);
        text + "\n" + &self.arguments(&mut *(self.new)()).help(&format!("{program} {}", self.name))
    }

    /// Runs it with what follows its name in argv, and says how it ended.
    #[must_use]
    pub fn main(&self, program: &str, args: &[OsString]) -> ExitCode {
        guard::install_panic_hook();
        let signed = if process::is_first() { init::up_to_the_end(args) } else { Ok(args) };
        let outcome = match signed.and_then(|args| self.parse(args)) {
            Ok(None) => {
                print(&self.help(program));
                return ExitCode::SUCCESS;
            }
            Ok(Some(run)) => apart(&*run),
            Err(error) => Err(error),
        };
        memory::wipe_stack();
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                console::report(&error);
                ExitCode::from(error.kind().exit_status())
            }
        }
    }

    /// Confines the process to the system calls that the command declares, and to those of `more` phases.
    fn confine(&self, more: &[&[Call]]) -> Result<()> {
        match self.calls {
            Some(calls) => seccomp::confine(&[&[phases::PROCESS], calls, more].concat()),
            None => Ok(()),
        }
    }

    /// Prepares for handling secrets that come from this TPM.
    fn harden(&self, tpm: &options::TpmOptions) -> Result<Before> {
        let before = process::harden()?;
        self.confine(&[phases::link(&tpm.tcti)])?;
        Ok(before)
    }
}

/// In a frame of its own, so that what it leaves on the stack lies below the caller's.
#[inline(never)]
fn apart(run: &dyn Run) -> Result<()> {
    run.run()
}

/// What follows `name`, word by word, in `args`.
fn after<'a>(args: &'a [OsString], name: &str) -> Option<&'a [OsString]> {
    name.split(' ').try_fold(args, |rest, word| {
        let (first, rest) = rest.split_first()?;
        (first == word).then_some(rest)
    })
}

/// The whole of `trust-initrd`: argv without the program's own name.
#[must_use]
pub fn main(program: &str, args: &[OsString]) -> ExitCode {
    // The kernel puts the words of its command line that it does not know before those after `--`.
    let is_ours = |word: &OsString| word == setup::COMMAND.name || word == init::COMMAND.name;
    let strange = if process::is_first() { args.iter().position(is_ours).unwrap_or(0) } else { 0 };
    let args = args.get(strange..).unwrap_or_default();
    if let Some((command, rest)) = Command::of(args) {
        return command.main(program, rest);
    }
    let name = args.first();
    match name.and_then(|name| name.to_str()) {
        Some("--help" | "-h" | "help") => {
            print(&overview(program));
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            print(concat!("trust ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        _ => {
            let why = name
                .map_or_else(|| "no command is given".into(), |name| format!("there is no command {}", name.display()));
            console::report(&Error::new(Kind::Usage, "run trust", why));
            ExitCode::from(Kind::Usage.exit_status())
        }
    }
}

/// The help of the program.
fn overview(program: &str) -> String {
    let mut text = format!(
        "Carries the disk key and the machine's identity out of the TPM, and locks it.\n\nUsage: {program} COMMAND [OPTIONS]\n\nCommands:\n"
    );
    for command in ALL {
        text.push_str("  ");
        text.push_str(command.name);
        // Two spaces after the longest name.
        arguments::fill(&mut text, 18, command.about);
    }
    text.push_str("\nCOMMAND --help shows its options.\n\nExit status:\n   0  done\n");
    for kind in Kind::ALL {
        text.push_str(&format!("  {:>2}  {}\n", kind.exit_status(), kind.meaning()));
    }
    text
}

/// To standard output; a reader that has gone away is no failure.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::call::FORBIDDEN;

    /// Those that need such a call, and may make it.
    const EXCEPTIONS: [(&str, u32); 0] = [];

    #[test]
    fn no_command_declares_a_forbidden_system_call() {
        let mut declared = Vec::new();
        for command in ALL {
            let calls = [phases::PROCESS].into_iter().chain(command.calls.into_iter().flatten().copied()).flatten();
            let calls = calls.filter(|call| FORBIDDEN.iter().any(|forbidden| forbidden.number == call.number));
            declared.extend(calls.map(|call| (command.name, call.number)));
        }
        assert_eq!(declared, EXCEPTIONS);
    }

    #[test]
    fn command_names_are_unique() {
        let mut names: Vec<_> = ALL.iter().flat_map(|command| [Some(command.name), command.alias]).flatten().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// A default is a value that the option takes.
    #[test]
    fn defaults_are_valid() {
        for command in ALL {
            let mut run = (command.new)();
            let mut words = Vec::new();
            for argument in command.arguments(&mut *run).iter() {
                if !argument.spec.default.is_empty() {
                    words.extend([argument.spec.name.into(), argument.spec.default.into()]);
                } else if !argument.spec.is_option() && !argument.is_rest() {
                    words.push(OsString::from("0001"));
                }
            }
            assert!(command.parse(&words).is_ok_and(|run| run.is_some()), "{}: {words:?}", command.name);
        }
    }
}
