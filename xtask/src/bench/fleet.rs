//! What it costs to judge ten thousand machines by their states.

use super::{
    cost::Costs,
    section::{Requirement, Section, Unit},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    process::{Command, Stdio},
};

/// Machines.
const MACHINES: usize = 10_000;
/// What that may take: seconds of the processor, all cores together, and bytes of memory.
const SECONDS: f64 = 20.0;
const MEMORY: f64 = (64 << 20) as f64;
/// Whose log each of them has: three banks, shim and GRUB.
const REAL: &str = "tests/data/event-logs/gce-ubuntu.bin";

/// Has them judged behind an update of dbx.
pub fn run() -> Result<Vec<Section>> {
    let dir = tempfile::tempdir()?;
    let (trust, log) = (harness::trust_host(), harness::workspace().join(REAL));
    let mut state = Command::new(&trust);
    state.args(["state", "--json", "--wait", "0", "--tcti", "device:/nonexistent", "--event-log"]).arg(log);
    let mut state: Value = serde_json::from_slice(&state.output()?.stdout)?;
    let policy = json!({ "keyset": "k", "kind": "production", "pcr7": "00".repeat(32), "policy_version": "0001" });
    state["policies"] = json!([policy]);
    let line = format!("{state}\n");
    let (update, states) = (dir.path().join("dbx.esl"), dir.path().join("states"));
    fs::write(&update, dbx())?;
    let mut file = BufWriter::new(File::create(&states)?);
    for _ in 0..MACHINES {
        file.write_all(line.as_bytes())?;
    }
    file.flush()?;
    let mut predict = Command::new(trust);
    predict.args(["predict", "--fleet", "-", "--json", "--dbx-append"]).arg(update);
    let mut costs = Costs::default();
    // Nothing is signed for any of them.
    costs.add(&predict, Stdio::from(File::open(states)?), 12)?;
    let (seconds, memory) = (costs.processor[0], costs.peak());
    let title = format!("{MACHINES} machines, states of {} KiB, judged before an update", line.len() / 1024);
    let requirements = [
        Requirement::new(
            "predict --fleet judges 10,000 machines in 20 s of processor time",
            format!("{seconds:.1} s"),
            seconds < SECONDS,
        ),
        Requirement::new("predict --fleet takes at most 64 MiB of memory", Unit::Bytes.text(memory), memory <= MEMORY),
    ];
    let section = Section::new("fleet", title, ["trust"])
        .rounds("wall time", Unit::Seconds, [costs.wall])
        .rounds("processor time", Unit::Seconds, [costs.processor])
        .figure("memory", Unit::Bytes, [memory])
        .note("No other program does this.");
    Ok(vec![section.require(requirements)])
}

/// A signature list with one hash (UEFI Specification 2.10, section 32.4.1).
fn dbx() -> Vec<u8> {
    const SHA256: [u8; 16] =
        [0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28];
    let sizes = [76_u32, 0, 48].map(u32::to_le_bytes).concat();
    [&SHA256[..], &sizes, &[7; 16], &[9; 32]].concat()
}
