//! What a shim measures into PCR 7, as read from its file.
//!
//! Only shim itself defines this. What versions 15.6 to 16.1 do, when
//! the machine's owner has changed none of their settings:
//!
//! 1. `SbatLevel`: set where it is absent or older, from the section
//!    `.sbatlevel`: a version (0), two offsets counted from behind it, of the
//!    level that is applied by itself and of the latest one, then both as C
//!    strings. 15.6 has no such section and sets the first level of all.
//! 2. `MokListTrusted` = 1, in 15.6 and 15.7 only (shim pull request 519).
//! 3. What the image was verified with, from the section `.vendor_cert`: the
//!    sizes of what is allowed and of what is denied, their offsets from the
//!    section's start, then both. Signature lists are logged as `vendor_db`,
//!    the whole entry. A single certificate is logged as `Shim`, without an
//!    owner; since 15.7 it is found in `MokListRT` first, where shim has put
//!    it as an entry of its own (shim issue 714).

use super::{databases, profile};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
    host::{
        image::{
            authenticode,
            pe::{Image, Section},
        },
        pki::certificate,
        uefi::{
            signature_list::{self, SignatureData, SignatureList, X509},
            variable::{DB, SECURITY_DATABASE, SHIM_LOCK, Variable},
        },
    },
};

/// The first version whose measurements are known.
const OLDEST: ShimVersion = ShimVersion(15, 6);
/// From here on there is a section `.sbatlevel`.
const WITH_SBAT_LEVEL: ShimVersion = ShimVersion(15, 7);
/// From here on `MokListTrusted` is not measured.
const WITHOUT_MOK_LIST_TRUSTED: ShimVersion = ShimVersion(15, 8);
/// From here on `MokListRT` is asked before the certificate built in.
const WITH_MOK_LIST_RT: ShimVersion = ShimVersion(15, 7);
/// What stands before the version in every shim.
const VERSION_MARK: &[u8] = b"UEFI SHIM\n$Version: ";
/// Bytes of an entry of a COFF symbol table.
const SYMBOL: usize = 18;

/// A shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The `SbatLevel` that it sets on a fresh machine.
    pub sbat_level: Vec<u8>,
    /// The one that it sets when its owner has asked for the latest, if it brings one.
    pub latest_sbat_level: Option<Vec<u8>>,
    /// Whether it measures `MokListTrusted` into PCR 7.
    pub measures_mok_list_trusted: bool,
    /// Which keys it trusts in addition to the firmware's db.
    pub vendor: Vendor,
    /// What it forbids by itself: signature lists, as bytes.
    pub denied: Vec<u8>,
    /// Whether it was built with a certificate for its own programs, which it measures with its owner's keys.
    pub has_own_certificate: bool,
    /// Its file, if it is signed; one that is not will be, with the keyset's uefi-db.
    pub signed: Option<Vec<u8>>,
}

/// The keys that are built into a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// None.
    Empty,
    /// Signature lists.
    Db(Vec<SignatureList>),
    /// One certificate in DER, which is logged as `Shim`.
    Certificate(Vec<u8>),
    /// One certificate in DER, which is logged as `MokListRT`.
    CertificateInMokList(Vec<u8>),
}

/// Major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ShimVersion(u32, u32);

impl Shim {
    /// Reads the file of a shim.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: no PE image, no shim, or its sections are not as they should be; [`Kind::Usage`]: a shim before 15.6.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let image = Image::parse(file)?;
        let version = version(file).ok_or_else(|| bad("it does not say which version of shim it is"))?;
        if version < OLDEST {
            let why = format!("what shim {}.{} measures is not known", version.0, version.1);
            return Err(Error::new(Kind::Usage, "read a shim", why).remedy("use a shim of version 15.6 or later"));
        }
        let (sbat_level, latest_sbat_level) = match section(file, &image, ".sbatlevel") {
            Some(section) => {
                let [automatic, latest] = levels(content(file, section));
                (automatic.ok_or_else(|| bad("its .sbatlevel makes no sense"))?, latest)
            }
            None if version < WITH_SBAT_LEVEL => (profile::ORIGINAL_SBAT_LEVEL.to_vec(), None),
            None => return Err(bad("it has no section .sbatlevel")),
        };
        let table = section(file, &image, ".vendor_cert").ok_or_else(|| bad("it has no section .vendor_cert"))?;
        let (allowed, denied) = built_in(content(file, table)).ok_or_else(|| bad("its .vendor_cert makes no sense"))?;
        let others = image.sections().iter().filter(|section| section.raw != table.raw);
        Ok(Self {
            sbat_level,
            latest_sbat_level,
            measures_mok_list_trusted: version < WITHOUT_MOK_LIST_TRUSTED,
            vendor: Vendor::read(allowed, version)?,
            denied: denied.to_vec(),
            has_own_certificate: others.into_iter().any(|section| holds_certificate(content(file, section))),
            signed: (!image.certificates().is_empty()).then(|| file.to_vec()),
        })
    }

    /// What the firmware measures when it has verified this shim: the entry of db that one of its signatures leads to.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the firmware would not start it; else those of [`authenticode::verify`].
    pub fn firmware_authority(&self, db: &[SignatureList]) -> Result<(Variable<'static>, Vec<u8>)> {
        let mut entries = db.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
        let Some(file) = &self.signed else {
            return entries.next().map(|entry| (DB, entry.to_bytes())).ok_or_else(|| foreign("db is empty"));
        };
        // An entry that cannot be read verifies nothing, and is not the keyset's.
        for entry in entries.filter(|entry| certificate::readable(&entry.data).is_ok()) {
            let report = authenticode::verify(file, &[&entry.data])?;
            if report.is_accepted() {
                return Ok((DB, entry.to_bytes()));
            }
        }
        Err(foreign("none of its signatures leads to the keyset's uefi-db"))
    }

    /// The variables that it measures before it verifies anything.
    #[must_use]
    pub fn state(&self) -> Vec<(Variable<'static>, &[u8])> {
        let mut state = vec![(Variable { name: "SbatLevel", vendor: SHIM_LOCK }, self.sbat_level.as_slice())];
        if self.measures_mok_list_trusted {
            state.push((Variable { name: "MokListTrusted", vendor: SHIM_LOCK }, &[1]));
        }
        state
    }

    /// What it measures when it has verified an image with this certificate; nothing if it does not know it.
    #[must_use]
    pub fn authority(&self, certificate: &[u8]) -> Option<(Variable<'static>, Vec<u8>)> {
        match &self.vendor {
            Vendor::Empty => None,
            Vendor::Db(lists) => {
                let variable = Variable { name: "vendor_db", vendor: SECURITY_DATABASE };
                databases::entry_of(lists, certificate).map(|entry| (variable, entry.to_bytes()))
            }
            Vendor::Certificate(known) => {
                let variable = Variable { name: "Shim", vendor: SHIM_LOCK };
                (known == certificate).then(|| (variable, known.clone()))
            }
            Vendor::CertificateInMokList(known) => {
                let variable = Variable { name: "MokListRT", vendor: SHIM_LOCK };
                let entry = SignatureData { owner: SHIM_LOCK, data: known.clone() };
                (known == certificate).then(|| (variable, entry.to_bytes()))
            }
        }
    }
}

impl Vendor {
    fn read(authorized: &[u8], version: ShimVersion) -> Result<Self> {
        /// What a certificate in DER begins with: SEQUENCE.
        const SEQUENCE: u8 = 0x30;
        let Some(first) = authorized.first() else { return Ok(Self::Empty) };
        if *first != SEQUENCE {
            return signature_list::parse(authorized).map(Self::Db);
        }
        let certificate = authorized.to_vec();
        Ok(if version < WITH_MOK_LIST_RT {
            Self::Certificate(certificate)
        } else {
            Self::CertificateInMokList(certificate)
        })
    }
}

fn foreign(why: &'static str) -> Error {
    Error::new(Kind::Usage, "start this shim with Secure Boot", why)
        .remedy("sign it with `trust sign efi` and the keyset's uefi-db")
}

fn bad(why: &'static str) -> Error {
    Error::new(Kind::Corrupt, "read a shim", why).remedy("give the file of a shim, like shimx64.efi")
}

/// From `UEFI SHIM\n$Version: 16.1 $`.
fn version(file: &[u8]) -> Option<ShimVersion> {
    let mark = file.windows(VERSION_MARK.len()).position(|window| window == VERSION_MARK)?;
    let text = file.get(mark.checked_add(VERSION_MARK.len())?..)?;
    let text = text.split(|byte| !byte.is_ascii_digit() && *byte != b'.').next()?;
    let mut numbers = str::from_utf8(text).ok()?.split('.').map(|number| number.parse().ok());
    Some(ShimVersion(numbers.next()??, numbers.next().unwrap_or(Some(0))?))
}

/// A section by its whole name, which is in the string table where it is longer than eight bytes.
fn section<'a, 'f>(file: &[u8], image: &'a Image<'f>, name: &str) -> Option<&'a Section<'f>> {
    let strings = string_table(file, image);
    image.sections().iter().find(|section| {
        let short = section.name();
        let long = short.strip_prefix('/').and_then(|offset| offset.parse().ok());
        match long.and_then(|offset: usize| strings?.get(offset..)?.split(|byte| *byte == 0).next()) {
            Some(long) => long == name.as_bytes(),
            // Stripped of its strings, it has what fits.
            None => short == name.get(..8).unwrap_or(name),
        }
    })
}

/// The COFF string table: behind the symbols (PE Format, section 5.6).
fn string_table<'f>(file: &'f [u8], image: &Image<'_>) -> Option<&'f [u8]> {
    /// Where `PointerToSymbolTable` and `NumberOfSymbols` lie in the file header.
    const SYMBOL_TABLE: usize = 8;
    let mut header = Reader::new(file);
    header.take(image.headers().file_header.checked_add(SYMBOL_TABLE)?)?;
    let (start, count) = (usize::try_from(header.le32()?).ok()?, usize::try_from(header.le32()?).ok()?);
    file.get(start.checked_add(count.checked_mul(SYMBOL)?)?..)
}

/// What a section is in memory, without the zeros that pad it in the file.
fn content<'f>(file: &'f [u8], section: &Section<'_>) -> &'f [u8] {
    file.get(section.raw.clone()).and_then(|data| data.get(..section.contents().len())).unwrap_or_default()
}

/// The level that is applied by itself, and the latest one.
fn levels(section: &[u8]) -> [Option<Vec<u8>>; 2] {
    let mut header = Reader::new(section);
    if header.le32() != Some(0) {
        return [None, None];
    }
    let payload = header.rest();
    let offsets = [header.le32(), header.le32()];
    offsets.map(|offset| {
        let level = payload.get(usize::try_from(offset?).ok()?..)?;
        let end = level.iter().position(|byte| *byte == 0)?;
        let level = level.get(..end)?;
        level.starts_with(b"sbat,").then(|| level.to_vec())
    })
}

/// What is allowed, and what is denied.
fn built_in(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut header = Reader::new(section);
    let fields = [header.le32()?, header.le32()?, header.le32()?, header.le32()?];
    let [allowed, denied, at_allowed, at_denied] = fields.map(|field| usize::try_from(field).ok());
    let part = |at: Option<usize>, size: Option<usize>| section.get(at?..at?.checked_add(size?)?);
    Some((part(at_allowed, allowed)?, if denied == Some(0) { &[] } else { part(at_denied, denied)? }))
}

/// Whether something in it begins like an X.509 certificate of version 3 with a long body.
fn holds_certificate(section: &[u8]) -> bool {
    /// `SEQUENCE` with a length of two bytes, which follows.
    const LONG: [u8; 2] = [0x30, 0x82];
    /// `[0]`, the version 3, and the tag of a serial number.
    const VERSION: [u8; 6] = [0xa0, 3, 2, 1, 2, 2];
    section.windows(14).any(|window| {
        window.starts_with(&LONG)
            && window.get(4..).is_some_and(|inner| inner.starts_with(&LONG) && inner.ends_with(&VERSION))
    })
}
