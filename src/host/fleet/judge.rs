//! Whether a machine still opens behind an update: what its PCR 7 may become, and what is signed for it.

use crate::{
    digest::{Digest, hex, unhex},
    host::{
        eventlog::{read::FirmwareLog, replay::BootLogs},
        state::record::StateRecord,
    },
    measure::pcr,
    policy::{
        boot_kind::BootKind,
        entry_kind::EntryKind,
        pcr_values::PcrName,
        pcr7data::Pcr7Data,
        version::{self, Version},
    },
    tpm2::constants::alg,
};
use base64ct::{Base64, Encoding};
use std::collections::BTreeSet;

/// How often PCR 7 may have moved on in the boot of a state.
const MOST_MOVES: u8 = 8;
/// PCR 7 of the sha256 bank.
const PCR_7: PcrName = PcrName { bank: alg::SHA256, number: 7 };

/// The values of PCR 7 that open a machine, each with the policy version that it is signed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpeningValues {
    /// What production boots measure.
    boots: BTreeSet<(Digest, Version)>,
    /// What their lock makes of that. A machine may know these alone.
    running: BTreeSet<(Digest, Version)>,
}

impl OpeningValues {
    /// Those of signed policies.
    #[must_use]
    pub fn of_policies(data: &Pcr7Data) -> Self {
        let mut values = Self::default();
        for pcr7 in data.values() {
            // What cannot be read opens nothing.
            if let Ok(Some(entry)) = data.entry(&pcr7) {
                values.add(entry.info.kind, pcr7, entry.info.policy_version);
            }
        }
        values
    }

    /// Those that a state tells; `None` where it tells of none.
    #[must_use]
    pub fn of_state(state: &StateRecord<'_>) -> Option<Self> {
        let mut values = Self::default();
        for signed in state.policies.as_ref()?.iter().filter(|signed| signed.signature_fits != Some(false)) {
            let pcr7 = unhex(&signed.pcr7).and_then(|pcr7| pcr7.try_into().ok());
            if let (Some(kind), Some(pcr7), Some(version)) =
                (EntryKind::named(&signed.kind), pcr7, version::parse(&signed.policy_version))
            {
                values.add(kind, pcr7, version);
            }
        }
        (values != Self::default()).then_some(values)
    }

    fn add(&mut self, kind: EntryKind, pcr7: Digest, version: Version) {
        match kind {
            EntryKind::Boot(BootKind::Production) => _ = self.boots.insert((pcr7, version)),
            EntryKind::System => _ = self.running.insert((pcr7, version)),
            EntryKind::Boot(_) => {}
        }
    }

    /// Whether a boot with this value opens a machine whose policy version is this; of one that is not known, any will do.
    #[must_use]
    pub fn open(&self, pcr7: &Digest, version: Option<Version>) -> bool {
        let has = |set: &BTreeSet<(Digest, Version)>, value: Digest| match version {
            Some(version) => set.contains(&(value, version)),
            None => set.range((value, [0; 4])..=(value, [0xff; 4])).next().is_some(),
        };
        has(&self.boots, *pcr7) || has(&self.running, pcr::locked(pcr7))
    }
}

/// What PCR 7 may become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pcr7Outlook {
    /// Each possibility, and what it depends on or comes from.
    pub values: Vec<(Vec<u8>, String)>,
    /// Why these are not all, as a clause.
    pub unknown: Option<String>,
    /// Why the machine would not start at all, as clauses.
    pub obstacles: Vec<String>,
}

/// What becomes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MachineVerdict {
    /// It opens.
    Opens,
    /// It may or may not.
    MayStayDark,
    /// It does not.
    StaysDark,
    /// That cannot be said.
    NotJudged,
}

impl MachineVerdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Opens, Self::StaysDark, Self::MayStayDark, Self::NotJudged];

    /// For programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::MayStayDark => "may_stay_dark",
            Self::StaysDark => "stays_dark",
            Self::NotJudged => "not_judged",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::MayStayDark => "may stay dark",
            Self::StaysDark => "stays dark",
            Self::NotJudged => "not judged",
        }
    }
}

/// A machine's log, decoded.
///
/// # Errors
/// Why there is none, as a clause.
pub fn log_of(state: &StateRecord<'_>) -> Result<Vec<u8>, String> {
    let missing = || {
        let why = state.unknown.get("event_log").map_or("it does not say why", String::as_str);
        format!("it has no event log: {}", crate::foreign::printable(why))
    };
    let log = state.event_log.as_ref().ok_or_else(missing)?;
    Base64::decode_vec(&log.data).map_err(|_| "its event log is not base64".to_owned())
}

/// What becomes of a machine, and why; `signed` takes the place of what the state says to be signed.
#[must_use]
pub fn judge(
    state: &StateRecord<'_>,
    log: &FirmwareLog<'_>,
    outlook: &Pcr7Outlook,
    signed: Option<&OpeningValues>,
) -> (MachineVerdict, String) {
    let not_judged = |why: &str| (MachineVerdict::NotJudged, why.to_owned());
    let Some(logged) = BootLogs { firmware: log, user_space: &[] }.replay().get(PCR_7) else {
        return not_judged("its event log does not lead to a PCR 7 of the sha256 bank");
    };
    let Ok(logged) = Digest::try_from(logged) else { return not_judged("its PCR 7 is not of 32 bytes") };
    if !is_led_to(state, &logged) {
        return not_judged(
            "its event log does not lead to its PCR 7: they are not of the same boot, or it was altered",
        );
    }
    let own = if signed.is_some() { None } else { OpeningValues::of_state(state) };
    let Some(values) = signed.or(own.as_ref()) else {
        return not_judged("it does not say what is signed for it: name the keyset");
    };
    let version = state.policy_version.as_deref().and_then(version::parse);
    let today = if values.open(&logged, version) { "" } else { "; nor does it open as it is" };
    if !outlook.obstacles.is_empty() {
        let why = format!("it would not start: {}{today}", outlook.obstacles.join("; "));
        return (MachineVerdict::StaysDark, why);
    }
    let opens = |value: &[u8]| value.try_into().is_ok_and(|value| values.open(&value, version));
    let (open, dark): (Vec<_>, Vec<_>) = outlook.values.iter().partition(|(value, _)| opens(value));
    let nothing_signed = |value: &[u8], why: &str| {
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        format!("nothing is signed for PCR 7 = {}…{why}", hex(value.get(..8).unwrap_or(value)))
    };
    match (&dark[..], &outlook.unknown) {
        ([], Some(why)) => (MachineVerdict::MayStayDark, format!("it cannot be predicted: {why}{today}")),
        ([], None) if open.is_empty() => not_judged("nothing is predicted for it"),
        ([], None) => (MachineVerdict::Opens, String::new()),
        ([(value, why), ..], _) if open.is_empty() => (MachineVerdict::StaysDark, nothing_signed(value, why) + today),
        ([(value, why), ..], _) => (
            MachineVerdict::MayStayDark,
            format!("of {} possibilities: {}", outlook.values.len(), nothing_signed(value, why)),
        ),
    }
}

/// Whether the PCR 7 of the state is what such a boot leaves, as far as it is known.
fn is_led_to(state: &StateRecord<'_>, logged: &Digest) -> bool {
    let now = state.pcrs.as_ref().and_then(|pcrs| unhex(pcrs.get("sha256")?.get("7")?.as_str()?));
    let Some(now) = now.and_then(|now| Digest::try_from(now).ok()) else { return true };
    now == *logged || pcr::moved_on(logged, &now, MOST_MOVES).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::state::record::SignedValue;

    fn signed(kind: &str, pcr7: &Digest, version: &str) -> SignedValue {
        SignedValue {
            keyset: "k".into(),
            kind: kind.into(),
            pcr7: hex(pcr7),
            policy_version: version.into(),
            signature_fits: Some(true),
            holds: None,
        }
    }

    #[test]
    fn a_machine_opens_by_what_is_signed_for_its_policy_version() {
        let path = format!("{}/tests/data/event-logs/direct.bin", env!("CARGO_MANIFEST_DIR"));
        let log = std::fs::read(path).unwrap();
        let log = FirmwareLog::read(&log);
        let now = Digest::try_from(BootLogs { firmware: &log, user_space: &[] }.replay().get(PCR_7).unwrap()).unwrap();
        let next = [7; 32];
        let state = |policies: Vec<SignedValue>| StateRecord {
            format: 1,
            policies: Some(policies),
            policy_version: Some("0002".into()),
            pcrs: Some(serde_json::json!({ "sha256": { "7": hex(&pcr::locked(&now)) } })),
            ..StateRecord::default()
        };
        let outlook = |values: &[Digest]| Pcr7Outlook {
            values: values.iter().map(|value| (value.to_vec(), "the dbx".to_owned())).collect(),
            ..Pcr7Outlook::default()
        };
        let verdict = |policies, values: &[Digest]| judge(&state(policies), &log, &outlook(values), None);
        let good = || vec![signed("production", &next, "0002"), signed("system", &pcr::locked(&now), "0002")];
        assert_eq!(verdict(good(), &[next, now]).0, MachineVerdict::Opens);
        let (kind, why) = verdict(good(), &[next, [8; 32]]);
        assert_eq!(kind, MachineVerdict::MayStayDark);
        assert_eq!(why, "of 2 possibilities: nothing is signed for PCR 7 = 0808080808080808… (the dbx)");
        assert_eq!(verdict(good(), &[[8; 32]]).0, MachineVerdict::StaysDark);
        // For another version, of another kind, with a signature that is none.
        for bad in [
            signed("production", &next, "0001"),
            signed("tpm", &next, "0002"),
            SignedValue { signature_fits: Some(false), ..signed("production", &next, "0002") },
        ] {
            let (kind, why) = verdict(vec![signed("production", &[1; 32], "0002"), bad], &[next]);
            assert_eq!(kind, MachineVerdict::StaysDark);
            assert!(why.ends_with("; nor does it open as it is"), "{why}");
        }
        // What is not known is not guessed.
        let unknown = Pcr7Outlook { unknown: Some("no log".into()), ..outlook(&[next]) };
        assert_eq!(judge(&state(good()), &log, &unknown, None).0, MachineVerdict::MayStayDark);
        let blocked = Pcr7Outlook { obstacles: vec!["dbx forbids it".into()], ..outlook(&[next]) };
        let (kind, why) = judge(&state(good()), &log, &blocked, None);
        assert_eq!((kind, why.as_str()), (MachineVerdict::StaysDark, "it would not start: dbx forbids it"));
        for (state, why) in [
            (StateRecord { policies: None, ..state(good()) }, "name the keyset"),
            (StateRecord { policies: Some(vec![]), ..state(good()) }, "name the keyset"),
            (
                StateRecord { pcrs: Some(serde_json::json!({ "sha256": { "7": "00".repeat(32) } })), ..state(good()) },
                "not of the same boot",
            ),
        ] {
            let (kind, told) = judge(&state, &log, &outlook(&[next]), None);
            assert!(kind == MachineVerdict::NotJudged && told.contains(why), "{told}");
        }
        // The administrator knows what is signed.
        let mut theirs = OpeningValues::default();
        theirs.add(EntryKind::Boot(BootKind::Production), next, *b"0002");
        let none = StateRecord { policies: None, ..state(good()) };
        assert_eq!(judge(&none, &log, &outlook(&[next]), Some(&theirs)).0, MachineVerdict::Opens);
        let empty = FirmwareLog::read(b"");
        assert_eq!(judge(&none, &empty, &outlook(&[next]), Some(&theirs)).0, MachineVerdict::NotJudged);
    }
}
