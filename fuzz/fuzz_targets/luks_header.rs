//! The header of a LUKS2 volume, or what stands in the JSON area of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::borrow::Cow;
use trust::luks::header::{Header, SIZES, uuid_of_luks1};

/// What cryptsetup has made: 4096 bytes that are no JSON, both copies 16 KiB large.
const MADE: &[u8; 0x8000] = include_bytes!("../corpus/luks_header/unsealed");
const BINARY: usize = 4096;

/// What is too short for a header is text: the larger part of a header, where a fuzzer seldom gets it right, is there.
fn header(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.len() >= BINARY {
        return bytes.into();
    }
    let mut header = MADE.to_vec();
    header[BINARY..SIZES[0]].fill(0);
    header[BINARY..][..bytes.len()].copy_from_slice(bytes);
    header.into()
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = header(bytes);
    let _ = uuid_of_luks1(&bytes);
    for offset in std::iter::once(0).chain(SIZES) {
        let Some(header) = Header::parse(&bytes, offset) else { continue };
        let _ = (header.mac(), header.keyslots(), header.label(), header.uuid());
        let _ = (header.seals(), header.is_being_reencrypted(), header.way_in("machine:luks"));
        assert_eq!(header.mac().is_some(), header.sealed().is_some());
        if let Some(pair) = header.pair(|bytes| [bytes[0]; 32]) {
            let (first, second) = (Header::parse(&pair, 0), Header::parse(&pair[header.size()..], header.size()));
            assert_eq!(first.and_then(|header| header.sealed()), header.sealed());
            assert_eq!(second.and_then(|header| header.sealed()), header.sealed());
        }
    }
});
