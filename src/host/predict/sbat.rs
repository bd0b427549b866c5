//! `SbatLevel`: which revocations of components a shim applies, and when it raises them. Pure.
//!
//! A shim sets the level that it brings where the machine has none, or an older one by its date; never an older one. Where its
//! owner has asked for it (`SbatPolicy`, a byte of 1), that is the latest one that it brings. While Secure Boot is off, 16.1 goes
//! back to the first of all.
//!
//! A list has a line for each component: its name, its generation, and what else there is to say.

use super::{live::LiveVariables, shim::Shim};
use crate::{
    foreign::printable,
    host::uefi::variable::{SHIM_LOCK, Variable},
};

/// The level that counts.
pub const LEVEL: Variable<'_> = Variable { name: "SbatLevel", vendor: SHIM_LOCK };
/// The same for whoever comes after shim.
pub const LEVEL_AT_RUNTIME: Variable<'_> = Variable { name: "SbatLevelRT", vendor: SHIM_LOCK };
/// What its owner has asked for.
const POLICY: Variable<'_> = Variable { name: "SbatPolicy", vendor: SHIM_LOCK };
const LATEST: &[u8] = &[1];

/// The levels that a machine may have once this shim has been started, each with what it depends on.
pub(super) fn levels(
    current: &[u8],
    shim: &Shim,
    variables: Option<&LiveVariables>,
) -> Vec<(Vec<u8>, Option<&'static str>)> {
    let newer = |level: &[u8]| if date(level) > date(current) { level.to_vec() } else { current.to_vec() };
    let automatic = newer(&shim.sbat_level);
    let latest = shim.latest_sbat_level.as_deref().map_or_else(|| automatic.clone(), newer);
    match variables {
        Some(live) if live.get(POLICY) == Some(LATEST) => vec![(latest, None)],
        Some(_) => vec![(automatic, None)],
        None if latest == automatic => vec![(automatic, None)],
        None => vec![
            (automatic, Some("unless shim has been asked for the latest SBAT level")),
            (latest, Some("if shim has been asked for the latest SBAT level (SbatPolicy)")),
        ],
    }
}

/// Why a shim of this level does not start an image with this `.sbat`, as a clause.
#[must_use]
pub fn refusal(sbat: Option<&[u8]>, level: &[u8]) -> Option<String> {
    let Some(sbat) = sbat else {
        return Some("it has no section .sbat, and this machine has an SBAT level".to_owned());
    };
    components(level).find_map(|(name, wanted)| {
        let wanted = wanted.unwrap_or(u64::MAX);
        let mut generations =
            components(sbat).filter(|(component, _)| *component == name).map(|(_, generation)| generation);
        let found = generations.find(|generation| generation.is_none_or(|generation| generation < wanted))?;
        let (name, found) = (printable(name), found.map_or_else(|| "none".to_owned(), |found| found.to_string()));
        Some(format!("its {name} is of generation {found}, and this machine's SBAT level demands {wanted}"))
    })
}

/// The components of a list, with their generations where those are numbers.
fn components(list: &[u8]) -> impl Iterator<Item = (&str, Option<u64>)> {
    let lines = list.split(|byte| matches!(byte, b'\n' | b'\0')).filter_map(|line| str::from_utf8(line).ok());
    lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let mut parts = line.trim().split(',');
        (parts.next().unwrap_or_default(), parts.next().and_then(|generation| generation.parse().ok()))
    })
}

/// The date in `sbat,1,2021030218`.
fn date(level: &[u8]) -> Option<u64> {
    let first = level.split(|byte| *byte == b'\n').next()?;
    str::from_utf8(first).ok()?.split(',').nth(2)?.trim_end_matches('\0').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::predict::shim::Vendor;

    #[test]
    fn generations_below_the_level_are_refused() {
        let level = b"sbat,1,2024040900\nshim,4\nsystemd-stub,2\n";
        let refusal = |sbat: &str| refusal(Some(sbat.as_bytes()), level);
        assert_eq!(
            refusal(
                "sbat,1,SBAT Version,sbat,1,https://…\nsystemd-stub,2,The systemd Developers,…\nsystemd.x,1,…\n\0\0"
            ),
            None
        );
        assert_eq!(refusal("sbat,1\r\nlinux,1\r\n"), None);
        for (sbat, why) in [
            ("sbat,1\nsystemd-stub,1,…\n", "systemd-stub is of generation 1, and this machine's SBAT level demands 2"),
            ("sbat,1\nsystemd-stub,2\nsystemd-stub,1\n", "systemd-stub is of generation 1"),
            ("sbat,0\n", "sbat is of generation 0"),
            ("sbat,1\nshim\n", "shim is of generation none"),
            ("sbat,1\nshim,-5\n", "shim is of generation none"),
        ] {
            assert!(refusal(sbat).is_some_and(|found| found.contains(why)), "{sbat:?}");
        }
        assert!(super::refusal(None, level).is_some());
        assert_eq!(super::refusal(Some(b"shim,1"), b""), None);
    }

    #[test]
    fn levels_are_raised_and_never_lowered() {
        let shim = |automatic: &str, latest: Option<&str>| Shim {
            sbat_level: automatic.into(),
            latest_sbat_level: latest.map(Into::into),
            measures_mok_list_trusted: false,
            vendor: Vendor::Empty,
            signed: None,
        };
        let [old, middle, new] = ["sbat,1,2021030218\n", "sbat,1,2023012900\nshim,2\n", "sbat,1,2024040900\nshim,4\n"];
        let of = |current: &str, shim: &Shim, variables: Option<&LiveVariables>| -> Vec<String> {
            let levels = levels(current.as_bytes(), shim, variables).into_iter();
            levels.map(|(level, _)| String::from_utf8(level).unwrap()).collect()
        };
        assert_eq!(of(old, &shim(middle, None), None), [middle]);
        assert_eq!(of(new, &shim(middle, None), None), [new]);
        assert_eq!(of(old, &shim(middle, Some(new)), None), [middle, new]);
        assert_eq!(of(new, &shim(middle, Some(new)), None), [new]);
        assert_eq!(of("", &shim(old, None), None), [old]);
        let policy = |byte| LiveVariables::new(vec![("SbatPolicy".into(), SHIM_LOCK, vec![byte])]);
        assert_eq!(of(old, &shim(middle, Some(new)), Some(&policy(1))), [new]);
        assert_eq!(of(old, &shim(middle, Some(new)), Some(&policy(2))), [middle]);
        assert_eq!(of(old, &shim(middle, Some(new)), Some(&LiveVariables::default())), [middle]);
    }
}
