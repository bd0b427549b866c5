//! The requirements of a boot's cost.

use super::{
    candidates::{Candidate, Row},
    measure::Figures,
    section::Requirement,
};
use anyhow::{Context, Result};
use harness::{Exchange, cc};

const COMMANDS: usize = 36;
const PEAK_BYTES: u64 = 2_000_000;
const RATIO: f64 = 20.0;

/// Checks our row. That `setup` ended with status 0 is already known: a run that fails has no row.
pub fn check(rows: &[Row]) -> Result<Vec<Requirement>> {
    let figures = |candidate| -> Result<&Figures> {
        let (_, row) = rows.iter().find(|row| row.0 == candidate).context("every candidate has a row")?;
        row.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    };
    let (ours, tools) = (figures(Candidate::Ours)?, figures(Candidate::Tools)?);
    let requirement = |demand: &str, found: String, is_met| Requirement::new(demand, found, is_met);
    let ratio = tools.wall_ratio(ours);
    Ok(vec![
        requirement("at most 36 TPM commands", ours.record.len().to_string(), ours.record.len() <= COMMANDS),
        locked_and_proven(&ours.record),
        requirement("no key generation", ours.key_generations().to_string(), ours.key_generations() == 0),
        requirement("one process", ours.processes.to_string(), ours.processes == 1),
        requirement("tpm2-tools take at least 20 times as long", format!("{ratio:.1}"), ratio >= RATIO),
        requirement("at most 2 MB of memory", format!("{} KiB", ours.peak), ours.peak * 1024 <= PEAK_BYTES),
    ])
}

/// Whether PCR 7 was extended after the last read, and its new value read after that.
fn locked_and_proven(record: &[Exchange]) -> Requirement {
    let succeeded = |exchange: &Exchange, code| {
        exchange.command.code() == code && exchange.response.as_ref().is_some_and(harness::Response::ok)
    };
    let last = |code| record.iter().rposition(|exchange| succeeded(exchange, code));
    let places = [cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ].map(last);
    let is_met = matches!(places, [Some(read), Some(lock), Some(proof)] if read < lock && lock < proof);
    let place = |place: Option<usize>| place.map_or("never".into(), |at| format!("command {}", at + 1));
    let [read, lock, proof] = places.map(place);
    let found = format!("read: {read}; lock: {lock}; proof: {proof}");
    Requirement::new("PCR 7 locked and proven after the last read", found, is_met)
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
        let is_met = |codes: &[u32]| locked_and_proven(&record(codes)).is_met;
        assert!(is_met(&[cc::PCR_READ, cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ, cc::FLUSH_CONTEXT]));
        assert!(!is_met(&[cc::PCR_READ, cc::NV_READ, cc::PCR_EVENT]));
        assert!(!is_met(&[cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ, cc::NV_READ]));
        assert!(!is_met(&[cc::NV_READ, cc::PCR_READ]));
        let mut refused = record(&[cc::NV_READ, cc::PCR_EVENT, cc::PCR_READ]);
        refused[1].response = Some(Response::error(harness::rc::FAILURE));
        assert!(!locked_and_proven(&refused).is_met);
    }
}
