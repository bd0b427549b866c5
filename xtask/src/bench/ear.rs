//! When a guest prints which line, on the host's clock.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often it is listened for.
const TICK: Duration = Duration::from_millis(1);

/// Listens, until all lines have been printed or nobody wants to know any more.
pub struct Ear {
    listener: JoinHandle<Vec<(&'static str, Instant)>>,
    over: mpsc::Sender<()>,
}

impl Ear {
    /// Listens for these lines; what `hears` one says that it has been printed by now.
    pub fn start(hears: impl Fn(&str) -> bool + Send + 'static, lines: &[&'static str]) -> Self {
        let (over, is_over) = mpsc::channel();
        let mut lines = lines.to_vec();
        let listener = thread::spawn(move || {
            let mut heard = Vec::new();
            while matches!(is_over.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) && !lines.is_empty() {
                lines.retain(|line| {
                    let new = hears(line);
                    if new {
                        heard.push((*line, Instant::now()));
                    }
                    !new
                });
            }
            heard
        });
        Self { listener, over }
    }

    /// What has been heard, and when.
    pub fn end(self) -> Vec<(&'static str, Instant)> {
        // It may have heard all and be gone.
        let _ = self.over.send(());
        self.listener.join().expect("it does not panic")
    }
}
