//! `SbatLevel`: which revocations of components a shim applies, and when it raises them. Pure.
//!
//! A shim sets the level that it brings where the machine has none, or an older one by its date; never an older one. Where its
//! owner has asked for it (`SbatPolicy`, a byte of 1), that is the latest one that it brings. While Secure Boot is off, 16.1 goes
//! back to the first of all.

use super::{live::LiveVariables, shim::Shim};
use crate::host::uefi::variable::{SHIM_LOCK, Variable};

/// The level that counts.
pub const LEVEL: Variable<'_> = Variable { name: "SbatLevel", vendor: SHIM_LOCK };
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
