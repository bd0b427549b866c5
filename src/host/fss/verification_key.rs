//! A verification key, as `journalctl --setup-keys` prints it: `SEED/START-INTERVAL`, the seed in four groups of three bytes, the
//! number of the first interval and the length of all in microseconds; all in hexadecimal.

#![allow(clippy::disallowed_methods, reason = "a key is checked and handed over in memory that is wiped")]

use super::SealingKey;
use crate::{
    digest::{Digest, hash, hex},
    error::{Error, Kind, Result},
    secret::Secret,
};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use zeroize::Zeroizing;

/// Bytes of the longest one.
pub const MOST: usize = 64;
/// Bytes of the seed.
pub const SEED: usize = 12;
/// Characters of the seed: twelve bytes, and three dashes between them.
const SEED_TEXT: usize = 2 * SEED + 3;

/// A verification key.
pub struct VerificationKey {
    text: Secret,
    /// Number of the first interval since the beginning of the Unix time.
    first: u64,
    /// Microseconds of an interval.
    interval: u64,
}

impl VerificationKey {
    /// Takes what journalctl has printed, with or without the end of the line.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is something else.
    pub fn parse(printed: &Secret) -> Result<Self> {
        let bytes = printed.expose();
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (first, interval) = numbers(text).ok_or_else(|| {
            // Not a word of it: it may be a key all the same.
            let why = format!("these {} bytes have another form", bytes.len());
            Error::new(Kind::Corrupt, "understand a verification key", why)
                .remedy("report it, with the version of systemd")
        })?;
        let text = Secret::filled(text.len(), |buffer| {
            buffer.copy_from_slice(text);
            Ok(())
        })?;
        Ok(Self { text, first, interval })
    }

    /// As journalctl prints it and takes it, without the end of the line.
    #[must_use]
    pub const fn text(&self) -> &Secret {
        &self.text
    }

    /// What all keys follow from.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; SEED]> {
        let mut seed = Zeroizing::new([0; SEED]);
        let digits = self.text.expose().iter().take(SEED_TEXT).filter(|digit| **digit != b'-');
        for (at, digit) in digits.enumerate() {
            let nibble = char::from(*digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok()).unwrap_or(0);
            if let Some(byte) = seed.get_mut(at / 2) {
                *byte = *byte << 4 | nibble;
            }
        }
        seed
    }

    /// As a picture of characters, for a terminal and a camera: `fss://KEY?machine=ID`, as journalctl has it.
    ///
    /// # Errors
    /// [`Kind::System`], which does not happen: it fits.
    pub fn picture(&self, machine: &[u8; 16]) -> Result<Zeroizing<String>> {
        let bad = |e: &dyn std::fmt::Display| Error::new(Kind::System, "draw the verification key", e.to_string());
        let text = str::from_utf8(self.text.expose()).map_err(|e| bad(&e))?;
        let address = Zeroizing::new(format!("fss://{text}?machine={}", hex(machine)));
        let code = QrCode::with_error_correction_level(address.as_bytes(), EcLevel::L).map_err(|e| bad(&e))?;
        Ok(Zeroizing::new(code.render::<Dense1x2>().build()))
    }

    /// What a record says of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(&[self.text.expose()])
    }

    /// Whether it is for the times of this sealing key.
    #[must_use]
    pub fn fits(&self, sealing: &SealingKey) -> bool {
        self.interval == sealing.interval && self.first.checked_mul(self.interval) == Some(sealing.start)
    }
}

/// The first interval, and the length of all.
fn numbers(text: &[u8]) -> Option<(u64, u64)> {
    (text.len() <= MOST).then_some(())?;
    let (seed, rest) = text.split_at_checked(SEED_TEXT)?;
    let is_seed = |(at, byte): (usize, &u8)| if at % 7 == 6 { *byte == b'-' } else { byte.is_ascii_hexdigit() };
    seed.iter().enumerate().all(is_seed).then_some(())?;
    let (first, interval) = str::from_utf8(rest.strip_prefix(b"/")?).ok()?.split_once('-')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_number { u64::from_str_radix(digits, 16).ok() } else { None }
    };
    let interval = number(interval).filter(|interval| *interval > 0)?;
    Some((number(first)?, interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        let copy = |buffer: &mut [u8]| {
            buffer.copy_from_slice(bytes);
            Ok(())
        };
        Secret::filled(bytes.len(), copy).unwrap()
    }

    #[test]
    fn what_journalctl_prints_is_understood() {
        let key = VerificationKey::parse(&secret(b"89ee45-a62d3e-0bf2cd-c48b0d/722ec5a-e4e1c0\n")).unwrap();
        assert_eq!(key.seed()[..], [0x89, 0xee, 0x45, 0xa6, 0x2d, 0x3e, 0x0b, 0xf2, 0xcd, 0xc4, 0x8b, 0x0d]);
        assert_eq!(key.text().len(), 42);
        let start = 0x0722_ec5a * 0x00e4_e1c0;
        let sealing = SealingKey { machine: [0; 16], start, interval: 15_000_000, fingerprint: [0; 32] };
        assert!(key.fits(&sealing));
        assert!(!key.fits(&SealingKey { start: start + 1, ..sealing.clone() }));
        assert!(!key.fits(&SealingKey { interval: 1, ..sealing }));
    }

    #[test]
    fn other_forms_are_refused() {
        for wrong in [
            "",
            "89ee45-a62d3e-0bf2cd-c48b0d",
            "89ee45-a62d3e-0bf2cd-c48b0d/",
            "89ee45-a62d3e-0bf2cd-c48b0d/1-0",
            "89ee45-a62d3e-0bf2cd-c48b0d/-1",
            "89ee45-a62d3e-0bf2cd-c48b0d/+1-1",
            "89ee45-a62d3e-0bf2cd-c48b0/722ec5a-e4e1c0",
            "89ee45-a62d3e-0bf2cd-c48b0g/722ec5a-e4e1c0",
            "89ee45aa62d3e-0bf2cd-c48b0d/722ec5a-e4e1c0",
            "89ee45-a62d3e-0bf2cd-c48b0d/722ec5a-e4e1c0\n\n",
            "89ee45-a62d3e-0bf2cd-c48b0d/11111111111111111-e4e1c0",
        ] {
            assert!(VerificationKey::parse(&secret(wrong.as_bytes())).is_err(), "{wrong:?}");
        }
    }
}
