//! `trust eventlog …`: what a boot has measured, in words; replayed; compared with the TPM.

mod check;
mod replay;
mod show;

use super::{HostCommand, arguments, event_logs::FIRMWARE};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::eventlog::read::{FirmwareLog, MAX_LOG},
    measure::user_space::{self, Record},
    measure_log,
};
use clap::{Args, Parser, ValueHint};
use std::path::{Path, PathBuf};

/// Event logs: what firmware, boot loaders and the system have measured
#[derive(Parser)]
#[command(name = "eventlog")]
pub enum EventLogCommand {
    /// Show every event in words
    #[command(after_help = show::HELP)]
    Show(show::EventLogShow),
    /// Compute the PCRs that the events lead to
    #[command(after_help = replay::HELP)]
    Replay(replay::EventLogReplay),
    /// Compare the PCRs that the events lead to with those of the TPM
    #[command(after_help = check::HELP)]
    Check(check::EventLogCheck),
}

impl HostCommand for EventLogCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Show(command) => command.run(),
            Self::Replay(command) => command.run(),
            Self::Check(command) => command.run(),
        }
    }
}

/// Which logs.
#[derive(Args)]
struct LogArguments {
    /// The firmware's log, as the kernel or the firmware has it (also CCEL); - for standard input [default: this machine's,
    /// /sys/kernel/security/tpm0/binary_bios_measurements]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The log of what the system has measured since [default: this machine's, /run/log/systemd/tpm2-measure.log; with
    /// FILE, none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    measure_log: Option<PathBuf>,
}

/// The logs as they are read.
struct LogInput {
    firmware: Vec<u8>,
    records: Vec<Record>,
    /// Where the system's log cannot be understood.
    faults: Vec<usize>,
}

impl LogArguments {
    /// What the firmware's is called.
    fn name(&self) -> String {
        self.file.as_deref().map_or_else(|| "this machine".to_owned(), |file| file.display().to_string())
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of reading a file; one of this machine that is not there holds nothing, if it is the system's.
    fn read(&self) -> Result<LogInput> {
        let firmware = arguments::input(self.file.as_deref().unwrap_or(Path::new(FIRMWARE)), MAX_LOG)?;
        let user_space = self.of_user_space(self.measure_log.as_deref(), measure_log::PLACE)?;
        let (records, faults) = user_space::read(&user_space);
        Ok(LogInput { firmware, records, faults })
    }

    /// What is behind the firmware's log: a file that is named, or this machine's, of which there may be none.
    fn of_user_space(&self, named: Option<&Path>, place: &str) -> Result<Vec<u8>> {
        match (named, &self.file) {
            (Some(path), _) => arguments::input(path, MAX_LOG),
            (None, Some(_)) => Ok(Vec::new()),
            (None, None) => Ok(arguments::input(Path::new(place), MAX_LOG).unwrap_or_default()),
        }
    }
}

impl LogInput {
    /// Says where the logs cannot be understood, once what comes before has been printed.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: the firmware's cannot.
    fn finish(&self, what: &'static str, log: &FirmwareLog<'_>) -> Result<()> {
        if let Some(offset) = self.faults.first() {
            let how_many = self.faults.len();
            console::warn(&format!(
                "{how_many} of the system's records cannot be understood, the first at byte {offset}"
            ));
        }
        log.fault.as_ref().map_or(Ok(()), |fault| {
            let why = format!("it cannot be understood from byte {} on: {}", fault.offset, fault.why);
            Err(Error::new(Kind::Corrupt, format!("{what} the whole log"), why).remedy(
                "copy it anew, whole, from /sys/kernel/security/tpm0/binary_bios_measurements; what is shown is what comes before",
            ))
        })
    }
}
