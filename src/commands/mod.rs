//! The commands on the target. Each is a page: what it opens, what it does
//! inside the bracket, what it publishes.

mod finish;
mod init;
mod lock;
mod luks_check;
mod luks_open;
pub mod options;
mod preinit;
mod provision;
mod raise;
mod setup;

use crate::{
    console,
    error::{Error, Kind, Result},
    files, guard, measure, measure_log, memory,
    policy::pcr7data::Pcr7Data,
    process::{self, Before},
    seccomp::{
        self,
        calls::{self, Call},
    },
    tpm::{Tpm, TpmStore},
};
use options::{Options, Request};
use std::{ffi::OsString, process::ExitCode};

/// More is no event log.
const MAX_EVENT_LOG: usize = 1 << 20;

/// A command of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Setup,
    Preinit,
    Provision,
    Lock,
    LuksOpen,
    LuksCheck,
    Finish,
    Raise,
    Init,
}

impl Command {
    /// All of them, in the order of a machine's life.
    pub const ALL: [Self; 9] = [
        Self::Provision,
        Self::Preinit,
        Self::Setup,
        Self::LuksOpen,
        Self::LuksCheck,
        Self::Finish,
        Self::Lock,
        Self::Raise,
        Self::Init,
    ];

    /// The command whose name or alias `args` begin with, and what follows it.
    #[must_use]
    pub fn of(args: &[OsString]) -> Option<(Self, &[OsString])> {
        Self::ALL.into_iter().find_map(|command| {
            let mut names = std::iter::once(command.name()).chain(command.alias());
            names.find_map(|name| after(args, name)).map(|rest| (command, rest))
        })
    }

    /// As argv has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Preinit => "preinit",
            Self::Provision => "provision",
            Self::Lock => "lock",
            Self::LuksOpen => "luks open",
            Self::LuksCheck => "luks check",
            Self::Finish => "finish",
            Self::Raise => "raise",
            Self::Init => "init",
        }
    }

    /// The name that the Go tool had for it.
    #[must_use]
    pub const fn alias(self) -> Option<&'static str> {
        match self {
            Self::Setup => Some("initrd-setup"),
            Self::Preinit => Some("preinstall"),
            Self::Provision | Self::LuksOpen | Self::LuksCheck | Self::Finish | Self::Raise | Self::Init => None,
            Self::Lock => Some("extend-pcr7"),
        }
    }

    /// What it does, in one sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Setup => {
                "Read the passphrase, certificate and key from the TPM, lock PCR 7, then publish them for this boot."
            }
            Self::Preinit => {
                "Put a new passphrase for the operating system into the TPM, lock PCR 7, then publish the passphrase."
            }
            Self::Provision => "Take ownership of the TPM and store the machine's certificate and private key in it.",
            Self::Lock => "Lock PCR 7: the TPM gives its secrets to nobody until the machine is restarted.",
            Self::LuksOpen => {
                "Open a LUKS2 volume with the passphrase in the keyring, if its header is the one that was sealed."
            }
            Self::LuksCheck => {
                "Check that a device, or all that is mounted at a directory, stands on volumes that luks open has opened in this boot."
            }
            Self::Finish => {
                "Withdraw what setup has published: revoke the passphrase, remove the certificate and the key."
            }
            Self::Init => {
                "As the first process of all: make sure that nothing was appended to the signed command line, then become /init."
            }
            Self::Raise => {
                "Raise the TPM's policy version: policies that were signed for an older one open nothing any more."
            }
        }
    }

    /// What it needs beside options.
    #[must_use]
    pub const fn operands(self) -> &'static [&'static str] {
        match self {
            Self::Provision => &["CERT", "KEY"],
            Self::LuksOpen => &["DEVICE", "NAME"],
            Self::LuksCheck => &["PATH"],
            Self::Raise => &["VERSION"],
            Self::Setup | Self::Preinit | Self::Lock | Self::Finish | Self::Init => &[],
        }
    }

    /// Whether more may follow: options for the program that it runs.
    #[must_use]
    pub const fn has_more_operands(self) -> bool {
        matches!(self, Self::LuksOpen)
    }

    /// Runs it with what follows its name in argv, and says how it ended.
    #[must_use]
    pub fn main(self, program: &str, args: &[OsString]) -> ExitCode {
        guard::install_panic_hook();
        let signed = if process::is_first() { init::up_to_the_end(args) } else { Ok(args) };
        let outcome = match signed.and_then(|args| options::parse(self, args.iter().cloned())) {
            Ok(Request::Help) => {
                print(&options::help(program, self));
                return ExitCode::SUCCESS;
            }
            Ok(Request::Run(options)) => self.run(&options),
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

    /// In a frame of its own, so that what it leaves on the stack lies below the caller's.
    #[inline(never)]
    fn run(self, options: &Options) -> Result<()> {
        match self {
            Self::Setup => explained(setup::run(options), options),
            Self::Preinit => explained(preinit::run(options), options),
            Self::Provision => provision::run(options),
            Self::Lock => lock::run(options),
            Self::LuksOpen => luks_open::run(options),
            Self::LuksCheck => luks_check::run(options),
            Self::Finish => finish::run(options),
            Self::Raise => raise::run(options),
            Self::Init => init::run(),
        }
    }
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
    let is_ours = |word: &OsString| word == "setup" || word == "init";
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
        "Carries the disk key and the machine's identity out of the TPM, and shuts the door.\n\nUsage: {program} COMMAND [OPTIONS]\n\nCommands:\n"
    );
    for command in Command::ALL {
        text.push_str(&format!("  {:<10} {}\n", command.name(), command.about()));
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

/// Has the firmware's event log say why this boot was refused. The store is locked by now.
fn explained(outcome: Result<()>, options: &Options) -> Result<()> {
    outcome.map_err(|error| {
        if error.kind() != Kind::Refused {
            return error;
        }
        let log = files::read_to_end(&options.event_log, MAX_EVENT_LOG).unwrap_or_default();
        let lists = Pcr7Data::open(&options.pcr7data).map(|data| data.events()).unwrap_or_default();
        error.because(&measure::explain::explain(&log, &lists))
    })
}

/// Prepares for handling secrets, and for the TPM: what comes after that is in `phases`.
///
/// What a command becomes in the end must be able to do more, so that it is not confined.
fn harden(options: &Options, phases: &[&[Call]]) -> Result<Before> {
    let before = process::harden()?;
    if options.exec.is_empty() {
        let always = [calls::PROCESS, calls::TPM, calls::link(&options.tcti), calls::LOCK];
        seccomp::confine(&[&always, phases].concat())?;
    }
    Ok(before)
}

/// Opens the store that the options name. Sends nothing yet.
fn open_store(options: &Options) -> Result<TpmStore> {
    let tpm = Tpm::connect(&options.tcti, options.wait, options.verbose)?;
    let store = TpmStore::new(tpm, options.pcr7data.clone(), options.srk_signature.clone());
    Ok(store.recording_in(measure_log::PLACE.into()))
}
