//! `trust predict --check`: whether the machine still opens.

use super::updates::Updates;
use crate::{
    console,
    digest::Digest,
    error::{Error, Kind, Result},
    host::{
        cli::system_policies::SystemPolicyOptions,
        keyset::{Keyset, signed_policy},
        predict::{judge, next_boot::NextBoot},
    },
    policy::{entry_kind::EntryKind, pcr7data::Pcr7Data},
};

/// Whose policies count.
enum PolicySource<'u> {
    /// Those that the new image brings.
    OfImage(&'u Updates),
    /// Those in a directory.
    Directory {
        data: Pcr7Data,
        /// Whether it holds nothing but what is signed for running systems, as /run/trust does: then that speaks for the
        /// boots that lead there.
        of_systems: bool,
    },
}

/// Judges the boot.
///
/// # Errors
/// [`Kind::Refused`]: the machine would not open, or not surely; those of reading the policies.
pub fn run(next: &NextBoot, keyset: Option<&Keyset>, system: &SystemPolicyOptions, updates: &Updates) -> Result<()> {
    let policies = match keyset {
        _ if system.is_given() => PolicySource::of(system.data()?),
        Some(keyset) => PolicySource::of(Pcr7Data::open(&keyset.pcr7data())?),
        None if !updates.boots.is_empty() => PolicySource::OfImage(updates),
        None => PolicySource::of(system.data()?),
    };
    let known = |value: &Digest| policies.kind(value);
    if next.of(7).is_some_and(|predicted| !judge::is_known_today(predicted, &known)) {
        console::warn("nothing is signed for the boot of this log either");
    }
    let reasons = judge::refusals(next, &known);
    let [first, others @ ..] = reasons.as_slice() else {
        console::note("the machine will open");
        return Ok(());
    };
    for other in others {
        console::warn(other);
    }
    Err(Error::new(Kind::Refused, "expect the machine to open after this", first.clone()).remedy(
        "leave the update for now: `trust predict KEYSET … --sign` signs for it, and an image built then goes first",
    ))
}

impl PolicySource<'_> {
    fn of(data: Pcr7Data) -> Self {
        let is_of_boot =
            |value: &Digest| matches!(data.entry(value), Ok(Some(entry)) if entry.info.kind != EntryKind::System);
        let of_systems = !data.values().iter().any(is_of_boot);
        Self::Directory { data, of_systems }
    }

    /// What a value stands for.
    fn kind(&self, value: &Digest) -> Option<EntryKind> {
        let (kind, of_systems) = match self {
            Self::OfImage(updates) => {
                let boot = updates.boots.iter().find(|boot| boot.pcr7 == *value)?;
                (boot.info.kind, false)
            }
            Self::Directory { data, of_systems } => {
                let entry = data.entry(value).ok()??;
                (signed_policy::is_signed(data, &entry).then_some(entry.info.kind)?, *of_systems)
            }
        };
        (kind != EntryKind::System || of_systems).then_some(kind)
    }
}
