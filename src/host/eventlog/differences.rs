//! What differs between two boots, as their logs have it: the first event of each PCR, in one sentence, and what to do.

use super::{
    read::{FirmwareLog, LoggedEvent},
    replay::{self, BootLogs, PcrExtension},
    words,
};
use crate::{measure::explain, tpm2::constants::alg};

/// PCR 7, of whose events some are wrong by themselves.
const SECURE_BOOT: u8 = 7;
/// What is done where a PCR has moved that something is bound to.
const CAUSES: [(&[u8], &str, &str); 10] = [
    (&[0], "the firmware was updated", "seal anew what is bound to it"),
    (&[1], "the firmware's settings or boot entries have changed", "restore them, or seal anew what is bound to it"),
    (&[2, 3], "a device with a program of its own was added, removed or updated", "seal anew what is bound to it"),
    (
        &[4],
        "another boot loader or kernel image was started",
        "seal anew what is bound to it, or sign a policy for it: `trust uki measure`",
    ),
    (&[5], "the partition table or the boot loader's configuration has changed", "seal anew what is bound to it"),
    (
        &[SECURE_BOOT],
        "what Secure Boot decides by, or what it has let through, has changed",
        "have policies signed for it, `trust keyset pcr7data KEYSET --log FILE`, FILE being this log",
    ),
    (&[8, 9], "another configuration, kernel or initrd was read by the boot loader", "seal anew what is bound to it"),
    (&[11], "another unified kernel image was started", "sign a policy for it: `trust uki measure`"),
    (&[12, 13], "another command line, or other credentials or extensions", "seal anew what is bound to it"),
    (&[14], "the owner's keys in shim have changed", "seal anew what is bound to it"),
];

/// What differs in one PCR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrDifference {
    /// The PCR.
    pub pcr: u8,
    /// The number of the first event that differs; of one that is missing there is none.
    pub event: Option<usize>,
    /// What is different, and what to do, in one sentence without a full stop.
    pub why: String,
}

/// What is different in this log from the other one; `None` where they have no bank in common.
#[must_use]
pub fn between(this: &[u8], other: &[u8]) -> Option<Vec<PcrDifference>> {
    let (this_log, other_log) = (FirmwareLog::read(this), FirmwareLog::read(other));
    let bank = common_bank(&this_log, &other_log)?;
    let extensions = |log| BootLogs { firmware: log, user_space: &[] }.extensions();
    let (these, others) = (extensions(&this_log), extensions(&other_log));
    let mut pcrs: Vec<u8> = these.keys().chain(others.keys()).copied().collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    let of = |events: Option<&Vec<PcrExtension<'_>>>, pcr| {
        let sides = (these.get(&pcr).map_or(&[][..], Vec::as_slice), events.map_or(&[][..], Vec::as_slice));
        let (event, what) = first(sides.0, sides.1, bank)?;
        let of_number = |number| this_log.events.iter().find(|logged| Some(logged.number) == number);
        let fault = of_number(event).filter(|_| pcr == SECURE_BOOT).and_then(|logged| explain::fault(&logged.event));
        let cause = CAUSES.iter().find(|(pcrs, ..)| pcrs.contains(&pcr));
        let why = match (fault, cause) {
            (Some(fault), _) => fault,
            (None, Some((_, cause, remedy))) => format!("{what}; {cause}: {remedy}"),
            (None, None) => what,
        };
        Some(PcrDifference { pcr, event, why })
    };
    Some(pcrs.into_iter().filter_map(|pcr| of(others.get(&pcr), pcr)).collect())
}

/// A bank that both logs have digests of.
fn common_bank(this: &FirmwareLog<'_>, other: &FirmwareLog<'_>) -> Option<u16> {
    let has = |log: &FirmwareLog<'_>, bank| log.algorithms.iter().any(|(id, _)| *id == bank);
    let banks = [alg::SHA256].into_iter().chain(this.algorithms.iter().map(|(id, _)| *id));
    banks.into_iter().find(|bank| replay::hash_of(*bank).is_some() && has(this, *bank) && has(other, *bank))
}

/// The first event that differs, and how.
fn first(these: &[PcrExtension<'_>], others: &[PcrExtension<'_>], bank: u16) -> Option<(Option<usize>, String)> {
    let same = |this: &PcrExtension<'_>, other: &PcrExtension<'_>| this.digest(bank) == other.digest(bank);
    let at = these.iter().zip(others).take_while(|(this, other)| same(this, other)).count();
    let comes_later =
        |all: &[PcrExtension<'_>], one: &PcrExtension<'_>| all.iter().skip(at + 1).any(|each| same(each, one));
    match (these.get(at).and_then(logged), others.get(at).and_then(logged)) {
        (None, None) => None,
        (Some(this), None) => Some((Some(this.number), format!("new: {}", words::meaning(&this.event)))),
        (None, Some(other)) => Some((None, format!("missing: {}", words::meaning(&other.event)))),
        (Some(this), Some(other)) => {
            let (now, before) = (words::meaning(&this.event), words::meaning(&other.event));
            let is_new = others.get(at).is_some_and(|other| comes_later(these, other));
            let is_gone = these.get(at).is_some_and(|this| comes_later(others, this));
            Some(match (is_new, is_gone) {
                (true, false) => (Some(this.number), format!("new: {now}")),
                (false, true) => (None, format!("missing: {before}")),
                // Where the words are the same, what they are about has another digest.
                _ if now == before => (Some(this.number), format!("with another digest: {now}")),
                _ => (Some(this.number), format!("now: {now}; before: {before}")),
            })
        }
    }
}

fn logged<'a>(extension: &PcrExtension<'a>) -> Option<&'a LoggedEvent<'a>> {
    match extension {
        PcrExtension::Firmware(logged) => Some(logged),
        PcrExtension::UserSpace(..) => None,
    }
}
