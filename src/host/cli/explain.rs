//! `trust explain`.

use super::{HostCommand, arguments, event_logs::FIRMWARE, system_policies::SystemPolicyOptions};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        eventlog::{
            differences::{self, PcrDifference},
            read::MAX_LOG,
        },
        keyset::Keyset,
        say::output::{self, Tone, coloured},
    },
    measure::explain,
    policy::pcr7data::Pcr7Data,
};
use clap::{Parser, ValueHint};
use serde_json::json;
use std::path::{Path, PathBuf};

const HELP: &str = "\
It says in what PCR 7 of the boot differs from what production policies expect, as the initrd does: those of a keyset, or
those that are signed for this system. With the log of another boot it says of every PCR in what they differ first.

Examples:
  trust explain
  trust explain acme
  trust explain acme --log binary_bios_measurements
  trust explain --log binary_bios_measurements --against before.bin";

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
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl HostCommand for Explain {
    fn run(self) -> Result<()> {
        let log = arguments::input(self.log.as_deref().unwrap_or(Path::new(FIRMWARE)), MAX_LOG)?;
        let found = match &self.against {
            Some(path) => against(&log, path)?,
            None => self.of_pcr7(&log)?,
        };
        if self.json {
            let one = |found: &PcrDifference| json!({ "pcr": found.pcr, "event": found.event, "why": found.why });
            return output::json(&json!({ "format": 1, "differences": found.iter().map(one).collect::<Vec<_>>() }));
        }
        if found.is_empty() {
            console::note(if self.against.is_some() {
                "no PCR differs"
            } else {
                "nothing is found to be wrong with PCR 7"
            });
        }
        output::lines(found.iter().map(|PcrDifference { pcr, event, why }| {
            let event = event.map_or_else(String::new, |number| format!(", event {number}"));
            format!("{}: {why}", coloured(Tone::Note, &format!("PCR {pcr}{event}")))
        }))
    }
}

impl Explain {
    /// What the initrd's program would say.
    fn of_pcr7(&self, log: &[u8]) -> Result<Vec<PcrDifference>> {
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
        Ok(if why.is_empty() { Vec::new() } else { vec![PcrDifference { pcr: 7, event: None, why }] })
    }
}

fn against(log: &[u8], path: &Path) -> Result<Vec<PcrDifference>> {
    differences::between(log, &arguments::input(path, MAX_LOG)?).ok_or_else(|| {
        Error::new(Kind::Usage, format!("compare with {}", path.display()), "the logs have no bank in common")
            .remedy("compare logs of one machine, with the same banks of its TPM")
    })
}
