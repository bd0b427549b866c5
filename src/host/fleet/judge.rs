//! Whether a machine still opens behind an update: what its PCR 7 may become, and what is signed for it.

use crate::{
    digest::{Digest, unhex},
    foreign::printable,
    host::{
        eventlog::read::FirmwareLog,
        keyset::signed_policy,
        predict::{
            self,
            next_boot::{self, MachineState, NextBoot},
            update::Update,
        },
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
use std::collections::BTreeMap;

/// How often PCR 7 may have moved on in the boot of a state.
const MOST_MOVES: u8 = 8;
/// PCR 7 of the sha256 bank.
const PCR_7: PcrName = PcrName { bank: alg::SHA256, number: 7 };

/// What values of PCR 7 stand for, each with the policy version that something is signed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedValues(BTreeMap<Digest, Vec<(EntryKind, Version)>>);

impl SignedValues {
    /// Those of a directory of signed policies, if their signatures fit.
    #[must_use]
    pub fn of_policies(data: &Pcr7Data) -> Self {
        let mut values = Self::default();
        for pcr7 in data.values() {
            // What cannot be read opens nothing.
            if let Ok(Some(entry)) = data.entry(&pcr7)
                && signed_policy::is_signed(data, &entry)
            {
                values.add(pcr7, entry.info.kind, entry.info.policy_version);
            }
        }
        values
    }

    /// Those that a state tells; `None` where it tells of none. A machine may know the values of its running system alone.
    #[must_use]
    pub fn of_state(state: &StateRecord<'_>) -> Option<Self> {
        let mut values = Self::default();
        for signed in state.policies.as_ref()?.iter().filter(|signed| signed.signature_fits != Some(false)) {
            let pcr7 = unhex(&signed.pcr7).and_then(|pcr7| pcr7.try_into().ok());
            if let (Some(kind), Some(pcr7), Some(version)) =
                (EntryKind::named(&signed.kind), pcr7, version::parse(&signed.policy_version))
            {
                values.add(pcr7, kind, version);
            }
        }
        (!values.0.is_empty()).then_some(values)
    }

    /// Adds one.
    pub fn add(&mut self, pcr7: Digest, kind: EntryKind, version: Version) {
        self.0.entry(pcr7).or_default().push((kind, version));
    }

    /// What a value stands for on a machine whose policy version is this; where that is not known, any will do.
    #[must_use]
    pub fn kind(&self, pcr7: &Digest, version: Option<Version>) -> Option<EntryKind> {
        let fits = |(kind, of): &&(EntryKind, Version)| {
            !kind.asks_for_the_version() || version.is_none_or(|version| version == *of)
        };
        self.0.get(pcr7)?.iter().find(fits).map(|(kind, _)| *kind)
    }
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

    /// For people, of several machines: `3 open`.
    #[must_use]
    pub const fn of_many(self) -> &'static str {
        match self {
            Self::Opens => "open",
            Self::MayStayDark => "may stay dark",
            Self::StaysDark => "stay dark",
            Self::NotJudged => "not judged",
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
        format!("it has no event log: {}", printable(why))
    };
    let log = state.event_log.as_ref().ok_or_else(missing)?;
    Base64::decode_vec(&log.data).map_err(|_| "its event log is not base64".to_owned())
}

/// What becomes of a machine behind these updates, and why; as [`judge`], with the log in its state.
#[must_use]
pub fn behind(state: &StateRecord<'_>, updates: &[Update], signed: Option<&SignedValues>) -> (MachineVerdict, String) {
    let log = match log_of(state) {
        Ok(log) => log,
        Err(why) => return (MachineVerdict::NotJudged, why),
    };
    let log = FirmwareLog::read(&log);
    let next = next_boot::predict(MachineState { log: &log, variables: None }, updates, alg::SHA256);
    judge(state, &next, signed)
}

/// What becomes of a machine whose next boot is predicted, and why; `signed` takes the place of what the state says to be
/// signed.
#[must_use]
pub fn judge(state: &StateRecord<'_>, next: &NextBoot, signed: Option<&SignedValues>) -> (MachineVerdict, String) {
    let not_judged = |why: &str| (MachineVerdict::NotJudged, why.to_owned());
    let predicted = next.of(PCR_7.number).filter(|predicted| predicted.pcr == PCR_7);
    let logged = predicted.and_then(|predicted| Digest::try_from(predicted.now.as_deref()?).ok());
    let (Some(predicted), Some(logged)) = (predicted, logged) else {
        return not_judged("its event log does not lead to a PCR 7 of the sha256 bank");
    };
    if !is_led_to(state, &logged) {
        return not_judged(
            "its event log does not lead to its PCR 7: they are not of the same boot, or it was altered",
        );
    }
    let own = if signed.is_some() { None } else { SignedValues::of_state(state) };
    let Some(values) = signed.or(own.as_ref()) else {
        return not_judged("it does not say what is signed for it: name the keyset");
    };
    let version = state.policy_version.as_deref().and_then(version::parse);
    let known = |value: &Digest| values.kind(value, version);
    let reasons = predict::judge::refusals(next, &known);
    let Some(first) = reasons.first() else { return (MachineVerdict::Opens, String::new()) };
    let more = match reasons.len() {
        1 => String::new(),
        2 => "; and one more reason".to_owned(),
        count => format!("; and {} more reasons", count - 1),
    };
    let today = if predict::judge::is_known_today(predicted, &known) { "" } else { "; nor is it signed for as it is" };
    let wanted = predict::judge::kind_of(predicted.now.as_deref(), &known).unwrap_or(BootKind::Production);
    let may_open = predicted.unknown.is_some()
        || predicted.values.iter().any(|value| predict::judge::kind_of(Some(&value.value), &known) == Some(wanted));
    let verdict =
        if next.obstacles.is_empty() && may_open { MachineVerdict::MayStayDark } else { MachineVerdict::StaysDark };
    (verdict, format!("{first}{more}{today}"))
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
    use crate::{
        digest::hex,
        host::{
            predict::next_boot::{PredictedPcr, PredictedValue},
            state::record::SignedValue,
        },
    };

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

    fn next(now: Digest, values: &[Digest]) -> NextBoot {
        let value = |value: &Digest| PredictedValue {
            value: value.to_vec(),
            why: vec!["the dbx".to_owned()],
            events: Vec::new(),
        };
        let values = values.iter().map(value).collect();
        let predicted = PredictedPcr { pcr: PCR_7, now: Some(now.to_vec()), values, unknown: None };
        NextBoot { pcrs: vec![predicted], obstacles: Vec::new() }
    }

    #[test]
    fn a_machine_opens_by_what_is_signed_for_its_policy_version() {
        let (now, then) = ([6; 32], [7; 32]);
        let state = |policies: Vec<SignedValue>| StateRecord {
            format: 1,
            policies: Some(policies),
            policy_version: Some("0002".into()),
            pcrs: Some(serde_json::json!({ "sha256": { "7": hex(&pcr::locked(&now)) } })),
            ..StateRecord::default()
        };
        let verdict = |policies, values: &[Digest]| judge(&state(policies), &next(now, values), None);
        let good = || vec![signed("production", &then, "0002"), signed("system", &pcr::locked(&now), "0002")];
        assert_eq!(verdict(good(), &[then, now]), (MachineVerdict::Opens, String::new()));
        let (kind, why) = verdict(good(), &[then, [8; 32]]);
        assert_eq!(kind, MachineVerdict::MayStayDark);
        assert!(why.starts_with("nothing is signed for production boots with PCR 7 = 0808"), "{why}");
        assert_eq!(verdict(good(), &[[8; 32]]).0, MachineVerdict::StaysDark);
        // For another version, of another kind, with a signature that is none.
        let forged = SignedValue { signature_fits: Some(false), ..signed("production", &then, "0002") };
        for bad in [signed("production", &then, "0001"), signed("tpm", &then, "0002"), forged] {
            let (kind, why) = verdict(vec![signed("production", &[1; 32], "0002"), bad], &[then]);
            assert_eq!(kind, MachineVerdict::StaysDark);
            assert!(why.ends_with("; nor is it signed for as it is"), "{why}");
        }
        // What is not known is not guessed.
        let mut unknown = next(now, &[then]);
        unknown.pcrs[0].unknown = Some("no log".into());
        assert_eq!(judge(&state(good()), &unknown, None).0, MachineVerdict::MayStayDark);
        let blocked = NextBoot { obstacles: vec!["dbx forbids it".into()], ..next(now, &[then]) };
        assert_eq!(judge(&state(good()), &blocked, None), (MachineVerdict::StaysDark, "dbx forbids it".into()));
        let other = Some(serde_json::json!({ "sha256": { "7": "00".repeat(32) } }));
        for (state, why) in [
            (StateRecord { policies: None, ..state(good()) }, "name the keyset"),
            (StateRecord { policies: Some(vec![]), ..state(good()) }, "name the keyset"),
            (StateRecord { pcrs: other, ..state(good()) }, "not of the same boot"),
        ] {
            let (kind, told) = judge(&state, &next(now, &[then]), None);
            assert!(kind == MachineVerdict::NotJudged && told.contains(why), "{told}");
        }
        // The administrator knows what is signed.
        let mut theirs = SignedValues::default();
        theirs.add(then, EntryKind::Boot(BootKind::Production), *b"0002");
        let none = StateRecord { policies: None, ..state(good()) };
        assert_eq!(judge(&none, &next(now, &[then]), Some(&theirs)).0, MachineVerdict::Opens);
        let nothing = NextBoot { pcrs: Vec::new(), obstacles: Vec::new() };
        assert_eq!(judge(&none, &nothing, Some(&theirs)).0, MachineVerdict::NotJudged);
    }
}
