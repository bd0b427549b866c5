//! Writes event logs of firmware.

use crate::sha256;

/// An event of PCR 7: `EV_…`, and what is measured.
pub type Measured = (u32, Vec<u8>);

/// A log of these events in PCR 7 with SHA-256 digests.
#[must_use]
pub fn firmware_log(events: &[Measured]) -> Vec<u8> {
    let mut spec = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    spec.extend([&field(1)[..], &[0x0b, 0, 32, 0, 0]].concat());
    let mut log = [&field(0)[..], &field(3), &[0; 20], &field(spec.len()), &spec].concat();
    for (kind, data) in events {
        log.extend([&field(7)[..], &kind.to_le_bytes(), &field(1), &[0x0b, 0], &sha256(&[data])].concat());
        log.extend([&field(data.len())[..], data].concat());
    }
    log
}

/// The same in the first log format, which knows only SHA-1; the digests are arbitrary.
#[must_use]
pub fn firmware_log_with_sha1(events: &[Measured]) -> Vec<u8> {
    let one =
        |(kind, data): &Measured| [&field(7)[..], &kind.to_le_bytes(), &[0x51; 20], &field(data.len()), data].concat();
    events.iter().flat_map(one).collect()
}

fn field(value: usize) -> [u8; 4] {
    u32::try_from(value).expect("a size").to_le_bytes()
}
