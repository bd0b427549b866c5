//! Open volumes that are handed over to a successor by kexec, for which the TPM has nothing any more.
//!
//! [`keep`] leaves the header that was verified in [`KEPT`]. `trust kexec` puts it, with the volume key that dm-crypt has, into
//! the successor's initrd, at [`HANDED_OVER`]. There [`take`] takes it, once. The volume key opens nothing but the volume, and
//! root has it anyway while that is open; the passphrase is not among what is handed over.

use super::header::Header;
use crate::{
    error::{Error, Result},
    files,
    publish::tmpfs,
};
use rustix::fs::{Mode, OFlags};
use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// Where the running system has the verified headers, by the names of the open volumes.
pub const KEPT: &str = "/run/trust-kexec";
/// Where a successor has header and volume key, one behind the other, by the same names.
pub const HANDED_OVER: &str = "/.extra/trust-volumes";
/// Where it has the files of the machine's identity, whose key only the TPM can use.
pub const IDENTITY: &str = "/.extra/trust-identity";
/// Upper bound of both in bytes: the largest header, and more than any cipher's key.
const MAX: usize = 0x40_0000 + 4096;

/// Whether this system was handed something over.
#[must_use]
pub fn is_there() -> bool {
    Path::new(HANDED_OVER).is_dir()
}

/// Leaves nothing of what was handed over there, taken or not.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn forget() -> Result<()> {
    [HANDED_OVER, IDENTITY].into_iter().try_for_each(|directory| match tmpfs::empty(Path::new(directory)) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(Error::system("remove what was handed over", why)),
        _ => Ok(()),
    })
}

/// Leaves the header of a volume that is being opened, for root alone.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn keep(name: &OsStr, header: &Header) -> Result<()> {
    let failed = |why| Error::system("keep the LUKS2 header for a successor", why);
    DirBuilder::new().recursive(true).mode(0o700).create(KEPT).map_err(failed)?;
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(Mode::RUSR.bits()).custom_flags(flags);
    options.open(Path::new(KEPT).join(name)).and_then(|mut file| file.write_all(header.bytes())).map_err(failed)
}

/// A volume that was handed over.
pub struct HandedVolume {
    header: Header,
    key: Zeroizing<Vec<u8>>,
}

/// Takes what was handed over for the volume of this name, and leaves nothing of it there. `None`: nothing was.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn take(name: &OsStr) -> Result<Option<HandedVolume>> {
    let failed = |why| Error::system("take the volume that was handed over", why);
    let path = Path::new(HANDED_OVER).join(name);
    let read = files::read(&path, MAX).map(Zeroizing::new);
    if read.as_ref().is_err_and(|why| why.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    tmpfs::destroy(&path).map_err(failed)?;
    let mut bytes = read.map_err(failed)?;
    let header = Header::parse(&bytes, 0).ok_or_else(|| failed(ErrorKind::InvalidData.into()))?;
    let key = Zeroizing::new(bytes.split_off(header.size()));
    Ok(Some(HandedVolume { header, key }))
}

impl HandedVolume {
    /// Whether this is the header that was verified when the volume was opened.
    #[must_use]
    pub fn is_of(&self, header: &Header) -> bool {
        self.header.mac() == header.mac() && self.header.sealed().is_some_and(|sealed| Some(sealed) == header.sealed())
    }

    /// The volume key in a file in memory, for cryptsetup.
    ///
    /// # Errors
    /// [`crate::error::Kind::System`].
    pub fn key_in_memory(&self) -> Result<VolumeKey> {
        let made = rustix::fs::memfd_create("luks2-volume-key", rustix::fs::MemfdFlags::empty());
        let file = VolumeKey {
            file: made.map_err(|why| Error::system("hold the volume key", why))?.into(),
            size: self.key.len(),
        };
        file.file.write_all_at(&self.key, 0).map_err(|why| Error::system("hold the volume key", why))?;
        Ok(file)
    }
}

/// A volume key in memory, overwritten when it is dropped.
pub struct VolumeKey {
    /// Survives the start of another program.
    pub file: File,
    size: usize,
}

impl Drop for VolumeKey {
    fn drop(&mut self) {
        let _ = self.file.write_all_at(&vec![0; self.size], 0);
    }
}
