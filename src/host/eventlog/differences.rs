//! What differs between two boots, as their logs have it: the first event of each PCR, in one sentence, and what to do.

use super::{
    replay::{BankHash, BootLogs, PcrExtension},
    words,
};
use crate::{
    measure::{
        explain,
        pcr::{LOCK_EVENT, OS_SEPARATOR},
        user_space::Record,
    },
    tpm2::constants::alg,
};

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
/// The same of what the system has measured, by what systemd calls it.
const SYSTEM_CAUSES: [(&str, &str); 6] = [
    ("phase", "the boot has come to another point, or what is to be measured there has changed"),
    ("machine-id", "the system has another machine ID: it was installed or reset"),
    ("product-id", "the machine has another product ID: it was repaired, or it is another one"),
    ("filesystem", "another file system is mounted"),
    ("volume-key", "another volume was unlocked, or one that was encrypted anew"),
    ("keyslot", "a volume was unlocked by another of its keyslots"),
];

/// What differs in one PCR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrDifference {
    /// The PCR.
    pub pcr: u8,
    /// The number of the first event that differs; of one that is missing there is none.
    pub event: Option<usize>,
    /// The number of the first record of the system that differs, where it is one.
    pub record: Option<usize>,
    /// What is different, and what to do, in one sentence without a full stop.
    pub why: String,
}

/// What is different in the logs of this boot from those of the other one; `None` where they have no bank in common.
#[must_use]
pub fn between(this: BootLogs<'_>, other: BootLogs<'_>) -> Option<Vec<PcrDifference>> {
    let bank = common_bank(this, other)?;
    let (these, others) = (this.extensions(), other.extensions());
    let mut pcrs: Vec<u8> = these.keys().chain(others.keys()).copied().collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    let of = |pcr| {
        let sides = (these.get(&pcr).map_or(&[][..], Vec::as_slice), others.get(&pcr).map_or(&[][..], Vec::as_slice));
        let (first, is_missing, what) = first(sides.0, sides.1, bank)?;
        let fault = match first {
            PcrExtension::Firmware(logged) if pcr == SECURE_BOOT && !is_missing => explain::fault(&logged.event),
            _ => None,
        };
        let why = fault.unwrap_or_else(|| match cause(pcr, &first) {
            Some((cause, remedy)) => format!("{what}; {cause}: {remedy}"),
            None => what,
        });
        let (event, record) = match first {
            _ if is_missing => (None, None),
            PcrExtension::Firmware(logged) => (Some(logged.number), None),
            PcrExtension::Ima(_) => (None, None),
            PcrExtension::UserSpace(number, _) => (None, Some(number)),
        };
        Some(PcrDifference { pcr, event, record, why })
    };
    Some(pcrs.into_iter().filter_map(of).collect())
}

/// What the system has extended PCR 7 with before Trust has locked it: then no policy holds, whatever the firmware has
/// measured.
#[must_use]
pub fn before_the_lock(records: &[Record]) -> Option<PcrDifference> {
    let of_this = (1..).zip(records).find(|(_, record)| record.pcr == SECURE_BOOT);
    let (number, record) = of_this.filter(|(_, record)| record.text.as_bytes() != LOCK_EVENT.trim_ascii_end())?;
    let why = if record.text.as_bytes() == OS_SEPARATOR {
        "systemd has extended it with os-separator before it was locked (systemd-pcrosseparator.service); build an image in \
         which trust comes before that unit, as trust-setup.service says with Before="
            .to_owned()
    } else {
        format!("{} has extended it before it was locked; have what does that start behind trust", record.name())
    };
    Some(PcrDifference { pcr: SECURE_BOOT, event: None, record: Some(number), why })
}

/// That the system was started by kexec, with the last record that says so.
#[must_use]
pub fn started_by_kexec(records: &[Record]) -> Option<PcrDifference> {
    let (number, _) = (1..).zip(records).filter(|(_, record)| words::records::signer(record).is_some()).last()?;
    let why = "this system was started by kexec, and not by the firmware: what boots read stays locked; restart the machine for its \
               secrets";
    Some(PcrDifference { pcr: SECURE_BOOT, event: None, record: Some(number), why: why.to_owned() })
}

/// Why such an extension may have changed, and what to do.
fn cause(pcr: u8, first: &PcrExtension<'_>) -> Option<(&'static str, &'static str)> {
    if let PcrExtension::UserSpace(_, record) = first
        && let Some((_, cause)) = SYSTEM_CAUSES.iter().find(|(kind, _)| *kind == record.kind)
    {
        return Some((cause, "seal anew what is bound to it"));
    }
    let (_, cause, remedy) = CAUSES.iter().find(|(pcrs, ..)| pcrs.contains(&pcr))?;
    Some((cause, remedy))
}

/// A bank that both boots have digests of.
fn common_bank(this: BootLogs<'_>, other: BootLogs<'_>) -> Option<u16> {
    let (these, others) = (this.banks(), other.banks());
    let banks = [alg::SHA256].into_iter().chain(these.iter().copied());
    banks.into_iter().find(|bank| BankHash::of(*bank).is_some() && these.contains(bank) && others.contains(bank))
}

/// The first extension that differs, whether it is the other boot's and missing here, and how.
fn first<'a>(
    these: &[PcrExtension<'a>],
    others: &[PcrExtension<'a>],
    bank: u16,
) -> Option<(PcrExtension<'a>, bool, String)> {
    let same = |this: &PcrExtension<'_>, other: &PcrExtension<'_>| this.digest(bank) == other.digest(bank);
    let at = these.iter().zip(others).take_while(|(this, other)| same(this, other)).count();
    let comes_later =
        |all: &[PcrExtension<'_>], one: &PcrExtension<'_>| all.iter().skip(at + 1).any(|each| same(each, one));
    match (these.get(at), others.get(at)) {
        (None, None) => None,
        (Some(this), None) => Some((*this, false, format!("new: {}", meaning(this)))),
        (None, Some(other)) => Some((*other, true, format!("missing: {}", meaning(other)))),
        (Some(this), Some(other)) => {
            let (now, before) = (meaning(this), meaning(other));
            Some(match (comes_later(these, other), comes_later(others, this)) {
                (true, false) => (*this, false, format!("new: {now}")),
                (false, true) => (*other, true, format!("missing: {before}")),
                // Where the words are the same, what they are about has another digest.
                _ if now == before => (*this, false, format!("with another digest: {now}")),
                _ => (*this, false, format!("now: {now}; before: {before}")),
            })
        }
    }
}

/// What was measured, in words.
fn meaning(extension: &PcrExtension<'_>) -> String {
    match extension {
        PcrExtension::Firmware(logged) => words::meaning(&logged.event),
        PcrExtension::Ima(extension) => extension.name.clone(),
        PcrExtension::UserSpace(_, record) => record.name(),
    }
}
