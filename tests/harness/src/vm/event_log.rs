//! What firmware and boot loaders say that they measured (TCG PC Client Platform Firmware Profile, section 10).

use crate::keyset::Digest;

/// An event, as the log has it in the sha256 bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which PCR was extended.
    pub pcr: u32,
    /// The kind of event, such as `0x8000_00e0` (EV_EFI_VARIABLE_AUTHORITY).
    pub kind: u32,
    /// What it was extended with.
    pub digest: Digest,
    /// What it was about.
    pub data: Vec<u8>,
}

/// EV_NO_ACTION: extends nothing.
const NO_ACTION: u32 = 3;
/// TPM_ALG_SHA256.
const SHA256: u16 = 0x000b;

/// The events of a crypto-agile log that extended a PCR. Panics over what is no such log.
#[must_use]
pub fn event_log(log: &[u8]) -> Vec<Event> {
    let mut rest = log;
    // TCG_PCClientPCREvent: PCR, kind, 20 bytes of digest; its data is the log's header.
    take(&mut rest, 28);
    let header = number(&mut rest);
    assert!(take(&mut rest, header).starts_with(b"Spec ID Event03\0"), "no crypto-agile event log");
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (pcr, kind) = (number(&mut rest), number(&mut rest));
        let mut sha256 = None;
        for _ in 0..number(&mut rest) {
            let algorithm = u16::from_le_bytes(take(&mut rest, 2).try_into().expect("two bytes"));
            let size = match algorithm {
                0x0004 => 20,
                SHA256 => 32,
                0x000c => 48,
                0x000d => 64,
                other => panic!("an unknown hash algorithm {other:#x} in the event log"),
            };
            let digest = take(&mut rest, size);
            if algorithm == SHA256 {
                sha256 = Some(digest.try_into().expect("32 bytes"));
            }
        }
        let size = number(&mut rest);
        let data = take(&mut rest, size).to_vec();
        let kind = u32::try_from(kind).expect("four bytes");
        if kind != NO_ACTION {
            let pcr = u32::try_from(pcr).expect("four bytes");
            events.push(Event { pcr, kind, digest: sha256.expect("a bank of SHA-256"), data });
        }
    }
    events
}

fn number(rest: &mut &[u8]) -> usize {
    u32::from_le_bytes(take(rest, 4).try_into().expect("four bytes")) as usize
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at_checked(size).expect("the event log is cut off");
    *rest = tail;
    head
}
