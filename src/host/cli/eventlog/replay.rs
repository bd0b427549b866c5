//! `trust eventlog replay`.

use super::LogArguments;
use crate::{
    console,
    digest::hex,
    error::Result,
    host::{
        eventlog::{
            ima::extensions,
            read::FirmwareLog,
            replay::{BankHash, BootLogs},
            values,
        },
        say::output,
    },
    tpm2::bank,
};
use clap::Args;
use std::mem::ManuallyDrop;

pub const HELP: &str = "\
PCRs that nothing has extended are left out, and so are those that an event has no digest for. PCR 0 begins with the
locality from which the log says that the TPM was started.

Examples:
  trust eventlog replay
  trust eventlog replay binary_bios_measurements --json
  ssh machine cat /sys/kernel/security/tpm0/binary_bios_measurements |
    trust eventlog replay - --json";

/// `trust eventlog replay`
#[derive(Args)]
pub struct EventLogReplay {
    #[command(flatten)]
    logs: LogArguments,
    /// As a JSON object: {\"sha256\": {\"0\": \"…\"}}
    #[arg(long)]
    json: bool,
}

impl EventLogReplay {
    pub(super) fn run(self) -> Result<()> {
        let input = self.logs.read()?;
        // It is no secret, and need not be wiped event by event: the process ends.
        let log = ManuallyDrop::new(FirmwareLog::read(&input.firmware));
        let logs = BootLogs { firmware: &log, ima: &[], user_space: &input.records };
        let ima = extensions::read(&input.ima, &logs.banks());
        let logs = BootLogs { ima: &ima, ..logs };
        let values = logs.replay();
        if self.json {
            output::json(&values::to_json(&values))?;
        } else {
            let names: Vec<_> = values.iter().map(|(name, value)| (name.to_string(), value)).collect();
            let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            output::lines(names.iter().map(|(name, value)| format!("{name:width$}  {}", hex(value))))?;
        }
        let unknown = logs.banks().into_iter().filter(|bank| BankHash::of(*bank).is_none()).map(bank::name);
        let unknown: Vec<String> = unknown.collect();
        if !unknown.is_empty() {
            console::note(&format!(
                "the PCRs of {} are not computed: their hash is not known here",
                unknown.join(", ")
            ));
        }
        input.finish("replay", &log)
    }
}
