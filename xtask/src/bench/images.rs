//! What images cost to sign, to verify and to build, beside sbsign, sbverify and ukify on the same files.
//!
//! In processor time, of the program and of the kernel for it, which says the same on a busy machine and on any disk:
//! the rounds are run in turns, and each is compared with the same round of the other.

use super::{
    measure::median,
    requirements::Requirement,
    table::{aligned, grouped},
};
use crate::sh;
use anyhow::{Context, Result};
use harness::{Home, assets};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

/// How often each is run.
const ROUNDS: usize = 5;
/// Of the initrd, which is most of the image.
const INITRD: usize = 200 << 20;
/// What any of ours may take of memory.
const PEAK_KIB: u64 = 64 << 10;
/// What it may take of the other one's processor time.
const RATIO: f64 = 1.0;

/// The same work, done by two programs.
struct Pair {
    job: &'static str,
    other: &'static str,
    ours: Vec<Cost>,
    theirs: Vec<Cost>,
}

/// What one run costs.
#[derive(Clone, Copy)]
struct Cost {
    /// Of the processor, in seconds.
    time: f64,
    /// The largest resident set of any of its processes.
    peak_kib: u64,
}

/// All pairs, measured.
pub struct Images {
    size: u64,
    pairs: [Pair; 3],
}

impl Images {
    /// Runs them.
    pub fn run() -> Result<Self> {
        let pair = |job, other| Pair { job, other, ours: Vec::new(), theirs: Vec::new() };
        let mut pairs = [pair("sign efi", "sbsign"), pair("verify efi", "sbverify"), pair("uki build", "ukify")];
        let fixture = Fixture::new()?;
        for _ in 0..ROUNDS {
            let [sign, verify, build] = &mut pairs;
            build.ours.push(fixture.measure(&mut fixture.trust(&fixture.build()))?);
            build.theirs.push(fixture.measure(&mut fixture.ukify())?);
            sign.ours.push(fixture.measure(&mut fixture.trust(&fixture.sign()))?);
            sign.theirs.push(fixture.measure(fixture.key_and_cert(Command::new("sbsign").args([
                "--output",
                "by-sbsign",
                IMAGE,
            ])))?);
            verify.ours.push(fixture.measure(&mut fixture.trust(&[
                "verify",
                "efi",
                SIGNED,
                "--cert",
                &fixture.cert,
            ]))?);
            verify.theirs.push(fixture.measure(Command::new("sbverify").args(["--cert", &fixture.cert, SIGNED]))?);
        }
        Ok(Self { size: fs::metadata(fixture.home.path().join(IMAGE))?.len(), pairs })
    }

    /// Whether that is little enough.
    pub fn check(&self) -> Vec<Requirement> {
        let demands = [
            "sign efi takes no more processor time than sbsign",
            "verify efi takes no more processor time than sbverify",
            "uki build takes no more processor time than ukify",
        ];
        let time = |(demand, pair): (&'static str, &Pair)| {
            let ratio = pair.ratio();
            Requirement { demand, found: format!("x {ratio:.2}"), is_met: ratio <= RATIO }
        };
        let mut requirements: Vec<_> = demands.into_iter().zip(&self.pairs).map(time).collect();
        let peak = self.pairs.iter().map(|pair| peak(&pair.ours)).max().unwrap_or(u64::MAX);
        requirements.push(Requirement {
            demand: "at most 64 MiB of memory for an image of any size",
            found: format!("{peak} KiB"),
            is_met: peak <= PEAK_KIB,
        });
        requirements
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut lines = vec![["", "processor time", "memory KiB"].map(str::to_owned).to_vec()];
        for pair in &self.pairs {
            lines.push(vec![
                format!("trust {}", pair.job),
                format!("x {:.2}", pair.ratio()),
                grouped(peak(&pair.ours)),
            ]);
            lines.push(vec![pair.other.to_owned(), "x 1.00".to_owned(), grouped(peak(&pair.theirs))]);
        }
        format!("\nAn image of {} bytes (medians of {ROUNDS} rounds):\n{}", grouped(self.size), aligned(&lines))
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let seconds = |costs: &[Cost]| median(costs.iter().map(|cost| cost.time).collect());
        let pair = |pair: &Pair| {
            json!({
                "job": pair.job,
                "beside": pair.other,
                "ratio": pair.ratio(),
                "seconds": seconds(&pair.ours),
                "other_seconds": seconds(&pair.theirs),
                "peak_memory_kib": peak(&pair.ours),
                "other_peak_memory_kib": peak(&pair.theirs),
            })
        };
        json!({ "size": self.size, "rounds": ROUNDS, "pairs": self.pairs.iter().map(pair).collect::<Vec<_>>() })
    }
}

impl Pair {
    /// What part of the other one's time ours takes.
    fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours.time / theirs.time).collect())
    }
}

fn peak(costs: &[Cost]) -> u64 {
    costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(u64::MAX)
}

/// The image that is signed, by ukify, and what comes of it.
const IMAGE: &str = "image.efi";
const SIGNED: &str = "signed.efi";

/// Files, and a keyset that signs them.
struct Fixture {
    home: Home,
    key: String,
    cert: String,
    kernel: String,
    stub: String,
}

impl Fixture {
    fn new() -> Result<Self> {
        let home = Home::with_keyset();
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let dir = home.keys().join("k/uki-limited");
        let fixture = Self {
            key: text(&dir.join("privkey.pem"))?,
            cert: text(&dir.join("cert.pem"))?,
            kernel: text(&assets::Kernel::new().image)?,
            stub: text(&assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"))?,
            home,
        };
        fixture.write_initrd()?;
        let mut ukify = assets::program("ukify");
        ukify.arg("build").args(fixture.ingredients()).args(["--output", IMAGE]).current_dir(fixture.home.path());
        sh::run_quietly(&mut ukify)?;
        Ok(fixture)
    }

    /// One file that fills it, and is not like zeros.
    fn write_initrd(&self) -> Result<()> {
        let entry = |name: &str, size: usize| {
            let fields = [1, 0o100_644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() + 1, 0];
            let fields: String = fields.iter().map(|field| format!("{field:08x}")).collect();
            let mut bytes = format!("070701{fields}{name}\0").into_bytes();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mut file = File::create(self.home.path().join("initrd"))?;
        file.write_all(&entry("file", INITRD))?;
        let piece: Vec<u8> = (0..1_u32 << 18).flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        for _ in 0..INITRD / piece.len() {
            file.write_all(&piece)?;
        }
        Ok(file.write_all(&entry("TRAILER!!!", 0))?)
    }

    fn ingredients(&self) -> [&str; 8] {
        ["--stub", &self.stub, "--initrd", "initrd", "--cmdline", "quiet", "--uname", "6"]
    }

    fn trust(&self, args: &[&str]) -> Command {
        let mut trust = Command::new(harness::trust_host());
        trust.args(args);
        trust
    }

    fn build(&self) -> Vec<&str> {
        let args = ["uki", "build", "k", "--kind", "limited", "--kernel", &self.kernel];
        [&args[..], &self.ingredients(), &["--output", "by-trust"]].concat()
    }

    fn sign(&self) -> [&str; 9] {
        ["sign", "efi", IMAGE, "--key", &self.key, "--cert", &self.cert, "--output", SIGNED]
    }

    fn ukify(&self) -> Command {
        let mut ukify = assets::program("ukify");
        ukify.args(["build", "--linux", &self.kernel, "--output", "by-ukify"]).args(self.ingredients());
        ukify.args(["--secureboot-private-key", &self.key, "--secureboot-certificate", &self.cert]);
        ukify
    }

    fn key_and_cert<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["--key", &self.key, "--cert", &self.cert])
    }

    /// Runs a command, by way of GNU time.
    fn measure(&self, command: &mut Command) -> Result<Cost> {
        let cost = self.home.path().join("cost");
        let mut time = Command::new("/usr/bin/time");
        time.args(["--format=%U %S %M", "--output"]).arg(&cost).arg(command.get_program()).args(command.get_args());
        time.current_dir(self.home.path()).env("HOME", self.home.path()).env_remove("XDG_DATA_HOME");
        sh::run_quietly(&mut time)?;
        let cost = fs::read_to_string(cost)?;
        let numbers: Vec<_> = cost.split_whitespace().collect();
        let [user, system, peak] = numbers.as_slice() else { anyhow::bail!("/usr/bin/time says {cost}") };
        Ok(Cost { time: user.parse::<f64>()? + system.parse::<f64>()?, peak_kib: peak.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(ours: &[f64], theirs: &[f64], peak_kib: u64) -> Images {
        let costs = |times: &[f64]| times.iter().map(|time| Cost { time: *time, peak_kib }).collect::<Vec<_>>();
        let pair = || Pair { job: "sign efi", other: "sbsign", ours: costs(ours), theirs: costs(theirs) };
        Images { size: 1, pairs: [pair(), pair(), pair()] }
    }

    #[test]
    fn rounds_are_compared_and_the_most_memory_counts() {
        let holds = |images: &Images| images.check().iter().map(|requirement| requirement.is_met).collect::<Vec<_>>();
        // A busy second slows both down.
        assert_eq!(holds(&images(&[1.0, 9.0, 1.0], &[1.1, 9.5, 1.1], PEAK_KIB)), [true; 4]);
        assert_eq!(holds(&images(&[1.0, 1.2, 9.0], &[1.1, 1.0, 1.0], PEAK_KIB + 1)), [false; 4]);
    }
}
