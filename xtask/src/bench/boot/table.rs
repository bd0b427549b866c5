//! The table of boots, as text and as JSON.

use super::{Candidate, ROUNDS, Row, timeline::Boot};
use crate::bench::{
    latency::Models,
    measure::median,
    requirements::Requirement,
    table::{aligned, budget, grouped},
};
use harness::vm;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

type Figure = (&'static str, fn(&Boot) -> f64);

/// The parts of a boot, and how many seconds of it they take.
const PHASES: [Figure; 7] = [
    ("firmware", |boot| boot.kernel),
    ("kernel", |boot| boot.userspace - boot.kernel),
    ("waiting", |boot| boot.unlocker - boot.userspace),
    ("passphrase", |boot| boot.passphrase - boot.unlocker),
    ("disk", |boot| boot.end - boot.passphrase),
    ("userspace", |boot| boot.end - boot.userspace),
    ("all", |boot| boot.end),
];

/// Figures that do not depend on the machine's load, except the processes of udev.
const COUNTS: [Figure; 4] = [
    ("commands", |boot| boot.commands() as f64),
    ("swaps", |boot| boot.swaps() as f64),
    ("keys made", |boot| boot.key_generations() as f64),
    ("processes", |boot| boot.processes as f64),
];

const LEGEND: &str = r#"
Seconds, medians of all rounds:
firmware    from QEMU's start to the kernel's: the firmware, its check of the image, systemd's stub, unpacking
kernel      to the start of the first process; the TPM's driver is part of this kernel
waiting     to the start of the unlocker: mounts and modules in the minimal initrd; else systemd, udev, and what the
            unlocker's unit waits for: the TPM, and for all but Trust the disk, which Trust waits for in "disk"
passphrase  to the passphrase: Trust has read all, locked the TPM and published; of the others, TPM2_Unseal was answered, after
            which they decrypt
disk        to the end of the unit that opens the disk: no part of the boot of the minimal initrd
userspace   the last three together
share       what part "passphrase" is of the boot up to the passphrase
x Trust     how many times as long "passphrase" is as Trust's in the same kind of initrd: the median of the rounds
cpu         seconds of the processor, from the start of the unlocker to the open disk: what else udev and systemd do at that
            time makes the phases longer, and not this
Counts, from the start of the unlocker to the open disk: commands that the TPM got, without the kernel's own measurements
(IMA); swaps, those with which the kernel keeps keys and sessions of programs apart (ContextLoad, ContextSave,
FlushContext); keys that the TPM had to make. Processes are all that there have been, those of the kernel too. The image
is kernel, stub and initrd.
The TPM is software outside of the guest, and takes next to no time: the columns in ms are estimates of what commands and
swaps would take others, by the table latency.toml. All passphrases are stretched by the same cheap PBKDF2.
"#;

/// The median of something over all boots.
pub fn middle(boots: &[Boot], figure: fn(&Boot) -> f64) -> f64 {
    median(boots.iter().map(figure).collect())
}

/// How many times as long as `other` it takes to the passphrase: the median of the rounds.
fn ratio(row: &Row, other: &Row) -> f64 {
    let time = |boot: &Boot| boot.passphrase - boot.unlocker;
    median(row.boots.iter().zip(&other.boots).map(|(mine, other)| time(mine) / time(other)).collect())
}

/// What a row is compared with: Trust in the same kind of initrd.
fn ours<'a>(row: &Row, rows: &'a [Row]) -> Option<&'a Row> {
    let ours = if row.candidate == Candidate::Minimal { Candidate::Minimal } else { Candidate::Dracut };
    rows.iter().find(|row| row.candidate == ours)
}

/// As text.
pub fn text(rows: &[Row], requirements: &[Requirement], models: &Models) -> String {
    let columns = ["", "image bytes", "share", "x Trust", "cpu"];
    let mut header = columns.map(str::to_owned).to_vec();
    header.splice(2..2, PHASES.map(|(name, _)| name.to_owned()));
    header.extend(COUNTS.map(|(name, _)| name.to_owned()));
    header.extend(models.iter().map(|model| format!("{}, ms", model.name)));
    let mut lines = vec![header];
    for row in rows {
        let mut line = vec![row.candidate.name().to_owned(), grouped(row.image)];
        line.extend(PHASES.map(|(_, phase)| format!("{:.2}", middle(&row.boots, phase))));
        line.push(format!("{:.1} %", 100.0 * middle(&row.boots, Boot::share)));
        line.push(ours(row, rows).map_or("n/a".into(), |ours| format!("{:.1}", ratio(row, ours))));
        line.push(format!("{:.2}", middle(&row.boots, |boot| boot.cpu)));
        line.extend(COUNTS.map(|(_, count)| format!("{:.0}", middle(&row.boots, count))));
        let estimate = |boot: &Boot| models.iter().map(|model| model.estimate(&boot.record)).collect::<Vec<_>>();
        let estimates = row.boots.last().map(estimate).unwrap_or_default();
        line.extend(estimates.iter().map(|milliseconds| format!("{milliseconds:.0}")));
        lines.push(line);
    }
    let mut text = format!("{ROUNDS} rounds in QEMU with {}\n\n{}\n", vm::accelerator(), aligned(&lines));
    for row in rows {
        let _ = writeln!(text, "{:<20}{}", row.candidate.name(), row.candidate.job());
    }
    text + LEGEND + &budget(requirements)
}

/// As JSON.
pub fn json(rows: &[Row], requirements: &[Requirement], models: &Models) -> Value {
    let figures = |figures: &[Figure], boot: &Boot| -> Map<String, Value> {
        figures.iter().map(|(name, figure)| (name.replace(' ', "_"), json!(figure(boot)))).collect()
    };
    let boot = |boot: &Boot| {
        let codes = boot.record.iter().map(|exchange| format!("{:#x}", exchange.command.code()));
        json!({
            "seconds": figures(&PHASES, boot),
            "counts": figures(&COUNTS, boot),
            "share": boot.share(),
            "cpu_seconds": boot.cpu,
            "tpm_seconds": boot.tpm,
            "tpm_commands": codes.collect::<Vec<_>>(),
            "estimated_ms": models.estimates(&boot.record),
        })
    };
    let row = |row: &Row| {
        json!({
            "name": row.candidate.name(),
            "job": row.candidate.job(),
            "image_bytes": row.image,
            "share": middle(&row.boots, Boot::share),
            "passphrase_ratio": ours(row, rows).map(|ours| ratio(row, ours)),
            "boots": row.boots.iter().map(boot).collect::<Vec<_>>(),
        })
    };
    json!({
        "accelerator": vm::accelerator(),
        "runs": rows.iter().map(row).collect::<Vec<_>>(),
        "budget": requirements.iter().map(Requirement::json).collect::<Vec<_>>(),
    })
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
        Candidate::ALL.into_iter().zip([0.5, 1.0, 2.0, 10.0]).map(row).collect()
    }

    #[test]
    fn phases_are_all_of_the_boot() {
        let boot = &rows()[0].boots[0];
        let seconds = |names: &[&str]| -> f64 {
            PHASES.iter().filter(|(name, _)| names.contains(name)).map(|(_, phase)| phase(boot)).sum()
        };
        let all = seconds(&["all"]);
        assert!((seconds(&["firmware", "kernel", "waiting", "passphrase", "disk"]) - all).abs() < 1e-9);
        assert!((seconds(&["firmware", "kernel", "userspace"]) - all).abs() < 1e-9);
    }

    #[test]
    fn others_are_compared_with_trust_in_the_same_initrd() {
        let models = Models::read().unwrap();
        let json = json(&rows(), &[], &models);
        let ratios: Vec<_> =
            json["runs"].as_array().unwrap().iter().map(|row| row["passphrase_ratio"].as_f64().unwrap()).collect();
        assert_eq!(ratios, [1.0, 1.0, 2.0, 10.0]);
        let text = text(&rows(), &[], &models);
        let line = text.lines().find(|line| line.starts_with("clevis ")).unwrap();
        let words: Vec<_> = line.split_whitespace().skip(4).take(10).collect();
        assert_eq!(words.join(" "), "4.00 1.50 0.50 10.00 2.00 12.50 18.00 62.5 % 10.0");
    }
}
