//! The keys that files may be sealed with, one for each generation.

use super::{fsprg::EpochKeys, key::VerificationKey};
use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
};

/// Keys, and what was made of them so far.
pub struct SealKeys(Vec<(VerificationKey, Option<EpochKeys>)>);

impl SealKeys {
    /// In the order in which they were made: the newest is tried first.
    #[must_use]
    pub fn new(keys: Vec<VerificationKey>) -> Self {
        Self(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// When the first interval of a key begins, and how long each is, in microseconds.
    #[must_use]
    pub fn times(&self, number: usize) -> Option<(u64, u64)> {
        self.get(number).map(|key| (key.start(), key.interval()))
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.0.len()).rev()
    }

    pub(super) fn get(&self, number: usize) -> Option<&VerificationKey> {
        self.0.get(number).map(|(key, _)| key)
    }

    /// What an epoch is sealed with.
    pub(super) fn key(&mut self, number: usize, epoch: u64) -> Result<Digest> {
        let bad = || Error::new(Kind::Usage, "use the verification key", "it leads to no primes");
        let (key, epochs) = self.0.get_mut(number).ok_or_else(bad)?;
        if epochs.is_none() {
            *epochs = EpochKeys::new(key);
        }
        epochs.as_mut().map(|epochs| epochs.key(epoch)).ok_or_else(bad)
    }
}
