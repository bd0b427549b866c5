//! The header of a LUKS2 volume.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::luks::header::{Header, SIZES};

fuzz_target!(|bytes: &[u8]| {
    for offset in std::iter::once(0).chain(SIZES) {
        let Some(header) = Header::parse(bytes, offset) else { continue };
        let _ = (header.mac(), header.keyslots(), header.label(), header.uuid());
        assert_eq!(header.mac().is_some(), header.sealed().is_some());
        if let Some(pair) = header.pair(|bytes| [bytes[0]; 32]) {
            let (first, second) = (Header::parse(&pair, 0), Header::parse(&pair[header.size()..], header.size()));
            assert_eq!(first.and_then(|header| header.sealed()), header.sealed());
            assert_eq!(second.and_then(|header| header.sealed()), header.sealed());
        }
    }
});
