//! Verification keys, as `journalctl --setup-keys` prints them: the seed in hexadecimal, then from when on, and how often,
//! the sealing key changes.

use super::fsprg::EpochKeys;
use crate::{
    digest::{Digest, hash, hex},
    error::{Error, Result},
    secret::Secret,
};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Bytes of a seed: 96 bits.
pub const SEED: usize = 12;
/// Bytes of the longest one, as text.
pub const MOST: usize = 64;

/// What seals of one generation are verified with. It can also make them: it is a secret.
pub struct VerificationKey {
    seed: Zeroizing<[u8; SEED]>,
    /// When the first interval begins, in microseconds since 1970.
    start: u64,
    /// Microseconds of an interval.
    interval: u64,
}

impl VerificationKey {
    /// Reads `xxxxxx-xxxxxx-xxxxxx-xxxxxx/START-INTERVAL`, where START counts intervals since 1970 and both are hexadecimal.
    ///
    /// `None`: it is not one.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the text becomes the key here")]
    pub fn parse(text: &Secret) -> Option<Self> {
        Self::read(text.expose())
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let (digits, times) = text.split_once('/')?;
        let mut seed = Zeroizing::new([0; SEED]);
        let mut nibbles = digits.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
        for byte in seed.iter_mut() {
            *byte = u8::try_from(nibbles.next()?? << 4 | nibbles.next()??).ok()?;
        }
        let number = |digits: &str| {
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        let (start, interval) = times.split_once('-')?;
        let (start, interval) = (number(start)?, number(interval)?);
        let start = start.checked_mul(interval).filter(|start| *start > 0)?;
        nibbles.next().is_none().then_some(Self { seed, start, interval })
    }

    /// A new key for these intervals, which is as good as none: it is to be shown.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn throw_away((start, interval): (u64, u64)) -> Result<Self> {
        let mut seed = [0; SEED];
        getrandom(&mut seed, GetRandomFlags::empty()).map_err(|e| Error::system("make a key", e))?;
        Ok(Self::of(seed, start, interval))
    }

    /// From its parts.
    pub(super) fn of(seed: [u8; SEED], start: u64, interval: u64) -> Self {
        Self { seed: Zeroizing::new(seed), start, interval }
    }

    /// As journalctl prints it, without the end of the line, and takes it: at most [`MOST`] bytes.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MOST));
        for (at, group) in self.seed.chunks(3).enumerate() {
            text.push_str(if at == 0 { "" } else { "-" });
            text.push_str(&Zeroizing::new(hex(group)));
        }
        // A string takes all that is written.
        let _ = write!(text, "/{:x}-{:x}", self.start / self.interval, self.interval);
        text
    }

    /// The same in memory that is not swapped.
    ///
    /// # Errors
    /// Those of [`Secret::filled`].
    pub fn to_secret(&self) -> Result<Secret> {
        let text = self.to_text();
        Secret::filled(text.len(), |buffer| {
            buffer.copy_from_slice(text.as_bytes());
            Ok(())
        })
    }

    /// SHA-256 of that text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(&[self.to_text().as_bytes()])
    }

    /// SHA-256 of the modulus, which sealing keys of this one have too. Takes some hundredths of a second.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Digest> {
        EpochKeys::new(self).map(|keys| keys.fingerprint())
    }

    pub(super) fn seed(&self) -> &[u8; SEED] {
        &self.seed
    }

    /// When the first interval begins, in microseconds since 1970.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Microseconds of an interval.
    #[must_use]
    pub const fn interval(&self) -> u64 {
        self.interval
    }

    /// When this epoch begins and ends; `None`: after the end of time.
    pub(super) fn epoch(&self, epoch: u64) -> Option<(u64, u64)> {
        let begin = self.start.checked_add(epoch.checked_mul(self.interval)?)?;
        Some((begin, begin.checked_add(self.interval)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_journalctl_reads_it() {
        for text in ["4ec491-e7ea5a-1e1221-6434c0/6b0bd8f8-f4240", "4ec491e7ea5a1e12216434c0/6b0bd8f8-f4240\n"] {
            let key = VerificationKey::read(text.as_bytes()).unwrap();
            assert_eq!(**key.seed().first_chunk::<4>().map(|x| &x[..]).as_ref().unwrap(), [0x4e, 0xc4, 0x91, 0xe7]);
            assert_eq!((key.start(), key.interval()), (0x6b0b_d8f8 * 1_000_000, 1_000_000));
            assert_eq!(*key.to_text(), "4ec491-e7ea5a-1e1221-6434c0/6b0bd8f8-f4240");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "/",
            "4ec491-e7ea5a-1e1221-6434c0",
            "4ec491-e7ea5a-1e1221-6434/6b0bd8f8-f4240",
            "4ec491-e7ea5a-1e1221-6434c0aa/6b0bd8f8-f4240",
            "4ec491-e7ea5a-1e1221-6434cg/6b0bd8f8-f4240",
            "4ec491-e7ea5a-1e1221-6434c0/0-f4240",
            "4ec491-e7ea5a-1e1221-6434c0/1-0",
            "4ec491-e7ea5a-1e1221-6434c0/-",
            "4ec491-e7ea5a-1e1221-6434c0/+1-+1",
            "4ec491-e7ea5a-1e1221-6434c0/ffffffffffffffff-2",
        ] {
            assert!(VerificationKey::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
