//! The table, as text and as JSON.

use super::{
    Measured, Row,
    candidates::Candidate,
    eventlog::EventLogs,
    fleet::Fleets,
    images::Images,
    journal::Journals,
    keyset::KeysetTimes,
    latency::Models,
    measure::{Figures, Instructions},
    requirements::Requirement,
    secrets::Secrets,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What every column but the estimates says.
const COLUMNS: [&str; 10] = [
    "",
    "commands",
    "keys made",
    "bus bytes",
    "processes",
    "syscalls",
    "instructions",
    "memory KiB",
    "wall time",
    "initrd bytes",
];

/// The table as text.
pub fn text(
    Measured { rows, keyset_times, images, secrets, derived_keys, journals, event_logs, fleets }: &Measured,
    requirements: &[Requirement],
    models: &Models,
) -> String {
    let mut text = if rows.is_empty() { String::new() } else { boots(rows, models) };
    text.extend(keyset_times.iter().map(KeysetTimes::text));
    text.extend(images.iter().map(Images::text).chain(secrets.iter().map(Secrets::text)));
    text.extend(derived_keys.iter().map(|keys| keys.text(models)));
    text.extend(journals.iter().map(Journals::text));
    text.extend(event_logs.iter().map(EventLogs::text));
    text.extend(fleets.iter().map(Fleets::text));
    text + &budget(requirements)
}

/// The requirements, and what was found.
pub fn budget(requirements: &[Requirement]) -> String {
    let mut text = "\nBudget\n".to_owned();
    for requirement in requirements {
        let holds = if requirement.is_met { "pass" } else { "FAIL" };
        let _ = writeln!(text, "  {holds}  {}: {}", requirement.demand, requirement.found);
    }
    text
}

/// One line for each way to get a boot's secrets.
fn boots(rows: &[Row], models: &Models) -> String {
    let mut header: Vec<String> = COLUMNS.map(str::to_owned).into();
    header.extend(models.iter().map(|model| format!("{}, ms", model.name)));
    let mut lines = vec![header];
    let ours = ours(rows);
    for row in rows {
        let Ok(figures) = &row.figures else { continue };
        let mut line = vec![
            row.candidate.name().to_owned(),
            figures.record.len().to_string(),
            figures.key_generations().to_string(),
            grouped(figures.bytes() as u64),
            figures.processes.to_string(),
            grouped(figures.calls),
            figures.instructions.map_or("n/a".into(), instructions),
            grouped(figures.peak),
            format!("x {:.1}", ours.map_or(f64::NAN, |ours| figures.wall_ratio(ours))),
            grouped(figures.footprint),
        ];
        line.extend(models.iter().map(|model| format!("{:.0}", model.estimate(&figures.record))));
        lines.push(line);
    }
    let mut text = aligned(&lines);
    text.push('\n');
    for row in rows {
        let job = match &row.figures {
            Ok(_) => row.candidate.job(),
            Err(why) => why,
        };
        let not = if row.figures.is_err() { "not measured: " } else { "" };
        let _ = writeln!(text, "{:<14}{not}{job}", row.candidate.name());
    }
    let _ = writeln!(
        text,
        "The last {} columns are estimates of the TPM's part, by the table latency.toml.",
        models.iter().count()
    );
    if rows.iter().flat_map(|row| &row.figures).any(|figures| figures.instructions.is_some_and(|count| !count.whole)) {
        text.push_str(">: without what comes after a system call that this valgrind does not know.\n");
    }
    text
}

/// The same as JSON.
pub fn json(
    Measured { rows, keyset_times, images, secrets, derived_keys, journals, event_logs, fleets }: &Measured,
    requirements: &[Requirement],
    models: &Models,
) -> Value {
    let ours = ours(rows);
    let row = |row: &Row| match &row.figures {
        Err(why) => json!({ "name": row.candidate.name(), "not_measured": why }),
        Ok(figures) => {
            let codes: serde_json::Map<_, _> =
                figures.commands().iter().map(|(code, count)| (format!("{code:#x}"), json!(count))).collect();
            json!({
                "name": row.candidate.name(),
                "job": row.candidate.job(),
                "tpm_commands": figures.record.len(),
                "tpm_commands_by_code": codes,
                "key_generations": figures.key_generations(),
                "bus_bytes": figures.bytes(),
                "processes": figures.processes,
                "system_calls": figures.calls,
                "instructions": figures.instructions.map(|instructions| instructions.count),
                "instructions_whole": figures.instructions.map(|instructions| instructions.whole),
                "peak_memory_kib": figures.peak,
                "wall_ratio": ours.map(|ours| figures.wall_ratio(ours)),
                "initrd_bytes": figures.footprint,
                "estimated_ms": models.estimates(&figures.record),
            })
        }
    };
    json!({
        "runs": rows.iter().map(row).collect::<Vec<_>>(),
        "keyset": keyset_times.as_ref().map(KeysetTimes::json),
        "images": images.as_ref().map(Images::json),
        "secrets": secrets.as_ref().map(Secrets::json),
        "journals": journals.as_ref().map(Journals::json),
        "event_logs": event_logs.as_ref().map(EventLogs::json),
        "fleet": fleets.as_ref().map(Fleets::json),
        "derived_keys": derived_keys.as_ref().map(|keys| keys.json(models)),
        "budget": requirements.iter().map(Requirement::json).collect::<Vec<_>>(),
    })
}

fn ours(rows: &[Row]) -> Option<&Figures> {
    rows.iter().find(|row| row.candidate == Candidate::Ours)?.figures.as_ref().ok()
}

/// Columns as wide as they must be: the first to the left, numbers to the right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

/// Their number, or what it is above.
fn instructions(instructions: Instructions) -> String {
    let above = if instructions.whole { "" } else { ">" };
    format!("{above}{}", grouped(instructions.count))
}

/// Thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 773_632, 25_200_000].map(grouped), ["0", "999", "1 000", "773 632", "25 200 000"]);
    }
}
