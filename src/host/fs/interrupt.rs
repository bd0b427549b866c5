//! Ctrl-C: what was begun is taken back, then the program ends by the signal.

use crate::error::{Error, Kind, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::sync::{
    Once,
    atomic::{AtomicI32, Ordering},
};

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// The signal that has come, or 0.
static PENDING: AtomicI32 = AtomicI32::new(0);
static START: Once = Once::new();

/// From here on a signal waits until [`check`] is asked; a second one ends the program at once.
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
        // Where there is no memory for a thread, a signal ends the program as ever.
        if set.thread_block().is_ok() && std::thread::Builder::new().spawn(wait).is_err() {
            let _ = set.thread_unblock();
        }
    });
}

/// From here on, writing more to a file than it may hold (`ulimit -f`) fails, and does not end the program without a word.
pub fn outlive_file_limits() {
    // A signal that cannot be blocked still ends it.
    let _ = SigSet::from_iter([Signal::SIGXFSZ]).thread_block();
}

/// Fails if a signal has come.
///
/// # Errors
/// [`Kind::System`]; `main` asks [`pending`] and ends by the signal.
pub fn check() -> Result<()> {
    match pending() {
        Some(signal) => {
            Err(Error::new(Kind::System, "go on", format!("{signal} came")).remedy("nothing was kept: run it again"))
        }
        None => Ok(()),
    }
}

/// The signal that has come.
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
