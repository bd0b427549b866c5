//! What may be known of a verification key: its index in the TPM is read by anyone. Pure.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `TFS1` |
//! | 4 | the number of the generation, from 0 |
//! | 8 | what the counter is counted up to with it |
//! | 16 | the machine: its machine-id(5) |
//! | 8, 8 | since when it seals, and for how long each key does, in microseconds (of the Unix time, where it is a time) |
//! | 32 | the sealing key's fingerprint: SHA-256 of its modulus |
//! | 32 | SHA-256 of the verification key, in the form of its index |
//! | 34 | the Name of the verification key's index, written and locked |
//!
//! Numbers are big-endian, as a TPM has them.

use crate::{
    bytes::{Buffer, Reader, bounded},
    digest::Digest,
    tpm2::{Name, NvPublic, nv::attribute},
};

/// Bytes of a record.
pub const SIZE: usize = 4 + 4 + 8 + 16 + 8 + 8 + 32 + 32 + 34;
/// What it begins with.
const MAGIC: &[u8; 4] = b"TFS1";

/// What may be known of a verification key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The number of the generation.
    pub number: u32,
    /// What the counter is counted up to with it.
    pub counter: u64,
    /// The machine-id(5) of the machine that seals.
    pub machine: [u8; 16],
    /// Since when, in microseconds of the Unix time.
    pub start: u64,
    /// How long each key seals, in microseconds.
    pub interval: u64,
    /// SHA-256 of the modulus of the sealing key.
    pub fingerprint: Digest,
    /// SHA-256 of the verification key.
    pub digest: Digest,
    /// The Name of the verification key's index.
    pub key_name: Name,
}

impl KeyRecord {
    /// As its index has it.
    #[must_use]
    pub fn to_bytes(&self) -> Buffer<SIZE> {
        // No field is longer than it may be.
        bounded(|writer| {
            let writer = writer.bytes(MAGIC).be32(self.number).bytes(&self.counter.to_be_bytes()).bytes(&self.machine);
            let writer = writer.bytes(&self.start.to_be_bytes()).bytes(&self.interval.to_be_bytes());
            writer.bytes(&self.fingerprint).bytes(&self.digest).bytes(&self.key_name)
        })
        .unwrap_or_default()
    }

    /// From its index; `None`: it is not a record.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.take(MAGIC.len())? == MAGIC).then_some(())?;
        let number = reader.be32()?;
        let be64 = |reader: &mut Reader<'_>| reader.array().map(u64::from_be_bytes);
        let counter = be64(&mut reader)?;
        let machine = reader.array()?;
        let (start, interval) = (be64(&mut reader)?, be64(&mut reader)?);
        let (fingerprint, digest, key_name) = (reader.array()?, reader.array()?, reader.array()?);
        let record = Self { number, counter, machine, start, interval, fingerprint, digest, key_name };
        (reader.is_empty() && interval > 0).then_some(record)
    }
}

/// The Name that an index has once it is written and locked for good.
pub fn locked_name(public: &NvPublic) -> Name {
    let attributes = public.attributes | attribute::WRITTEN | attribute::WRITELOCKED;
    NvPublic { attributes, ..public.clone() }.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> KeyRecord {
        KeyRecord {
            number: 3,
            counter: 77,
            machine: [1; 16],
            start: 1_700_000_000_000_000,
            interval: 900_000_000,
            fingerprint: [2; 32],
            digest: [3; 32],
            key_name: [4; 34],
        }
    }

    #[test]
    fn a_record_is_read_whole_or_not_at_all() {
        let bytes = record().to_bytes();
        assert_eq!(bytes.len(), SIZE);
        assert_eq!(KeyRecord::parse(&bytes), Some(record()));
        for end in 0..bytes.len() {
            assert_eq!(KeyRecord::parse(&bytes[..end]), None, "{end}");
        }
        assert_eq!(KeyRecord::parse(&[&bytes[..], &[0]].concat()), None);
        let still = KeyRecord { interval: 0, ..record() };
        assert_eq!(KeyRecord::parse(&still.to_bytes()), None, "time would stand still");
    }
}
