//! The numbers that README.md quotes, compared with what was measured.

use super::section::{Requirement, Section};
use Bound::{About, Most};
use What::{Part, Value};

const README: &str = include_str!("../../../README.md");
/// How far what was measured may be from what is quoted, which is rounded.
const TOLERANCE: f64 = 0.2;

/// A number in README.md.
#[derive(Clone, Copy)]
struct Claim<'a> {
    /// As README.md has it, a line break being a space.
    words: &'a str,
    number: f64,
    bound: Bound,
    what: What,
    section: &'a str,
    figure: &'a str,
    program: &'a str,
}

/// How a number is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Less is as good.
    Most,
    About,
}

/// Of what.
#[derive(Clone, Copy)]
enum What {
    /// Of the program's own figure.
    Value,
    /// Of what part of the program's figure ours is.
    Part,
}

const fn claim(words: &'static str, number: f64, bound: Bound, what: What, of: [&'static str; 3]) -> Claim<'static> {
    let [section, figure, program] = of;
    Claim { words, number, bound, what, section, figure, program }
}

/// Those outside of the table. Of what others take, less is not as good.
const CLAIMS: &[Claim<'static>] = &[
    claim("**36 TPM commands in one process**", 36.0, Most, Value, ["setup", "TPM commands", "trust setup"]),
    claim("hundreds of times faster", 1.0 / 200.0, Most, Part, ["setup", "wall time", "tpm2-tools"]),
    claim("half a second on a slow discrete TPM", 0.5, Most, Value, ["setup", SLOW, "trust setup"]),
    claim("tpm2-tools send 16", 16.0, About, Value, ["secrets-seal", "TPM commands", "tpm2-tools"]),
    claim("one of 200 MB is signed and verified in 0.6", 0.6, Most, Part, ["images-sign", "processor time", "sbsign"]),
    claim(
        "in 0.6 of the processor time of sbsign and sbverify",
        0.6,
        Most,
        Part,
        ["images-verify", "processor time", "sbverify"],
    ),
    claim("built in 0.3 of ukify's", 0.3, Most, Part, ["images-build", "processor time", "ukify"]),
    claim("each in 9 MB of memory", 9e6, Most, Value, ["images-build", "memory", "trust"]),
    claim("sealed to a PCR with 6 TPM commands", 6.0, Most, Value, ["secrets-seal", "TPM commands", "trust"]),
    claim("opened with 7", 7.0, Most, Value, ["secrets-unseal", "TPM commands", "trust"]),
    claim("tpm2-tools send 16 and 19", 19.0, About, Value, ["secrets-unseal", "TPM commands", "tpm2-tools"]),
    claim("systemd-creds 14 and 13", 14.0, About, Value, ["secrets-seal", "TPM commands", "systemd-creds"]),
    claim("14 and 13", 13.0, About, Value, ["secrets-unseal", "TPM commands", "systemd-creds"]),
    claim(
        "1 GiB takes 1.4 of the processor time",
        1.4,
        Most,
        Part,
        ["secrets-large", "processor time", "AES-256-GCM alone"],
    ),
    claim(
        "A sealed journal of 805 MB is verified in 0.015",
        0.015,
        Most,
        Part,
        ["journal", "processor time", "journalctl"],
    ),
    claim("in 7 MB of memory", 7e6, Most, Value, ["journal", "memory", "trust"]),
    claim("where that takes 606", 606e6, About, Value, ["journal", "memory", "journalctl"]),
    claim("a tenth of the time of tpm2_eventlog", 0.1, Most, Part, ["eventlog", "processor time", "tpm2_eventlog"]),
    claim(
        "ten thousand machines are judged before an update in 8 s of processor time",
        8.0,
        Most,
        Value,
        ["fleet", "processor time", "trust"],
    ),
    claim("of processor time and 9 MB", 9e6, Most, Value, ["fleet", "memory", "trust"]),
    claim("3 % of the boot of a minimal initrd", 0.03, Most, Value, ["boot", "share", "Trust, minimal"]),
    claim(
        "3 % of the boot of a minimal initrd, and of dracut's",
        0.03,
        Most,
        Value,
        ["boot", "share", "Trust, dracut"],
    ),
    claim("a tenth of clevis' time", 0.1, Most, Part, ["boot", "passphrase", "clevis"]),
    claim("35 commands become 104", 35.0, Most, Value, ["boot", "TPM commands", "Trust, dracut"]),
    claim("become 104", 104.0, Most, Value, ["boot", "with swaps", "Trust, dracut"]),
    claim("may become one and a half", 1.5, Most, Value, ["boot", SLOW, "Trust, dracut"]),
];

const SLOW: &str = "slow discrete TPM (estimate)";

/// Compares all numbers of what was measured.
pub fn check<'a>(sections: impl IntoIterator<Item = &'a Section>) -> Vec<Requirement> {
    let sections: Vec<_> = sections.into_iter().collect();
    CLAIMS.iter().copied().chain(table(README)).filter_map(|claim| claim.check(&sections)).collect()
}

impl Claim<'_> {
    /// Nothing if it was not measured.
    fn check(&self, sections: &[&Section]) -> Option<Requirement> {
        let section = sections.iter().find(|section| section.name == self.section)?;
        let demand = format!("{}, {}: \"{}\"", self.program, self.figure, self.words);
        if !section.figures.iter().any(|figure| figure.name == self.figure) {
            return Some(Requirement::new(demand, format!("{} has no figure {}", self.section, self.figure), false));
        }
        let (figure, program) = section.find(self.figure, self.program)?;
        let (value, text) = match self.what {
            Value => {
                let value = figure.value(program)?;
                (value, figure.unit.text(value))
            }
            Part => {
                let part = 1.0 / figure.times(program)?;
                (part, format!("{part:.3}"))
            }
        };
        let slack = self.number * TOLERANCE;
        let is_met = value <= self.number + slack && (self.bound == Most || value >= self.number - slack);
        Some(Requirement::new(demand, text, is_met))
    }
}

/// The claims of the table: a figure in each column, a program in each line, whose name is part of the first cell.
fn table(readme: &str) -> Vec<Claim<'_>> {
    const PROGRAMS: [&str; 4] = ["trust setup", "tpm2-tools", "clevis", "systemd-creds"];
    fn cells(line: &str) -> impl Iterator<Item = &str> {
        line.split('|').map(str::trim).skip(1)
    }
    let mut lines = readme.lines().skip_while(|line| !line.starts_with("| | TPM commands |"));
    let header: Vec<_> = lines.next().into_iter().flat_map(cells).collect();
    let mut claims = Vec::new();
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let Some(program) = PROGRAMS.into_iter().find(|program| line.contains(program)) else { continue };
        for (figure, words) in header.iter().zip(cells(line)).skip(1) {
            let Some(number) = number(words) else { continue };
            claims.push(Claim { words, number, bound: About, what: Value, section: "setup", figure, program });
        }
    }
    claims
}

/// A number, in the unit that figures have.
fn number(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let size = match unit {
        "kB" => 1e3,
        "MB" => 1e6,
        _ => 1.0,
    };
    Some(number.parse::<f64>().ok()? * size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::section::Unit;

    /// Who Trust is compared with.
    const PEERS: [&str; 7] =
        ["tpm2-tools", "clevis", "systemd-creds", "sbsign", "ukify", "journalctl", "tpm2_eventlog"];

    fn words() -> String {
        README.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_claim_is_in_the_readme() {
        for claim in CLAIMS {
            let Claim { words: quoted, number, .. } = claim;
            assert!(words().contains(quoted), "README.md does not say: {quoted}");
            let numbers = quoted.split_whitespace().filter_map(|word| word.trim_matches('*').parse::<f64>().ok());
            let numbers: Vec<_> = numbers.flat_map(|quoted| [quoted, quoted * 1e6, quoted / 100.0]).collect();
            assert!(numbers.is_empty() || numbers.contains(number), "{quoted}: {number}");
        }
        assert_eq!(table(README).len(), 4 * 7, "cells of the table");
    }

    #[test]
    fn the_comparison_has_the_same_table() {
        let words = |page| table(page).into_iter().map(|claim| claim.words).collect::<Vec<_>>();
        assert_eq!(words(include_str!("../../../docs/comparison.md")), words(README));
    }

    #[test]
    fn every_number_beside_a_peer_is_a_claim() {
        for paragraph in README.split("\n\n").flat_map(|part| part.split("\n- ")) {
            let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            if text.starts_with('|') || !PEERS.iter().any(|peer| text.contains(peer)) {
                continue;
            }
            let known = PEERS.into_iter().chain(CLAIMS.iter().map(|claim| claim.words));
            let covered: Vec<_> = known.flat_map(|words| text.match_indices(words)).collect();
            let is_covered =
                |at: usize| covered.iter().any(|(start, words)| (*start..start + words.len()).contains(&at));
            let number = text.match_indices(|c: char| c.is_ascii_digit()).find(|(at, _)| !is_covered(*at));
            assert!(number.is_none(), "no claim in readme.rs has the number at {number:?} of: {text}");
        }
    }

    #[test]
    fn what_is_no_longer_so_is_found() {
        let of = |ours: f64, other: f64| {
            Section::new("eventlog", "", ["trust", "tpm2_eventlog"]).figure(
                "processor time",
                Unit::Seconds,
                [ours, other],
            )
        };
        let holds = |section: Section| check([&section])[0].is_met;
        assert!(holds(of(0.9, 10.0)) && holds(of(1.1, 10.0)));
        assert!(!holds(of(1.3, 10.0)));
        let other = Section::new("eventlog", "", ["trust", "tpm2_eventlog"]);
        assert!(!holds(other), "a figure that is gone");
        assert!(check([]).is_empty());
    }
}
