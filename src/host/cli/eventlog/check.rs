//! `trust eventlog check`.

use super::{LogArguments, LogInput};
use crate::{
    console,
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        cli::{arguments, tpm_options::TpmArguments},
        eventlog::{
            check::{self, PcrComparison, PcrOutcome},
            ima::extensions,
            read::FirmwareLog,
            replay::BootLogs,
        },
        say::output::{self, Tone, coloured},
    },
    policy::pcr_values::PcrValues,
};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::{collections::BTreeSet, mem, path::PathBuf};

/// How often logs and PCRs are read, until they are of one moment.
const MOST_READ: usize = 20;

pub const HELP: &str = "\
A PCR is good where the events, extended one after the other, lead to the value that the TPM has: then nothing in the
log that has extended it was changed, left out or added. Where one is bad, the event is named from which on the log
cannot be trusted for it, and the status is 14. PCR 10 needs IMA's list (--ima).

Examples:
  trust eventlog check
  trust eventlog check --measure-log /run/log/systemd/tpm2-measure.log
  trust eventlog check binary_bios_measurements --pcrs pcrs.json";

/// `trust eventlog check`
#[derive(Args)]
pub struct EventLogCheck {
    #[command(flatten)]
    logs: LogArguments,
    /// Compare with the values in this file and not with the TPM: JSON or text of `trust pcr read`, or what tpm2_pcrread
    /// prints
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pcrs: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl EventLogCheck {
    pub(super) fn run(self) -> Result<()> {
        let (input, values) = self.of_one_moment()?;
        let log = FirmwareLog::read(&input.firmware);
        let banks: BTreeSet<u16> = values.iter().map(|(pcr, _)| pcr.bank).collect();
        let ima = extensions::read(&input.ima, &Vec::from_iter(banks));
        let logs = BootLogs { firmware: &log, ima: &ima, user_space: &input.records };
        let compared = check::compare(logs, &values);
        let doubtful = check::doubtful(logs);
        if self.json {
            output::json(&to_json(&compared, &doubtful))?;
        } else {
            output::lines(table(&compared))?;
        }
        match doubtful.as_slice() {
            [] => {}
            [one] => console::warn(&format!(
                "event {one} may be described wrongly: its digests, for which the TPM vouches, are not of its data"
            )),
            [first, others @ ..] => console::warn(&format!(
                "event {first} and {} more may be described wrongly: their digests, for which the TPM vouches, are not of \
                 their data",
                others.len()
            )),
        }
        input.finish("check", &log)?;
        let wrong = compared.iter().filter(|comparison| matches!(comparison.outcome, PcrOutcome::Differs(_)));
        let wrong: Vec<String> = wrong.map(|comparison| comparison.pcr.to_string()).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Corrupt, "trust the log", format!("it does not lead to the PCRs {}", wrong.join(", ")))
            .remedy("compare logs and PCRs of one and the same boot, and give the system's log too (--measure-log)"))
    }

    /// Logs and PCRs: a machine that runs goes on measuring, so that its logs must be the same before and after.
    fn of_one_moment(&self) -> Result<(LogInput, PcrValues)> {
        let mut input = self.logs.read()?;
        let is_live = self.logs.file.is_none() && self.pcrs.is_none();
        for _ in 0..MOST_READ {
            let values = self.values()?;
            if !is_live {
                return Ok((input, values));
            }
            let before = mem::replace(&mut input, self.logs.read()?);
            if before == input {
                return Ok((input, values));
            }
        }
        console::warn("IMA measures something all the time: its PCR is not compared; try again when less is started");
        input.ima.clear();
        Ok((input, self.values()?))
    }

    /// What the PCRs are.
    fn values(&self) -> Result<PcrValues> {
        if let Some(path) = &self.pcrs {
            return arguments::pcr_values(path);
        }
        let mut tpm = self.tpm.connect()?;
        let banks = tpm.active_banks()?;
        Ok(tpm.read_pcrs(&banks)?.values)
    }
}

/// A line for each PCR of which there is something to say.
fn table(compared: &[PcrComparison]) -> Vec<String> {
    let is_shown =
        |comparison: &&PcrComparison| comparison.replayed.is_some() || comparison.outcome != PcrOutcome::ComesOut;
    let shown: Vec<_> = compared.iter().filter(is_shown).collect();
    let width = shown.iter().map(|comparison| comparison.pcr.to_string().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for comparison in shown {
        let pcr = format!("{:width$}", comparison.pcr.to_string());
        match &comparison.outcome {
            PcrOutcome::ComesOut => {
                lines.push(format!("{pcr}  {}  {}", coloured(Tone::Good, "good"), hex(&comparison.value)))
            }
            PcrOutcome::NotCompared(why) => lines.push(format!("{pcr}  {}     {why}", coloured(Tone::Doubtful, "?"))),
            PcrOutcome::Differs(why) => {
                lines.push(format!("{pcr}  {}   {}", coloured(Tone::Bad, "bad"), check::values(comparison)));
                lines.push(format!("{:width$}        {why}", ""));
            }
        }
    }
    lines
}

fn to_json(compared: &[PcrComparison], doubtful: &[usize]) -> Value {
    let one = |comparison: &PcrComparison| {
        let (holds, why) = match &comparison.outcome {
            PcrOutcome::ComesOut => (Some(true), None),
            PcrOutcome::Differs(why) => (Some(false), Some(why)),
            PcrOutcome::NotCompared(why) => (None, Some(why)),
        };
        json!({
            "pcr": comparison.pcr.to_string(),
            "value": hex(&comparison.value),
            "replayed": comparison.replayed.as_deref().map(hex),
            "comes_out": holds,
            "why": why,
        })
    };
    json!({
        "format": 1,
        "pcrs": compared.iter().map(one).collect::<Vec<_>>(),
        "doubtful_events": doubtful,
    })
}
