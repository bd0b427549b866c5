//! What it costs to verify a sealed journal, beside journalctl on the same file.

use super::{
    cost::Costs,
    section::{Requirement, Section, Unit},
};
use anyhow::Result;
use harness::Journald;
use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
};

/// How often each verifies.
const ROUNDS: usize = 3;
/// What it may take of memory, in bytes.
const MEMORY: f64 = (64 << 20) as f64;
/// One file of almost two million entries and 800 MB, whose journald ends: without an end that is not sealed.
const SCRIPT: &str = r#"
new /out/key 2s
sed -i s/512K/4G/ /etc/systemd/journald.conf
start
seq -f "entry %.0f of a program that says one line like many others" 1 1950000 >/tmp/lines
systemd-cat --identifier=bench cat /tmp/lines
say last; await last
stop
keep journal
"#;

/// Has the journal written, and verified in turns.
pub fn run() -> Result<Vec<Section>> {
    let journald = Journald::new("bookworm");
    journald.run(SCRIPT);
    let (file, key) = (journald.path("journal/system.journal"), journald.path("key"));
    let mut ours = Command::new(harness::trust_host());
    let verify: [&OsStr; 4] = ["fss".as_ref(), "verify".as_ref(), "--verify-key-file".as_ref(), key.as_ref()];
    ours.args(verify).arg(&file);
    let argument = format!("--verify-key={}", fs::read_to_string(&key)?.trim());
    let mut theirs = Command::new("journalctl");
    theirs.args(["--quiet", "--verify", &argument, "--file"]).arg(&file);
    let mut verifiers = [("trust", ours), ("journalctl", theirs)].map(|(name, run)| (name, run, Costs::default()));
    for _ in 0..ROUNDS {
        for (_, verify, costs) in &mut verifiers {
            costs.add(verify, Stdio::null(), 0)?;
        }
    }
    let title = format!("A sealed journal of {} MB, verified", fs::metadata(file)?.len() / 1_000_000);
    let section = Section::new("journal", title, verifiers.iter().map(|verifier| verifier.0))
        .rounds("processor time", Unit::Seconds, verifiers.iter().map(|(_, _, costs)| costs.processor.clone()))
        .figure("memory", Unit::Bytes, verifiers.iter().map(|(_, _, costs)| costs.peak()));
    let (times, memory) = (section.figures[0].times(1).unwrap_or_default(), verifiers[0].2.peak());
    let demand = "fss verify takes no more processor time than journalctl --verify";
    let requirements = [
        Requirement::new(demand, format!("journalctl takes x {times:.1}"), times >= 1.0),
        Requirement::new("fss verify takes at most 64 MiB of memory", Unit::Bytes.text(memory), memory <= MEMORY),
    ];
    Ok(vec![section.require(requirements)])
}
