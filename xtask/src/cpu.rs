//! How busy processors are: for one child, and all of them.

use anyhow::{Context, Result};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};
use std::{
    fs,
    process::{Child, ExitStatus},
};

/// How long the kernel says that a clock tick is, to programs: hundredths of a second (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS: u64 = 100;

/// Waits for a child; with it, for how many seconds a processor was busy for it and for whatever it has waited for.
///
/// # Errors
/// Those of waiting, and of reading /proc.
pub fn wait(child: &mut Child) -> Result<(ExitStatus, u64)> {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(Pid::from_raw(child.id().try_into()?)), ended)?;
    // Until it is waited for, the kernel keeps its statistics.
    let statistics = fs::read_to_string(format!("/proc/{}/stat", child.id()));
    let status = child.wait()?;
    Ok((status, seconds(&statistics?).context("/proc/PID/stat has another form")?))
}

/// From the /proc/PID/stat of a process that has ended.
fn seconds(statistics: &str) -> Option<u64> {
    // The name of the program is in parentheses, and may have some itself.
    let fields: Vec<&str> = statistics.rsplit_once(')')?.1.split_whitespace().collect();
    // Its own time and that of its children, in and outside of the kernel: from the 14th field on.
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(ticks / TICKS)
}

/// What all processors have done since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    all: u64,
    idle: u64,
}

impl Load {
    /// Until now.
    ///
    /// # Errors
    /// Those of reading /proc/stat.
    pub fn now() -> Result<Self> {
        Self::of(&fs::read_to_string("/proc/stat")?).context("/proc/stat has another form")
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // What guests take is part of the first two (proc_stat(5)).
        let fields: Option<Vec<u64>> = line.split_whitespace().take(8).map(|field| field.parse().ok()).collect();
        let fields = fields?;
        Some(Self { all: fields.iter().sum(), idle: fields.get(3..5)?.iter().sum() })
    }

    /// How much of the time since then they were busy, in percent.
    pub fn busy_since(&self, then: &Self) -> u64 {
        let (all, idle) = (self.all.saturating_sub(then.all), self.idle.saturating_sub(then.idle));
        (all.saturating_sub(idle) * 100).checked_div(all).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_those_of_the_kernel() {
        let statistics = "42 (cargo (fuzz)) Z 1 42 42 0 -1 4 1 2 3 4 5 6 900 100 20 0 1 0\n";
        assert_eq!(seconds(statistics), Some(10));
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn what_waits_for_a_disk_is_idle() {
        let load = |text: &str| Load::of(text).unwrap();
        let then = load("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n");
        let now = load("cpu  130 0 60 840 70 0 0 0 30 0\ncpu0 1 2 3\n");
        assert_eq!(now.busy_since(&then), 40);
        assert_eq!(now.busy_since(&now), 0);
        assert_eq!(Load::of("intr 1 2"), None);
    }
}
