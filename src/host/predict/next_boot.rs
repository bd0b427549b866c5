//! What a machine measures when it starts next: the log of a boot, the variables as they are now, and updates lead to a set of
//! values for each PCR. Pure.
//!
//! Events that nothing touches stay as they are logged. Where order or presence is uncertain there are several possibilities,
//! each with its reason; what cannot be known is said to be unknown.

use super::{
    live::LiveVariables,
    owners_keys,
    plan::{Choice, Plan},
    secure_boot, started,
    update::Update,
};
use crate::{
    host::eventlog::{
        read::FirmwareLog,
        replay::{self, BootLogs},
    },
    measure::event::Event,
    policy::pcr_values::PcrName,
};
use std::collections::BTreeMap;

/// PCRs that systemd extends with `os-separator`.
const SEPARATED: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14];

/// A machine before the updates.
#[derive(Clone, Copy, Debug)]
pub struct MachineState<'a> {
    /// The firmware's log of its last boot.
    pub log: &'a FirmwareLog<'a>,
    /// Its variables as they are now; without them, those of the log.
    pub variables: Option<&'a LiveVariables>,
}

/// What its next boot measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextBoot {
    /// The PCRs that the firmware and what it starts extend, in a bank; by their numbers.
    pub pcrs: Vec<PredictedPcr>,
    /// Why the machine would not start what it is to start, as clauses. The values are then of a boot that does not happen.
    pub obstacles: Vec<String>,
}

/// A PCR of the next boot, as the initrd finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedPcr {
    /// Which.
    pub pcr: PcrName,
    /// What it was in the boot of the log; `None` where that has no digests of the bank.
    pub now: Option<Vec<u8>>,
    /// What it may be; the likeliest is the first. None where it is unknown.
    pub values: Vec<PredictedValue>,
    /// Why the values are not all, or none is known, as a clause.
    pub unknown: Option<String>,
}

/// A value that a PCR may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedValue {
    /// As long as the bank's digests.
    pub value: Vec<u8>,
    /// What it depends on, and what changes it, as clauses; empty where nothing does.
    pub why: Vec<String>,
    /// The events that lead to it; empty for a value that a vendor has published.
    pub events: Vec<PredictedEvent>,
}

/// An event of the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedEvent {
    /// The number of the event in the log that it is, or that it takes the place of; `None` for one that is new.
    pub number: Option<usize>,
    /// Itself.
    pub event: Event,
    /// Why it is not as it was logged; `None` where it is.
    pub change: Option<String>,
}

impl NextBoot {
    /// The prediction for one PCR; of one that nothing extends there is none.
    #[must_use]
    pub fn of(&self, number: u8) -> Option<&PredictedPcr> {
        self.pcrs.iter().find(|predicted| predicted.pcr.number == number)
    }
}

impl PredictedPcr {
    /// Whether it stays what it was, as far as is known.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let same = |value: &PredictedValue| Some(&value.value) == self.now.as_ref();
        self.unknown.is_none() && !self.values.is_empty() && self.values.iter().all(same)
    }
}

/// Predicts a bank of the next boot behind these updates, all of which are made before it.
#[must_use]
pub fn predict(before: MachineState<'_>, updates: &[Update], bank: u16) -> NextBoot {
    let mut plan = Plan::of(before.log);
    secure_boot::update(&mut plan, before, updates);
    started::update(&mut plan, before.log, updates);
    owners_keys::update(&mut plan, before, updates);
    if updates.iter().any(|update| matches!(update, Update::OsSeparator)) {
        for pcr in SEPARATED {
            let event =
                plan.measured(pcr.into(), crate::measure::event::EventType::SEPARATOR, b"os-separator".to_vec());
            let why = "systemd 261 or later extends it with os-separator".to_owned();
            plan.push(pcr, vec![Choice::of(PredictedEvent { number: None, event, change: Some(why) })]);
        }
    }
    let logs = BootLogs { firmware: before.log, ima: &[], user_space: &[] };
    let (now, locality) = (logs.replay(), logs.locality());
    let mut pcrs: BTreeMap<u8, PredictedPcr> = BTreeMap::new();
    for number in plan.pcrs() {
        let pcr = PcrName { bank, number };
        let (values, unknown) = match replay::start(bank, number, locality) {
            Some(start) => plan.values(pcr, &start),
            None => (Vec::new(), Some("there is no such bank".to_owned())),
        };
        pcrs.insert(number, PredictedPcr { pcr, now: now.get(pcr), values, unknown });
    }
    for update in updates {
        if let Update::Published { pcr, value } = update
            && pcr.bank == bank
        {
            let why = vec!["as its vendor has published it: nothing is known of the events".to_owned()];
            let published = PredictedValue { value: value.clone(), why, events: Vec::new() };
            let entry = pcrs.entry(pcr.number).or_insert_with(|| PredictedPcr {
                pcr: *pcr,
                now: now.get(*pcr),
                values: Vec::new(),
                unknown: None,
            });
            // What is published takes the place of what follows from the events.
            entry.values.retain(|value| value.events.is_empty());
            entry.values.push(published);
            entry.unknown = None;
        }
    }
    NextBoot { pcrs: pcrs.into_values().collect(), obstacles: plan.obstacles }
}
