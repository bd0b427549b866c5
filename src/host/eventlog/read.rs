//! The firmware's log as far as it can be understood: each event with its offset, padding told from faults, a fault with its
//! offset and its reason.

use crate::{
    bytes::Reader,
    measure::{
        event::{Event, EventType},
        log::{Algorithm, Events, MAX_ALGORITHMS, SPEC_ID},
    },
    tpm2::bank,
};

/// A log is not larger, in bytes: kernels and firmware reserve a megabyte at most.
pub const MAX_LOG: u64 = 16 * 1024 * 1024;
/// Bytes before the data of an entry of the first format: PCR, type, SHA-1 digest, size.
const SHA1_HEAD: usize = 32;
/// Bytes of an event in a log with several banks, on average, or less.
const USUAL_SIZE: usize = 256;

/// One event, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent<'a> {
    /// Its number; the first behind the header is 1.
    pub number: usize,
    /// Where it begins in the log, in bytes.
    pub offset: usize,
    /// Itself.
    pub event: Event<&'a [u8]>,
}

/// Where a log cannot be understood, and why, as a clause. What is behind is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFault {
    /// The offset of the entry, in bytes.
    pub offset: usize,
    /// The reason.
    pub why: String,
}

/// A firmware's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareLog<'a> {
    /// The data of its header, where it has one: a log with digests of several algorithms.
    pub header: Option<&'a [u8]>,
    /// The algorithms of its digests, each with its size.
    pub algorithms: Vec<Algorithm>,
    /// Its events, in their order.
    pub events: Vec<LoggedEvent<'a>>,
    /// Bytes 0x00 or 0xff that fill the area behind the last event.
    pub padding: usize,
    /// What ended the list too early.
    pub fault: Option<LogFault>,
}

impl<'a> FirmwareLog<'a> {
    /// Reads a log: whatever it is, there is an answer.
    #[must_use]
    pub fn read(log: &'a [u8]) -> Self {
        let padding = padding(log);
        let mut events = Events::of(log);
        let header = events.has_header().then(|| log.get(SHA1_HEAD..events.position()).unwrap_or_default());
        let algorithms = events.algorithms().to_vec();
        // Room for most logs: a vector that grows is copied, and what it leaves is wiped.
        let room = Vec::with_capacity(log.len() / USUAL_SIZE);
        let mut read = Self { header, algorithms, events: room, padding: 0, fault: None };
        for number in 1.. {
            let offset = events.position();
            // An empty entry of zeros could be read, and could be no event.
            if offset >= padding {
                read.padding = log.len().saturating_sub(offset);
                return read;
            }
            let Some(event) = events.next() else { break };
            read.events.push(LoggedEvent { number, offset, event });
        }
        read.fault = events.fault().map(|offset| LogFault { offset, why: read.diagnosis(log, offset) });
        read
    }

    /// Why the entry at this offset cannot be understood.
    fn diagnosis(&self, log: &[u8], offset: usize) -> String {
        let rest = log.get(offset..).unwrap_or_default();
        if self.header.is_none() && offset == 0 && rest.get(SHA1_HEAD..).is_some_and(|data| data.starts_with(SPEC_ID)) {
            return "the header is malformed".into();
        }
        let reason = self.reason(rest).unwrap_or_else(|| "the log ends in the middle of it".into());
        let mut fields = Reader::new(rest);
        match (fields.le32(), fields.le32()) {
            (Some(pcr), Some(kind)) => format!("{reason} (PCR {pcr}, type {})", EventType(kind)),
            _ => reason,
        }
    }

    /// What is wrong with the entry that this begins with; `None`: it ends before that can be said.
    fn reason(&self, rest: &[u8]) -> Option<String> {
        let mut fields = Reader::new(rest);
        let (_pcr, _kind) = (fields.le32()?, fields.le32()?);
        if self.header.is_none() {
            fields.take(20)?;
        } else {
            let count = fields.le32()?;
            if count > MAX_ALGORITHMS {
                return Some(format!("it says that it has {count} digests"));
            }
            for _ in 0..count {
                let id = fields.le16()?;
                let Some((_, size)) = self.algorithms.iter().find(|(known, _)| *known == id) else {
                    return Some(format!("it has a digest of {}, which the header does not list", bank::name(id)));
                };
                fields.take(*size)?;
            }
        }
        let size = fields.le32()?;
        let left = fields.rest().len();
        Some(format!("it says that it has {size} bytes of data, and {left} are left"))
    }
}

/// Where the last bytes begin that are all zeros, or all ones.
fn padding(log: &[u8]) -> usize {
    let last = log.last().filter(|last| matches!(last, 0 | 0xff));
    let is_other = |byte: &u8| Some(byte) != last;
    log.iter().rposition(is_other).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pcr: u32, kind: u32, digests: &[(u16, &[u8])], data: &[u8]) -> Vec<u8> {
        let mut bytes = [pcr, kind, u32::try_from(digests.len()).unwrap()].map(u32::to_le_bytes).concat();
        for (id, digest) in digests {
            bytes.extend([&id.to_le_bytes()[..], digest].concat());
        }
        [&bytes[..], &u32::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
    }

    /// A header that lists SHA-256 and an algorithm that nobody knows, of three bytes.
    fn header() -> Vec<u8> {
        let spec = [SPEC_ID, &[0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 11, 0, 32, 0, 0x77, 0x77, 3, 0, 0]].concat();
        let size = u32::try_from(spec.len()).unwrap().to_le_bytes();
        [&[0, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20], &size, &spec].concat()
    }

    #[test]
    fn unknown_algorithms_are_read_by_their_size() {
        let log = [header(), entry(4, 5, &[(0x7777, &[1, 2, 3]), (11, &[7; 32])], b"data")].concat();
        let read = FirmwareLog::read(&log);
        assert_eq!((read.fault, read.padding, read.events.len()), (None, 0, 1));
        assert_eq!(read.algorithms, [(11, 32), (0x7777, 3)]);
        let LoggedEvent { number, offset, event } = &read.events[0];
        assert_eq!((*number, *offset, event.data), (1, header().len(), &b"data"[..]));
        assert_eq!(event.digests[0], (0x7777, vec![1, 2, 3]));
    }

    #[test]
    fn padding_is_neither_a_fault_nor_an_event() {
        for log in [header(), Vec::new()].map(|header| [header, vec![0; 32]].concat()) {
            for (fill, count) in [(0, 64), (0xff, 1000), (0, 5), (0xff, 1)] {
                let good = [&log[..], &entry(0, 4, &[], &[9; 5])].concat();
                let good = if FirmwareLog::read(&log).header.is_some() { good } else { vec![9; 36] };
                let good = if good.len() == 36 { [&good[..28], &[4, 0, 0, 0], &good[28..32]].concat() } else { good };
                let padded = [&good[..], &vec![fill; count]].concat();
                let (plain, read) = (FirmwareLog::read(&good), FirmwareLog::read(&padded));
                assert_eq!((read.padding, &read.fault), (count, &None));
                assert_eq!(read.events, plain.events);
            }
        }
        assert_eq!(FirmwareLog::read(&[0xff; 100]).padding, 100);
        assert_eq!(FirmwareLog::read(b"").padding, 0);
    }

    #[test]
    fn faults_have_their_offset_and_reason() {
        let good = [header(), entry(4, 5, &[(11, &[7; 32])], b"data")].concat();
        let at = good.len();
        for (bad, why) in [
            (
                entry(7, 4, &[(11, &[7; 32])], b"data")[..51].to_vec(),
                "4 bytes of data, and 1 are left (PCR 7, type EV_SEPARATOR)",
            ),
            (entry(7, 4, &[(4, &[7; 20])], b"data"), "a digest of sha1, which the header does not list (PCR 7"),
            (entry(7, 4, &[(11, &[7; 32])], b"")[..20].to_vec(), "the log ends in the middle of it (PCR 7"),
            (vec![1, 2, 3], "the log ends in the middle of it"),
            (vec![1; 40], "it says that it has 16843009 digests (PCR 16843009, type 0x01010101)"),
        ] {
            let log = [&good[..], &bad].concat();
            let read = FirmwareLog::read(&log);
            let fault = read.fault.expect("a fault");
            assert_eq!((fault.offset, read.events.len(), read.padding), (at, 1, 0));
            assert!(fault.why.contains(why), "{}", fault.why);
        }
        let mut many = header();
        many[SHA1_HEAD + 24] = 200;
        assert_eq!(FirmwareLog::read(&many).fault, None, "an event of the first format");
        let first = [&vec![0; 28][..], &[9, 9, 9, 9], b"x"].concat();
        let why = FirmwareLog::read(&first).fault.expect("a fault").why;
        assert!(why.contains("151587081 bytes of data, and 1 are left"), "{why}");
    }
}
