//! What a measurement gives: programs that did the same work, and what it cost each of them.

use super::measure::median;
use serde::{Deserialize, Serialize};

/// One piece of work.
#[derive(Debug, Deserialize, Serialize)]
pub struct Section {
    /// One word, which no other section has.
    pub name: String,
    /// What was done.
    pub title: String,
    /// Who did it, ours first.
    pub programs: Vec<Program>,
    /// What it cost.
    pub figures: Vec<Figure>,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// What it may cost.
    pub requirements: Vec<Requirement>,
}

/// Who did the work.
#[derive(Debug, Deserialize, Serialize)]
pub struct Program {
    pub name: String,
    /// How much of the work it does, if programs differ in that.
    pub job: String,
}

/// One kind of cost; less is better.
#[derive(Debug, Deserialize, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: Unit,
    /// Of each program, in the order of [`Section::programs`], what each round gave; nothing where it was not measured.
    pub samples: Vec<Vec<f64>>,
}

/// What the numbers of a figure are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Count,
    Bytes,
    /// Shown as a ratio, too: they say the same on a busy machine.
    Seconds,
    /// By a model of another TPM: not shown as a ratio.
    ModelledSeconds,
    /// A part of 1.
    Share,
    /// 1 if the secret was in clear on the bus, else 0.
    Clear,
}

/// One requirement, and what was measured.
#[derive(Debug, Deserialize, Serialize)]
pub struct Requirement {
    /// What is required.
    pub demand: String,
    /// What was found.
    pub found: String,
    /// Whether it is met.
    pub is_met: bool,
}

impl Requirement {
    /// From its parts.
    pub fn new(demand: impl Into<String>, found: impl Into<String>, is_met: bool) -> Self {
        Self { demand: demand.into(), found: found.into(), is_met }
    }
}

impl Program {
    /// Whether it is Trust, or a part or way of it.
    pub fn is_ours(&self) -> bool {
        self.name.to_lowercase().starts_with("trust")
    }
}

impl Section {
    /// A piece of work that programs do; who takes part is said by name.
    pub fn new<'a>(name: &str, title: impl Into<String>, programs: impl IntoIterator<Item = &'a str>) -> Self {
        let program = |name: &str| Program { name: name.to_owned(), job: String::new() };
        Self {
            name: name.to_owned(),
            title: title.into(),
            programs: programs.into_iter().map(program).collect(),
            figures: Vec::new(),
            notes: Vec::new(),
            requirements: Vec::new(),
        }
    }

    /// Adds what each program's rounds gave.
    pub fn rounds(mut self, name: &str, unit: Unit, samples: impl IntoIterator<Item = Vec<f64>>) -> Self {
        let samples: Vec<_> = samples.into_iter().collect();
        assert_eq!(samples.len(), self.programs.len(), "{name}: one for each program");
        self.figures.push(Figure { name: name.to_owned(), unit, samples });
        self
    }

    /// Adds what is the same in every round.
    pub fn figure(self, name: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Self {
        self.rounds(name, unit, values.into_iter().map(|value| vec![value]))
    }

    /// Adds what a reader has to know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what is required.
    pub fn require(mut self, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        self.requirements.extend(requirements);
        self
    }

    /// A figure of a program, if both are there.
    pub fn find(&self, figure: &str, program: &str) -> Option<(&Figure, usize)> {
        let figure = self.figures.iter().find(|found| found.name == figure)?;
        Some((figure, self.programs.iter().position(|found| found.name == program)?))
    }
}

impl Figure {
    /// The median of a program's rounds.
    pub fn value(&self, program: usize) -> Option<f64> {
        let rounds = self.samples.get(program)?;
        (!rounds.is_empty()).then(|| median(rounds.clone()))
    }

    /// How many times as much as the first program another takes: the median of the rounds, each compared with the same round
    /// of the first; the ratio of the medians if one had more rounds.
    pub fn times(&self, program: usize) -> Option<f64> {
        let (its, first) = (self.samples.get(program)?, self.samples.first()?);
        if its.len() != first.len() {
            return Some(self.value(program)? / self.value(0)?);
        }
        let rounds: Vec<_> = its.iter().zip(first).map(|(its, first)| its / first).collect();
        (!rounds.is_empty()).then(|| median(rounds))
    }
}

impl Unit {
    /// A value, for a reader.
    pub fn text(self, value: f64) -> String {
        const MILLIONS: [(f64, &str); 2] = [(1e9, "G"), (1e6, "M")];
        const SECONDS: [(f64, &str); 3] = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
        const BYTES: [(f64, &str); 4] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];
        match self {
            Self::Count if value < 100.0 && value.fract() != 0.0 => format!("{value:.2}"),
            Self::Count if value >= 1e6 => scaled(value, &MILLIONS),
            Self::Count => grouped(value.round() as u64),
            Self::Bytes => scaled(value, &BYTES),
            Self::Seconds | Self::ModelledSeconds => scaled(value, &SECONDS),
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Clear => if value > 0.0 { "in clear" } else { "encrypted" }.to_owned(),
        }
    }
}

/// Three digits, or two where that is exact, and the largest unit that leaves something before the point.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let smallest = units[units.len() - 1];
    let (size, name) = *units.iter().find(|(size, _)| value >= *size).unwrap_or(&smallest);
    let number = value / size;
    let digits = if number >= 100.0 || number.fract() == 0.0 { 0 } else { usize::from(number < 10.0) + 1 };
    format!("{number:.digits$} {name}")
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
        assert_eq!([0, 999, 1000, 773_632].map(grouped), ["0", "999", "1 000", "773 632"]);
        let seconds = [0.0, 0.0123, 0.5, 1.0, 90.0].map(|value| Unit::Seconds.text(value));
        assert_eq!(seconds, ["0 µs", "12.3 ms", "500 ms", "1 s", "90 s"]);
        assert_eq!([0.0, 7_900.0, 574_944.0].map(|value| Unit::Bytes.text(value)), ["0 B", "7.90 kB", "575 kB"]);
        assert_eq!([36.0, 1.05, 1.68e9].map(|value| Unit::Count.text(value)), ["36", "1.05", "1.68 G"]);
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        // A busy second slows both down.
        let rounds = [vec![1.0, 9.0, 1.0], vec![2.0, 18.0, 2.2], Vec::new()];
        let section = Section::new("s", "", ["ours", "other", "absent"]).rounds("time", Unit::Seconds, rounds);
        let (figure, program) = section.find("time", "other").unwrap();
        assert_eq!((figure.value(program), figure.times(program), figure.value(2)), (Some(2.2), Some(2.0), None));
    }
}
