//! The progress of a command, on a terminal.

use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

/// A counter on one line of standard error; silent where that is not a terminal.
pub struct ProgressLine {
    what: &'static str,
    done: usize,
    total: usize,
    shown: bool,
}

impl ProgressLine {
    /// Begins to count to `total`.
    #[must_use]
    pub fn new(what: &'static str, total: usize) -> Self {
        let progress = Self { what, done: 0, total, shown: std::io::stderr().is_terminal() };
        progress.show();
        progress
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        self.show();
    }

    fn show(&self) {
        if self.shown {
            let mut stderr = std::io::stderr();
            // Only a display: a terminal that is gone stops nothing.
            let _ = write!(stderr, "\r{} {}/{}", self.what, self.done, self.total).and_then(|()| stderr.flush());
        }
    }
}

/// The time that something has taken so far, on one line of standard error.
pub struct Waiting {
    what: String,
    start: Instant,
    /// The second shown last.
    second: Option<u64>,
}

impl Waiting {
    /// Begins to count.
    #[must_use]
    pub fn new(what: String) -> Self {
        let mut waiting = Self { what, start: Instant::now(), second: None };
        waiting.show();
        waiting
    }

    /// Shows the time.
    pub fn show(&mut self) {
        let second = self.start.elapsed().as_secs();
        let mut stderr = std::io::stderr();
        if self.second != Some(second) && stderr.is_terminal() {
            let _ = write!(stderr, "\r{} {second} s", self.what).and_then(|()| stderr.flush());
            self.second = Some(second);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.second.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
