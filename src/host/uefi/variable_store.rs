//! The variable store of EDK II, as OVMF keeps it in a flash image.
//!
//! A firmware volume (Platform Initialization Specification 1.8, volume 3,
//! section 3.2.1) holds a store of authenticated variables (EDK II,
//! `MdeModulePkg/Include/Guid/VariableFormat.h`), then room for rewriting it in
//! spite of power cuts, which is left as it is.

use super::{
    authentication::Time,
    variable::{Variable, guid},
};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
};
use std::ops::Range;
use uuid::Uuid;

/// `EFI_SYSTEM_NV_DATA_FV_GUID`: a firmware volume of variables.
pub(super) const NV_DATA: Uuid = guid("fff12b8d-7696-4c8b-a985-2747075b4f50");
/// `EFI_AUTHENTICATED_VARIABLE_GUID`: variables of which some are authenticated.
pub(super) const AUTHENTICATED: Uuid = guid("aaf32c78-947b-439a-a180-2e144ec37792");
/// `EFI_VARIABLE_GUID`: variables of which none is authenticated.
const UNAUTHENTICATED: Uuid = guid("ddcf3616-3275-4164-98b6-fe85707ffe7d");
pub(super) const VOLUME_SIGNATURE: &[u8] = b"_FVH";
/// Bytes of `VARIABLE_STORE_HEADER`.
pub(super) const STORE_HEADER: usize = 28;
/// `VARIABLE_STORE_FORMATTED` and `VARIABLE_STORE_HEALTHY`.
pub(super) const FORMATTED_AND_HEALTHY: [u8; 2] = [0x5a, 0xfe];
/// What every variable begins with.
const START: u16 = 0x55aa;
/// Bytes of `AUTHENTICATED_VARIABLE_HEADER`.
const HEADER: usize = 60;
/// `VAR_ADDED`: a variable that is complete.
const ADDED: u8 = 0x3f;
/// `VAR_ADDED & VAR_IN_DELETED_TRANSITION`: complete, and being replaced.
const BEING_REPLACED: u8 = 0x3e;
/// Variables begin at multiples of this.
const ALIGNMENT: usize = 4;
/// A byte of erased flash.
const ERASED: u8 = 0xff;

/// A variable store and the flash image that it is in.
#[derive(Clone, Debug)]
pub struct VariableStore<'a> {
    image: &'a [u8],
    /// Where the variables are.
    room: Range<usize>,
    variables: Vec<Stored>,
}

/// A variable as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `EFI_VARIABLE_…`.
    pub attributes: u32,
    /// `MonotonicCount`: 0 but for a kind of authentication that is no longer used.
    count: u64,
    /// When it was signed, as `EFI_TIME`; zeros for never.
    time: [u8; 16],
    /// `PubKeyIndex`, as `count`.
    public_key: u32,
    /// Whose it is.
    pub vendor: Uuid,
    /// Its name in UTF-16, little-endian, with the final NUL.
    name: Vec<u8>,
    /// What it holds.
    pub contents: Vec<u8>,
}

impl<'a> VariableStore<'a> {
    /// Reads a flash image, whose first volume must be one of variables.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not one, or it is damaged.
    pub fn parse(image: &'a [u8]) -> Result<Self> {
        let room = locate(image)?;
        let variables = read(image.get(..room.end).unwrap_or_default(), room.start).ok_or_else(|| {
            bad("a variable in it is cut off or what follows them is not empty")
                .remedy("begin with a fresh OVMF_VARS file")
        })?;
        Ok(Self { image, room, variables })
    }

    /// What is in it.
    #[must_use]
    pub fn variables(&self) -> &[Stored] {
        &self.variables
    }

    /// A variable's contents.
    #[must_use]
    pub fn get(&self, variable: Variable<'_>) -> Option<&[u8]> {
        self.variables.iter().find(|stored| stored.is(variable)).map(|stored| stored.contents.as_slice())
    }

    /// Takes a variable out.
    pub fn remove(&mut self, variable: Variable<'_>) {
        self.variables.retain(|stored| !stored.is(variable));
    }

    /// Puts a variable in, in the place of the one that has its name; `time` is for authenticated ones.
    pub fn set(&mut self, variable: Variable<'_>, attributes: u32, time: Option<Time>, contents: Vec<u8>) {
        self.remove(variable);
        let time = time.map(Time::to_bytes).unwrap_or_default();
        let (vendor, name) = (variable.vendor, encode_name(variable.name));
        self.variables.push(Stored { attributes, count: 0, time, public_key: 0, vendor, name, contents });
    }

    /// The flash image with these variables.
    ///
    /// # Errors
    /// [`Kind::Usage`] when there is not enough room.
    pub fn to_image(&self) -> Result<Vec<u8>> {
        let mut image = self.image.get(..self.room.start).unwrap_or_default().to_vec();
        for stored in &self.variables {
            stored.write(&mut image);
        }
        let missing = image.len().saturating_sub(self.room.end);
        if missing > 0 {
            let why = format!("the variables need {missing} bytes more than it has");
            return Err(Error::new(Kind::Usage, "write a variable store", why)
                .remedy("begin with a fresh OVMF_VARS file, or with a larger one"));
        }
        image.resize(self.room.end, ERASED);
        image.extend_from_slice(self.image.get(self.room.end..).unwrap_or_default());
        Ok(image)
    }
}

impl Stored {
    /// Whether it is this variable.
    #[must_use]
    pub fn is(&self, variable: Variable<'_>) -> bool {
        self.vendor == variable.vendor && self.name == encode_name(variable.name)
    }

    /// Its name; what is no UTF-16 is replaced.
    #[must_use]
    pub fn name(&self) -> String {
        let units: Vec<_> = self.name.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        String::from_utf16_lossy(units.strip_suffix(&[0]).unwrap_or(&units))
    }

    fn write(&self, image: &mut Vec<u8>) {
        // A variable of more than 4 GiB will not find room.
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let parts: [&[u8]; 11] = [
            &START.to_le_bytes(),
            &[ADDED, 0],
            &self.attributes.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.time,
            &self.public_key.to_le_bytes(),
            &size(&self.name),
            &size(&self.contents),
            &self.vendor.to_bytes_le(),
            &self.name,
            &self.contents,
        ];
        image.extend(parts.concat());
        image.resize(image.len().next_multiple_of(ALIGNMENT), ERASED);
    }
}

fn encode_name(name: &str) -> Vec<u8> {
    name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn bad(why: &'static str) -> Error {
    Error::new(Kind::Corrupt, "read a variable store", why).remedy(
        "give a raw flash image of variables, like OVMF_VARS_4M.fd (`qemu-img convert -O raw` makes one of qcow2)",
    )
}

/// Where in the image the variables are.
fn locate(image: &[u8]) -> Result<Range<usize>> {
    let volume = volume(image).ok_or_else(|| bad("it does not begin with a firmware volume of variables"))?;
    let (header, volume) = volume.split_at_checked(header_length(volume)).unwrap_or_default();
    let mut store = Reader::new(volume);
    match store.guid() {
        Some(AUTHENTICATED) => {}
        Some(UNAUTHENTICATED) => return Err(bad("it is of a firmware without Secure Boot")),
        _ => return Err(bad("it holds no variable store")),
    }
    let size = store.le32().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| (STORE_HEADER..=volume.len()).contains(size));
    let size = size.ok_or_else(|| bad("the store is larger than its volume"))?;
    if store.array() != Some(FORMATTED_AND_HEALTHY) {
        return Err(bad("the store says that it is not healthy"));
    }
    Ok(header.len() + STORE_HEADER..header.len() + size)
}

/// The volume that the image begins with, if it is one of variables.
fn volume(image: &[u8]) -> Option<&[u8]> {
    let mut header = Reader::new(image);
    header.take(16)?;
    let known = header.guid()? == NV_DATA;
    let length = usize::try_from(header.le64()?).ok()?;
    let known = known && header.take(4)? == VOLUME_SIGNATURE;
    let volume = image.get(..length)?;
    let header = volume.get(..header_length(volume))?;
    let sum = header.chunks(2).fold(0_u16, |sum, pair| sum.wrapping_add(Reader::new(pair).le16().unwrap_or(1)));
    (known && sum == 0 && !header.is_empty()).then_some(volume)
}

/// `HeaderLength`, 0 for none.
fn header_length(volume: &[u8]) -> usize {
    const HEADER_LENGTH: usize = 48;
    let mut header = Reader::new(volume);
    header.take(HEADER_LENGTH).and_then(|_| header.le16()).map_or(0, usize::from)
}

/// The variables from `start` to the end of `bytes`: those that count.
fn read(bytes: &[u8], start: usize) -> Option<Vec<Stored>> {
    let (mut added, mut being_replaced) = (Vec::new(), Vec::new());
    let mut rest = Reader::new(bytes);
    rest.take(start)?;
    loop {
        let padding = rest.position().next_multiple_of(ALIGNMENT).checked_sub(rest.position())?;
        let Some(_) = rest.take(padding) else { break };
        if rest.rest().len() < HEADER || rest.clone().le16() != Some(START) {
            break;
        }
        let (state, stored) = read_one(&mut rest)?;
        match state {
            ADDED => added.push(stored),
            BEING_REPLACED => being_replaced.push(stored),
            _ => {}
        }
    }
    // Power was cut before the new one was complete: the old one counts.
    for old in being_replaced {
        if !added.iter().any(|new: &Stored| new.vendor == old.vendor && new.name == old.name) {
            added.push(old);
        }
    }
    rest.rest().iter().all(|byte| *byte == ERASED).then_some(added)
}

fn read_one(rest: &mut Reader<'_>) -> Option<(u8, Stored)> {
    rest.le16()?;
    let (state, _reserved) = (rest.u8()?, rest.u8()?);
    let (attributes, count, time, public_key) = (rest.le32()?, rest.le64()?, rest.array()?, rest.le32()?);
    let (name_size, size) = (usize::try_from(rest.le32()?).ok()?, usize::try_from(rest.le32()?).ok()?);
    let vendor = rest.guid()?;
    let (name, contents) = (rest.take(name_size)?.to_vec(), rest.take(size)?.to_vec());
    Some((state, Stored { attributes, count, time, public_key, vendor, name, contents }))
}

#[cfg(test)]
mod tests;
