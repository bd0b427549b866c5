//! What is wrong with what the TPM holds of verification keys, each named as what it is. Pure.

use super::{
    COUNTER, Generation, GenerationState, Generations, KeyRecord, SealingKey, key_index, record::locked_name,
    record_index,
};
use crate::tpm2::{
    NvPublic,
    nv::{attribute, kind},
};

/// Something that should not be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FssFinding {
    /// What it is, in a word that programs compare.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub text: String,
}

fn finding(name: &'static str, text: impl Into<String>) -> FssFinding {
    FssFinding { name, text: text.into() }
}

/// What is wrong with the generations and the counter.
#[must_use]
pub fn findings(found: &Generations) -> Vec<FssFinding> {
    let mut wrong = Vec::new();
    if found.all.is_empty() && found.counter_index.is_none() {
        return wrong;
    }
    counter_kind(found, &mut wrong);
    for (expected, generation) in (0..).zip(&found.all) {
        if generation.number != expected && found.all.iter().all(|one| one.number != expected) {
            wrong.push(finding("generation_missing", format!("generation {expected} is missing: it was removed")));
        }
    }
    for generation in &found.all {
        one(generation, found, &mut wrong);
    }
    let records: Vec<&KeyRecord> = found.records().collect();
    for pair in records.windows(2) {
        let [before, after] = pair else { continue };
        match after.counter.checked_sub(before.counter) {
            Some(1) => {}
            None | Some(0) => wrong.push(finding(
                "counter_went_back",
                format!(
                    "generation {} was counted as {}, after {}: the counter went back",
                    after.number, after.counter, before.counter
                ),
            )),
            Some(steps) => wrong.push(finding(
                "not_accounted_for",
                format!(
                    "between generations {} and {} the counter was counted up {} times that no generation accounts for",
                    before.number,
                    after.number,
                    steps - 1
                ),
            )),
        }
        // The beginning of an interval may be that much before the moment at which the keys were made.
        if after.start.saturating_add(after.interval) <= before.start {
            let text = format!(
                "generation {} claims to seal since before generation {} did: it was made to cover an older journal",
                after.number, before.number
            );
            wrong.push(finding("start_before_predecessor", text));
        }
    }
    if let (Some(newest), Some(counter)) = (records.last(), found.counter) {
        match newest.counter.checked_sub(counter) {
            Some(0) => {}
            Some(1) => wrong.push(finding(
                "not_counted",
                format!("generation {} was locked and not counted: run `trust fss rotate` again", newest.number),
            )),
            Some(_) => wrong.push(finding(
                "counter_went_back",
                format!("the counter is {counter}, and was {} with generation {}: it went back", newest.counter, newest.number),
            )),
            None => wrong.push(finding(
                "not_accounted_for",
                format!(
                    "the counter is {counter}, and the newest generation, {}, was counted as {}: a newer one was removed, or somebody has counted",
                    newest.number, newest.counter
                ),
            )),
        }
    }
    wrong
}

fn counter_kind(found: &Generations, wrong: &mut Vec<FssFinding>) {
    match &found.counter_index {
        None => wrong.push(finding("counter_missing", format!("the counter, index {COUNTER:#x}, is not there"))),
        Some(public) if kind(public.attributes) != "counter" => {
            let text = format!("index {COUNTER:#x} is not a counter: it can be set back");
            wrong.push(finding("counter_is_none", text));
        }
        Some(_) if found.newest().is_none() => wrong.push(finding(
            "no_generation",
            "there is a counter and no whole generation: `trust fss setup` was cut off, or the keys were removed",
        )),
        Some(_) => {}
    }
}

/// What is wrong with one of them.
fn one(generation: &Generation, found: &Generations, wrong: &mut Vec<FssFinding>) {
    let number = generation.number;
    let is_last = found.all.last().is_some_and(|last| last.number == number);
    let Some(key) = &generation.key else {
        let text = format!("the key of generation {number}, index {:#x}, is not there", key_index(number));
        return wrong.push(finding("key_missing", text));
    };
    // Indices that can be written again are what a run leaves that was cut off; an older one may be an attacker's.
    let can_be_written = |index: u32| {
        let again = if is_last { ": run it again, unless nobody has begun it" } else { "" };
        finding("writable", format!("index {index:#x} of generation {number} can be written again{again}"))
    };
    match generation.state() {
        GenerationState::Begun => return wrong.push(can_be_written(key_index(number))),
        GenerationState::KeyLocked => wrong.push(can_be_written(record_index(number))),
        GenerationState::Locked => {}
    }
    if is_open(key) {
        let text = format!("the key of generation {number} is read by others than whoever fulfils its policy");
        wrong.push(finding("readable", text));
    }
    match &generation.record {
        None => {
            wrong.push(finding("record_unreadable", format!("what is said of generation {number} is not readable")))
        }
        Some(record) if record.number != number || record.key_name != locked_name(key) => wrong.push(finding(
            "key_replaced",
            format!(
                "the index of the key of generation {number} is not the one that its record names: it was replaced"
            ),
        )),
        Some(_) => {}
    }
}

/// Whether an index is read by others than its policy, the firmware included.
const fn is_open(public: &NvPublic) -> bool {
    const PPREAD: u32 = 1 << 16;
    public.attributes & (attribute::OWNERREAD | attribute::AUTHREAD | PPREAD) != 0
        || public.attributes & attribute::POLICYREAD == 0
}

/// What is wrong with the sealing key on the disk of this machine.
#[must_use]
pub fn sealing_findings(found: &Generations, sealing: Option<&SealingKey>, machine: &[u8; 16]) -> Vec<FssFinding> {
    let Some(newest) = found.newest().and_then(|newest| newest.record.as_ref()) else { return Vec::new() };
    let mut wrong = Vec::new();
    if newest.machine != *machine {
        let text = format!("generation {} was made for another machine-id than this machine's", newest.number);
        wrong.push(finding("other_machine", text));
    }
    match sealing {
        None => wrong.push(finding("nothing_sealed", "there is no sealing key on disk: nothing is sealed")),
        Some(sealing) => match owner(found, sealing) {
            None => wrong.push(finding(
                "sealing_key_unknown",
                "the sealing key on disk is of no generation: what it seals cannot be verified; `trust fss rotate` replaces it",
            )),
            Some(record) if record.number != newest.number => wrong.push(finding(
                "sealing_key_old",
                format!("the sealing key on disk is that of generation {}, which was replaced", record.number),
            )),
            Some(_) => {}
        },
    }
    wrong
}

/// The generation that a sealing key belongs to.
#[must_use]
pub fn owner<'a>(found: &'a Generations, sealing: &SealingKey) -> Option<&'a KeyRecord> {
    found.records().find(|record| {
        record.fingerprint == sealing.fingerprint
            && (record.start, record.interval, record.machine) == (sealing.start, sealing.interval, sealing.machine)
    })
}
