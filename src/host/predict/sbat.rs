//! `SbatLevel`: which revocations of components a shim applies, and when it raises them; what they forbid. Pure.
//!
//! The level has, for components by their names, the lowest generation that is started. A program says in its section `.sbat` of
//! which generation its components are; shim asks for one, of itself too.
//!
//! A shim sets the level that it brings where the machine has none, or an older one by its date; never an older one. Where its
//! owner has asked for it (`SbatPolicy`, a byte of 1), that is the latest one that it brings. While Secure Boot is off, 16.1 goes
//! back to the first of all.

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

/// Why a shim with this level does not start a program with this section, as a clause.
#[must_use]
pub fn refusal(section: &[u8], level: &[u8]) -> Option<String> {
    let components: Vec<_> = rows(section).collect();
    if components.is_empty() {
        return Some("it has no section .sbat".to_owned());
    }
    components.into_iter().find_map(|(name, generation)| {
        let (_, lowest) = rows(level).find(|(other, lowest)| *other == name && *lowest > generation)?;
        let name = printable(&String::from_utf8_lossy(name));
        Some(format!("its {name} is of generation {generation}, and the SBAT level asks for {lowest}"))
    })
}

/// Name and generation of the components in a section or a level; a generation that is no number counts as 0.
fn rows(text: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    let lines = text.split(|byte| *byte == b'\n' || *byte == 0).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| {
        let mut fields = line.split(|byte| *byte == b',');
        let (name, generation) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        (name, str::from_utf8(generation).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0))
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
    fn levels_are_raised_and_never_lowered() {
        let shim = |automatic: &str, latest: Option<&str>| Shim {
            sbat_level: automatic.into(),
            latest_sbat_level: latest.map(Into::into),
            measures_mok_list_trusted: false,
            vendor: Vendor::Empty,
            denied: Vec::new(),
            has_own_certificate: false,
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

    #[test]
    fn components_below_the_level_are_not_started() {
        let level = b"sbat,1,2024040900\nshim,4\ngrub,4\ngrub.peimage,2\n";
        let refusal = |section: &str| refusal(section.as_bytes(), level);
        let version = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";
        for good in [
            "",
            "grub,4,Free Software Foundation,grub,2.12,https://x\r\n",
            "systemd-stub,1,a,b,c,d\n",
            "grub.peimage,2\0",
        ] {
            assert_eq!(refusal(&format!("{version}{good}")), None, "{good}");
        }
        for (bad, why) in [
            ("grub,3,a,b,c,d\n", "its grub is of generation 3, and the SBAT level asks for 4"),
            ("shim,4,a,b,c,d\ngrub.peimage,1,a,b,c,d", "its grub.peimage is of generation 1"),
            ("grub,x\n", "its grub is of generation 0"),
            ("grub", "its grub is of generation 0"),
        ] {
            assert!(refusal(&format!("{version}{bad}")).unwrap().starts_with(why), "{bad}");
        }
        assert_eq!(refusal("\0\0").unwrap(), "it has no section .sbat");
    }
}
