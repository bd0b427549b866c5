//! `trust fss check-statement`.

use super::certify::{Nonce, nonce};
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        cli::fss::status::{complain, record_json, record_lines},
        fs::atomic,
        fss::{
            FssFinding,
            statement::{self, MOST_BYTES, VerifiedStatement},
        },
        say::output,
    },
};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
Needs no TPM. Which TPM has signed is known by the Name of its attestation key, which is printed: write it down at the
first statement, which should be made when the machine is set up, or keep that statement and compare.

Examples:
  trust fss check-statement statement.json
  trust fss check-statement this-week.json --previous last-week.json
  trust fss check-statement statement.json --ak 000b8f… --nonce 2f1a…

It ends with status 14 where a key was replaced or removed, the counter went back, or something else signed.";

/// `trust fss check-statement`
#[derive(Args)]
pub struct FssCheckStatement {
    /// The statement
    #[arg(value_name = "STATEMENT", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// An earlier one of the same machine
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    previous: Option<PathBuf>,
    /// The Name of the attestation key that must have signed, in hexadecimal
    #[arg(long, value_name = "NAME")]
    ak: Option<String>,
    /// The nonce that it must answer, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl FssCheckStatement {
    pub(super) fn run(self) -> Result<()> {
        let now = read(&self.file)?;
        let mut wrong = now.findings();
        if let Some(previous) = &self.previous {
            wrong.extend(now.since(&read(previous)?));
        }
        let mut say = |name, text: &str| wrong.push(FssFinding { name, text: text.into() });
        if self.ak.is_some_and(|expected| !expected.eq_ignore_ascii_case(&hex(&now.key.name))) {
            say("other_attestation_key", "it is signed by another key than --ak names");
        }
        if self.nonce.is_some_and(|Nonce(expected)| expected != now.nonce) {
            say("other_nonce", "it answers another nonce: it is an old one, or of somebody else's asking");
        }
        if self.json {
            output::json(&to_json(&now, &wrong))?;
        } else {
            output::lines(lines(&now, &wrong))?;
        }
        complain("vouch for what the statement says", &wrong)
    }
}

fn read(path: &Path) -> Result<VerifiedStatement> {
    let file = atomic::read_up_to(path, MOST_BYTES)?;
    statement::verify(&file).map_err(|error: Error| {
        debug_assert_eq!(error.kind(), Kind::Corrupt);
        error.within(format!("believe {}", path.display()))
    })
}

fn lines(now: &VerifiedStatement, wrong: &[FssFinding]) -> Vec<String> {
    let mut lines = vec![
        format!("signed by     {}", hex(&now.key.name)),
        format!("nonce         {}", hex(&now.nonce)),
        format!("TPM's clock   {} s", now.clock.clock / 1000),
    ];
    lines.push(format!("counter       {}", now.generations.counter.map_or_else(|| "none".into(), |n| n.to_string())));
    for generation in &now.generations.all {
        lines.extend(record_lines(generation));
    }
    lines.extend(wrong.iter().map(|finding| format!("WRONG         {}", finding.text)));
    lines
}

fn to_json(now: &VerifiedStatement, wrong: &[FssFinding]) -> Value {
    let wrong: Vec<_> = wrong.iter().map(|one| json!({ "name": one.name, "text": one.text })).collect();
    json!({
        "format": 1,
        "attestation_key": hex(&now.key.name),
        "nonce": hex(&now.nonce),
        "clock_ms": now.clock.clock,
        "resets": now.clock.resets,
        "restarts": now.clock.restarts,
        "counter": now.generations.counter,
        "generations": now.generations.all.iter().map(record_json).collect::<Vec<_>>(),
        "findings": wrong,
    })
}
