//! As much of an event log as predictions need, in the firmware's own form. What other events than those of PCR 7 and of
//! shim's PCR 14 are about may be a command line or a boot entry, and is nobody's business: their digests stay, and so every PCR
//! can be computed.

use crate::{
    host::eventlog::read::{FirmwareLog, LoggedEvent},
    measure::event::EventType,
};

/// PCRs whose events keep their data.
const KEPT: [u32; 2] = [7, 14];
/// Bytes before the data of an entry that say how many there are.
const SIZE: usize = 4;

/// The log with the data of these events alone, as far as it can be understood.
#[must_use]
pub fn reduced(log: &[u8], read: &FirmwareLog<'_>) -> Vec<u8> {
    let end = read.fault.as_ref().map_or(log.len().saturating_sub(read.padding), |fault| fault.offset);
    let starts = read.events.iter().map(|logged| logged.offset);
    let mut reduced = log.get(..starts.clone().next().unwrap_or(end)).unwrap_or_default().to_vec();
    for (logged, end) in read.events.iter().zip(starts.skip(1).chain([end])) {
        let entry = log.get(logged.offset..end).unwrap_or_default();
        let head = entry.len().checked_sub(logged.event.data.len() + SIZE).and_then(|size| entry.get(..size));
        match head {
            Some(head) if !is_kept(logged) => {
                reduced.extend_from_slice(head);
                reduced.extend_from_slice(&[0; SIZE]);
            }
            _ => reduced.extend_from_slice(entry),
        }
    }
    reduced
}

fn is_kept(LoggedEvent { event, .. }: &LoggedEvent<'_>) -> bool {
    let says_where_pcr_0_begins = event.pcr == 0 && event.kind == EventType::NO_ACTION;
    KEPT.contains(&event.pcr) || event.kind == EventType::SEPARATOR || says_where_pcr_0_begins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::eventlog::replay::BootLogs;

    fn pcrs(log: &FirmwareLog<'_>) -> crate::policy::pcr_values::PcrValues {
        BootLogs { firmware: log, ima: &[], user_space: &[] }.replay()
    }

    #[test]
    fn reduced_logs_lead_to_the_same_pcrs_and_say_less() {
        for name in ["direct", "shim", "gce-windows", "gce-ubuntu", "hp-debian", "locality-alone"] {
            let path = format!("{}/tests/data/event-logs/{name}.bin", env!("CARGO_MANIFEST_DIR"));
            let log = std::fs::read(path).unwrap();
            for log in [log.clone(), [&log[..], &[0xff; 100]].concat(), log[..log.len() - 1].to_vec()] {
                let read = FirmwareLog::read(&log);
                let less = reduced(&log, &read);
                let again = FirmwareLog::read(&less);
                assert_eq!((again.fault.as_ref(), again.padding), (None, 0), "{name}");
                assert_eq!(again.events.len(), read.events.len(), "{name}");
                assert_eq!(pcrs(&again), pcrs(&read), "{name}");
                for (before, after) in read.events.iter().zip(&again.events) {
                    assert_eq!(before.event.digests, after.event.digests);
                    let is_kept = after.event.data == before.event.data;
                    assert!(is_kept || before.event.pcr != 7 && after.event.data.is_empty(), "{name}: {before:?}");
                }
            }
        }
        assert_eq!(reduced(b"", &FirmwareLog::read(b"")), b"");
        assert_eq!(reduced(b"no log", &FirmwareLog::read(b"no log")), b"");
    }
}
