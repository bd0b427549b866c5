//! What a target has been through, and the committed table of all that targets have.

use crate::sh;
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt, fs};

/// Where the table is.
const TABLE: &str = "fuzz/FIGURES.md";
/// How it begins.
const HEAD: &str = "| target | CPU seconds | executions | edges |\n|---|---|---|---|\n";
/// Its last line, which is made of the others.
const ALL: &str = "all";
/// What a target has been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Seconds that a processor was busy.
    cpu: u64,
    /// How many inputs there were.
    executions: u64,
    /// How many edges these have taken, at most.
    edges: u64,
}

impl Figures {
    /// From what libFuzzer has said, and for how many seconds a processor was busy.
    pub fn of(said: &str, cpu: u64) -> Option<Self> {
        let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
        let edges = said.rsplit_once(" cov: ")?.1.split_whitespace().next()?;
        let (executions, edges) = (executions.trim().parse().ok()?, edges.parse().ok()?);
        Some(Self { cpu, executions, edges })
    }

    /// Another run of the same target.
    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.executions += other.executions;
        self.edges = self.edges.max(other.edges);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPU seconds, {} executions, {} edges", self.cpu, self.executions, self.edges)
    }
}

/// Adds them to those of the target in the table.
pub fn add(target: &str, figures: &Figures) -> Result<()> {
    let file = sh::workspace().join(TABLE);
    let text = fs::read_to_string(&file)?;
    let changed = added(&text, target, figures).with_context(|| format!("{TABLE} has no table any more"))?;
    let new = file.with_extension("new");
    fs::write(&new, changed)?;
    Ok(fs::rename(new, file)?)
}

fn added(text: &str, target: &str, figures: &Figures) -> Option<String> {
    let (before, rest) = text.split_once(HEAD)?;
    let (table, after) = rest.split_once("\n\n")?;
    let mut rows = BTreeMap::new();
    for line in table.lines() {
        let mut columns = line.trim_matches('|').split('|').map(str::trim);
        let name = columns.next()?.to_owned();
        // Unknown figures are left empty.
        let mut number = || columns.next().map(|text| text.parse().unwrap_or_default());
        let row = Figures { cpu: number()?, executions: number()?, edges: number()? };
        if name != ALL {
            rows.insert(name, row);
        }
    }
    rows.entry(format!("`{target}`")).or_default().add(figures);
    let mut changed = before.to_owned() + HEAD;
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let mut line = |name: &str, row: &Figures, edges| {
        changed += &format!("| {name} | {} | {} | {} |\n", row.cpu, number(row.executions), number(edges));
    };
    let mut all = Figures::default();
    for (name, row) in &rows {
        line(name, row, row.edges);
        all.add(row);
    }
    line(ALL, &all, 0);
    Some(changed + "\n" + after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Figures = Figures { cpu: 10, executions: 2000, edges: 30 };

    #[test]
    fn figures_are_read_from_libfuzzer() {
        let said = "#2\tINITED cov: 12 ft: 13\n#9\tREDUCE cov: 30 ft: 31 corp: 3/9b\nDone 2000 runs in 11 second(s)\n\
                    stat::number_of_executed_units: 2000\nstat::average_exec_per_sec:     181\n";
        assert_eq!(Figures::of(said, 10), Some(ONCE));
        assert_eq!(Figures::of("", 10), None);
    }

    #[test]
    fn figures_add_up_in_the_table() {
        let table = |rows: &str| format!("# Title\n\n{HEAD}{rows}\nText.\n\nMore.\n");
        let first = added(&table("| all | 0 |  |  |\n"), "pe", &ONCE).unwrap();
        assert_eq!(first, table("| `pe` | 10 | 2000 | 30 |\n| all | 10 | 2000 |  |\n"));
        let second = added(&first, "argv", &Figures { edges: 7, ..ONCE }).unwrap();
        let third = added(&second, "pe", &Figures { cpu: 5, executions: 1, edges: 29 }).unwrap();
        let rows = "| `argv` | 10 | 2000 | 7 |\n| `pe` | 15 | 2001 | 30 |\n| all | 25 | 4001 |  |\n";
        assert_eq!(third, table(rows));
        let unknown = "| not told apart | 8 | | |\n| all | 8 | | |\n";
        let kept = "| `pe` | 10 | 2000 | 30 |\n| not told apart | 8 |  |  |\n| all | 18 | 2000 |  |\n";
        assert_eq!(added(&table(unknown), "pe", &ONCE).unwrap(), table(kept));
        assert_eq!(added("no table", "pe", &ONCE), None);
    }
}
