//! What `trust kexec` saves: the same virtual machine starts by its firmware, and then starts the next image without it.

use super::{
    ear::Ear,
    section::{Requirement, Section, Unit},
};
use crate::packages;
use anyhow::{Context, Result};
use harness::vm::{Chain, Deployment, Initrd, Vm};
use std::fs;

/// How often.
const ROUNDS: usize = 3;
/// The lines whose moments count.
const LINES: [&str; 3] = ["started", "leaves", "arrived"];
/// The image that is started by the firmware. The next one is on a disk, and how long it is on another.
const FIRST: &str = "
say started
mkdir -p /run/log/systemd
head -c 512 /dev/vdc >/size
. /size
head -c $next /dev/vdb >/image
say leaves
/usr/sbin/trust kexec --now /image
";

/// Starts it, round by round, with Secure Boot on.
pub fn run() -> Result<Vec<Section>> {
    packages::ensure(&[packages::RUN, packages::ASSETS])?;
    let deployment = Deployment::new();
    let variables = deployment.variables(Chain::Direct, &[], "vars.fd");
    let [first, next, size] = ["first.efi", "next.efi", "size"].map(|name| deployment.file(name));
    let mut initrd = Initrd::new(FIRST);
    deployment.build("production", initrd.host_program(), &[], &first);
    deployment.build("production", &Initrd::new("say arrived\n"), &[], &next);
    let assignment = format!("next={}\n", fs::metadata(&next)?.len());
    fs::write(&size, format!("{assignment:\n<512}"))?;
    let (mut by_kexec, mut by_firmware) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        let vm = Vm::new(&variables);
        deployment.install(&vm, Chain::Direct, &first);
        vm.set_disks(&[&next, &size]);
        let ear = Ear::start(vm.output_watcher(), &LINES);
        let report = vm.boot();
        let heard = ear.end();
        report.ok();
        let at = |line| heard.iter().find(|(heard, _)| *heard == line).map(|(_, moment)| *moment);
        let [started, leaves, arrived] = LINES.map(at);
        let seconds = started.zip(leaves.zip(arrived)).map(|(started, (leaves, arrived))| {
            ((arrived - leaves).as_secs_f64(), (started - report.started).as_secs_f64())
        });
        let (kexec, firmware) = seconds.context("the guest was not heard")?;
        by_kexec.push(kexec);
        by_firmware.push(firmware);
    }
    let section = Section::new("kexec", "The next system's first process", ["trust kexec", "the firmware"])
        .rounds("until it runs", Unit::Seconds, [by_kexec, by_firmware])
        .note("from `trust kexec --now`: verified, measured into three PCRs, loaded, started")
        .note("from the start of the virtual machine; real firmware takes longer, and a server's takes minutes");
    let times = section.figures[0].times(1).context("nothing was measured")?;
    Ok(vec![section.require([Requirement::new(
        "the next image starts sooner by kexec than by the firmware",
        format!("{times:.1} times as soon"),
        times > 1.0,
    )])])
}
