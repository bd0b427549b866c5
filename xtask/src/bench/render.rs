//! Sections as tables: plain text, and Markdown.

use super::section::{Figure, Requirement, Section, Unit};
use std::fmt::Write as _;

/// The table of a section as plain text, with all that has to be known.
pub fn text(section: &Section) -> String {
    let mut text = format!("\n{}\n{}", section.title, aligned(&cells(section)));
    for program in section.programs.iter().filter(|program| !program.job.is_empty()) {
        let _ = writeln!(text, "{}: {}", program.name, program.job);
    }
    for note in &section.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// The same as Markdown: a figure in each line, so that many of them are readable.
pub fn markdown(section: &Section) -> String {
    let mut text = String::new();
    for (at, line) in turned(&cells(section)).iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if at == 0 {
            let _ = writeln!(text, "|---|{}", "--:|".repeat(line.len() - 1));
        }
    }
    text.push('\n');
    for program in section.programs.iter().filter(|program| !program.job.is_empty()) {
        let _ = writeln!(text, "- {}: {}", program.name, program.job);
    }
    for note in &section.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// Requirements, and what was found.
pub fn budget<'a>(requirements: impl IntoIterator<Item = &'a Requirement>) -> String {
    let mut text = String::new();
    for Requirement { demand, found, is_met } in requirements {
        let _ = writeln!(text, "  {}  {demand}: {found}", if *is_met { "pass" } else { "FAIL" });
    }
    text
}

/// A line for each program, after one with the names of the figures.
fn cells(section: &Section) -> Vec<Vec<String>> {
    let names = section.figures.iter().map(|figure| figure.name.clone());
    let mut lines = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    lines.extend(section.programs.iter().enumerate().map(|(at, program)| {
        let values = section.figures.iter().map(|figure| value(figure, at));
        std::iter::once(program.name.clone()).chain(values).collect()
    }));
    lines
}

/// A value; where it depends on how busy the machine is, how many times ours it is.
pub fn value(figure: &Figure, program: usize) -> String {
    let Some(value) = figure.value(program) else { return "–".into() };
    let text = figure.unit.text(value);
    match figure.times(program) {
        Some(times) if figure.unit == Unit::Seconds && figure.samples.len() > 1 => {
            format!("{text} (×{times:.*})", usize::from(times < 100.0) + usize::from(times < 10.0))
        }
        _ => text,
    }
}

/// Columns as lines.
fn turned(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].clone()).collect()).collect()
}

/// Columns as wide as they must be: the first to the left, numbers to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        Section::new("s", "Work", ["ours", "other", "absent"])
            .figure("commands", Unit::Count, [6.0, 16.0, 13.0])
            .rounds("time", Unit::Seconds, [vec![0.5], vec![1.0], Vec::new()])
    }

    #[test]
    fn programs_are_lines_of_text() {
        let expected = "\nWork\n        commands            time\nours           6  500 ms (×1.00)\n\
                        other         16     1 s (×2.00)\nabsent        13               –\n";
        assert_eq!(text(&section()), expected);
    }

    #[test]
    fn programs_are_columns_of_markdown() {
        let expected = "|  | ours | other | absent |\n|---|--:|--:|--:|\n| commands | 6 | 16 | 13 |\n\
                        | time | 500 ms (×1.00) | 1 s (×2.00) | – |\n\n";
        assert_eq!(markdown(&section()), expected);
    }
}
