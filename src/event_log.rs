//! The firmware's event log (TCG PC Client Platform Firmware Profile 1.06, section 10): what was measured into which PCR.
//!
//! Nobody vouches for it: it explains, and decides nothing.

use crate::policy::digest::Digest;

/// `TPM_ALG_SHA256`.
const SHA256: u16 = 0x000b;
/// `EV_NO_ACTION`: an entry that was not extended.
const NO_ACTION: u32 = 3;
/// What the data of the first entry begins with, in a log with digests of several algorithms.
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// More algorithms than TPMs have banks.
const MAX_ALGORITHMS: u32 = 16;
/// More events than firmware and boot loaders make.
const MAX_EVENTS: usize = 4096;

/// One event with a SHA-256 digest.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The PCR that was extended.
    pub pcr: u32,
    /// What with.
    pub digest: Digest,
    /// What was measured, or a description.
    pub data: &'a [u8],
}

/// The events that were extended, in order. What cannot be understood ends the list.
#[must_use]
pub fn parse(log: &[u8]) -> Vec<Event<'_>> {
    let mut fields = Fields(log);
    let mut events = Vec::new();
    let Some(sizes) = header(&mut fields) else { return events };
    while let Some(event) = next(&mut fields, &sizes) {
        events.extend(event);
        if events.len() == MAX_EVENTS {
            break;
        }
    }
    events
}

/// The first entry, in the form of the first log format; returns the algorithms with the sizes of their digests.
fn header(fields: &mut Fields<'_>) -> Option<Vec<(u16, usize)>> {
    let (_pcr, _kind, _sha1) = (fields.u32()?, fields.u32()?, fields.take(20)?);
    let size = fields.u32()?;
    let mut data = Fields(fields.take(usize::try_from(size).ok()?)?);
    if data.take(SPEC_ID.len())? != SPEC_ID {
        return None;
    }
    let (_platform, _version) = (data.u32()?, data.take(4)?);
    let count = data.u32().filter(|count| *count <= MAX_ALGORITHMS)?;
    (0..count).map(|_| Some((data.u16()?, usize::from(data.u16()?)))).collect()
}

/// The next entry (`TCG_PCR_EVENT2`); `Some(None)` for one that was not extended, or has no SHA-256 digest.
fn next<'a>(fields: &mut Fields<'a>, sizes: &[(u16, usize)]) -> Option<Option<Event<'a>>> {
    let (pcr, kind, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let mut digest = None;
    for _ in 0..Some(count).filter(|count| *count <= MAX_ALGORITHMS)? {
        let algorithm = fields.u16()?;
        let (_, size) = sizes.iter().find(|(known, _)| *known == algorithm)?;
        let value = fields.take(*size)?;
        if algorithm == SHA256 {
            digest = Some(value.try_into().ok()?);
        }
    }
    let size = fields.u32()?;
    let data = fields.take(usize::try_from(size).ok()?)?;
    Some(digest.filter(|_| kind != NO_ACTION).map(|digest| Event { pcr, digest, data }))
}

/// `UEFI_VARIABLE_DATA` (section 10.2.6): name, in ASCII where it is, and contents.
#[must_use]
pub fn variable(data: &[u8]) -> Option<(String, &[u8])> {
    let mut fields = Fields(data);
    let _vendor = fields.take(16)?;
    let (characters, size) = (fields.u64()?, fields.u64()?);
    let name = fields.take(usize::try_from(characters).ok()?.checked_mul(2)?)?;
    let units = name.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
    let name =
        char::decode_utf16(units).map(|c| c.ok().filter(char::is_ascii_graphic).unwrap_or('?')).take(64).collect();
    Some((name, fields.take(usize::try_from(size).ok()?)?))
}

/// Little-endian fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
