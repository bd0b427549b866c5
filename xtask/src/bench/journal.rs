//! What it costs to verify a sealed journal, beside journalctl on the same file.

use super::{measure::median, requirements::Requirement, table::aligned};
use anyhow::{Context, Result, ensure};
use harness::Journald;
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// How often each verifies.
const ROUNDS: usize = 3;
/// What it may take of memory, in KiB.
const MEMORY: u64 = 64 * 1024;
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

/// One of the two.
struct Verifier {
    name: &'static str,
    /// Seconds of the processor, in each round.
    seconds: Vec<f64>,
    /// KiB, at most.
    memory: u64,
}

/// Both.
pub struct Journals {
    bytes: u64,
    verifiers: [Verifier; 2],
}

impl Journals {
    /// Has the journal written, and verified in turns.
    pub fn run() -> Result<Self> {
        let journald = Journald::new("bookworm");
        journald.run(SCRIPT);
        let (file, key) = (journald.path("journal/system.journal"), journald.path("key"));
        let text = fs::read_to_string(&key)?;
        let argument = format!("--verify-key={}", text.trim());
        let mut verifiers = ["trust", "journalctl"].map(|name| Verifier { name, seconds: Vec::new(), memory: 0 });
        let cost = journald.path("cost");
        for _ in 0..ROUNDS {
            for verifier in &mut verifiers {
                let mut time = Command::new("/usr/bin/time");
                time.args(["--format=%U %S %M", "--output"]).arg(&cost);
                if verifier.name == "trust" {
                    let verify: [&OsStr; 4] =
                        ["fss".as_ref(), "verify".as_ref(), "--verify-key-file".as_ref(), key.as_ref()];
                    time.arg(harness::trust_host()).args(verify).arg(&file);
                } else {
                    time.args(["journalctl", "--quiet", "--verify", &argument, "--file"]).arg(&file);
                }
                verifier.measure(time, &cost)?;
            }
        }
        Ok(Self { bytes: fs::metadata(file)?.len(), verifiers })
    }

    /// How many times as long as journalctl takes ours takes.
    fn ratio(&self) -> f64 {
        let [ours, theirs] = &self.verifiers;
        median(ours.seconds.iter().zip(&theirs.seconds).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// Whether that is little enough.
    pub fn check(&self) -> Vec<Requirement> {
        let (ratio, memory) = (self.ratio(), self.verifiers[0].memory);
        let faster = Requirement {
            demand: "fss verify takes no more processor time than journalctl --verify",
            found: format!("x {ratio:.2}"),
            is_met: ratio <= 1.0,
        };
        let small = Requirement {
            demand: "fss verify takes at most 64 MiB of memory",
            found: format!("{} MB", memory / 1000),
            is_met: memory <= MEMORY,
        };
        vec![faster, small]
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut lines = vec![["", "processor time", "memory"].map(str::to_owned).to_vec()];
        lines.extend(self.verifiers.iter().map(|verifier| {
            let seconds = format!("{:.2} s", median(verifier.seconds.clone()));
            vec![verifier.name.to_owned(), seconds, format!("{} MB", verifier.memory / 1000)]
        }));
        let size = self.bytes / 1_000_000;
        format!("\nA sealed journal of {size} MB, verified (medians of {ROUNDS} rounds):\n{}", aligned(&lines))
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let row = |verifier: &Verifier| {
            let seconds = median(verifier.seconds.clone());
            json!({ "name": verifier.name, "processor_seconds": seconds, "memory_kib": verifier.memory })
        };
        let rows: Vec<_> = self.verifiers.iter().map(row).collect();
        json!({ "bytes": self.bytes, "verifiers": rows, "ratio": self.ratio() })
    }
}

impl Verifier {
    fn measure(&mut self, mut time: Command, cost: &Path) -> Result<()> {
        let output = time.stdin(Stdio::null()).output()?;
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        ensure!(output.status.success(), "{} does not verify it: {said:?}", self.name);
        let cost = fs::read_to_string(cost)?;
        let cost: Vec<f64> = cost.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [user, system, memory] = cost[..] else { return None.context("time says something else") };
        self.seconds.push(user + system);
        self.memory = self.memory.max(memory as u64);
        Ok(())
    }
}
