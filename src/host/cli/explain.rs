//! `trust explain`.

use super::{HostCommand, arguments, event_logs::FIRMWARE};
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
With a keyset, or with signed policies, it says in what PCR 7 of the boot differs from what their production policies
expect, as the initrd does. With the log of another boot it says of every PCR in what they differ first.

Examples:
  trust explain acme
  trust explain acme --log binary_bios_measurements
  trust explain --log binary_bios_measurements --against before.bin";

/// Why a boot is not the expected one, or differs from another, and what to do about it
#[derive(Parser)]
#[command(name = "explain", after_help = HELP)]
pub struct Explain {
    /// Name of the keyset, or its directory if that holds a slash
    #[arg(conflicts_with_all = ["pcr7data", "against"])]
    keyset: Option<String>,
    /// Signed policies, as a machine has them
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "against")]
    pcr7data: Option<PathBuf>,
    /// The firmware's log of the boot; - for standard input [default: this machine's binary_bios_measurements, as the
    /// kernel has it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// The firmware's log of another boot
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
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
            console::note(if self.against.is_some() { "no PCR differs" } else { "PCR 7 is as expected" });
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
        let lists = match (&self.keyset, &self.pcr7data) {
            (Some(name), _) => Pcr7Data::open(&Keyset::open(name)?.pcr7data())?.events(),
            (None, Some(path)) => Pcr7Data::open(path)?.events(),
            (None, None) => Vec::new(),
        };
        if lists.is_empty() && (self.keyset.is_some() || self.pcr7data.is_some()) {
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
