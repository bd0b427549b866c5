//! Many private keys at once: one thread for each core.

use super::{interrupt, key::PrivateKey, progress::Progress};
use crate::error::{Error, Kind, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

/// How often an interruption is looked for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Makes `count` keys.
///
/// # Errors
/// Those of [`PrivateKey::generate`] and [`interrupt::check`]; threads that are still at work end with the program.
pub fn make(count: usize) -> Result<Vec<PrivateKey>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(count);
    let taken = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel();
    for _ in 0..threads {
        let (taken, sender) = (Arc::clone(&taken), sender.clone());
        thread::spawn(move || {
            while taken.fetch_add(1, Ordering::Relaxed) < count && sender.send(PrivateKey::generate()).is_ok() {}
        });
    }
    drop(sender);
    let mut progress = Progress::new("keys", count);
    let mut keys = Vec::with_capacity(count);
    while keys.len() < count {
        interrupt::check()?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(key) => keys.push(key?),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::System, "make keys", "a thread has died"));
            }
        }
        progress.step();
    }
    Ok(keys)
}
