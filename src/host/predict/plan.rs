//! The events of a boot in their order, where for each place there may be several possibilities. Pure.

use super::next_boot::{PredictedEvent, PredictedValue};
use crate::{
    host::eventlog::{
        measured::{self, DigestOf},
        read::FirmwareLog,
        replay,
    },
    measure::{
        event::{Event, EventType},
        log::Algorithm,
        variable::VariableData,
    },
    policy::pcr_values::PcrName,
    tpm2::constants::alg,
};
use aws_lc_rs::digest;
use std::collections::BTreeMap;

/// Sequences of events for one PCR, at most.
const MAX_SEQUENCES: usize = 64;

/// One possibility.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub events: Vec<PredictedEvent>,
    /// On what it depends that it comes to this one.
    pub condition: Option<String>,
}

impl Choice {
    pub fn of(event: PredictedEvent) -> Self {
        Self { events: vec![event], condition: None }
    }

    pub fn when(self, condition: &str) -> Self {
        Self { condition: Some(condition.to_owned()), ..self }
    }
}

/// A place in the order of events.
#[derive(Clone, Debug)]
struct PlannedPlace {
    pcr: u8,
    /// Of the event in the log.
    number: Option<usize>,
    choices: Vec<Choice>,
}

/// The order of events, and what is not known of it.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<PlannedPlace>,
    algorithms: Vec<Algorithm>,
    unknown: BTreeMap<u8, String>,
    pub obstacles: Vec<String>,
}

impl Plan {
    /// As it is logged.
    pub fn of(log: &FirmwareLog<'_>) -> Self {
        let extending = log.events.iter().filter(|logged| replay::extends(&logged.event));
        let step = |logged: &crate::host::eventlog::read::LoggedEvent<'_>| {
            let event = Event::clone(&logged.event).into_owned();
            let same = PredictedEvent { number: Some(logged.number), event, change: None };
            Some(PlannedPlace {
                pcr: u8::try_from(logged.event.pcr).ok()?,
                number: Some(logged.number),
                choices: vec![Choice::of(same)],
            })
        };
        let mut plan = Self {
            steps: extending.filter_map(step).collect(),
            algorithms: log.algorithms.clone(),
            unknown: BTreeMap::new(),
            obstacles: Vec::new(),
        };
        if let Some(fault) = &log.fault {
            let why = format!("the log cannot be understood from byte {} on", fault.offset);
            plan.pcrs().into_iter().for_each(|pcr| plan.is_unknown(pcr, &why));
        }
        plan
    }

    /// The PCRs that are extended, or of which something is to be said.
    pub fn pcrs(&self) -> Vec<u8> {
        let mut pcrs: Vec<u8> = self.steps.iter().map(|step| step.pcr).chain(self.unknown.keys().copied()).collect();
        pcrs.sort_unstable();
        pcrs.dedup();
        pcrs
    }

    /// That a PCR cannot be predicted, and why: the first reason counts.
    pub fn is_unknown(&mut self, pcr: u8, why: &str) {
        self.unknown.entry(pcr).or_insert_with(|| why.to_owned());
    }

    /// That the machine would not start.
    pub fn is_obstructed(&mut self, why: String) {
        if !self.obstacles.contains(&why) {
            self.obstacles.push(why);
        }
    }

    /// Whether anything extends this PCR.
    pub fn extends(&self, pcr: u8) -> bool {
        self.steps.iter().any(|step| step.pcr == pcr)
    }

    /// Puts something in the place of a logged event.
    pub fn replace(&mut self, number: usize, choices: Vec<Choice>) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.number == Some(number)) {
            step.choices = choices;
        }
    }

    /// Takes a logged event away.
    pub fn remove(&mut self, number: usize) {
        self.replace(number, vec![Choice::default()]);
    }

    /// Puts something before a logged event, or at the end.
    pub fn insert_before(&mut self, number: Option<usize>, pcr: u8, choices: Vec<Choice>) {
        let at = self.steps.iter().position(|step| number.is_some() && step.number == number);
        self.steps.insert(at.unwrap_or(self.steps.len()), PlannedPlace { pcr, number: None, choices });
    }

    /// Puts something behind a logged event.
    pub fn insert_behind(&mut self, number: usize, pcr: u8, choices: Vec<Choice>) {
        let at = self.steps.iter().position(|step| step.number == Some(number)).map(|at| at + 1);
        self.steps.insert(at.unwrap_or(self.steps.len()), PlannedPlace { pcr, number: None, choices });
    }

    /// Puts something before all events of a PCR.
    pub fn insert_first(&mut self, pcr: u8, choices: Vec<Choice>) {
        let at = self.steps.iter().position(|step| step.pcr == pcr).unwrap_or(self.steps.len());
        self.steps.insert(at, PlannedPlace { pcr, number: None, choices });
    }

    /// Puts something at the end.
    pub fn push(&mut self, pcr: u8, choices: Vec<Choice>) {
        self.insert_before(None, pcr, choices);
    }

    /// Takes away all events of a PCR, and puts something in the place of the first.
    pub fn replace_all(&mut self, pcr: u8, choices: Vec<Choice>) {
        let at = self.steps.iter().position(|step| step.pcr == pcr).unwrap_or(self.steps.len());
        self.steps.retain(|step| step.pcr != pcr);
        self.steps.insert(at.min(self.steps.len()), PlannedPlace { pcr, number: None, choices });
    }

    /// An event whose data are measured, in every bank of the log.
    pub fn measured(&self, pcr: u32, kind: EventType, data: Vec<u8>) -> Event {
        self.with_digests_of(pcr, kind, &data.clone(), data)
    }

    /// An event with other digests than its data's, in every bank of the log.
    pub fn with_digests_of(&self, pcr: u32, kind: EventType, bytes: &[u8], data: Vec<u8>) -> Event {
        let known = self.algorithms.iter().filter_map(|(id, _)| Some((*id, replay::hash_of(*id)?)));
        let digests = known.map(|(id, hash)| (id, digest::digest(hash, bytes).as_ref().to_vec())).collect();
        Event { pcr, kind, digest: crate::digest::hash(&[bytes]), digests, data }
    }

    /// The event of a variable with other contents, measured in the same way as the logged one: all of its data, or the contents
    /// alone. `None`: what that has measured is not in its data.
    pub fn measured_like(&self, logged: &Event<&[u8]>, data: Vec<u8>) -> Option<Event> {
        let (pcr, kind) = (logged.pcr, logged.kind);
        match measured::of(logged) {
            // A log of the first format may have any digests.
            Some(DigestOf::Data) | None => Some(self.measured(pcr, kind, data)),
            Some(DigestOf::Part("contents")) => {
                let contents = VariableData::parse(&data).map(|variable| variable.contents.to_vec())?;
                Some(self.with_digests_of(pcr, kind, &contents, data))
            }
            Some(DigestOf::Part("certificate")) => {
                let contents = VariableData::parse(&data).map(|variable| variable.contents.to_vec())?;
                let certificate = contents.get(16..)?.to_vec();
                Some(self.with_digests_of(pcr, kind, &certificate, data))
            }
            Some(_) => None,
        }
    }

    /// The event of a program with these digests: `TPM_ALG_ID`, digest.
    pub fn of_program(pcr: u32, kind: EventType, digests: &[(u16, Vec<u8>)], data: Vec<u8>) -> Event {
        let sha256 = digests.iter().find(|(bank, _)| *bank == alg::SHA256);
        let digest = sha256.and_then(|(_, digest)| digest.as_slice().try_into().ok()).unwrap_or_default();
        Event { pcr, kind, digest, digests: digests.to_vec(), data }
    }

    /// What a PCR becomes that begins with `start`, and why that is not all.
    pub fn values(&self, pcr: PcrName, start: &[u8]) -> (Vec<PredictedValue>, Option<String>) {
        if let Some(why) = self.unknown.get(&pcr.number) {
            return (Vec::new(), Some(why.clone()));
        }
        let Some(hash) = replay::hash_of(pcr.bank) else {
            return (Vec::new(), Some("the hash of this bank is not known here".into()));
        };
        let steps: Vec<&PlannedPlace> = self.steps.iter().filter(|step| step.pcr == pcr.number).collect();
        let count = steps.iter().fold(1_usize, |count, step| count.saturating_mul(step.choices.len()));
        if count > MAX_SEQUENCES {
            return (Vec::new(), Some(format!("there are {count} possibilities, too many to be told apart")));
        }
        let mut values: Vec<PredictedValue> = Vec::new();
        for number in 0..count {
            let (mut rest, mut events, mut why) = (number, Vec::new(), Vec::new());
            for step in &steps {
                let choice = step.choices.get(rest % step.choices.len().max(1));
                rest /= step.choices.len().max(1);
                let Some(choice) = choice else { continue };
                why.extend(choice.condition.iter().cloned());
                events.extend(choice.events.iter().cloned());
            }
            let changes = events.iter().filter_map(|event| event.change.clone());
            for change in changes {
                if !why.contains(&change) {
                    why.push(change);
                }
            }
            let of_bank = |event: &PredictedEvent| {
                event.event.digests.iter().find(|(id, _)| *id == pcr.bank).map(|(_, digest)| digest.clone())
            };
            let Some(digests) = events.iter().map(of_bank).collect::<Option<Vec<_>>>() else {
                let which = events.iter().find(|event| of_bank(event).is_none());
                let which = which.map(|event| event.event.name()).unwrap_or_default();
                return (Vec::new(), Some(format!("there is no digest of {which} in this bank")));
            };
            let value = digests.iter().fold(start.to_vec(), |value, digest| replay::after(hash, &value, digest));
            if !values.iter().any(|known| known.value == value) {
                values.push(PredictedValue { value, why, events });
            }
        }
        (values, None)
    }
}
