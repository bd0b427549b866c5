//! `trust eventlog …`: what a boot has measured, in words; replayed; compared with the TPM.

mod check;
mod replay;
mod show;

use super::{HostCommand, arguments, event_logs::FIRMWARE};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::eventlog::{
        ima::ImaList,
        read::{FirmwareLog, MAX_LOG},
    },
    measure::user_space::{self, Record},
    measure_log,
};
use clap::{Args, Parser, ValueHint};
use std::path::{Path, PathBuf};

/// Where the kernel shows IMA's list, to root.
const IMA: &str = "/sys/kernel/security/ima/binary_runtime_measurements";
/// Bytes of it at most: half a million files.
const MAX_IMA: u64 = 64 << 20;

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
    /// IMA's list, in its binary form [default: this machine's, binary_runtime_measurements as the kernel has it; with FILE,
    /// none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ima: Option<PathBuf>,
}

/// The logs as they are read.
#[derive(PartialEq, Eq)]
struct LogInput {
    firmware: Vec<u8>,
    records: Vec<Record>,
    /// Where the system's log cannot be understood.
    faults: Vec<usize>,
    /// IMA's list.
    ima: Vec<u8>,
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
        let user_space = self.behind(self.measure_log.as_deref(), measure_log::PLACE, MAX_LOG)?;
        let (records, faults) = user_space::read(&user_space);
        Ok(LogInput { firmware, records, faults, ima: self.behind(self.ima.as_deref(), IMA, MAX_IMA)? })
    }

    /// What is behind the firmware's log: a file that is named, or this machine's, of which there may be none.
    fn behind(&self, named: Option<&Path>, place: &str, most: u64) -> Result<Vec<u8>> {
        match (named, &self.file) {
            (Some(path), _) => arguments::input(path, most),
            (None, Some(_)) => Ok(Vec::new()),
            (None, None) => Ok(arguments::input(Path::new(place), most).unwrap_or_default()),
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
        if let Some(offset) = ImaList::read(&self.ima).fault {
            console::warn(&format!("IMA's list cannot be understood from byte {offset} on"));
        }
        log.fault.as_ref().map_or(Ok(()), |fault| {
            let why = format!("it cannot be understood from byte {} on: {}", fault.offset, fault.why);
            Err(Error::new(Kind::Corrupt, format!("{what} the whole log"), why).remedy(
                "copy it anew, whole, from /sys/kernel/security/tpm0/binary_bios_measurements; what is shown is what comes before",
            ))
        })
    }
}
