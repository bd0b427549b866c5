//! journald's sealing key on disk, `/var/log/journal/MACHINE-ID/fss`: which one it is, and nothing of what it seals with.
//!
//! Its header, little-endian: `KSHHRHLP`, flags (4, 4), machine-id (16), boot-id (16), bytes of the header (8), start (8) and
//! interval (8) in microseconds, the security parameter (2, 6 reserved), bytes of the state (8). The state that follows begins
//! with the security parameter in two bytes and the modulus, which verification key and sealing key have in common.

use crate::{
    bytes::Reader,
    digest::{self, Digest},
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        journal::{VerificationKey, files},
    },
};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::PathBuf,
};

/// What the file begins with.
const SIGNATURE: &[u8; 8] = b"KSHHRHLP";
/// Bytes of the header.
const HEADER: usize = 88;
/// Bits of the largest modulus that the format has.
const MAX_BITS: u16 = 16_384;

/// Which sealing key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey {
    /// The machine-id(5) of the machine that seals.
    pub machine: [u8; 16],
    /// Since when, in microseconds of the Unix time.
    pub start: u64,
    /// How long each key seals, in microseconds.
    pub interval: u64,
    /// SHA-256 of the modulus.
    pub fingerprint: Digest,
}

impl SealingKey {
    /// Where the key of a machine is.
    #[must_use]
    pub fn path(machine: &[u8; 16]) -> PathBuf {
        files::of_machine(machine).join("fss")
    }

    /// Reads which key this machine has, if it has one. What it seals with is not read.
    ///
    /// # Errors
    /// [`Kind::System`]: it cannot be read; [`Kind::Corrupt`]: it is not a sealing key.
    pub fn read(machine: &[u8; 16]) -> Result<Option<Self>> {
        let path = Self::path(machine);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| atomic::cannot("read", &path, &e))?,
        };
        let mut start = [0; HEADER + 4];
        let bad =
            || Error::new(Kind::Corrupt, format!("read {}", path.display()), "it is not a sealing key of journald's");
        let bad = || bad().remedy("have new keys made: `trust fss rotate`");
        let read = |file: &mut File, buffer: &mut [u8]| match file.read_exact(buffer) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(bad()),
            other => other.map_err(|e| atomic::cannot("read", &path, &e)),
        };
        let (header, parameter) = start.split_at_mut(HEADER);
        read(&mut file, header)?;
        let (key, bits) = Self::header(header).ok_or_else(bad)?;
        let parameter = parameter.get_mut(..2).ok_or_else(bad)?;
        read(&mut file, parameter)?;
        if u16::from_be_bytes([*parameter.first().unwrap_or(&0), *parameter.get(1).unwrap_or(&0)]) != bits / 16 - 1 {
            return Err(bad());
        }
        let mut modulus = vec![0; usize::from(bits / 8)];
        read(&mut file, &mut modulus)?;
        Ok(Some(Self { fingerprint: digest::hash(&[&modulus]), ..key }))
    }

    /// Whether it is the one of this verification key.
    #[must_use]
    pub fn is_of(&self, key: &VerificationKey) -> bool {
        (self.start, self.interval) == (key.start(), key.interval()) && key.fingerprint() == Some(self.fingerprint)
    }

    /// What a header says, without the fingerprint, and the security parameter in bits.
    fn header(bytes: &[u8]) -> Option<(Self, u16)> {
        let mut reader = Reader::new(bytes);
        (reader.take(SIGNATURE.len())? == SIGNATURE).then_some(())?;
        let _flags = (reader.le32()?, reader.le32()?);
        let (machine, _boot) = (reader.array()?, reader.take(16)?);
        (reader.le64()? == HEADER as u64).then_some(())?;
        let (start, interval, bits) = (reader.le64()?, reader.le64()?, reader.le16()?);
        let _reserved = reader.take(6)?;
        let state = reader.le64()?;
        let is_sound = bits.is_multiple_of(16) && (16..=MAX_BITS).contains(&bits) && interval > 0;
        (is_sound && state == 2 + 2 * u64::from(bits / 8) + 8)
            .then_some((Self { machine, start, interval, fingerprint: [0; 32] }, bits))
    }
}
