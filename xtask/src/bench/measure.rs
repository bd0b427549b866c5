//! What a run costs, and how each cost is taken.

use super::{footprint, latency};
use anyhow::{Context, Result, ensure};
use harness::{Exchange, Run, cc};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What one candidate costs.
#[derive(Default)]
pub struct Figures {
    /// Wall time of each round, in seconds.
    pub wall: Vec<f64>,
    /// What crossed the wire in one of these rounds.
    pub record: Vec<Exchange>,
    /// The largest resident set of any of its processes, in KiB.
    pub peak: u64,
    /// Processes, itself included.
    pub processes: u64,
    /// System calls of all of them.
    pub calls: u64,
    /// Instructions of all programs, in user space.
    pub instructions: Option<Instructions>,
    /// Bytes of the programs and libraries that it used.
    pub footprint: u64,
}

/// What cachegrind counted.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    /// How many.
    pub count: u64,
    /// Whether the run got to its end: there are system calls that a valgrind does not know yet.
    pub whole: bool,
}

/// One way of looking at a run. Each has a boot of its own: strace and valgrind cost time and memory.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// Wall time, and the commands on the wire.
    Wall,
    /// Peak memory.
    Peak,
    /// System calls, processes, and the files that are used.
    Calls,
    /// Instructions.
    Instructions,
}

impl Probe {
    /// A script that runs `command` under this probe.
    pub fn script(self, command: &str) -> String {
        match self {
            // bash's own clock: nothing runs between it and the command.
            Self::Wall => {
                format!("start=$EPOCHREALTIME\n{command} >/dev/null\nend=$EPOCHREALTIME\necho \"wall $start $end\"")
            }
            // GNU time is small, and so what it was before it became the command is smaller than any command.
            Self::Peak => format!("/usr/bin/time --format=%M --output=/sandbox/peak {command} >/dev/null"),
            Self::Calls => format!("strace -f -qq -o /sandbox/calls {command} >/dev/null"),
            Self::Instructions => format!(
                "rm -f /sandbox/instructions.*\n\
                 valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null --trace-children=yes \
                 --child-silent-after-fork=yes --log-file=/sandbox/instructions.%p {command} >/dev/null && \
                 echo 'valgrind whole' || echo 'valgrind part'"
            ),
        }
    }

    /// Takes what the run of [`Self::script`] has left in `sandbox`, and what crossed the wire meanwhile.
    pub fn read(self, run: &Run, sandbox: &Path, record: Vec<Exchange>, figures: &mut Figures) -> Result<()> {
        match self {
            Self::Wall => {
                let (start, end) = run.value("wall").split_once(' ').context("two times")?;
                figures.wall.push(end.parse::<f64>()? - start.parse::<f64>()?);
                figures.record = record;
            }
            Self::Peak => figures.peak = fs::read_to_string(sandbox.join("peak"))?.trim().parse()?,
            Self::Calls => {
                let trace = Trace::of(&fs::read_to_string(sandbox.join("calls"))?);
                figures.calls = trace.calls;
                figures.processes = trace.processes;
                figures.footprint = footprint::bytes(&trace.programs, &trace.libraries)?;
            }
            Self::Instructions => {
                let whole = run.value("valgrind") == "whole";
                figures.instructions = instructions(sandbox)?.map(|count| Instructions { count, whole });
            }
        }
        Ok(())
    }
}

impl Figures {
    /// Commands that the TPM got, by code.
    pub fn commands(&self) -> BTreeMap<u32, usize> {
        let mut commands = BTreeMap::new();
        for exchange in &self.record {
            *commands.entry(exchange.command.code()).or_default() += 1;
        }
        commands
    }

    /// Keys that it had the TPM make.
    pub fn key_generations(&self) -> usize {
        let makes = [cc::CREATE_PRIMARY, cc::CREATE, cc::CREATE_LOADED];
        self.commands().iter().filter(|(code, _)| makes.contains(code)).map(|(_, count)| count).sum()
    }

    /// Bytes that crossed the wire, both ways.
    pub fn bytes(&self) -> usize {
        self.record.iter().map(latency::size).sum()
    }

    /// How many times as long as `other` it takes: the median of the rounds, each compared with the same round of the other.
    pub fn wall_ratio(&self, other: &Self) -> f64 {
        median(self.wall.iter().zip(&other.wall).map(|(mine, other)| mine / other).collect())
    }
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What strace saw.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    calls: u64,
    processes: u64,
    programs: BTreeSet<String>,
    libraries: BTreeSet<String>,
}

impl Trace {
    /// Reads lines of `PID CALL(ARGUMENTS) = RESULT`; a call that another process
    /// interrupts has two of them, the second with `<... CALL resumed>`.
    fn of(log: &str) -> Self {
        let mut trace = Self::default();
        let mut processes = BTreeSet::new();
        for line in log.lines() {
            let Some((pid, event)) = line.split_once(' ') else { continue };
            let event = event.trim_start();
            processes.insert(pid);
            if event.starts_with(['+', '-', '<']) {
                continue;
            }
            trace.calls += 1;
            let failed = event.contains(") = -1 ");
            let path = event.split('"').nth(1).map(str::to_owned);
            match path {
                Some(path) if event.starts_with("execve(") && !failed => trace.programs.insert(path),
                Some(path) if event.starts_with("openat(") && !failed && path.contains(".so") => {
                    trace.libraries.insert(path)
                }
                _ => continue,
            };
        }
        trace.processes = processes.len() as u64;
        trace
    }
}

/// The sum of what cachegrind says of every program; nothing if it could run none.
fn instructions(sandbox: &Path) -> Result<Option<u64>> {
    let mut sum = None;
    for entry in fs::read_dir(sandbox)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("instructions.")) {
            continue;
        }
        let log = fs::read_to_string(&path)?;
        // A process that forks and executes nothing has no count of its own.
        if let Some(count) = log.lines().find_map(|line| line.split_once("refs:")).map(|(_, count)| count) {
            let digits: String = count.chars().filter(char::is_ascii_digit).collect();
            ensure!(!digits.is_empty(), "{}: {log}", path.display());
            sum = Some(sum.unwrap_or(0) + digits.parse::<u64>()?);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_counted() {
        let log = "\
7 execve(\"/bin/sh\", [\"sh\"], 0x7f /* 3 vars */) = 0
7 openat(AT_FDCWD, \"/lib/libc.so.6\", O_RDONLY) = 3
7 openat(AT_FDCWD, \"/lib/libx.so\", O_RDONLY) = -1 ENOENT (No such file or directory)
7 clone(child_stack=NULL <unfinished ...>
8 execve(\"/sbin/none\", [\"none\"], 0x7f /* 3 vars */) = -1 ENOENT (No such file or directory)
7 <... clone resumed>) = 8
8 +++ exited with 1 +++
7 --- SIGCHLD {si_signo=SIGCHLD} ---
";
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let expected = Trace { calls: 5, processes: 2, programs: set("/bin/sh"), libraries: set("/lib/libc.so.6") };
        assert_eq!(Trace::of(log), expected);
    }

    #[test]
    fn the_ratio_is_the_median_of_pairs() {
        let figures = |wall: &[f64]| Figures { wall: wall.into(), ..Figures::default() };
        // A busy second slows both down.
        assert!((figures(&[20.0, 400.0, 21.0]).wall_ratio(&figures(&[1.0, 20.0, 1.0])) - 20.0).abs() < 1e-9);
    }
}
