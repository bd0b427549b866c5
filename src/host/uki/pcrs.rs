//! What the boot of a unified kernel image makes of PCRs 4 and 11.
//!
//! Into PCR 11 systemd-stub measures what [`super::measured`] says; later systemd-pcrphase measures a word for each phase
//! of the boot.

use super::{
    measured::{self, Measured},
    stub,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        image::{authenticode, pe::Image},
        pki::key::Hash,
    },
    measure::bank::{Bank, Pcr},
};

/// The words of systemd's boot phases, in their order.
pub const PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/// What the boot of an image measures.
pub struct Measurements {
    /// The version of its systemd-stub, in words and as a number.
    pub stub: (String, u16),
    /// PCR 4 in the sha256 bank, when a boot entry of the firmware starts the image.
    pub pcr4: Pcr,
    /// The sections of each profile that are measured into PCR 11.
    pub profiles: Vec<Vec<Measured>>,
}

/// Reads an image once, and measures it for these banks and for sha256. `stub_version` is for images that do not say it.
///
/// # Errors
/// [`Kind::Usage`]: the stub is unknown, or too old to measure; those of reading.
pub fn measure(image: &Image<'_>, stub_version: Option<u16>, banks: &[Bank]) -> Result<Measurements> {
    let said = stub::version(image)?;
    let version = stub_version.or_else(|| said.as_ref().map(|(_, number)| *number)).ok_or_else(|| {
        Error::new(Kind::Usage, "predict PCR 11", "the image does not say which systemd-stub it is made of")
            .remedy("say it: --stub-version NUMBER")
    })?;
    let banks = [&[Bank::Sha256], banks].concat();
    let profiles = 0..measured::profiles(image, version);
    let mut profiles =
        profiles.map(|profile| measured::sections(image, version, profile, &banks)).collect::<Result<Vec<_>>>()?;
    let see = |at: usize, bytes: &[u8]| profiles.iter_mut().flatten().for_each(|section| section.see(at, bytes));
    let digest = authenticode::digest_and(image, Hash::Sha256, see)?;
    let stub = (said.map_or_else(|| version.to_string(), |(text, _)| text), version);
    Ok(Measurements { stub, pcr4: pcr4(&[digest], Bank::Sha256), profiles })
}

/// PCR 11 when the stub starts the kernel.
#[must_use]
pub fn pcr11(sections: &[Measured], bank: Bank) -> Pcr {
    let mut pcr = Pcr::new(bank);
    for section in sections {
        pcr.measure(&[section.name.as_bytes(), b"\0"].concat());
        pcr.extend(&section.digest(bank));
    }
    pcr
}

/// PCR 11 after each boot phase, named by all phases up to it as systemd-measure does: `enter-initrd:leave-initrd`.
#[must_use]
pub fn phases(mut pcr: Pcr) -> Vec<(String, Pcr)> {
    let mut path = String::new();
    let mut after = |phase: &&str| {
        path = if path.is_empty() { (*phase).to_owned() } else { format!("{path}:{phase}") };
        pcr.measure(phase.as_bytes());
        (path.clone(), pcr.clone())
    };
    PHASES.iter().map(&mut after).collect()
}

/// PCR 4 when the firmware has started these programs one after the other, by
/// their Authenticode digests (TCG PC Client Platform Firmware Profile, section 3.3.4.5).
///
/// With Secure Boot on, the kernel within an image is not among them: up to
/// version 257 the stub vouches for it where the firmware would measure it, and
/// from 258 on it does not ask the firmware to load it.
#[must_use]
pub fn pcr4(digests: &[Vec<u8>], bank: Bank) -> Pcr {
    let mut pcr = Pcr::new(bank);
    pcr.measure(b"Calling EFI Application from Boot Option");
    pcr.measure(&[0; 4]);
    digests.iter().for_each(|digest| pcr.extend(digest));
    pcr
}
