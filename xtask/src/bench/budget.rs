//! What a boot may cost.

use super::{Row, contestants::Contestant, measure::Figures};
use anyhow::{Context, Result};
use harness::{Exchange, cc};
use serde_json::{Value, json};

/// One demand, and what was measured.
pub struct Verdict {
    /// What is demanded.
    pub demand: &'static str,
    /// What was found.
    pub found: String,
    /// Whether that is enough.
    pub holds: bool,
}

impl Verdict {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "demand": self.demand, "found": self.found, "holds": self.holds })
    }
}

const COMMANDS: usize = 36;
const PEAK_BYTES: u64 = 2_000_000;
const RATIO: f64 = 20.0;

/// Holds our row against the budget. That `setup` ended with status 0 is already known: a run that fails is no row.
pub fn judge(rows: &[Row]) -> Result<Vec<Verdict>> {
    let figures = |contestant| -> Result<&Figures> {
        let row = rows.iter().find(|row| row.contestant == contestant).context("everybody has a row")?;
        row.figures.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    };
    let (ours, tools) = (figures(Contestant::Ours)?, figures(Contestant::Tools)?);
    let verdict = |demand, found: String, holds| Verdict { demand, found, holds };
    let ratio = tools.wall_ratio(ours);
    Ok(vec![
        verdict("at most 36 TPM commands", ours.record.len().to_string(), ours.record.len() <= COMMANDS),
        locked_and_proven(&ours.record),
        verdict("no key generation", ours.key_generations().to_string(), ours.key_generations() == 0),
        verdict("one process", ours.processes.to_string(), ours.processes == 1),
        verdict("tpm2-tools take at least 20 times as long", format!("{ratio:.1}"), ratio >= RATIO),
        verdict("at most 2 MB of memory", format!("{} KiB", ours.peak), ours.peak * 1024 <= PEAK_BYTES),
    ])
}

/// Whether PCR 7 was extended after the last read, and its new value read after that.
fn locked_and_proven(record: &[Exchange]) -> Verdict {
    let succeeded = |exchange: &Exchange, code| {
        exchange.command.code() == code && exchange.response.as_ref().is_some_and(harness::Response::ok)
    };
    let last = |code| record.iter().rposition(|exchange| succeeded(exchange, code));
    let places = [cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ].map(last);
    let holds = matches!(places, [Some(read), Some(lock), Some(proof)] if read < lock && lock < proof);
    let place = |place: Option<usize>| place.map_or("never".into(), |at| format!("command {}", at + 1));
    let [read, lock, proof] = places.map(place);
    Verdict {
        demand: "PCR 7 locked and proven after the last read",
        found: format!("read: {read}; lock: {lock}; proof: {proof}"),
        holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::{Command, Response};

    fn record(codes: &[u32]) -> Vec<Exchange> {
        let exchange = |code: &u32| {
            let bytes = [&[0x80, 0x01, 0, 0, 0, 10][..], &code.to_be_bytes()].concat();
            Exchange { command: Command { bytes, sender: None }, response: Some(Response::with(0x8001, 0, &[])) }
        };
        codes.iter().map(exchange).collect()
    }

    #[test]
    fn the_lock_comes_last_but_for_its_proof() {
        let holds = |codes: &[u32]| locked_and_proven(&record(codes)).holds;
        assert!(holds(&[cc::PCR_READ, cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ, cc::FLUSH_CONTEXT]));
        assert!(!holds(&[cc::PCR_READ, cc::NV_READ, cc::PCR_EVENT]));
        assert!(!holds(&[cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ, cc::NV_READ]));
        assert!(!holds(&[cc::NV_READ, cc::PCR_READ]));
        let mut refused = record(&[cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ]);
        refused[1].response = Some(Response::error(harness::rc::FAILURE));
        assert!(!locked_and_proven(&refused).holds);
    }
}
