//! One boot: from switching a machine on to its end.

use super::{
    accelerator::Accelerator,
    console::Console,
    facts::Hardware,
    monitor::{Monitor, News},
    process::{Process, QEMU, socket},
    qemu::{self, Setup},
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

/// How long a guest may take to go off once it has been asked to.
const FAREWELL: Duration = Duration::from_secs(10);
/// After so many boots in a row that say that they have failed, the next one would say so, too.
const FAILURES: u32 = 2;
/// A guest may start over before it says what it is to say, but not for ever.
const RESTARTS: u32 = 3;

/// A boot that is wanted.
pub(super) struct Boot<'a> {
    pub dir: &'a Path,
    pub hardware: &'a Hardware,
    pub accelerator: Accelerator,
    /// Whether it starts from a medium, and not from its own disk.
    pub medium: bool,
    /// Whether the disk with its identity is there.
    pub identity: bool,
    /// Whether it runs until somebody ends it, or is to do one thing and go off.
    pub stays: bool,
    /// Whether its console is our terminal.
    pub terminal: bool,
    /// How long it may take, if not as long as it likes.
    pub patience: Option<Duration>,
    /// What it says when all is well, if it is not to go on then.
    pub until: Option<&'a str>,
    /// Further options of QEMU.
    pub more: &'a [OsString],
}

/// What is told of a machine that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign<'a> {
    /// It is still on.
    On,
    /// The firmware has started the image.
    Started,
    /// It has started over, having said this last.
    Restarted(&'a str),
}

impl Boot<'_> {
    /// Switches the machine on, and returns when it is off again: because the guest has switched it off, or, where it
    /// stays on, because somebody has asked for it.
    ///
    /// # Errors
    /// `what` continues "cannot …". [`Kind::Refused`]: firmware or shim do not start the image; [`Kind::Guest`]: the guest
    /// has not done what it was to do; [`Kind::System`]: QEMU has not, or we were interrupted.
    pub(super) fn run(&self, what: &str, tell: &mut dyn FnMut(Sign<'_>) -> Result<()>) -> Result<()> {
        let mut console = Console::open(self.dir, self.until.unwrap_or_default())?;
        // The last is dropped first.
        let (_terminal, _swtpm, mut monitor, mut qemu) = self.switch_on()?;
        let start = Instant::now();
        let mut end = None;
        let mut asked: Option<Instant> = None;
        let (mut started, mut restarts, mut failures) = (false, 0, 0);
        let failed = |console: &Console, why: &str| {
            Error::new(Kind::Guest, what.to_owned(), format!("{why}; {}", console.last_words()))
        };
        loop {
            let status = qemu.ended()?;
            let news = monitor.news();
            console.read();
            if !started && console.has_started() {
                started = true;
                tell(Sign::Started)?;
            }
            for news in news {
                match news {
                    News::Reset => {
                        restarts += 1;
                        failures = if console.has_failed() { failures + 1 } else { 0 };
                        let unsaid = self.until.is_some() && !console.has_said_it();
                        // Whoever sits at the console sees it.
                        if !self.terminal && (failures == FAILURES || unsaid && restarts == RESTARTS) {
                            return Err(failed(&console, "the guest starts over again and again"));
                        }
                        tell(Sign::Restarted(&console.last_words()))?;
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
            let well = asked.is_some() || console.has_said_it();
            if status.is_some() {
                return match end {
                    _ if well => Ok(()),
                    Some(News::Off) if self.until.is_none() => Ok(()),
                    // Somebody has left the console by ending QEMU.
                    Some(News::Ended) if self.stays && self.terminal => Ok(()),
                    Some(News::Off) => Err(failed(&console, "the guest went off before it said what it was to say")),
                    Some(News::OffByReset) => Err(failed(&console, "the guest started over and did not go off")),
                    _ => {
                        let why = format!("QEMU ended: {}; {}", qemu::complaint(self.dir), console.last_words());
                        Err(Error::new(Kind::System, what.to_owned(), why))
                    }
                };
            }
            if asked.is_some_and(|since| since.elapsed() > FAREWELL) {
                return Ok(());
            }
            if !self.stays {
                interrupt::check()?;
            }
            if asked.is_none() && (well || interrupt::pending().is_some()) {
                monitor.press_button();
                asked = Some(Instant::now());
            }
            if asked.is_none() && self.patience.is_some_and(|patience| start.elapsed() > patience) {
                let why = format!("the guest is not done after {} s", start.elapsed().as_secs());
                return Err(failed(&console, &why));
            }
            tell(Sign::On)?;
        }
    }

    fn switch_on(&self) -> Result<(Option<Terminal>, Process, Monitor, Process)> {
        let (swtpm, tpm_end, tpm) = tpm::start(self.dir)?;
        let (ours, monitor_end, monitor) = socket()?;
        let mut command = QEMU.command(self.dir, qemu::LOG)?;
        let setup = Setup {
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

/// How the terminal was, and will be again once this is dropped: QEMU may have no time to see to it.
struct Terminal {
    modes: Termios,
    flags: OFlags,
}

impl Terminal {
    /// None where standard input is no terminal.
    fn keep() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        Some(Self { modes: tcgetattr(stdin).ok()?, flags: rustix::fs::fcntl_getfl(stdin).ok()? })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let stdin = rustix::stdio::stdin();
        // What cannot be restored is somebody else's by now.
        let _ = tcsetattr(stdin, OptionalActions::Now, &self.modes);
        let _ = rustix::fs::fcntl_setfl(stdin, self.flags);
    }
}
