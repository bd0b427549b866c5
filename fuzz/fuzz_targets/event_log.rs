//! The firmware's event log, and what is told of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::{
        eventlog::{check, measured, read::FirmwareLog, replay::BootLogs, words},
        predict::firmware::Firmware,
        state::reduced_log::reduced,
    },
    measure::{bank::Bank, explain::explain, history::Logs, user_space},
    policy::pcr_values::PcrValues,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = Firmware::of_log(bytes);
    let lists = ["SecureBoot 00\nPK 11\ndb 22 \"owner\"\n".to_owned()];
    for text in [explain(bytes, &[]), explain(bytes, &lists)] {
        assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
    }
    // In words, replayed, and compared with what it leads to, and with something else.
    let (log, (records, _)) = (FirmwareLog::read(bytes), user_space::read(bytes));
    let logs = BootLogs { firmware: &log, ima: &[], user_space: &records };
    for logged in &log.events {
        let text = words::meaning(&logged.event);
        assert!(text.chars().count() <= 401 && !text.chars().any(char::is_control), "{text:?}");
        let _ = measured::of(&logged.event);
    }
    let header = words::of_header(log.header.unwrap_or_default());
    assert!(header.chars().count() <= 401 && !header.chars().any(char::is_control), "{header:?}");
    let less = reduced(bytes, &log);
    assert!(less.len() <= bytes.len() && FirmwareLog::read(&less).events.len() <= log.events.len());
    let values = logs.replay();
    assert!(check::compare(logs, &values).iter().all(|compared| compared.outcome == check::PcrOutcome::ComesOut));
    let others = values.iter().map(|(name, value)| (name, value.iter().map(|byte| !byte).collect())).collect();
    assert!(check::compare(logs, &PcrValues::new(others)).iter().all(|c| c.outcome != check::PcrOutcome::ComesOut));
    // As the firmware's log, and as the system's behind an empty one.
    let empty = b"\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for logs in [
        Logs { firmware: bytes.to_vec(), user_space: Vec::new() },
        Logs { firmware: empty, user_space: bytes.to_vec() },
    ] {
        for bank in [Bank::Sha1, Bank::Sha256] {
            let text = logs.since(bank, 7, &[7; 32], &[8; 32]).unwrap_or_default();
            assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
});
