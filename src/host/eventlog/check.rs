//! Whether PCRs have the values that the logs make of them; and if not, what in the logs is to blame.

use super::{
    ima,
    measured::{self, DigestOf},
    replay::{self, BankHash, BootLogs, PcrExtension},
};
use crate::{
    digest::hex,
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::bank,
};

/// Where a PCR has not more extensions, they are left out one by one, to find one that never was.
const MOST_TRIED: usize = 512;
/// PCR of IMA.
const IMA: u8 = 10;
const NO_LIST: &str = "whose list is not part of these logs";
/// The localities that a TPM is started from.
const LOCALITIES: [u8; 3] = [0, 3, 4];

/// What has come out for one PCR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrComparison {
    /// Which PCR.
    pub pcr: PcrName,
    /// What the logs make of it.
    pub replayed: Option<Vec<u8>>,
    /// What it is.
    pub value: Vec<u8>,
    /// What that means.
    pub outcome: PcrOutcome,
}

/// What a comparison means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PcrOutcome {
    /// The logs say how it came to its value.
    ComesOut,
    /// It does not, and why, as a clause.
    Differs(String),
    /// Nothing can be said of it, and why, as a clause.
    NotCompared(String),
}

/// Compares all PCRs that the values are of.
#[must_use]
pub fn compare(logs: BootLogs<'_>, values: &PcrValues) -> Vec<PcrComparison> {
    let (extensions, replayed) = (logs.extensions(), logs.replay());
    let none = Vec::new();
    let compared = values.iter().map(|(pcr, value)| {
        let extensions = extensions.get(&pcr.number).unwrap_or(&none);
        let expected = replayed.get(pcr);
        let outcome = PcrJudge { logs, pcr, value, extensions }.judge(expected.as_deref());
        PcrComparison { pcr, replayed: expected, value: value.to_vec(), outcome }
    });
    compared.collect()
}

/// Events whose data are not what was measured: the PCR vouches for their digests alone.
#[must_use]
pub fn doubtful(logs: BootLogs<'_>) -> Vec<usize> {
    let events = logs.firmware.events.iter();
    events
        .filter(|logged| measured::of(&logged.event) == Some(DigestOf::Doubtful))
        .map(|logged| logged.number)
        .collect()
}

struct PcrJudge<'a> {
    logs: BootLogs<'a>,
    pcr: PcrName,
    value: &'a [u8],
    extensions: &'a [PcrExtension<'a>],
}

impl PcrJudge<'_> {
    fn judge(&self, replayed: Option<&[u8]>) -> PcrOutcome {
        let Some(size) = bank::by_id(self.pcr.bank).map(|bank| bank.size).filter(|_| self.can_be_computed()) else {
            return PcrOutcome::NotCompared("the hash of this bank is not known here".into());
        };
        if replayed == Some(self.value) {
            return PcrOutcome::ComesOut;
        }
        let is_blank = [0, 0xff].iter().any(|byte| self.value == vec![*byte; size]);
        if self.extensions.is_empty() {
            return match self.pcr.number {
                _ if is_blank
                    || replay::start(self.pcr.bank, self.pcr.number, self.logs.locality()).as_deref()
                        == Some(self.value) =>
                {
                    PcrOutcome::ComesOut
                }
                IMA => PcrOutcome::NotCompared(format!("IMA extends it, {NO_LIST}")),
                16..=23 => PcrOutcome::NotCompared("it can be reset, and the logs say nothing of it".into()),
                _ => PcrOutcome::Differs("nothing in the logs has extended it, and something has".into()),
            };
        }
        let digests: Option<Vec<&[u8]>> =
            self.extensions.iter().map(|extension| extension.digest(self.pcr.bank)).collect();
        let Some(digests) = digests else {
            let without = self.extensions.iter().find(|extension| extension.digest(self.pcr.bank).is_none());
            let what = without.map(name).unwrap_or_default();
            return PcrOutcome::NotCompared(format!("{what} has no digest of this bank"));
        };
        match self.of_ima(is_blank) {
            Some(outcome) => outcome,
            None => PcrOutcome::Differs(self.reason(&digests, is_blank)),
        }
    }

    /// What there is to say of a PCR that IMA extends, and that does not come out as others would.
    fn of_ima(&self, is_blank: bool) -> Option<PcrOutcome> {
        let number = self.pcr.number;
        let is_listed = self.logs.ima.iter().any(|extension| extension.pcr == number);
        if number == IMA && !is_listed {
            return Some(PcrOutcome::NotCompared(format!("IMA extends it as well, {NO_LIST}")));
        }
        if !is_listed {
            return None;
        }
        if is_blank {
            let why = "nothing has extended it, so that nobody vouches for IMA's list: the TPM's driver came too late for IMA, or \
                       the list is of another boot";
            return Some(PcrOutcome::NotCompared(why.into()));
        }
        if ima::begins_after_kexec(self.logs) {
            let why = "after a kexec, most kernels begin IMA's list anew, and not the PCR";
            return Some(PcrOutcome::NotCompared(why.into()));
        }
        let old = self.extensions.iter().map(|extension| match extension {
            PcrExtension::Ima(extension) => extension.of_old_kernels(self.pcr.bank),
            other => other.digest(self.pcr.bank).map(<[u8]>::to_vec),
        });
        let old: Vec<Vec<u8>> = old.collect::<Option<_>>()?;
        let start = replay::start(self.pcr.bank, number, self.logs.locality())?;
        let old: Vec<&[u8]> = old.iter().map(Vec::as_slice).collect();
        let comes_out = replay::last(self.pcr.bank, start, &old)? == self.value;
        comes_out.then_some(PcrOutcome::ComesOut)
    }

    fn can_be_computed(&self) -> bool {
        BankHash::of(self.pcr.bank).is_some()
    }

    /// Why it does not come out.
    fn reason(&self, digests: &[&[u8]], is_blank: bool) -> String {
        let of_locality = |locality| replay::start(self.pcr.bank, self.pcr.number, locality).unwrap_or_default();
        let start = of_locality(self.logs.locality());
        let name = |at: usize| self.extensions.get(at).map(name).unwrap_or_default();
        let Some(hash) = BankHash::of(self.pcr.bank) else { return String::new() };
        if is_blank {
            return format!(
                "nothing has extended it: {} and all behind it are not of this boot, or this bank was left out",
                name(0)
            );
        }
        // As far as it came out.
        let mut now = start.clone();
        for (at, digest) in digests.iter().enumerate() {
            if now == self.value {
                return format!("{} has not extended it, nor has anything behind that", name(at));
            }
            now = hash.extended(&now, digest);
        }
        let all_from = |start: Vec<u8>, without: Option<usize>| {
            let kept = digests.iter().enumerate().filter(|(at, _)| Some(*at) != without);
            kept.fold(start, |value, (_, digest)| hash.extended(&value, digest))
        };
        if self.pcr.number == 0
            && let Some(other) =
                LOCALITIES.into_iter().find(|locality| all_from(of_locality(*locality), None) == self.value)
        {
            return format!(
                "it comes out for a TPM that was started from locality {other}, which the log does not say"
            );
        }
        let mut tried = 0..if digests.len() <= MOST_TRIED { digests.len() } else { 0 };
        if let Some(extra) = tried.find(|at| all_from(start.clone(), Some(*at)) == self.value) {
            return format!("{} has not extended it: without that it comes out", name(extra));
        }
        let doubtful = self.extensions.iter().position(|extension| match extension {
            PcrExtension::Firmware(logged) => measured::of(&logged.event) == Some(DigestOf::Doubtful),
            PcrExtension::Ima(_) | PcrExtension::UserSpace(..) => false,
        });
        match doubtful {
            Some(at) => format!("it cannot be trusted from {} on, whose digest is not of its data", name(at)),
            None => format!(
                "it cannot be trusted from {} on, its first: one of its events was changed, or is missing",
                name(0)
            ),
        }
    }
}

/// What an extension is called.
fn name(extension: &PcrExtension<'_>) -> String {
    match extension {
        PcrExtension::Firmware(logged) => {
            format!("event {} ({}, at byte {})", logged.number, logged.event.kind, logged.offset)
        }
        PcrExtension::Ima(extension) => format!("record {} of IMA ({:?})", extension.number, extension.name),
        PcrExtension::UserSpace(number, record) => format!("record {number} ({})", record.name()),
    }
}

/// As a line says it: bank, number, the values that differ.
#[must_use]
pub fn values(comparison: &PcrComparison) -> String {
    let replayed = comparison.replayed.as_deref().map_or_else(|| "nothing".to_owned(), hex);
    format!("is {}, and the logs make {replayed} of it", hex(&comparison.value))
}
