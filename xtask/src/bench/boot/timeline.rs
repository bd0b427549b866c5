//! What happened when in a boot, on the host's clock.

use super::{super::ear::Ear, Candidate};
use anyhow::{Context, Result, ensure};
use harness::{Action, Command, Exchange, Interposer, cc, vm::Report};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

/// The lines of a guest whose moment counts.
const MARKS: [&str; 3] = ["mark start", "mark end", "mark now"];
/// How far the clocks of guest and host may seem apart.
const SLACK: f64 = 0.005;

const UNSEAL: u32 = 0x15e;
const CONTEXT_LOAD: u32 = 0x161;
const CONTEXT_SAVE: u32 = 0x162;
/// Where the kernel measures what is executed and loaded (IMA).
const IMA: u32 = 10;

/// One boot: seconds since QEMU's start, and what the unlocker did.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// The firmware and the stub are done: the kernel's clock begins.
    pub kernel: f64,
    /// The kernel starts the first process.
    pub userspace: f64,
    /// The unlocker starts.
    pub unlocker: f64,
    /// It has the passphrase.
    pub passphrase: f64,
    /// The passphrase is in the keyring, or the disk open.
    pub end: f64,
    /// What the TPM was asked by it.
    pub record: Vec<Exchange>,
    /// Seconds of the processor that it took, with the disk.
    pub cpu: f64,
    /// Processes that there have been in the whole boot, with those of the kernel.
    pub processes: u64,
}

/// A command to the TPM: when it came, and when its answer left.
type Span = (Instant, Instant);

/// Records when a guest prints which line, and when its TPM gets a command.
pub struct Watch {
    candidate: Candidate,
    spans: Arc<Mutex<Vec<Span>>>,
    ear: Ear,
}

impl Watch {
    /// Begins to record.
    pub fn start(hears: impl Fn(&str) -> bool + Send + 'static, candidate: Candidate) -> Self {
        Self { candidate, spans: Arc::default(), ear: Ear::start(hears, &MARKS) }
    }

    /// Notes the moments of the TPM's commands.
    pub fn listen(&self, tpm: &Interposer) {
        let (asked, answered) = (self.spans.clone(), self.spans.clone());
        tpm.on_command(move |_| {
            let now = Instant::now();
            asked.lock().expect("no panic holds it").push((now, now));
            Action::Forward
        });
        tpm.on_response(move |_, _| {
            if let Some((_, end)) = answered.lock().expect("no panic holds it").last_mut() {
                *end = Instant::now();
            }
            Action::Forward
        });
    }

    /// Puts together what was seen, and what the guest says that it saw.
    pub fn end(self, report: &Report, record: Vec<Exchange>) -> Result<Boot> {
        let heard = self.ear.end();
        let since = |moment: Instant| moment.saturating_duration_since(report.started).as_secs_f64();
        let mark = |name| heard.iter().find(|(mark, _)| *mark == name).map(|(_, moment)| since(*moment));
        let said = Said::of(&report.said)?;
        let now = mark("mark now").context("the guest was not heard")?;
        let kernel = now - said.log_now;
        let unit = |name: &str| -> Result<(f64, f64)> {
            let Unit { start, end, .. } =
                said.units.get(name).with_context(|| format!("nothing is known of {name}"))?;
            ensure!(*start > 0.0 && start < end, "{name} was not started");
            Ok((now - said.uptime + start, now - said.uptime + end))
        };
        let units = self.candidate.units().iter().map(|name| unit(name)).collect::<Result<Vec<_>>>()?;
        let (unlocker, end) = match (units.first(), units.last()) {
            (Some(first), Some(last)) => (first.0, last.1),
            _ => mark("mark start").zip(mark("mark end")).context("the guest was not heard")?,
        };
        let spans = self.spans.lock().expect("no panic holds it").clone();
        ensure!(spans.len() == record.len(), "{} moments of {} commands", spans.len(), record.len());
        let then = |span: &Span| since(span.0) > unlocker - SLACK && since(span.1) < end + SLACK;
        let mine = |(exchange, span): &(Exchange, Span)| then(span) && !is_kernels(&exchange.command);
        let (record, spans): (Vec<_>, Vec<_>) = record.into_iter().zip(spans).filter(mine).unzip();
        let passphrase = match self.candidate {
            Candidate::Minimal => end,
            Candidate::Dracut => units[0].1,
            // Whatever they do with it is not counted against them.
            Candidate::Systemd | Candidate::Clevis => {
                let unsealed = record.iter().rposition(|exchange| exchange.command.code() == UNSEAL);
                since(spans[unsealed.context("the TPM has unsealed nothing")?].1)
            }
        };
        Ok(Boot {
            kernel,
            userspace: kernel + said.log_userspace,
            unlocker,
            passphrase,
            end,
            record,
            cpu: said.cpu + said.units.values().map(|unit| unit.cpu).sum::<f64>(),
            processes: said.processes,
        })
    }
}

/// Whether the kernel sends it by itself: such come at any time.
fn is_kernels(command: &Command) -> bool {
    command.code() == cc::PCR_EXTEND && command.word(0) == IMA
}

impl Boot {
    /// What part of the boot, from the firmware's start until the passphrase is there, the unlocker takes.
    pub fn share(&self) -> f64 {
        (self.passphrase - self.unlocker) / self.passphrase
    }

    /// The commands by which the kernel keeps the keys and sessions of programs apart, and a program drops its own.
    pub fn swaps(&self) -> usize {
        self.count(&[CONTEXT_LOAD, CONTEXT_SAVE, cc::FLUSH_CONTEXT])
    }

    /// All others.
    pub fn commands(&self) -> usize {
        self.record.len() - self.swaps()
    }

    /// Keys that the unlocker had the TPM make.
    pub fn key_generations(&self) -> usize {
        self.count(&[cc::CREATE_PRIMARY, cc::CREATE, cc::CREATE_LOADED])
    }

    fn count(&self, codes: &[u32]) -> usize {
        self.record.iter().filter(|exchange| codes.contains(&exchange.command.code())).count()
    }
}

/// What a guest says, in seconds of its own clocks.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// When `mark now` was said: the kernel's log.
    log_now: f64,
    /// The same: the uptime, which systemd counts in, too.
    uptime: f64,
    /// When the kernel started the first process.
    log_userspace: f64,
    processes: u64,
    /// Of the processor, where there are no units.
    cpu: f64,
    units: HashMap<String, Unit>,
}

/// When a unit was started, when it was done, and how long the processor was busy with it.
#[derive(Debug, PartialEq)]
struct Unit {
    start: f64,
    end: f64,
    cpu: f64,
}

impl Said {
    fn of(text: &str) -> Result<Self> {
        let mut said = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(' ') else { continue };
            match name {
                "uptime" => said.uptime = value.parse()?,
                "processes" => said.processes = value.parse()?,
                "cpu" => said.cpu = value.parse::<f64>()? / 100.0,
                "kernel" if value.ends_with("bench: now") => said.log_now = stamp(value)?,
                "kernel" => said.log_userspace = stamp(value)?,
                "unit" => {
                    let mut words = value.split_whitespace();
                    let unit = words.next().unwrap_or_default().to_owned();
                    let properties: HashMap<_, _> = words.filter_map(|word| word.split_once('=')).collect();
                    let number = |name: &str| -> Result<f64> {
                        Ok(properties.get(name).with_context(|| format!("{unit} has no {name}"))?.parse()?)
                    };
                    let start = number("InactiveExitTimestampMonotonic")? / 1e6;
                    let end = number("ActiveEnterTimestampMonotonic")? / 1e6;
                    let cpu = number("CPUUsageNSec")? / 1e9;
                    said.units.insert(unit, Unit { start, end, cpu });
                }
                _ => {}
            }
        }
        let clocks = [said.log_now, said.uptime, said.log_userspace];
        ensure!(clocks.iter().all(|seconds| *seconds > 0.0), "the guest does not say what its clocks show");
        Ok(said)
    }
}

/// The seconds of a line of the kernel's log, `[    1.250000] …`.
fn stamp(line: &str) -> Result<f64> {
    let seconds = line.strip_prefix('[').and_then(|line| line.split_once(']')).context("a line without a stamp")?.0;
    Ok(seconds.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "processes 120\nmark now\nuptime 9.31\n\
        kernel [    2.250000] Run /init as init process\nkernel [    9.300000] bench: now\n\
        unit a.service ActiveEnterTimestampMonotonic=5500000 InactiveExitTimestampMonotonic=5000000 \
        CPUUsageNSec=250000000\nannounced\n";

    #[test]
    fn a_guests_report_is_read_as_a_timeline() {
        let units = HashMap::from([("a.service".to_owned(), Unit { start: 5.0, end: 5.5, cpu: 0.25 })]);
        let expected = Said { log_now: 9.3, uptime: 9.31, log_userspace: 2.25, processes: 120, cpu: 0.0, units };
        assert_eq!(Said::of(SAID).unwrap(), expected);
    }

    #[test]
    fn a_missing_clock_is_an_error() {
        for part in ["uptime 9.31\n", "kernel [    9.300000] bench: now\n", "kernel [    2.250000] Run"] {
            assert!(Said::of(&SAID.replace(part, "")).is_err(), "{part}");
        }
        assert!(Said::of(&SAID.replace("InactiveExit", "Other")).is_err());
    }

    #[test]
    fn measurements_by_the_kernel_are_not_counted_as_unlocking() {
        let extend = |pcr: u8| {
            let bytes = [&[0x80, 0x02, 0, 0, 0, 14][..], &cc::PCR_EXTEND.to_be_bytes(), &[0, 0, 0, pcr]].concat();
            is_kernels(&Command { bytes, sender: None })
        };
        assert_eq!([7, 10].map(extend), [false, true]);
    }

    #[test]
    fn the_share_is_of_the_boot_up_to_the_passphrase() {
        let boot = Boot { unlocker: 6.0, passphrase: 8.0, end: 10.0, ..Boot::default() };
        assert!((boot.share() - 0.25).abs() < 1e-9);
    }
}
