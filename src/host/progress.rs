//! How far a command is, for whoever looks at a terminal.

use std::io::{IsTerminal, Write};

/// A count that goes up, on one line of standard error; silent where that is no terminal.
pub struct Progress {
    what: &'static str,
    done: usize,
    total: usize,
    shown: bool,
}

impl Progress {
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
            // To be looked at, and no more: a terminal that is gone stops nothing.
            let _ = write!(stderr, "\r{} {}/{}", self.what, self.done, self.total).and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
