//! One boot: from power-on to power-off.

use super::{
    accelerator::Accelerator,
    console::Console,
    facts::Hardware,
    monitor::{Monitor, MonitorEvent},
    process::{Process, QEMU, socket},
    qemu::{self, QemuSetup},
    tpm,
};
use crate::{
    error::{Error, Kind, Result},
    host::fs::interrupt,
};
use rustix::{
    fs::OFlags,
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};
use std::{
    ffi::OsString,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// How long a guest may take to power off once it has been asked to.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// So many failed boots in a row: the next one would fail, too.
const FAILURES: u32 = 2;
/// So many restarts are allowed before the expected output.
const RESTARTS: u32 = 3;

/// The parameters of a boot.
pub(super) struct Boot<'a> {
    pub dir: &'a Path,
    pub hardware: &'a Hardware,
    pub accelerator: Accelerator,
    /// Whether it boots from a medium, and not from its own disk.
    pub medium: bool,
    /// Whether the disk with its identity is attached.
    pub identity: bool,
    /// Whether it runs until it is stopped; otherwise it does one job and powers off.
    pub stays: bool,
    /// Whether its console is our terminal.
    pub terminal: bool,
    /// How long it may take, if that is limited.
    pub timeout: Option<Duration>,
    /// The console output after which it is powered off.
    pub until: Option<&'a str>,
    /// Further options of QEMU.
    pub more: &'a [OsString],
}

/// What a running machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEvent<'a> {
    /// It is still running.
    Running,
    /// The firmware has started the image.
    Started,
    /// It has restarted; this was its last output.
    Restarted(&'a str),
}

impl Boot<'_> {
    /// Powers the machine on, and returns when it is off again: because the guest has powered it off, or, where it `stays`
    /// on, because a signal asked for it.
    ///
    /// # Errors
    /// `what` continues "cannot …". [`Kind::Refused`]: firmware or shim refuse the image; [`Kind::Guest`]: the guest
    /// has not done its job; [`Kind::System`]: QEMU has failed, or we were interrupted.
    pub(super) fn run(&self, what: &str, report: &mut dyn FnMut(GuestEvent<'_>) -> Result<()>) -> Result<()> {
        let mut console = Console::open(self.dir, self.until.unwrap_or_default())?;
        // Dropped in reverse order.
        let (_terminal, _swtpm, mut monitor, mut qemu) = self.switch_on()?;
        let start = Instant::now();
        let mut end = None;
        let mut asked: Option<Instant> = None;
        let (mut started, mut restarts, mut failures) = (false, 0, 0);
        let failed = |console: &Console, why: &str| {
            Error::new(Kind::Guest, what.to_owned(), format!("{why}; {}", console.last_output()))
        };
        loop {
            let status = qemu.ended()?;
            let events = monitor.events();
            console.read();
            if !started && console.has_started() {
                started = true;
                report(GuestEvent::Started)?;
            }
            for event in events {
                match event {
                    MonitorEvent::Reset => {
                        restarts += 1;
                        failures = if console.has_failed() { failures + 1 } else { 0 };
                        let unmatched = self.until.is_some() && !console.has_matched();
                        // At a terminal the user sees it.
                        if !self.terminal && (failures == FAILURES || unmatched && restarts == RESTARTS) {
                            return Err(failed(&console, "the guest restarts again and again"));
                        }
                        report(GuestEvent::Restarted(&console.last_output()))?;
                        console.restart();
                        started = false;
                    }
                    other => end = Some(other),
                }
            }
            if let Some(why) = console.refusal() {
                return Err(Error::new(Kind::Refused, what.to_owned(), why).remedy(
                    "give an image that is signed with a key of its keyset (trust uki build, trust verify efi)",
                ));
            }
            let succeeded = asked.is_some() || console.has_matched();
            if status.is_some() {
                return match end {
                    _ if succeeded => Ok(()),
                    Some(MonitorEvent::Off) if self.until.is_none() => Ok(()),
                    // The user has left the console by ending QEMU.
                    Some(MonitorEvent::Ended) if self.stays && self.terminal => Ok(()),
                    Some(MonitorEvent::Off) => {
                        Err(failed(&console, "the guest powered off before the expected output"))
                    }
                    Some(MonitorEvent::OffByReset) => {
                        Err(failed(&console, "the guest restarted instead of powering off"))
                    }
                    _ => {
                        let why = format!("QEMU ended: {}; {}", qemu::complaint(self.dir), console.last_output());
                        Err(Error::new(Kind::System, what.to_owned(), why))
                    }
                };
            }
            if asked.is_some_and(|since| since.elapsed() > SHUTDOWN_TIMEOUT) {
                return Ok(());
            }
            if !self.stays {
                interrupt::check()?;
            }
            if asked.is_none() && (succeeded || interrupt::pending().is_some()) {
                monitor.press_button();
                asked = Some(Instant::now());
            }
            if asked.is_none() && self.timeout.is_some_and(|timeout| start.elapsed() > timeout) {
                let why = format!("the guest has not finished after {} s", start.elapsed().as_secs());
                return Err(failed(&console, &why));
            }
            report(GuestEvent::Running)?;
        }
    }

    fn switch_on(&self) -> Result<(Option<Terminal>, Process, Monitor, Process)> {
        let (swtpm, tpm_end, tpm) = tpm::start(self.dir)?;
        let (ours, monitor_end, monitor) = socket()?;
        let mut command = QEMU.command(self.dir, qemu::LOG)?;
        let setup = QemuSetup {
            hardware: self.hardware,
            accelerator: self.accelerator,
            medium: self.medium,
            identity: self.identity,
            restarts: self.stays,
            terminal: self.terminal,
            tpm,
            monitor,
            more: self.more,
        };
        qemu::machine(&mut command, &setup)?;
        let inherited = vec![tpm_end, monitor_end];
        let (terminal, qemu) = if self.terminal {
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
            (Terminal::keep(), Process::start_at_terminal(command, inherited)?)
        } else {
            (None, Process::start(command, inherited)?)
        };
        Ok((terminal, swtpm, Monitor::new(ours)?, qemu))
    }
}

/// The state of the terminal, restored when this is dropped: QEMU may be killed before it does so.
struct Terminal {
    modes: Termios,
    flags: OFlags,
}

impl Terminal {
    /// None where standard input is not a terminal.
    fn keep() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        Some(Self { modes: tcgetattr(stdin).ok()?, flags: rustix::fs::fcntl_getfl(stdin).ok()? })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let stdin = rustix::stdio::stdin();
        // A terminal that cannot be restored is no longer ours.
        let _ = tcsetattr(stdin, OptionalActions::Now, &self.modes);
        let _ = rustix::fs::fcntl_setfl(stdin, self.flags);
    }
}
