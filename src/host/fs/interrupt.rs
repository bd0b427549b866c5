//! Ctrl-C: unfinished work is undone, then the program ends by the signal.

use crate::error::{Error, Kind, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::sync::{
    Once,
    atomic::{AtomicI32, Ordering},
};

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// The signal received, or 0.
static PENDING: AtomicI32 = AtomicI32::new(0);
static START: Once = Once::new();

/// Defers a signal until [`check`] is called; a second one ends the program at once.
///
/// Threads started later inherit it.
pub fn defer() {
    START.call_once(|| {
        let set = SigSet::from_iter(SIGNALS);
        let wait = move || {
            while let Ok(signal) = set.wait() {
                if PENDING.swap(signal as i32, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + signal as i32);
                }
            }
        };
        // Without memory for a thread, a signal ends the program as by default.
        if set.thread_block().is_ok() && std::thread::Builder::new().spawn(wait).is_err() {
            let _ = set.thread_unblock();
        }
    });
}

/// Makes writing beyond the limit for files (`ulimit -f`) fail, instead of ending the program without a message.
pub fn outlive_file_limits() {
    // If the signal cannot be blocked, it still ends the program.
    let _ = SigSet::from_iter([Signal::SIGXFSZ]).thread_block();
}

/// Fails if a signal was received.
///
/// # Errors
/// [`Kind::System`]; `main` calls [`pending`] and ends by the signal.
pub fn check() -> Result<()> {
    match pending() {
        Some(signal) => {
            Err(Error::new(Kind::System, "go on", format!("{signal} came")).remedy("nothing was kept: run it again"))
        }
        None => Ok(()),
    }
}

/// The signal received, if any.
#[must_use]
pub fn pending() -> Option<Signal> {
    Signal::try_from(PENDING.load(Ordering::SeqCst)).ok()
}

/// Ends the program as if the signal had not been deferred, so that a shell knows.
pub fn end_by(signal: Signal) {
    let set = SigSet::from_iter([signal]);
    if nix::sys::signal::raise(signal).is_ok() {
        let _ = nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
    }
}
