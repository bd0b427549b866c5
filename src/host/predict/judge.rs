//! Whether a machine still opens in its next boot, by the policies that there are. Pure but for the policies, which a
//! caller looks up.

use super::next_boot::{NextBoot, PredictedPcr};
use crate::{
    digest::{Digest, hex},
    measure::pcr,
    policy::{boot_kind::BootKind, entry_kind::EntryKind},
};

/// PCR of what Secure Boot decides by.
const PCR: u8 = 7;

/// Why a machine would not open, or not surely, as clauses; empty where it would.
///
/// `known` says what a value of PCR 7 in the sha256 bank stands for, if a policy is signed for it.
#[must_use]
pub fn refusals(next: &NextBoot, known: &dyn Fn(&Digest) -> Option<EntryKind>) -> Vec<String> {
    let mut reasons = next.obstacles.clone();
    let Some(predicted) = next.of(PCR) else {
        reasons.push("the log says nothing of PCR 7".into());
        return reasons;
    };
    if let Some(why) = &predicted.unknown {
        reasons.push(format!("what PCR 7 will be is not known: {why}"));
    }
    let wanted = kind_of(predicted.now.as_deref(), known).unwrap_or(BootKind::Production);
    let values = predicted.values.iter();
    for value in values.filter(|value| kind_of(Some(&value.value), known) != Some(wanted)) {
        let (kind, hex) = (wanted.as_str(), hex(&value.value));
        let why = if value.why.is_empty() { String::new() } else { format!(" ({})", value.why.join("; ")) };
        reasons.push(format!("nothing is signed for {kind} boots with PCR 7 = {hex}{why}"));
    }
    reasons
}

/// Which boots have this value: what is signed for them says so, or what is signed for the system that a production boot with
/// this value leaves behind.
#[must_use]
pub fn kind_of(value: Option<&[u8]>, known: &dyn Fn(&Digest) -> Option<EntryKind>) -> Option<BootKind> {
    let value: Digest = value?.try_into().ok()?;
    match known(&value) {
        Some(EntryKind::Boot(kind)) => Some(kind),
        _ => (known(&pcr::locked(&value)) == Some(EntryKind::System)).then_some(BootKind::Production),
    }
}

/// Whether the boot of the log is one that a policy is known for.
#[must_use]
pub fn is_known_today(predicted: &PredictedPcr, known: &dyn Fn(&Digest) -> Option<EntryKind>) -> bool {
    kind_of(predicted.now.as_deref(), known).is_some()
}
