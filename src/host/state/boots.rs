//! How the last boots went, out of what units of the initrd and `trust` itself have left in the journal: lines of
//! `journalctl --output=json`. A boot whose root was never mounted has left nothing on its disk.

use crate::foreign::printable;
use der::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Boots that are kept, the last.
const MOST_BOOTS: usize = 16;
/// Messages that are kept of a boot, the first.
const MOST_MESSAGES: usize = 8;
/// Characters of a message that are kept.
const MOST_CHARACTERS: usize = 400;

/// One boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootOutcome {
    /// The kernel's number for it, in hex.
    pub boot: String,
    /// The time of the first entry, in UTC (RFC 3339).
    pub began: String,
    /// The units that were started, with their result: `trust-setup: done`.
    pub units: Vec<UnitResult>,
    /// What `trust` has said.
    pub said: Vec<String>,
}

/// What has come of starting a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitResult {
    /// Its name without `.service`.
    pub unit: String,
    /// systemd's word: `done`, `failed`, `dependency`, `timeout`…
    pub result: String,
}

/// The matches by which journalctl finds the entries. Fields with an underscore are journald's own: no program can pretend.
#[must_use]
pub fn matches() -> Vec<String> {
    const UNITS: [&str; 6] =
        ["trust-setup", "trust-preinit", "trust-provision", "trust-finish", "trust-withdraw", "trust-failed"];
    let all = |field: &'static str| UNITS.iter().map(move |unit| format!("{field}={unit}.service"));
    let mut matches: Vec<String> = all("UNIT").chain(["_PID=1".to_owned(), "+".to_owned()]).collect();
    matches.extend(all("_SYSTEMD_UNIT").chain(["+".to_owned()]));
    // Where a script runs it: through the kernel's log, which takes no messages from anybody else than root.
    matches.extend(["_TRANSPORT=kernel".to_owned(), "SYSLOG_IDENTIFIER=trust".to_owned()]);
    matches
}

/// An entry, as far as it is needed.
#[derive(Deserialize)]
struct JournalLine {
    #[serde(rename = "_BOOT_ID")]
    boot: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
    #[serde(rename = "_PID", default)]
    pid: Option<String>,
    #[serde(rename = "UNIT", default)]
    unit: Option<String>,
    #[serde(rename = "JOB_TYPE", default)]
    job: Option<String>,
    #[serde(rename = "JOB_RESULT", default)]
    result: Option<String>,
    /// A text, or bytes that are none.
    #[serde(rename = "MESSAGE", default)]
    message: Value,
}

/// The boots, in their order. Lines that cannot be understood are left out.
#[must_use]
pub fn read(lines: &[u8]) -> Vec<BootOutcome> {
    let mut boots: Vec<BootOutcome> = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(entry) = serde_json::from_slice::<JournalLine>(line) else { continue };
        let same = boots.iter().position(|boot| boot.boot == entry.boot);
        let at = same.unwrap_or_else(|| {
            boots.push(BootOutcome {
                boot: printable(&entry.boot),
                began: moment(&entry.time),
                units: Vec::new(),
                said: Vec::new(),
            });
            boots.len() - 1
        });
        if let Some(boot) = boots.get_mut(at) {
            boot.add(&entry);
        }
    }
    boots.split_off(boots.len().saturating_sub(MOST_BOOTS))
}

impl BootOutcome {
    fn add(&mut self, entry: &JournalLine) {
        if entry.pid.as_deref() == Some("1") {
            if let (Some("start"), Some(unit), Some(result)) = (entry.job.as_deref(), &entry.unit, &entry.result) {
                let unit = printable(unit.trim_end_matches(".service"));
                self.units.push(UnitResult { unit, result: printable(result) });
            }
        } else if let Some(message) = entry.message.as_str()
            && self.said.len() < MOST_MESSAGES
        {
            let message = message.trim_start_matches("trust: ");
            let message: String = printable(message).chars().take(MOST_CHARACTERS).collect();
            // It says it to the journal and to the kernel.
            if !self.said.contains(&message) {
                self.said.push(message);
            }
        }
    }

    /// It in words: whether the machine got its secrets, as far as that is known.
    #[must_use]
    pub fn in_words(&self) -> String {
        let of = |name: &str| self.units.iter().rev().find(|unit| unit.unit == name).map(|unit| unit.result.as_str());
        let said = self.said.first().map_or_else(String::new, |said| format!(": {said}"));
        match (of("trust-setup"), of("trust-finish")) {
            (Some("done"), Some("done")) => "opened".to_owned(),
            (Some("done"), Some(_)) => format!("opened, and refused its root{said}"),
            (Some("done"), None) => format!("opened, the end is not known{said}"),
            (Some(_), _) => format!("refused{said}"),
            (None, _) => format!("not known{said}"),
        }
    }
}

fn moment(microseconds: &str) -> String {
    let time = microseconds.parse().ok().map(|time: u64| Duration::from_secs(time / 1_000_000));
    time.and_then(|time| DateTime::from_unix_duration(time).ok()).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_told_by_their_units_and_messages() {
        let unit = |boot: &str, unit: &str, job: &str, result: &str| {
            format!(
                "{{\"_BOOT_ID\":\"{boot}\",\"__REALTIME_TIMESTAMP\":\"1764000000000000\",\"_PID\":\"1\",\
                 \"UNIT\":\"{unit}.service\",\"JOB_TYPE\":\"{job}\",\"JOB_RESULT\":\"{result}\",\"MESSAGE\":\"x\"}}\n"
            )
        };
        let said = |boot: &str, message: &str| {
            format!(
                "{{\"_BOOT_ID\":\"{boot}\",\"__REALTIME_TIMESTAMP\":\"1764000000000000\",\"_PID\":\"99\",\
                 \"UNIT\":\"trust-setup.service\",\"JOB_TYPE\":\"start\",\"JOB_RESULT\":\"done\",\"MESSAGE\":{message}}}\n"
            )
        };
        let lines = [
            unit("a", "trust-setup", "start", "done"),
            unit("a", "trust-finish", "start", "done"),
            unit("a", "trust-setup", "stop", "failed"),
            said("b", "\"trust: cannot read\\u001b[2J the secrets\""),
            said("b", "\"cannot read\\u001b[2J the secrets\""),
            unit("b", "trust-setup", "start", "failed"),
            said("c", "[104,255]"),
            "{\"_BOOT_ID\":7}\nno JSON\n".to_owned(),
        ]
        .concat();
        let boots = read(lines.as_bytes());
        let words: Vec<_> = boots.iter().map(|boot| (boot.boot.as_str(), boot.in_words())).collect();
        // A program that claims to be a unit's result is no result.
        let refused = "refused: cannot read\u{fffd}[2J the secrets".to_owned();
        assert_eq!(words, [("a", "opened".into()), ("b", refused), ("c", "not known".into())]);
        assert_eq!(boots[0].began, "2025-11-24T16:00:00Z");
        let many: String = (0..40).map(|at| unit(&at.to_string(), "trust-setup", "start", "done")).collect();
        let kept = read(many.as_bytes());
        assert_eq!((kept.len(), kept[0].boot.as_str()), (MOST_BOOTS, "24"));
        assert_eq!(kept[0].in_words(), "opened, the end is not known");
    }
}
