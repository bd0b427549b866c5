//! `trust state`: what a machine says of itself.

mod gather;
mod journal;
mod page;

use super::{
    HostCommand, event_logs::EventLogOptions, system_policies::SystemPolicyOptions, tpm_options::TpmArguments,
};
use crate::{
    error::{Error, Result},
    host::{fs::atomic, say::output},
};
use clap::{Parser, ValueHint};
use std::path::PathBuf;

const HELP: &str = "\
It holds the versions and keys in the TPM, PCRs, the event log, the values of PCR 7 that policies are signed for, how the
last boots went, and what hardware and system that is. It holds no secret. Of the log, events outside of PCRs 7 and 14 leave
with their digests alone, since their data may be command lines and boot entries. What cannot be read is left out, and said.

Without root it works as far as that goes: the log of this machine is for root, the TPM for the group tss.

Examples:
  sudo trust state
  sudo trust state --json | ssh desk 'cat > fleet/'$(hostname).json
  trust predict --fleet fleet/ --dbx-append dbxupdate_x64.bin";

/// What this machine says of itself, for those who look after many: versions, keys, PCRs, event log, policies, last boots
#[derive(Parser)]
#[command(name = "state", after_help = HELP)]
pub struct State {
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// Write the JSON object into this file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Keep the data of all events of the log, command lines and boot entries too
    #[arg(long)]
    whole_log: bool,
    #[command(flatten)]
    system: SystemPolicyOptions,
    #[command(flatten)]
    logs: EventLogOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl HostCommand for State {
    fn run(self) -> Result<()> {
        let state = self.gather();
        if let Some(path) = &self.output {
            let mut json = serde_json::to_vec(&state).map_err(|e| Error::system("write JSON", e))?;
            json.push(b'\n');
            return atomic::replace(path, atomic::PUBLIC, &json);
        }
        if self.json { output::json(&state) } else { output::lines(page::page(&state)) }
    }
}
