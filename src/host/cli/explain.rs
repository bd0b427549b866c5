//! `trust explain`.

use super::{HostCommand, arguments, event_logs::FIRMWARE, system_policies::SystemPolicyOptions};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        eventlog::{
            differences::{self, PcrDifference},
            read::{FirmwareLog, MAX_LOG},
            replay::BootLogs,
        },
        keyset::Keyset,
        say::output::{self, Tone, coloured},
    },
    measure::{
        explain,
        user_space::{self, Record},
    },
    measure_log,
    policy::pcr7data::Pcr7Data,
};
use clap::{Parser, ValueHint};
use serde_json::json;
use std::path::{Path, PathBuf};

const HELP: &str = "\
It says in what PCR 7 of the boot differs from what production policies expect, as the initrd does: those of a keyset, or
those that are signed for this system; and that a system was started by kexec. With the log of another boot it says of every PCR in what they differ first; with
the system's logs of both, of what systemd has measured too.

Examples:
  trust explain
  trust explain acme
  trust explain acme --log binary_bios_measurements
  trust explain --log binary_bios_measurements --against before.bin
  trust explain --against before.bin --against-measure-log before.log";

/// Why a boot is not the expected one, or differs from another, and what to do about it
#[derive(Parser)]
#[command(name = "explain", after_help = HELP)]
pub struct Explain {
    /// Name of the keyset, or its directory if that holds a slash; without one, what is signed for this system
    #[arg(conflicts_with_all = ["pcr7data", "against"])]
    keyset: Option<String>,
    #[command(flatten)]
    system: SystemPolicyOptions,
    /// The firmware's log of the boot; - for standard input [default: this machine's binary_bios_measurements, as the
    /// kernel has it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// The firmware's log of another boot
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "pcr7data")]
    against: Option<PathBuf>,
    /// The log of what the system has measured since [default: this machine's, /run/log/systemd/tpm2-measure.log; with
    /// --log, none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    measure_log: Option<PathBuf>,
    /// The same of the other boot
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "against")]
    against_measure_log: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl HostCommand for Explain {
    fn run(self) -> Result<()> {
        let log = arguments::input(self.log.as_deref().unwrap_or(Path::new(FIRMWARE)), MAX_LOG)?;
        let records = self.records()?;
        let found = match &self.against {
            Some(path) => self.against(&log, &records, path)?,
            None => self.of_pcr7(&log, &records)?,
        };
        if self.json {
            let one = |found: &PcrDifference| json!({ "pcr": found.pcr, "event": found.event, "record": found.record, "why": found.why });
            return output::json(&json!({ "format": 1, "differences": found.iter().map(one).collect::<Vec<_>>() }));
        }
        if found.is_empty() {
            console::note(if self.against.is_some() {
                "no PCR differs"
            } else {
                "nothing is found to be wrong with PCR 7"
            });
        }
        output::lines(found.iter().map(|PcrDifference { pcr, event, record, why }| {
            let event = match (event, record) {
                (Some(number), _) => format!(", event {number}"),
                (None, Some(number)) => format!(", record {number}"),
                (None, None) => String::new(),
            };
            format!("{}: {why}", coloured(Tone::Note, &format!("PCR {pcr}{event}")))
        }))
    }
}

impl Explain {
    /// What the system has measured.
    fn records(&self) -> Result<Vec<Record>> {
        let log = match (&self.measure_log, &self.log) {
            (Some(path), _) => arguments::input(path, MAX_LOG)?,
            (None, Some(_)) => Vec::new(),
            (None, None) => arguments::input(Path::new(measure_log::PLACE), MAX_LOG).unwrap_or_default(),
        };
        Ok(user_space::read(&log).0)
    }

    /// What the initrd's program would say, and what that cannot know.
    fn of_pcr7(&self, log: &[u8], records: &[Record]) -> Result<Vec<PcrDifference>> {
        let data = match &self.keyset {
            Some(name) => Some(Pcr7Data::open(&Keyset::open(name)?.pcr7data())?),
            None => match self.system.data() {
                Err(error) if self.system.is_given() => return Err(error),
                Err(_) => {
                    console::note("no policies are known here: the boot is judged by itself");
                    None
                }
                Ok(data) => Some(data),
            },
        };
        let lists = data.as_ref().map(Pcr7Data::events).unwrap_or_default();
        if data.is_some() && lists.is_empty() {
            console::warn(
                "the policies do not say which events they were signed for: `trust keyset pcr7data` has that written",
            );
        }
        let why = explain::explain(log, &lists);
        let of_firmware = (!why.is_empty()).then_some(PcrDifference { pcr: 7, event: None, record: None, why });
        let of_system = [differences::before_the_lock(records), differences::started_by_kexec(records)];
        Ok(of_firmware.into_iter().chain(of_system.into_iter().flatten()).collect())
    }

    /// What differs from another boot. What the system has measured is compared where it is known of both.
    fn against(&self, log: &[u8], records: &[Record], path: &Path) -> Result<Vec<PcrDifference>> {
        let other = arguments::input(path, MAX_LOG)?;
        let (firmware, other) = (FirmwareLog::read(log), FirmwareLog::read(&other));
        let other_records = match &self.against_measure_log {
            Some(path) => Some(user_space::read(&arguments::input(path, MAX_LOG)?).0),
            None => None,
        };
        let these =
            BootLogs { firmware: &firmware, ima: &[], user_space: other_records.as_ref().map_or(&[], |_| records) };
        let others = BootLogs { firmware: &other, ima: &[], user_space: other_records.as_deref().unwrap_or_default() };
        differences::between(these, others).ok_or_else(|| {
            Error::new(Kind::Usage, format!("compare with {}", path.display()), "the logs have no bank in common")
                .remedy("compare logs of one machine, with the same banks of its TPM")
        })
    }
}
