//! What has been checked, and how it ended.

use anyhow::Result;
use std::{fmt::Display, time::Instant};

/// How many checks and tests ended how.
#[derive(Default)]
pub struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    /// Runs one check, says how it ended and counts it.
    pub fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n== {name}?");
        let start = Instant::now();
        match check() {
            Ok(value) => {
                println!("== {name}: yes ({} s)", start.elapsed().as_secs());
                self.passed += 1;
                Some(value)
            }
            Err(e) => {
                println!("== {name}: NO\n{e:#}");
                self.fail(name);
                None
            }
        }
    }

    /// Counts a failure.
    pub fn fail(&mut self, what: impl Display) {
        self.failed += 1;
        self.failures.push(what.to_string());
    }

    /// Says that a check is not made, and counts it.
    pub fn skip(&mut self, what: &str, why: &dyn Display) {
        println!("\n== SKIPPED: {what}: {why}");
        self.skipped += 1;
        self.skips.push(what.to_owned());
    }

    /// Counts what a test program says of its tests. Whether it says so at all.
    pub fn count(&mut self, program: &str, said: &str) -> bool {
        let Some(counts) = said.lines().rev().find_map(Counts::of) else {
            return false;
        };
        self.passed += counts.passed;
        self.failed += counts.failed;
        self.skipped += counts.ignored;
        for line in said.lines().filter_map(|line| line.strip_prefix("test ")) {
            if let Some(name) = line.strip_suffix(" ... FAILED") {
                self.failures.push(format!("{program}::{name}"));
            } else if let Some((name, _)) = line.split_once(" ... ignored") {
                self.skips.push(format!("{program}::{name}"));
            }
        }
        // The harness' word of what libtest takes for passed.
        for name in said.lines().filter_map(|line| line.strip_prefix("SKIPPED ")) {
            self.passed = self.passed.saturating_sub(1);
            self.skipped += 1;
            self.skips.push(format!("{program}::{name}"));
        }
        true
    }

    /// The closing lines. Whether nothing has failed.
    pub fn report(&self) -> bool {
        println!();
        for skip in &self.skips {
            println!("SKIPPED: {skip}");
        }
        for failure in &self.failures {
            println!("FAILED: {failure}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        self.failed == 0
    }
}

/// What libtest says at the end of a test program.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Counts {
    fn of(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |name: &str| counts.split("; ").find_map(|part| part.strip_suffix(name)?.trim().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_test_program_are_read() {
        let counts = |passed, failed, ignored| Some(Counts { passed, failed, ignored });
        let ok = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.02s";
        assert_eq!(Counts::of(ok), counts(12, 0, 3));
        let bad = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s";
        assert_eq!(Counts::of(bad), counts(1, 2, 0));
        assert_eq!(Counts::of("test boot::result ... ok"), None);
    }

    #[test]
    fn the_last_result_of_a_program_counts() {
        let mut tally = Tally::default();
        let end = "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 9.00s";
        let said =
            format!("test b ... FAILED\ntest c ... ignored, no root\ntest a ... \nSKIPPED a: no root\nok\n{end}\n");
        assert!(tally.count("boot", &said));
        assert_eq!((tally.passed, tally.failed, tally.skipped), (0, 1, 2));
        assert_eq!(tally.failures, ["boot::b"]);
        assert_eq!(tally.skips, ["boot::c", "boot::a: no root"]);
        assert!(!Tally::default().count("boot", "Segmentation fault"));
    }
}
