//! What it costs to judge ten thousand machines by their states.

use super::requirements::Requirement;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

/// Machines.
const MACHINES: usize = 10_000;
/// What that may take: seconds on two cores, and KiB of memory.
const SECONDS: f64 = 10.0;
const MEMORY: u64 = 64 * 1024;
/// Whose log each of them has: three banks, shim and GRUB.
const REAL: &str = "tests/data/event-logs/gce-ubuntu.bin";

/// What was measured.
pub struct Fleets {
    /// Of one state.
    bytes: usize,
    seconds: f64,
    /// KiB, at most.
    memory: u64,
}

impl Fleets {
    /// Has them judged behind an update of dbx.
    pub fn run() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (trust, log) = (harness::trust_host(), harness::workspace().join(REAL));
        let mut state = Command::new(&trust);
        state.args(["state", "--json", "--wait", "0", "--tcti", "device:/nonexistent", "--event-log"]).arg(log);
        let mut state: Value = serde_json::from_slice(&state.output()?.stdout)?;
        let policy = json!({ "keyset": "k", "kind": "production", "pcr7": "00".repeat(32), "policy_version": "0001" });
        state["policies"] = json!([policy]);
        let line = format!("{state}\n");
        let (update, cost) = (dir.path().join("dbx.esl"), dir.path().join("cost"));
        fs::write(&update, dbx())?;
        let mut time = Command::new("/usr/bin/time");
        time.args(["--format=%e %M", "--output"]).arg(&cost).arg(trust);
        time.args(["predict", "--fleet", "-", "--json", "--dbx-append"]).arg(update);
        let mut child = time.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut stdin = child.stdin.take().context("no pipe")?;
        for _ in 0..MACHINES {
            stdin.write_all(line.as_bytes())?;
        }
        drop(stdin);
        // Nothing is signed for any of them.
        ensure!(child.wait()?.code() == Some(12), "they are not judged");
        let cost = fs::read_to_string(cost)?;
        let last = cost.lines().last().context("time says nothing")?;
        let (seconds, memory) = last.split_once(' ').context("time says something else")?;
        Ok(Self { bytes: line.len(), seconds: seconds.parse()?, memory: memory.parse()? })
    }

    /// Whether that is little enough.
    pub fn check(&self) -> Vec<Requirement> {
        let fast = Requirement {
            demand: "predict --fleet judges 10,000 machines in 10 s",
            found: format!("{:.1} s", self.seconds),
            is_met: self.seconds < SECONDS,
        };
        let small = Requirement {
            demand: "predict --fleet takes at most 64 MiB of memory",
            found: format!("{} MB", self.memory / 1000),
            is_met: self.memory <= MEMORY,
        };
        vec![fast, small]
    }

    /// As text.
    pub fn text(&self) -> String {
        let Self { bytes, seconds, memory } = self;
        let (kib, mb) = (bytes / 1024, memory / 1000);
        format!("\nA fleet of {MACHINES} machines, states of {kib} KiB: judged in {seconds:.1} s, in {mb} MB\n")
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({ "machines": MACHINES, "bytes": self.bytes, "seconds": self.seconds, "memory_kib": self.memory })
    }
}

/// A signature list with one hash (UEFI Specification 2.10, section 32.4.1).
fn dbx() -> Vec<u8> {
    const SHA256: [u8; 16] =
        [0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28];
    let sizes = [76_u32, 0, 48].map(u32::to_le_bytes).concat();
    [&SHA256[..], &sizes, &[7; 16], &[9; 32]].concat()
}
