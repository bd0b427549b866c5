//! The firmware's event log (TCG PC Client Platform Firmware Profile 1.06, section 10): what was measured into which PCR.
//!
//! Nobody vouches for it: it explains, and decides nothing.

use crate::{
    bytes::Reader,
    digest::{self, Digest},
    foreign,
};

/// `TPM_ALG_SHA256`.
const SHA256: u16 = 0x000b;
/// `EV_NO_ACTION`: an entry that was not extended.
const NO_ACTION: u32 = 3;
/// `EV_SEPARATOR`: from here on it is no longer the firmware's configuration.
pub const SEPARATOR: u32 = 4;
/// `EV_EFI_VARIABLE_DRIVER_CONFIG`: Secure Boot's configuration.
pub const DRIVER_CONFIG: u32 = 0x8000_0001;
/// `EV_EFI_ACTION`: what the firmware has done, as a text.
pub const ACTION: u32 = 0x8000_0007;
/// `EV_EFI_VARIABLE_AUTHORITY`: what an image was verified with.
pub const AUTHORITY: u32 = 0x8000_00e0;
/// What the data of the first entry begins with, in a log with digests of several algorithms.
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// Bytes of a digest in the first log format.
const SHA1: usize = 20;
/// More algorithms than TPMs have banks.
const MAX_ALGORITHMS: u32 = 16;
/// More events than firmware and boot loaders make.
const MAX_EVENTS: usize = 4096;
/// Characters of a name that are shown.
const MAX_NAME: usize = 64;

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The PCR that was extended.
    pub pcr: u32,
    /// `EV_…`.
    pub kind: u32,
    /// What with: its SHA-256 digest, or, in a log that has none, that of its data, as all events of PCR 7 have it.
    pub digest: Digest,
    /// What was measured, or a description.
    pub data: &'a [u8],
}

/// The events that were extended, in order. What cannot be understood ends the list.
#[must_use]
pub fn parse(log: &[u8]) -> Vec<Event<'_>> {
    let mut fields = Reader::new(log);
    let mut events = Vec::new();
    let sizes = header(&mut fields);
    if sizes.is_none() {
        // In the first log format the first entry is one like all others.
        fields = Reader::new(log);
    }
    while let Some(event) = next(&mut fields, sizes.as_deref()) {
        events.extend(event);
        if events.len() == MAX_EVENTS {
            break;
        }
    }
    events
}

/// The first entry, in the form of the first log format; returns the algorithms with the sizes of their digests.
fn header(fields: &mut Reader<'_>) -> Option<Vec<(u16, usize)>> {
    let (_pcr, _kind, _sha1) = (fields.le32()?, fields.le32()?, fields.take(SHA1)?);
    let mut data = Reader::new(sized(fields)?);
    if data.take(SPEC_ID.len())? != SPEC_ID {
        return None;
    }
    let (_platform, _version) = (data.le32()?, data.take(4)?);
    let count = data.le32().filter(|count| *count <= MAX_ALGORITHMS)?;
    (0..count).map(|_| Some((data.le16()?, usize::from(data.le16()?)))).collect()
}

/// The next entry: `TCG_PCR_EVENT2`, or `TCG_PCClientPCREvent` where there are no `sizes`; `Some(None)` for one that was
/// not extended.
fn next<'a>(fields: &mut Reader<'a>, sizes: Option<&[(u16, usize)]>) -> Option<Option<Event<'a>>> {
    let (pcr, kind) = (fields.le32()?, fields.le32()?);
    let digest = match sizes {
        Some(sizes) => sha256(fields, sizes)?,
        None => fields.take(SHA1).map(|_| None)?,
    };
    let data = sized(fields)?;
    let digest = digest.unwrap_or_else(|| digest::hash(&[data]));
    Some((kind != NO_ACTION).then_some(Event { pcr, kind, digest, data }))
}

/// That of SHA-256 among the digests of an entry.
fn sha256(fields: &mut Reader<'_>, sizes: &[(u16, usize)]) -> Option<Option<Digest>> {
    let mut digest = None;
    for _ in 0..fields.le32().filter(|count| *count <= MAX_ALGORITHMS)? {
        let algorithm = fields.le16()?;
        let (_, size) = sizes.iter().find(|(known, _)| *known == algorithm)?;
        let value = fields.take(*size)?;
        if algorithm == SHA256 {
            digest = Some(value.try_into().ok()?);
        }
    }
    Some(digest)
}

impl Event<'_> {
    /// What it is about, printable: a variable's name, what was done, `separator`.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.kind, variable(self.data)) {
            (SEPARATOR, _) => "separator".to_owned(),
            (ACTION, _) => self.data.iter().take(MAX_NAME).map(|byte| foreign::shown(char::from(*byte))).collect(),
            (_, Some((name, _))) if !name.is_empty() => name,
            (kind, _) => format!("an event of type {kind:#x}"),
        }
    }
}

/// `UEFI_VARIABLE_DATA` (section 10.2.6): name, printable, and contents.
#[must_use]
pub fn variable(data: &[u8]) -> Option<(String, &[u8])> {
    let mut fields = Reader::new(data);
    let _vendor = fields.take(16)?;
    let (characters, size) = (fields.le64()?, fields.le64()?);
    let name = fields.take(usize::try_from(characters).ok()?.checked_mul(2)?)?;
    let units = name.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
    let name = char::decode_utf16(units)
        .map(|c| c.map_or(char::REPLACEMENT_CHARACTER, foreign::shown))
        .take(MAX_NAME)
        .collect();
    Some((name, fields.take(usize::try_from(size).ok()?)?))
}

/// What follows its own size in four bytes.
fn sized<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let size = reader.le32()?;
    reader.take(usize::try_from(size).ok()?)
}
