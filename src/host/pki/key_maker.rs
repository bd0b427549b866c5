//! Many private keys at once: one thread for each core.

use super::key::{KeyType, PrivateKey};
use crate::{
    error::{Error, Kind, Result},
    host::{fs::interrupt, say::progress::ProgressLine},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

/// The interval of checks for an interruption.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many finished keys may wait for each thread, so that none is idle while the caller writes files.
const AHEAD: usize = 4;

/// Makes a key of each of these kinds, in their order.
///
/// # Errors
/// Those of [`PrivateKey::generate`] and [`interrupt::check`].
pub fn make(kinds: &[KeyType]) -> Result<Vec<PrivateKey>> {
    let mut progress = ProgressLine::new("keys", kinds.len());
    let mut made = Vec::with_capacity(kinds.len());
    for key in KeyStream::of(kinds.into()) {
        made.push(key?);
        progress.step();
    }
    made.sort_unstable_by_key(|(place, _)| *place);
    Ok(made.into_iter().map(|(_, key)| key).collect())
}

/// Makes `count` keys, a few ahead of the caller; dropped, it makes no more.
///
/// An error of [`PrivateKey::generate`] or [`interrupt::check`] ends the stream.
pub fn stream(kind: KeyType, count: usize) -> impl Iterator<Item = Result<PrivateKey>> {
    KeyStream::of(vec![kind; count].into()).map(|key| key.map(|(_, key)| key))
}

/// Keys with their index in the request, in the order of completion.
struct KeyStream {
    done: Receiver<(usize, Result<PrivateKey>)>,
    left: usize,
}

impl KeyStream {
    fn of(kinds: Arc<[KeyType]>) -> Self {
        let left = kinds.len();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(left);
        let (sender, done) = sync_channel(threads * AHEAD);
        let taken = Arc::new(AtomicUsize::new(0));
        for _ in 0..threads {
            let (kinds, taken, sender) = (Arc::clone(&kinds), Arc::clone(&taken), sender.clone());
            // One thread is enough; without any, the channel is closed.
            let _ = thread::Builder::new().spawn(move || {
                loop {
                    let place = taken.fetch_add(1, Ordering::Relaxed);
                    let Some(kind) = kinds.get(place) else { break };
                    if sender.send((place, PrivateKey::generate(*kind))).is_err() {
                        break;
                    }
                }
            });
        }
        Self { done, left }
    }

    fn wait(&self) -> Result<(usize, PrivateKey)> {
        loop {
            interrupt::check()?;
            match self.done.recv_timeout(PATIENCE) {
                Ok((place, key)) => return Ok((place, key?)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(Kind::System, "make keys", "no thread could be started")
                        .remedy("end other programs and run it again"));
                }
            }
        }
    }
}

impl Iterator for KeyStream {
    type Item = Result<(usize, PrivateKey)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.wait();
        if key.is_err() {
            self.left = 0;
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_in_the_requested_order() {
        let kinds = [KeyType::Rsa3072, KeyType::EcP256, KeyType::Rsa2048, KeyType::EcP256, KeyType::EcP256];
        let bits: Vec<_> = make(&kinds).unwrap().iter().map(|key| key.public().bits()).collect();
        assert_eq!(bits, [3072, 256, 2048, 256, 256]);
    }

    #[test]
    fn a_stream_yields_different_keys_and_can_be_dropped() {
        let keys: Vec<_> = stream(KeyType::EcP256, 50).map(|key| key.unwrap().public().as_der().to_vec()).collect();
        assert_eq!(std::collections::BTreeSet::from_iter(&keys).len(), 50);
        assert_eq!(stream(KeyType::EcP256, 0).count(), 0);
        // A stream of a million returns at once.
        assert_eq!(stream(KeyType::EcP256, 1_000_000).take(3).count(), 3);
    }
}
