//! What is shown of boots.

use super::{Candidate, ROUNDS, Row, timeline::Boot};
use crate::bench::{
    latency::Models,
    section::{Section, Unit},
};
use harness::vm;

type Figure = (&'static str, Unit, fn(&Boot) -> f64);

/// The parts of a boot, and how many seconds of it they take.
const PHASES: [Figure; 7] = [
    ("firmware", Unit::Seconds, |boot| boot.kernel),
    ("kernel", Unit::Seconds, |boot| boot.userspace - boot.kernel),
    ("waiting", Unit::Seconds, |boot| boot.unlocker - boot.userspace),
    ("passphrase", Unit::Seconds, |boot| boot.passphrase - boot.unlocker),
    ("disk", Unit::Seconds, |boot| boot.end - boot.passphrase),
    ("userspace", Unit::Seconds, |boot| boot.end - boot.userspace),
    ("all", Unit::Seconds, |boot| boot.end),
];

/// What does not depend on the machine's load, except the processes of udev, or depends on it less.
const OTHERS: [Figure; 6] = [
    ("share", Unit::Share, Boot::share),
    ("processor time", Unit::Seconds, |boot| boot.cpu),
    ("TPM commands", Unit::Count, |boot| boot.commands() as f64),
    ("with swaps", Unit::Count, |boot| boot.record.len() as f64),
    ("keys made", Unit::Count, |boot| boot.key_generations() as f64),
    ("processes", Unit::Count, |boot| boot.processes as f64),
];

const LEGEND: &str = "\
- firmware: from QEMU's start to the kernel's: the firmware, its check of the image, systemd's stub, unpacking
- kernel: to the start of the first process; the TPM's driver is part of this kernel
- waiting: to the start of the unlocker: mounts and modules in the minimal initrd; else systemd, udev, and what the
  unlocker's unit waits for: the TPM, and for all but Trust the disk, which Trust waits for in \"disk\"
- passphrase: to the passphrase: Trust has read all, locked the TPM and published; of the others, TPM2_Unseal was
  answered, after which they decrypt
- disk: to the end of the unit that opens the disk: no part of the boot of the minimal initrd
- userspace: the last three together
- share: what part \"passphrase\" is of the boot up to the passphrase
- processor time: from the start of the unlocker to the open disk: what else udev and systemd do at that time makes the
  phases longer, and not this
- TPM commands: from the start of the unlocker to the open disk, without the kernel's own measurements (IMA)
- with swaps: with those, too, by which the kernel keeps keys and sessions of programs apart (ContextLoad, ContextSave, FlushContext)
- processes: all that there have been, those of the kernel too
- image: kernel, stub and initrd

The TPM is software outside of the guest, and takes next to no time. All passphrases are stretched by the same cheap PBKDF2.";

/// The medians of all boots.
pub fn section(rows: &[Row], models: &Models) -> Section {
    let title = format!("Boots of a virtual machine with Secure Boot, in QEMU with {}", vm::accelerator());
    let image = rows.iter().map(|row| row.image as f64);
    let names = rows.iter().map(|row| row.candidate.name());
    let mut section = Section::new("boot", title, names).figure("image", Unit::Bytes, image);
    for (name, unit, figure) in PHASES.into_iter().chain(OTHERS) {
        let rounds = rows.iter().map(|row| row.boots.iter().map(figure).collect());
        section = section.rounds(name, unit, rounds);
    }
    let records = rows.iter().map(|row| (row.boots.last().map_or(&[][..], |boot| &boot.record), 1));
    section = models.figures(section, records);
    for program in &mut section.programs {
        let candidate = Candidate::ALL.into_iter().find(|candidate| candidate.name() == program.name);
        program.job = candidate.map(Candidate::job).unwrap_or_default().to_owned();
    }
    section.note(format!("Medians of {ROUNDS} rounds.")).note(LEGEND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let boot = |last: f64| Boot {
            kernel: 4.0,
            userspace: 5.5,
            unlocker: 6.0,
            passphrase: 6.0 + last,
            end: 8.0 + last,
            ..Boot::default()
        };
        let row = |(candidate, last)| Row { candidate, image: 14_000_000, boots: vec![boot(last), boot(last)] };
        Candidate::ALL.into_iter().zip([1.0, 0.5, 2.0, 10.0]).map(row).collect()
    }

    #[test]
    fn phases_are_all_of_the_boot() {
        let boot = &rows()[0].boots[0];
        let seconds = |names: &[&str]| -> f64 {
            PHASES.iter().filter(|(name, ..)| names.contains(name)).map(|(.., phase)| phase(boot)).sum()
        };
        let all = seconds(&["all"]);
        assert!((seconds(&["firmware", "kernel", "waiting", "passphrase", "disk"]) - all).abs() < 1e-9);
        assert!((seconds(&["firmware", "kernel", "userspace"]) - all).abs() < 1e-9);
    }

    #[test]
    fn others_are_compared_with_trust_in_the_same_initrd() {
        let section = section(&rows(), &Models::read().unwrap());
        let (passphrase, clevis) = section.find("passphrase", "clevis").unwrap();
        assert_eq!((passphrase.value(clevis), passphrase.times(clevis)), (Some(10.0), Some(10.0)));
        let (share, ours) = section.find("share", "Trust, dracut").unwrap();
        assert!((share.value(ours).unwrap() - 1.0 / 7.0).abs() < 1e-9);
    }
}
