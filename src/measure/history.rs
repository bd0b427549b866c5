//! What a PCR has gone through in this boot, as the logs have it: since when it is not what is expected. Pure.
//!
//! Two logs make one history: the firmware's, and behind it that of user space (`/run/log/systemd/tpm2-measure.log`).

use super::{
    bank::{Bank, Pcr},
    event::{Event, EventType},
    log::Events,
    user_space,
};

/// PCRs from here on are reset while the system runs, or begin with something else than zeros.
const FIRST_OF_OTHERS: u8 = 16;
/// What the data of the event begins with that says from which locality PCR 0 was started.
pub(crate) const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// The logs of this machine, as they are read; an empty one says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The firmware's.
    pub firmware: Vec<u8>,
    /// That of user space: JSON-SEQ, as systemd writes it.
    pub user_space: Vec<u8>,
}

/// One extension.
struct Extension {
    what: String,
    /// The PCR behind it.
    value: Vec<u8>,
}

impl Logs {
    /// Since when a PCR that is `now` has not been as expected, as a clause. `None` where the logs do not tell: there is none, it cannot be understood, it has no digests of this bank.
    #[must_use]
    pub fn since(&self, bank: Bank, pcr: u8, expected: &[u8], now: &[u8]) -> Option<String> {
        let (start, extensions) = self.replay(bank, pcr)?;
        let values = || std::iter::once(&start).chain(extensions.iter().map(|extension| &extension.value));
        let unlogged = || {
            let last = self.records(bank, pcr).pop().map(|(what, _)| format!("; the last record is {what}"));
            format!("something that is in no log has extended it{}", last.unwrap_or_default())
        };
        let is_complete = values().next_back().is_some_and(|last| last == now);
        // A PCR that is extended with the same digests has the same value once.
        match values().position(|value| value == expected).map(|at| extensions.get(at)) {
            Some(Some(extension)) => Some(format!("until {}, it was as expected", extension.what)),
            Some(None) => Some(format!("all that is logged is as expected; {}", unlogged())),
            None if !is_complete => Some(unlogged()),
            None => Some(match extensions.last() {
                Some(extension) => format!("the last to extend it was {}", extension.what),
                None => "nothing has extended it".to_owned(),
            }),
        }
    }

    /// What the PCR begins with, and what has extended it.
    fn replay(&self, bank: Bank, pcr: u8) -> Option<(Vec<u8>, Vec<Extension>)> {
        if self.firmware.is_empty() || pcr >= FIRST_OF_OTHERS {
            return None;
        }
        let mut events = Events::of(&self.firmware);
        let (mut start, mut extensions) = (Pcr::new(bank), Vec::new());
        for (number, event) in (1..).zip(&mut events) {
            if event.pcr != u32::from(pcr) {
                continue;
            }
            if event.extends() {
                let (_, digest) = event.digests.iter().find(|(id, _)| *id == bank.id())?;
                extensions.push((of_firmware(number, &event), digest.clone()));
            } else if let Some([locality]) = event.data.strip_prefix(STARTUP_LOCALITY) {
                start = Pcr::started_from(bank, *locality);
            }
        }
        // Behind what cannot be understood there may be more.
        if events.fault().is_some() {
            return None;
        }
        extensions.extend(self.records(bank, pcr));
        let mut now = start.clone();
        let extension = |(what, digest): (String, Vec<u8>)| {
            now.extend(&digest);
            Extension { what, value: now.value().to_vec() }
        };
        let extensions = extensions.into_iter().map(extension).collect();
        Some((start.value().to_vec(), extensions))
    }

    /// What user space has extended the PCR with, in its order: what each record is of, and its digest.
    fn records(&self, bank: Bank, pcr: u8) -> Vec<(String, Vec<u8>)> {
        let (records, _) = user_space::read(&self.user_space);
        let of_this = records.into_iter().filter(|record| record.pcr == pcr);
        of_this.filter_map(|record| Some((record.name(), record.digest(bank.id())?))).collect()
    }
}

fn of_firmware(number: usize, event: &Event<&[u8]>) -> String {
    let about = match (event.name(), event.signer()) {
        (name, Some(signer)) => format!(" ({name}: {signer})"),
        // Its type says as much.
        (name, None) if event.kind == EventType::SEPARATOR || name.starts_with("an event of type") => String::new(),
        (name, None) => format!(" ({name})"),
    };
    format!("event {number}, {}{about}", event.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    /// A log of SHA-256 alone: PCR, type, data.
    fn firmware(events: &[(u32, EventType, &[u8])]) -> Vec<u8> {
        let le = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let spec = [&b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02"[..], &le(1), &[0x0b, 0, 32, 0, 0]].concat();
        let mut log = [&le(0)[..], &le(3), &[0; 20], &le(spec.len()), &spec].concat();
        for (pcr, kind, data) in events {
            let digest = crate::digest::hash(&[data]);
            log.extend([&pcr.to_le_bytes()[..], &kind.0.to_le_bytes(), &le(1), &[0x0b, 0], &digest].concat());
            log.extend([&le(data.len())[..], data].concat());
        }
        log
    }

    fn record(pcr: u8, word: &str) -> String {
        let digest = hex(&crate::digest::hash(&[word.as_bytes()]));
        let content = serde_json::json!({ "string": word });
        format!(
            "\x1e{{\"pcr\":{pcr},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\"content\":{content}}}\n"
        )
    }

    /// What the PCR is behind these.
    fn behind(words: &[&[u8]]) -> Vec<u8> {
        let mut pcr = Pcr::new(Bank::Sha256);
        words.iter().for_each(|word| pcr.measure(word));
        pcr.value().to_vec()
    }

    #[test]
    fn the_first_event_after_the_expected_value_is_named() {
        let events = [
            (4, EventType::EFI_ACTION, &b"another"[..]),
            (7, EventType::EFI_ACTION, b"one"),
            (7, EventType::EFI_ACTION, b"two"),
            (7, EventType::SEPARATOR, &[0; 4]),
        ];
        let logs = Logs { firmware: firmware(&events), user_space: (record(7, "atomix\n") + &record(11, "x")).into() };
        let now = behind(&[b"one", b"two", &[0; 4], b"atomix\n"]);
        let since = |expected: &[&[u8]], now: &[u8]| logs.since(Bank::Sha256, 7, &behind(expected), now).unwrap();
        assert_eq!(since(&[], &now), "until event 2, EV_EFI_ACTION (one), it was as expected");
        assert_eq!(since(&[b"one"], &now), "until event 3, EV_EFI_ACTION (two), it was as expected");
        assert_eq!(since(&[b"one", b"two"], &now), "until event 4, EV_SEPARATOR, it was as expected");
        let whole: [&[u8]; 4] = [b"one", b"two", &[0; 4], b"atomix\n"];
        assert_eq!(since(&whole[..3], &now), "until \"atomix\" of user space, it was as expected");
        // What it never was.
        assert_eq!(since(&[b"three"], &now), "the last to extend it was \"atomix\" of user space");
        let foreign = behind(&[&whole[..], &[b"?"]].concat());
        let unlogged = "something that is in no log has extended it; the last record is \"atomix\" of user space";
        assert_eq!(since(&[b"three"], &foreign), unlogged);
        assert_eq!(since(&whole, &foreign), format!("all that is logged is as expected; {unlogged}"));
        assert_eq!(logs.since(Bank::Sha256, 7, b"?", &foreign).unwrap(), unlogged);
        assert_eq!(logs.since(Bank::Sha256, 1, b"?", &behind(&[])).unwrap(), "nothing has extended it");
        let last = logs.since(Bank::Sha256, 4, b"?", &behind(&[b"another"])).unwrap();
        assert_eq!(last, "the last to extend it was event 1, EV_EFI_ACTION (another)");
    }

    #[test]
    fn pcr_0_begins_with_the_locality_that_it_was_started_from() {
        let events = [(0, EventType::NO_ACTION, &b"StartupLocality\0\x03"[..]), (0, EventType::POST_CODE, b"code")];
        let logs = Logs { firmware: firmware(&events), user_space: Vec::new() };
        let mut pcr = Pcr::started_from(Bank::Sha256, 3);
        assert_eq!((pcr.value()[31], &pcr.value()[..31]), (3, &[0; 31][..]));
        pcr.measure(b"code");
        let since = |now: &[u8]| logs.since(Bank::Sha256, 0, b"?", now).unwrap();
        assert_eq!(since(pcr.value()), "the last to extend it was event 2, EV_POST_CODE");
        assert_eq!(since(&behind(&[b"code"])), "something that is in no log has extended it");
    }

    #[test]
    fn logs_that_do_not_tell_say_nothing() {
        let whole = firmware(&[(7, EventType::EFI_ACTION, b"one")]);
        let logs =
            |firmware: &[u8]| Logs { firmware: firmware.to_vec(), user_space: b"\x1e{\"pcr\":7}\x1e[\x1e".to_vec() };
        let since = |firmware: &[u8], bank, pcr| logs(firmware).since(bank, pcr, b"?", &behind(&[b"one"]));
        assert!(since(&whole, Bank::Sha256, 7).is_some());
        assert_eq!(since(b"", Bank::Sha256, 7), None);
        assert_eq!(since(&whole[..whole.len() - 1], Bank::Sha256, 7), None, "cut off");
        assert_eq!(since(&whole, Bank::Sha384, 7), None, "without digests of the bank");
        assert_eq!(since(&whole, Bank::Sha256, 23), None, "one that is reset");
    }
}
