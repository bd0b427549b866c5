//! The sections of a unified kernel image that systemd-stub measures into PCR 11, in an order of its own: of each the name
//! with a NUL, then the contents as they lie in memory.

use crate::{
    error::{Error, Kind, Result},
    host::image::pe::{Image, Section},
    measure::bank::Bank,
};
use aws_lc_rs::digest::Context;
use std::ops::Range;

/// Begins the sections of a profile.
const PROFILE: &str = ".profile";
/// Which of these sections counts is decided by the machine.
const CHOSEN_BY_MACHINE: [&str; 2] = [".dtbauto", ".efifw"];
/// Upper bound in bytes of the zeros that a section has in memory and not in the file.
const MAX_ZEROS: u64 = 256 * 1024 * 1024;

/// Sections in the order of their measurement, and the version of systemd-stub from which on they are.
const MEASURED: [(&str, u16); 14] = [
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".ucode", 256),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 254),
    (".sbat", 254),
    // .pcrsig, next, signs the result.
    (".pcrpkey", 252),
    (PROFILE, 257),
    (".dtbauto", 257),
    (".hwids", 257),
    (".efifw", 258),
];

/// The oldest stub that measures into PCR 11.
pub const OLDEST: u16 = 252;
/// The stub from which on an image may have several profiles.
const PROFILES_SINCE: u16 = 257;

/// A section as the stub finds it in memory, and its digests in the making.
#[derive(Clone)]
pub struct Measured {
    /// Without NUL.
    pub name: &'static str,
    /// Where the file has what it holds of it.
    range: Range<usize>,
    /// Zeros behind that.
    zeros: u64,
    /// For each bank.
    contexts: Vec<(Bank, Context)>,
}

impl Measured {
    fn new(name: &'static str, section: &Section<'_>, banks: &[Bank]) -> Result<Self> {
        let size = u64::from(section.virtual_size);
        let len = section.contents().len();
        let zeros = size - len as u64;
        if zeros > MAX_ZEROS {
            let why = format!("section {name} claims {size} bytes of memory, and has data for {len}");
            return Err(Error::new(Kind::Corrupt, "measure the image", why).remedy("build it again"));
        }
        let contexts = banks.iter().map(|bank| (*bank, bank.begin())).collect();
        Ok(Self { name, range: section.raw.start..section.raw.start + len, zeros, contexts })
    }

    /// Its size in memory.
    #[must_use]
    pub const fn size(&self) -> u64 {
        (self.range.end - self.range.start) as u64 + self.zeros
    }

    /// Is shown a part of the file, which begins at this place: all of them, in their order, before it is asked for digests.
    pub fn see(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        let part = self.range.start.clamp(at, end) - at..self.range.end.clamp(at, end) - at;
        let part = bytes.get(part).filter(|part| !part.is_empty());
        part.into_iter().for_each(|part| self.contexts.iter_mut().for_each(|(_, context)| context.update(part)));
    }

    /// The digest of what is in memory, for one of the banks that it was made for.
    #[must_use]
    pub fn digest(&self, bank: Bank) -> Vec<u8> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let context = self.contexts.iter().find(|(of, _)| *of == bank).map(|(_, context)| context.clone());
        let mut context = context.unwrap_or_else(|| bank.begin());
        let mut left = self.zeros;
        while let Some(chunk) = ZEROS.get(..left.min(ZEROS.len() as u64) as usize).filter(|chunk| !chunk.is_empty()) {
            context.update(chunk);
            left -= chunk.len() as u64;
        }
        context.finish().as_ref().to_vec()
    }
}

/// How many profiles an image has: a single implicit one where it has no section for any.
#[must_use]
pub fn profiles(image: &Image<'_>, stub: u16) -> usize {
    let written = image.sections().iter().filter(|section| section.name() == PROFILE).count();
    if stub < PROFILES_SINCE { 1 } else { written.max(1) }
}

/// What a stub of this version measures of a profile, in its order: those
/// sections that are there and not empty, the profile's own before those of all.
///
/// A section that the machine chooses among several is left out: most machines choose none.
///
/// # Errors
/// [`Kind::Usage`]: there is no such profile, or the stub is too old to measure; [`Kind::Corrupt`]: a section that lies.
pub fn sections(image: &Image<'_>, stub: u16, profile: usize, banks: &[Bank]) -> Result<Vec<Measured>> {
    if stub < OLDEST {
        let why = format!("systemd-stub {stub} does not measure into PCR 11");
        return Err(
            Error::new(Kind::Usage, "predict PCR 11", why).remedy(format!("use the stub of systemd {OLDEST} or later"))
        );
    }
    if profile >= profiles(image, stub) {
        let why = format!("there is no profile {profile}");
        return Err(Error::new(Kind::Usage, "predict PCR 11", why).remedy("`trust uki inspect` lists them"));
    }
    let known = MEASURED.iter().filter(|(name, since)| *since <= stub && !CHOSEN_BY_MACHINE.contains(name));
    known.filter_map(|(name, _)| Some(Measured::new(name, section(image, stub, profile, name)?, banks))).collect()
}

/// The section of this name that counts for a profile: its own, or else that of all. An empty one is none.
#[must_use]
pub fn section<'i, 'f>(image: &'i Image<'f>, stub: u16, profile: usize, name: &str) -> Option<&'i Section<'f>> {
    let table = image.sections();
    let starts = || table.iter().enumerate().filter(|(_, section)| section.name() == PROFILE).map(|(index, _)| index);
    let (common, own) = if stub < PROFILES_SINCE {
        (table, &[][..])
    } else {
        let end = |of: usize| starts().nth(of).unwrap_or(table.len());
        (table.get(..end(0)).unwrap_or_default(), table.get(end(profile)..end(profile + 1)).unwrap_or_default())
    };
    own.iter().chain(common).find(|section| section.name() == name && section.virtual_size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::uki::assemble::tests::program;

    fn names(image: &[u8], stub: u16, profile: usize) -> Vec<&'static str> {
        let image = Image::parse(image).unwrap();
        sections(&image, stub, profile, &[]).unwrap().iter().map(|section| section.name).collect()
    }

    #[test]
    fn sections_are_measured_in_the_order_of_each_stub() {
        let image = program(&[
            (".sbat", b"s"),
            (".uname", b"u"),
            (".ucode", b"m"),
            (".cmdline", b"c"),
            (".pcrsig", b"p"),
            (".linux", b"l"),
            (".splash", b""),
        ]);
        assert_eq!(names(&image, 252, 0), [".linux", ".cmdline"]);
        assert_eq!(names(&image, 253, 0), [".linux", ".cmdline"]);
        assert_eq!(names(&image, 254, 0), [".linux", ".cmdline", ".uname", ".sbat"]);
        assert_eq!(names(&image, 257, 0), [".linux", ".cmdline", ".ucode", ".uname", ".sbat"]);
        let image = Image::parse(&image).unwrap();
        assert!(sections(&image, 251, 0, &[]).is_err());
        assert!(sections(&image, 257, 1, &[]).is_err());
    }

    #[test]
    fn a_profile_is_measured_before_common_sections() {
        let image = program(&[
            (".linux", b"linux"),
            (".cmdline", b"all"),
            (".profile", b"ID=a"),
            (".profile", b"ID=b"),
            (".cmdline", b"of b"),
        ]);
        let parsed = Image::parse(&image).unwrap();
        let data = |profile: usize| -> Vec<_> {
            sections(&parsed, 257, profile, &[])
                .unwrap()
                .iter()
                .map(|section| image[section.range.clone()].to_vec())
                .collect()
        };
        assert_eq!(profiles(&parsed, 257), 2);
        assert_eq!(data(0), [b"linux".to_vec(), b"all".to_vec(), b"ID=a".to_vec()]);
        assert_eq!(data(1), [b"linux".to_vec(), b"of b".to_vec(), b"ID=b".to_vec()]);
        assert_eq!(profiles(&parsed, 256), 1);
        assert_eq!(names(&image, 256, 0), [".linux", ".cmdline"]);
    }

    #[test]
    fn memory_beyond_the_file_is_measured_as_zeros() {
        let data = [5; 0x200];
        let mut image = program(&[(".linux", &data)]);
        let virtual_size = 64 + 24 + 240 + 8;
        image[virtual_size..virtual_size + 4].copy_from_slice(&0x300_u32.to_le_bytes());
        let parsed = Image::parse(&image).unwrap();
        let in_memory = [&data[..], &[0; 0x100]].concat();
        let mut expected = Bank::Sha256.begin();
        expected.update(&in_memory);
        let mut found = sections(&parsed, 257, 0, &[Bank::Sha256]).unwrap();
        image.chunks(100).zip((0..).step_by(100)).for_each(|(bytes, at)| found[0].see(at, bytes));
        assert_eq!((found[0].size(), found[0].digest(Bank::Sha256)), (0x300, expected.finish().as_ref().to_vec()));

        image[virtual_size..virtual_size + 4].copy_from_slice(&0xfff0_0000_u32.to_le_bytes());
        image[64 + 24 + 56..64 + 24 + 60].copy_from_slice(&0xffff_f000_u32.to_le_bytes());
        let parsed = Image::parse(&image).unwrap();
        assert!(sections(&parsed, 257, 0, &[]).is_err());
    }
}
