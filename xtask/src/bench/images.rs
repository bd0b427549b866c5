//! What images cost to sign, to verify and to build, beside sbsign, sbverify and ukify on the same files.
//!
//! In processor time, of the program and of the kernel for it, which says the same on a busy machine and on any disk:
//! the rounds are run in turns, and each is compared with the same round of the other.

use super::{
    cost::Costs,
    section::{Requirement, Section, Unit},
};
use crate::sh;
use anyhow::{Context, Result};
use harness::{Home, assets};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// How often each is run.
const ROUNDS: usize = 5;
/// Of the initrd, which is most of the image.
const INITRD: usize = 200 << 20;
/// What any of ours may take of memory, in bytes.
const PEAK: f64 = (64 << 20) as f64;

/// Runs all pairs, round by round.
pub fn run() -> Result<Vec<Section>> {
    let fixture = Fixture::new()?;
    let trust = |args: &[&str]| fixture.here(Command::new(harness::trust_host()).args(args));
    let mut sbsign = Command::new("sbsign");
    sbsign.args(["--key", &fixture.key, "--cert", &fixture.cert, "--output", "by-sbsign", IMAGE]);
    let sign = [trust(&fixture.sign()), fixture.here(&mut sbsign)];
    let verify = [
        trust(&["verify", "efi", SIGNED, "--cert", &fixture.cert]),
        fixture.here(Command::new("sbverify").args(["--cert", &fixture.cert, SIGNED])),
    ];
    let build = [trust(&fixture.build()), fixture.here(&mut fixture.ukify())];
    let mut pairs = [("build", "ukify", build), ("sign", "sbsign", sign), ("verify", "sbverify", verify)]
        .map(|(job, other, commands)| (job, other, commands, [Costs::default(), Costs::default()]));
    for _ in 0..ROUNDS {
        for (_, _, commands, costs) in &mut pairs {
            for (command, costs) in commands.iter().zip(costs) {
                costs.add(command, Stdio::null(), 0)?;
            }
        }
    }
    let size = fs::metadata(fixture.home.path().join(IMAGE))?.len() / 1_000_000;
    Ok(pairs.into_iter().map(|(job, other, _, costs)| section(job, other, size, costs)).collect())
}

fn section(job: &str, other: &str, size: u64, [ours, theirs]: [Costs; 2]) -> Section {
    let done = match job {
        "build" => "built",
        "sign" => "signed",
        _ => "verified",
    };
    let memory = ours.peak();
    let section = Section::new(&format!("images-{job}"), format!("An image of {size} MB, {done}"), ["trust", other])
        .figure("memory", Unit::Bytes, [memory, theirs.peak()])
        .rounds("processor time", Unit::Seconds, [ours.processor, theirs.processor]);
    let times = section.figures[1].times(1).unwrap_or_default();
    let demand = format!("an image is {done} in no more processor time than {other} takes");
    section.require([
        Requirement::new(demand, format!("{other} takes x {times:.2}"), times >= 1.0),
        Requirement::new(format!("an image is {done} in at most 64 MiB"), Unit::Bytes.text(memory), memory <= PEAK),
    ])
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

    /// The command, where the files and the keyset are.
    fn here(&self, command: &mut Command) -> Command {
        let mut here = Command::new(command.get_program());
        here.args(command.get_args()).current_dir(self.home.path());
        here.env("HOME", self.home.path()).env_remove("XDG_DATA_HOME");
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_compared_and_the_most_memory_counts() {
        let costs =
            |times: &[f64], peak: f64| Costs { processor: times.into(), memory: vec![1.0, peak], ..Costs::default() };
        let holds = |ours: &[f64], theirs: &[f64], peak: f64| {
            let section = section("sign", "sbsign", 1, [costs(ours, peak), costs(theirs, peak)]);
            section.requirements.iter().map(|requirement| requirement.is_met).collect::<Vec<_>>()
        };
        // A busy second slows both down.
        assert_eq!(holds(&[1.0, 9.0, 1.0], &[1.1, 9.5, 1.1], PEAK), [true; 2]);
        assert_eq!(holds(&[1.0, 1.2, 9.0], &[1.1, 1.0, 1.0], PEAK + 1.0), [false; 2]);
    }
}
