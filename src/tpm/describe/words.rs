//! What numbers of a TPM's mean.

use super::{Hierarchies, HierarchyState, Manufacturer, PersistentObject};
use crate::{
    bytes::Reader,
    foreign::printable,
    measure::bank::Bank,
    tpm::layout::SRK_HANDLE,
    tpm2::{
        command,
        constants::{
            first_handle, permanent,
            pt_description::{MANUFACTURER, VENDOR_STRING_1},
            rh, startup_clear,
        },
        object::{Hierarchy, ObjectSummary},
        vendor,
    },
};
use std::collections::BTreeMap;

pub(super) fn manufacturer(properties: &BTreeMap<u32, u32>) -> Option<Manufacturer> {
    let id = text(&[*properties.get(&MANUFACTURER)?]);
    let words: Vec<_> = (VENDOR_STRING_1..VENDOR_STRING_1 + 4).filter_map(|at| properties.get(&at).copied()).collect();
    let model = text(&words);
    Some(Manufacturer { name: vendor::name(&id), remark: vendor::remark(&id, &model), id, model })
}

/// Characters, four in a property, without what they are padded with.
pub(super) fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).filter(|byte| *byte != 0).collect();
    let words = String::from_utf8_lossy(&bytes);
    printable(&words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Four numbers, as vendors and fwupd write a firmware version.
pub(super) fn firmware(first: Option<u32>, second: Option<u32>) -> Option<String> {
    let halves = |word: u32| format!("{}.{}", word >> 16, word & 0xffff);
    Some(match second {
        Some(second) => format!("{}.{}", halves(first?), halves(second)),
        None => halves(first?),
    })
}

/// A day of a year as a date, if there is such a day.
pub(super) fn date(year: u32, day: u32) -> Option<String> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let months = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut left = day.checked_sub(1).filter(|_| (2000..2200).contains(&year))?;
    for (month, days) in (1..).zip(months) {
        if left < days {
            return Some(format!("{year}-{month:02}-{:02}", left + 1));
        }
        left -= days;
    }
    None
}

pub(super) fn hierarchies(permanent: u32, startup: Option<u32>) -> Hierarchies {
    let enabled = |bit: u32| startup.map(|startup| startup & bit != 0);
    let state = |enabled, bit| HierarchyState { enabled, password_set: permanent & bit != 0 };
    Hierarchies {
        owner: state(enabled(startup_clear::STORAGE_ENABLED), permanent::OWNER_AUTH_SET),
        endorsement: state(enabled(startup_clear::ENDORSEMENT_ENABLED), permanent::ENDORSEMENT_AUTH_SET),
        lockout: state(None, permanent::LOCKOUT_AUTH_SET),
        platform_enabled: enabled(startup_clear::PLATFORM_ENABLED),
    }
}

pub(super) fn persistent_object(handle: u32, answer: Option<&[u8]>) -> PersistentObject {
    let summary = answer.and_then(command::public_area).and_then(ObjectSummary::parse);
    let primary_of = answer.and_then(command::names).and_then(|(name, qualified)| primary_of(name, qualified));
    let hierarchy = match primary_of {
        Some(Hierarchy::Owner) => "owner",
        Some(Hierarchy::Endorsement) => "endorsement",
        Some(Hierarchy::Platform) => "platform",
        None if handle >= first_handle::PLATFORM_PERSISTENT => "platform",
        None => "unknown",
    };
    let role = summary.as_ref().map_or("unknown", |summary| match summary.role(primary_of) {
        // The TCG has one place for it; there may be others.
        "storage root key (SRK)" if handle != SRK_HANDLE => "primary storage key",
        role => role,
    });
    PersistentObject {
        handle: format!("{handle:#010x}"),
        algorithm: summary.map(|summary| summary.algorithm()),
        role,
        hierarchy,
    }
}

/// Which hierarchy has this key as a primary one: its handle is then in the place of a parent's Name (part 1, section 16).
fn primary_of(name: &[u8], qualified: &[u8]) -> Option<Hierarchy> {
    let bank = Bank::by_id(Reader::new(name).be16()?)?;
    let is_below = |parent: u32| {
        let mut digest = bank.begin();
        digest.update(&parent.to_be_bytes());
        digest.update(name);
        qualified.get(2..) == Some(digest.finish().as_ref())
    };
    let hierarchies =
        [(rh::OWNER, Hierarchy::Owner), (rh::ENDORSEMENT, Hierarchy::Endorsement), (rh::PLATFORM, Hierarchy::Platform)];
    hierarchies.into_iter().find(|(handle, _)| is_below(*handle)).map(|(_, hierarchy)| hierarchy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_year_become_dates() {
        assert_eq!(date(2019, 312).as_deref(), Some("2019-11-08"));
        assert_eq!(date(2020, 60).as_deref(), Some("2020-02-29"));
        assert_eq!(date(2020, 366).as_deref(), Some("2020-12-31"));
        assert_eq!(date(2019, 1).as_deref(), Some("2019-01-01"));
        for (year, day) in [(2019, 366), (2019, 0), (0, 1), (u32::MAX, u32::MAX), (2019, u32::MAX)] {
            assert_eq!(date(year, day), None, "{year} {day}");
        }
    }

    #[test]
    fn text_is_padded_with_zeros_or_blanks_and_may_be_anything() {
        assert_eq!(text(&[u32::from_be_bytes(*b"IFX\0")]), "IFX");
        assert_eq!(text(&[u32::from_be_bytes(*b"SW  "), u32::from_be_bytes(*b" TPM")]), "SW TPM");
        assert_eq!(text(&[0x1b5b_324a]), "\u{fffd}[2J");
        assert_eq!(firmware(Some(0x0007_0055), Some(0x11cb_0000)).as_deref(), Some("7.85.4555.0"));
    }
}
