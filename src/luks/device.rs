//! A header read once, verified, and handed on where no process can change it any more.

use super::header::{self, Header, WayIn};
use crate::{
    digest,
    error::{Error, Kind, Result},
    publish::passphrase,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::{
    fs::File,
    io,
    ops::Range,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

/// A device whose header is sealed by this machine.
pub struct Verified {
    header: Header,
    keyslots: Vec<Range<u64>>,
    device: Device,
}

/// A device that can be read.
pub struct Device {
    /// Where it is.
    pub path: PathBuf,
    /// The same, opened.
    pub file: File,
}

impl Device {
    /// Opens it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: PathBuf) -> io::Result<Self> {
        File::open(&path).map(|file| Self { path, file })
    }
}

/// The copy of its header that begins at `offset`, if there is one.
///
/// # Errors
/// Those of reading, but for the end of the device.
pub fn read(device: &File, offset: usize) -> io::Result<Option<Header>> {
    // Nearly every header is of the smallest size: a boot reads 16 KiB, and more only where that is not all.
    let [smallest, ..] = header::SIZES;
    let bytes = read_at(device, offset, smallest)?;
    match header::size_of(&bytes, offset) {
        Some(size) if size > bytes.len() => Ok(Header::parse(&read_at(device, offset, size)?, offset)),
        _ => Ok(Header::parse(&bytes, offset)),
    }
}

/// The UUID of the volume of version 1 that the device is, if it is one.
#[must_use]
pub fn uuid_of_luks1(device: &File) -> Option<Vec<u8>> {
    let [smallest, ..] = header::SIZES;
    header::uuid_of_luks1(&read_at(device, 0, smallest).ok()?).map(<[u8]>::to_vec)
}

/// So many bytes; what lies behind the end of a small device is zero.
fn read_at(device: &File, offset: usize, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match device.read_at(rest, (offset + filled) as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}

impl Verified {
    /// A device with this header, which has been verified. `None`: its keyslots lie where none can be.
    pub(super) fn new(header: Header, device: Device) -> Option<Self> {
        let keyslots = header.keyslots()?;
        Some(Self { header, keyslots, device })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.device.path
    }

    /// Its header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The name that the volume was made with; empty where it is not text.
    #[must_use]
    pub fn uuid(&self) -> &str {
        str::from_utf8(self.header.uuid()).unwrap_or_default()
    }

    /// Makes sure that cryptsetup has a way from the passphrase to a keyslot: where there is none, it says nothing.
    ///
    /// # Errors
    /// [`Kind::Refused`].
    pub fn check_way_in(&self) -> Result<()> {
        let (why, remedy) = match self.header.way_in(passphrase::DESCRIPTION) {
            WayIn::Open => return Ok(()),
            WayIn::NoToken => (
                "no token of its header leads from machine:luks to a keyslot",
                "in a maintenance image: cryptsetup token add --key-description machine:luks DEVICE; trust luks seal DEVICE",
            ),
            WayIn::Ignored => (
                "the keyslot that its token leads to has the priority `ignore`",
                "in a maintenance image: cryptsetup config --priority normal --key-slot N DEVICE; trust luks seal DEVICE",
            ),
        };
        Err(Error::new(Kind::Refused, format!("open {}", self.path().display()), why).remedy(remedy))
    }

    /// A copy of header and keyslots in memory that can never change again (memfd_create(2), F_SEAL_WRITE).
    ///
    /// # Errors
    /// [`Kind::System`]; [`Kind::Refused`] for a header with another checksum than SHA-256.
    pub fn into_memory(self) -> Result<OwnedFd> {
        let pair = self.header.pair(|bytes| digest::hash(&[bytes])).ok_or_else(|| {
            Error::new(Kind::Refused, "use the LUKS2 header", "its checksum is not SHA-256")
                .remedy("format the volume with cryptsetup's defaults")
        })?;
        self.copy(&pair).map_err(|e| Error::system("copy the LUKS2 header", e))
    }

    fn copy(&self, pair: &[u8]) -> io::Result<OwnedFd> {
        // Without CLOEXEC: it is for cryptsetup.
        let memory = File::from(memfd_create("luks2-header", MemfdFlags::ALLOW_SEALING)?);
        // Nearly all of it stays empty, and takes no memory.
        ftruncate(&memory, header::ROOM)?;
        memory.write_all_at(pair, 0)?;
        copy_keyslots(&self.device.file, &self.keyslots, &memory)?;
        fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(memory.into())
    }
}

/// Copies what lies at these places to the same places.
///
/// # Errors
/// Those of reading and writing.
pub fn copy_keyslots(from: &File, keyslots: &[Range<u64>], to: &File) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    for slot in keyslots {
        let mut at = slot.start;
        while at < slot.end {
            let size = usize::try_from(slot.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..size).unwrap_or_default();
            from.read_exact_at(chunk, at)?;
            to.write_all_at(chunk, at)?;
            at += size as u64;
        }
    }
    Ok(())
}
