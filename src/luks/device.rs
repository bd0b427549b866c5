//! A header read once, verified, and handed on where nobody can change it any more.

use super::{header, header::Header, seal};
use crate::{
    error::{Error, Kind, Result},
    policy::digest,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::{
    fs::File,
    io,
    ops::Range,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

/// A device whose header is sealed by this machine.
pub struct Verified {
    header: Header,
    keyslots: Vec<Range<u64>>,
    device: File,
}

/// Reads the header of `device` and verifies it.
///
/// Either copy will do: a power cut may have left the other one half written.
///
/// # Errors
/// [`Kind::Refused`]: it is no LUKS2 device, or not sealed by this machine; [`Kind::System`]: it cannot be read.
pub fn verify(device: &Path) -> Result<Verified> {
    let refuse = |why: &'static str| {
        Error::new(Kind::Refused, format!("open {}", device.display()), why)
            .remedy("remove foreign disks; if this machine's own was changed on purpose, seal it with `trust luks seal` from an installer boot")
    };
    let file = File::open(device).map_err(|e| Error::system(format!("open {}", device.display()), e))?;
    let mut found = false;
    for offset in std::iter::once(0).chain(header::SIZES) {
        let Some(header) = read(&file, offset).map_err(|e| Error::system(format!("read {}", device.display()), e))?
        else {
            continue;
        };
        found = true;
        if header.mac().is_some() && seal::verify(&header)? {
            let keyslots = header.keyslots().ok_or_else(|| refuse("its keyslots lie where none can be"))?;
            return Ok(Verified { header, keyslots, device: file });
        }
    }
    Err(refuse(if found {
        "its LUKS2 header is not the one that this machine has sealed"
    } else {
        "it is no LUKS2 volume"
    }))
}

/// The copy at `offset`, if there is one.
///
/// # Errors
/// Those of reading, but for the end of the device.
pub fn read(device: &File, offset: usize) -> io::Result<Option<Header>> {
    // Nearly every header is of the smallest size: a boot reads 16 KiB, and more only where that is not all.
    let sizes = if offset == 0 { header::SIZES.to_vec() } else { vec![offset] };
    for size in sizes {
        if let Some(header) = Header::parse(&read_at(device, offset, size)?, offset) {
            return Ok(Some(header));
        }
    }
    Ok(None)
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
        // Without CLOEXEC: it is for the program that we become.
        let memory = File::from(memfd_create("luks2-header", MemfdFlags::ALLOW_SEALING)?);
        // Nearly all of it stays empty, and takes no memory.
        ftruncate(&memory, header::ROOM)?;
        memory.write_all_at(pair, 0)?;
        let mut buffer = vec![0; 64 * 1024];
        for slot in &self.keyslots {
            let mut at = slot.start;
            while at < slot.end {
                let size = usize::try_from(slot.end - at).unwrap_or(usize::MAX).min(buffer.len());
                let chunk = buffer.get_mut(..size).unwrap_or_default();
                self.device.read_exact_at(chunk, at)?;
                memory.write_all_at(chunk, at)?;
                at += size as u64;
            }
        }
        fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(memory.into())
    }
}
