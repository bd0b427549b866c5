//! IMA's list, replayed, and told beside the system's log, which is hostile as well: so many bytes of it come first as the
//! first two say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::eventlog::{
        ima::{ImaList, extensions},
        read::FirmwareLog,
        replay::BootLogs,
    },
    measure::user_space,
};

/// Bytes of the shortest record.
const SHORTEST: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first_chunk() else { return };
    let Some((records, list)) = bytes.split_at_checked(u16::from_le_bytes(*length).into()) else { return };
    let read = ImaList::read(list);
    assert!((read.entries.len() + read.files) * SHORTEST <= list.len());
    assert!(read.fault.is_none_or(|fault| fault < list.len()));
    // Each record extends a PCR, unless that has no number of one.
    let extended = extensions::read(list, &[0x0004, 0x000b]);
    assert!(extended.len() <= read.entries.len() + read.files);
    assert!(extended.iter().all(|extension| extension.digests.iter().map(|(_, digest)| digest.len()).eq([20, 32])));
    let (log, (records, _)) = (FirmwareLog::read(b""), user_space::read(records));
    let meanings = read.meanings(BootLogs { firmware: &log, ima: &[], user_space: &records });
    assert_eq!(meanings.len(), read.entries.len());
    for text in meanings.iter().chain(read.entries.iter().map(|entry| &entry.name)) {
        assert!(text.chars().count() <= 401 && !text.chars().any(char::is_control), "{text:?}");
    }
});
