//! What it costs to replay a megabyte of an event log, beside tpm2_eventlog on the same file.

use super::{measure::median, requirements::Requirement, table::aligned};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// How often each is measured, and how many runs are measured at once: one is too short for the kernel's clock.
const ROUNDS: usize = 5;
const RUNS: u32 = 10;
/// How many times as fast ours must be.
const FASTER: f64 = 10.0;
/// Bytes of the log.
const SIZE: usize = 1024 * 1024;
/// The log that it is made of, whose events are repeated: three banks, shim and GRUB.
const REAL: &str = "tests/data/event-logs/gce-ubuntu.bin";
/// Bytes before the data of a log's header, and where their number is.
const HEADER: usize = 32;

/// One of the two.
struct Replayer {
    name: &'static str,
    command: String,
    /// Seconds of the processor, a run, in each round.
    seconds: Vec<f64>,
}

/// Both.
pub struct EventLogs {
    bytes: usize,
    replayers: [Replayer; 2],
}

impl EventLogs {
    /// Has them replay the log in turns.
    pub fn run() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("log");
        let log = large(&fs::read(harness::workspace().join(REAL))?)?;
        fs::write(&path, &log)?;
        let ours = format!("{} eventlog replay", harness::trust_host().display());
        let mut replayers = [("trust", ours), ("tpm2_eventlog", "tpm2_eventlog".to_owned())].map(|(name, command)| {
            let command = format!("for run in $(seq {RUNS}); do {command} {} >/dev/null || exit; done", path.display());
            Replayer { name, command, seconds: Vec::new() }
        });
        for _ in 0..ROUNDS {
            for replayer in &mut replayers {
                replayer.measure(&dir.path().join("cost"))?;
            }
        }
        Ok(Self { bytes: log.len(), replayers })
    }

    /// How many times as fast as tpm2_eventlog ours is.
    fn ratio(&self) -> f64 {
        let [ours, theirs] = &self.replayers;
        median(ours.seconds.iter().zip(&theirs.seconds).map(|(ours, theirs)| theirs / ours).collect())
    }

    /// Whether that is enough.
    pub fn check(&self) -> Requirement {
        let ratio = self.ratio();
        Requirement {
            demand: "eventlog replay is 10 times as fast as tpm2_eventlog",
            found: format!("x {ratio:.0}"),
            is_met: ratio >= FASTER,
        }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut lines = vec![["", "processor time"].map(str::to_owned).to_vec()];
        lines.extend(self.replayers.iter().map(|replayer| {
            let milliseconds = median(replayer.seconds.clone()) * 1000.0;
            vec![replayer.name.to_owned(), format!("{milliseconds:.1} ms")]
        }));
        let size = self.bytes / 1024;
        format!("\nAn event log of {size} KiB, replayed (medians of {ROUNDS} rounds):\n{}", aligned(&lines))
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let row = |replayer: &Replayer| json!({ "name": replayer.name, "processor_seconds": median(replayer.seconds.clone()) });
        let rows: Vec<_> = self.replayers.iter().map(row).collect();
        json!({ "bytes": self.bytes, "replayers": rows, "ratio": self.ratio() })
    }
}

/// The log with its events repeated.
fn large(log: &[u8]) -> Result<Vec<u8>> {
    let size: [u8; 4] = log.get(HEADER - 4..HEADER).context("no header")?.try_into()?;
    let (header, events) = log.split_at_checked(HEADER + u32::from_le_bytes(size) as usize).context("no header")?;
    let times = (SIZE - header.len()) / events.len();
    Ok([header, &events.repeat(times)].concat())
}

impl Replayer {
    fn measure(&mut self, cost: &Path) -> Result<()> {
        let mut time = Command::new("/usr/bin/time");
        time.args(["--format=%U %S", "--output"]).arg(cost).args(["sh", "-c", &self.command]);
        let output = time.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} does not replay it: {said}", self.name);
        let cost = fs::read_to_string(cost)?;
        let cost: Vec<f64> = cost.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(cost.len() == 2, "time says something else");
        self.seconds.push(cost.iter().sum::<f64>() / f64::from(RUNS));
        Ok(())
    }
}
