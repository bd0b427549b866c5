//! What it costs to replay a megabyte of an event log, beside tpm2_eventlog on the same file.

use super::{
    cost::Costs,
    section::{Requirement, Section, Unit},
};
use anyhow::{Context, Result};
use std::{
    fs,
    process::{Command, Stdio},
};

/// How often each is measured, and how many runs are measured at once: one is too short for the kernel's clock.
const ROUNDS: usize = 5;
const RUNS: u32 = 50;
/// How many times as fast ours must be.
const FASTER: f64 = 10.0;
/// Bytes of the log.
const SIZE: usize = 1024 * 1024;
/// The log that it is made of, whose events are repeated: three banks, shim and GRUB.
const REAL: &str = "tests/data/event-logs/gce-ubuntu.bin";
/// Bytes before the data of a log's header, and where their number is.
const HEADER: usize = 32;

/// Has both replay the log in turns.
pub fn run() -> Result<Vec<Section>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log");
    let log = large(&fs::read(harness::workspace().join(REAL))?)?;
    fs::write(&path, &log)?;
    let ours = format!("{} eventlog replay", harness::trust_host().display());
    let mut replayers = [("trust", ours), ("tpm2_eventlog", "tpm2_eventlog".to_owned())].map(|(name, command)| {
        let command = format!("for run in $(seq {RUNS}); do {command} {} >/dev/null || exit; done", path.display());
        (name, command, Costs::default())
    });
    for _ in 0..ROUNDS {
        for (_, command, costs) in &mut replayers {
            costs.add(Command::new("sh").args(["-c", command]), Stdio::null(), 0)?;
        }
    }
    let title = format!("An event log of {} KiB, replayed", log.len() / 1024);
    let times = replayers.iter().map(|(_, _, costs)| costs.processor.iter().map(|all| all / f64::from(RUNS)).collect());
    let section = Section::new("eventlog", title, replayers.iter().map(|replayer| replayer.0))
        .rounds("processor time", Unit::Seconds, times)
        .figure("memory", Unit::Bytes, replayers.iter().map(|(_, _, costs)| costs.peak()));
    let faster = section.figures[0].times(1).unwrap_or_default();
    let demand = "eventlog replay is 10 times as fast as tpm2_eventlog";
    Ok(vec![section.require([Requirement::new(demand, format!("x {faster:.1}"), faster >= FASTER)])])
}

/// The log with its events repeated.
fn large(log: &[u8]) -> Result<Vec<u8>> {
    let size: [u8; 4] = log.get(HEADER - 4..HEADER).context("no header")?.try_into()?;
    let (header, events) = log.split_at_checked(HEADER + u32::from_le_bytes(size) as usize).context("no header")?;
    let times = (SIZE - header.len()) / events.len();
    Ok([header, &events.repeat(times)].concat())
}
