//! The firmware's event log (TCG PC Client Platform Firmware Profile 1.06, section 10), in both of its formats: with
//! digests of several algorithms, or with SHA-1 digests alone.

use super::event::{Event, EventType};
use crate::{
    bytes::Reader,
    digest::{Digest, hash},
    tpm2::constants::alg,
};

/// SHA-1.
const SHA1: Algorithm = (alg::SHA1, 20);
/// What the data of the first entry begins with, in a log with digests of several algorithms.
pub(crate) const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// Upper bound of the number of algorithms.
pub(crate) const MAX_ALGORITHMS: u32 = 16;
/// Upper bound of the number of events in one PCR.
const MAX_EVENTS: usize = 4096;

/// An algorithm (`TPM_ALG_ID`) and the size of its digests in bytes.
pub type Algorithm = (u16, usize);

/// The events that have extended this PCR, in order, as far as the log can be understood.
#[must_use]
pub fn events_of(log: &[u8], pcr: u32) -> Vec<Event<&[u8]>> {
    Events::of(log).filter(|event| event.pcr == pcr && event.extends()).take(MAX_EVENTS).collect()
}

/// All events of a log, in order: including those that extended nothing, but without the header. An entry that cannot be understood ends the list.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: Reader<'a>,
    /// Of the digests in each entry; `None` in a log that has one SHA-1 digest in each.
    algorithms: Option<Vec<Algorithm>>,
}

impl<'a> Events<'a> {
    /// Those of this log.
    #[must_use]
    pub fn of(log: &'a [u8]) -> Self {
        let mut rest = Reader::new(log);
        let algorithms = header(&mut rest);
        // Where there is no header, the first entry is one like all others.
        Self { rest: if algorithms.is_some() { rest } else { Reader::new(log) }, algorithms }
    }

    /// The offset of the next entry.
    #[cfg(feature = "host")]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.rest.position()
    }

    /// Those of its digests, each with its size; a log of the first format has SHA-1 alone.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        self.algorithms.as_deref().unwrap_or(&[SHA1])
    }

    /// Whether it begins with a header, as logs with digests of several algorithms do.
    #[cfg(feature = "host")]
    #[must_use]
    pub const fn has_header(&self) -> bool {
        self.algorithms.is_some()
    }

    /// The offset of the entry that cannot be understood, once that has ended the list.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn fault(&self) -> Option<usize> {
        (!self.rest.is_empty()).then(|| self.rest.position())
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<&'a [u8]>;

    fn next(&mut self) -> Option<Event<&'a [u8]>> {
        let mut rest = self.rest.clone();
        let event = entry(&mut rest, self.algorithms.as_deref())?;
        self.rest = rest;
        Some(event)
    }
}

/// The first entry (`TCG_EfiSpecIdEvent`), which has the form of the SHA-1 format.
fn header(fields: &mut Reader<'_>) -> Option<Vec<Algorithm>> {
    let event = entry(fields, None)?;
    let mut data = Reader::new(event.data);
    if data.take(SPEC_ID.len())? != SPEC_ID {
        return None;
    }
    let (_platform, _version) = (data.le32()?, data.take(4)?);
    let count = data.le32().filter(|count| *count <= MAX_ALGORITHMS)?;
    (0..count).map(|_| Some((data.le16()?, usize::from(data.le16()?)))).collect()
}

/// The next entry: `TCG_PCR_EVENT2`, or `TCG_PCClientPCREvent` where there are no `algorithms`.
fn entry<'a>(fields: &mut Reader<'a>, algorithms: Option<&[Algorithm]>) -> Option<Event<&'a [u8]>> {
    let (pcr, kind) = (fields.le32()?, EventType(fields.le32()?));
    let mut digests = Digests::default();
    match algorithms {
        Some(algorithms) => {
            for _ in 0..fields.le32().filter(|count| *count <= MAX_ALGORITHMS)? {
                let algorithm = fields.le16()?;
                digests.read(fields, *algorithms.iter().find(|(known, _)| *known == algorithm)?)?;
            }
        }
        None => digests.read(fields, SHA1)?,
    }
    let size = fields.le32()?;
    let data = fields.take(usize::try_from(size).ok()?)?;
    let digest = digests.sha256.unwrap_or_else(|| hash(&[data]));
    Some(Event {
        pcr,
        kind,
        digest,
        #[cfg(feature = "host")]
        digests: digests.all,
        data,
    })
}

/// The digests of an entry.
#[derive(Default)]
struct Digests {
    sha256: Option<Digest>,
    #[cfg(feature = "host")]
    all: Vec<(u16, Vec<u8>)>,
}

impl Digests {
    /// Reads that of an algorithm.
    fn read(&mut self, fields: &mut Reader<'_>, (algorithm, size): Algorithm) -> Option<()> {
        let digest = fields.take(size)?;
        if algorithm == alg::SHA256 {
            self.sha256 = Some(digest.try_into().ok()?);
        }
        #[cfg(feature = "host")]
        self.all.push((algorithm, digest.to_vec()));
        Some(())
    }
}
