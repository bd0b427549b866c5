//! `trust state`: what a machine says of itself.

mod gather;
mod journal;
mod page;

use super::{
    HostCommand, arguments, event_logs::EventLogOptions, predict::UpdateOptions, system_policies::SystemPolicyOptions,
    tpm_options::TpmArguments,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        html::{state_page, updates::PlannedUpdates},
        say::output,
        state::record::{self, MAX_STATE, StateRecord},
    },
};
use clap::{Parser, ValueHint};
use std::path::{Path, PathBuf};

const HELP: &str = "\
It holds the versions and keys in the TPM, PCRs, the event log, the values of PCR 7 that policies are signed for, how the
last boots went, and what hardware and system that is. It holds no secret. Of the log, events outside of PCRs 7 and 14 leave
with their digests alone, since their data may be command lines and boot entries. What cannot be read is left out, and
the reason given.

Without root it tells what it can: only root may read this machine's log, and only root and the group tss use the TPM.

Examples:
  sudo trust state
  sudo trust state --whole-log --html state.html
  sudo trust state --json | ssh desk 'cat > fleet/'$(hostname).json
  trust state --from web-1.json --html web-1.html --dbx-append dbxupdate_x64.bin
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
    /// Write a page for browsers into this file: the chain of trust, what opens the secrets, what updates would do, each
    /// PCR, each event
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Show a state that was written before, of this or of another machine; - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["whole_log", "pcr7data", "event_log", "measure_log", "tcti"])]
    from: Option<PathBuf>,
    /// Keep the data of all events of the log, command lines and boot entries too
    #[arg(long)]
    whole_log: bool,
    #[command(flatten)]
    system: SystemPolicyOptions,
    #[command(flatten)]
    logs: EventLogOptions,
    #[command(flatten)]
    tpm: TpmArguments,
    #[command(flatten)]
    updates: UpdateOptions,
}

impl HostCommand for State {
    fn run(self) -> Result<()> {
        let updates = self.updates.read()?;
        if self.html.is_none() && !updates.made.is_empty() {
            let why = "that is a part of the page, and none is asked for";
            return Err(Error::new(Kind::Usage, "tell what updates would do", why)
                .remedy("ask for it: --html FILE; or have it told here: `trust predict`"));
        }
        let planned = PlannedUpdates { signed: updates.signed(), made: updates.made };
        let Some(path) = &self.from else { return self.show(&self.gather(), &planned) };
        // Anybody may have written it.
        let json = record::for_people(&arguments::input(path, MAX_STATE)?).map_err(|why| cannot_use(path, why))?;
        self.show(&StateRecord::parse(&json).map_err(|why| cannot_use(path, why))?, &planned)
    }
}

impl State {
    fn show(&self, state: &StateRecord<'_>, planned: &PlannedUpdates) -> Result<()> {
        if let Some(path) = &self.output {
            let mut json = serde_json::to_vec(state).map_err(|e| Error::system("write JSON", e))?;
            json.push(b'\n');
            atomic::replace(path, atomic::PUBLIC, &json)?;
        }
        if let Some(path) = &self.html {
            atomic::replace(path, atomic::PUBLIC, state_page::page(state, planned).as_bytes())?;
        }
        if self.output.is_some() || self.html.is_some() {
            return Ok(());
        }
        if self.json { output::json(state) } else { output::lines(page::page(state)) }
    }
}

/// What is wrong with a state in a file.
fn cannot_use(path: &Path, why: String) -> Error {
    Error::new(Kind::Corrupt, format!("use {}", path.display()), why)
        .remedy("give a file that `trust state -o FILE` has written")
}
