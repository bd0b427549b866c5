//! Disk images.

use crate::{error::Result, host::fs::atomic};
use fatfs::{Dir, FileSystem, FormatVolumeOptions, FsOptions};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The machine's own disk.
pub(super) const DISK: &str = "disk.img";
/// What it is booted from.
pub(super) const BOOT: &str = "boot.img";
/// Name of what vouches for its TPM, if its keyset asks for that, in the machine's directory.
pub(super) const VOUCHER: &str = "trust.srk.cred";
/// Where systemd's stub takes it from (systemd-stub(7)): it puts it into /.extra/global_credentials of the initrd.
const CREDENTIAL: &str = "loader/credentials/trust.srk.cred";
/// What brings it its identity.
pub(super) const IDENTITY: &str = "trust-data.img";

/// How provisioning images know the disk with the identity.
const IDENTITY_LABEL: [u8; 11] = *b"trust-data ";
/// What firmware calls a boot medium is of no meaning.
const BOOT_LABEL: [u8; 11] = *b"TRUST-BOOT ";
/// Where a firmware looks on a medium that it has no entry for (UEFI, section 3.5.1.1).
const DEFAULT_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// Where shim looks, beside itself.
const SECOND_STAGE: &str = "EFI/BOOT/grubx64.efi";
/// A file system is never smaller.
const SMALLEST: u64 = 4 << 20;
/// Partitions begin at multiples of it.
const ALIGNMENT: u64 = 1 << 20;
/// How a LUKS2 header begins: the magic number, and the version.
const LUKS2: [u8; 8] = *b"LUKS\xba\xbe\0\x02";

/// Makes an empty disk of so many bytes, none of which takes any room yet.
pub(super) fn empty(path: &Path, size: u64) -> Result<()> {
    create(path).and_then(|file| file.set_len(size)).map_err(|e| atomic::cannot("make", path, &e))
}

/// Makes the medium that a firmware starts `image` from, behind `shim` where there is one. What vouches for the machine's
/// TPM, if it lies beside the medium, is where the image's stub takes it from.
pub(super) fn bootable(path: &Path, image: &Path, shim: Option<&Path>) -> Result<()> {
    let mut files = match shim {
        Some(shim) => vec![(DEFAULT_LOADER, shim), (SECOND_STAGE, image)],
        None => vec![(DEFAULT_LOADER, image)],
    };
    let voucher = path.with_file_name(VOUCHER);
    if voucher.exists() {
        files.push((CREDENTIAL, &voucher));
    }
    vfat(path, BOOT_LABEL, &files)
}

/// The disk that brings a machine its identity. It is there as long as this is, and wiped then.
pub(super) struct Identity(PathBuf);

impl Identity {
    /// Makes it of what is in the directory of a machine of a project.
    pub(super) fn make(path: PathBuf, credentials: &Path) -> Result<Self> {
        let [cert, key] = ["cert.pem", "privkey.pem"].map(|name| (name, credentials.join(name)));
        let disk = Self(path);
        vfat(&disk.0, IDENTITY_LABEL, &[(cert.0, &cert.1), (key.0, &key.1)])?;
        Ok(disk)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // Whoever finds the machine's files shall not find its private key. Where this fails, removing it is left.
        let _ = wipe(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

fn wipe(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let size = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(size), &mut file)?;
    file.sync_all()
}

/// Whether there is a LUKS2 volume: the whole disk, or where a partition may begin.
pub(super) fn holds_luks2(path: &Path) -> Result<bool> {
    let look = || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut at = 0;
        while at < size {
            let mut magic = [0; LUKS2.len()];
            if file.read_exact_at(&mut magic, at).is_ok() && magic == LUKS2 {
                return Ok(true);
            }
            at += ALIGNMENT;
        }
        Ok(false)
    };
    look().map_err(|e| atomic::cannot("read", path, &e))
}

/// Makes a file system with these files: path in it, and file to copy.
fn vfat(path: &Path, label: [u8; 11], files: &[(&str, &Path)]) -> Result<()> {
    let mut content = 0;
    for (_, file) in files {
        content += fs::metadata(file).map_err(|e| atomic::cannot("read", file, &e))?.len();
    }
    let size = (SMALLEST + content + content / 8).next_multiple_of(ALIGNMENT);
    let failed = |e| atomic::cannot("write", path, &e);
    let image = create(path).map_err(failed)?;
    image.set_len(size).map_err(failed)?;
    fatfs::format_volume(&image, FormatVolumeOptions::new().volume_label(label)).map_err(failed)?;
    (&image).seek(SeekFrom::Start(0)).map_err(failed)?;
    let volume = FileSystem::new(&image, FsOptions::new()).map_err(failed)?;
    for (name, file) in files {
        let mut from = File::open(file).map_err(|e| atomic::cannot("read", file, &e))?;
        copy(&volume.root_dir(), name, &mut from).map_err(failed)?;
    }
    volume.unmount().map_err(failed)
}

/// Copies a file, and makes the directories above it.
fn copy(root: &Dir<'_, &File>, name: &str, from: &mut File) -> io::Result<()> {
    for (at, _) in name.match_indices('/') {
        root.create_dir(name.get(..at).unwrap_or_default())?;
    }
    let mut to = root.create_file(name)?;
    io::copy(from, &mut to)?;
    to.flush()
}

/// An empty file for its owner alone, in the place of one that was there.
fn create(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    OpenOptions::new().read(true).write(true).create_new(true).mode(atomic::PRIVATE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_volume_is_found_at_any_partition_offset() {
        let dir = TempDir::new().unwrap();
        let disk = dir.path().join("disk");
        empty(&disk, 3 * ALIGNMENT + 4).unwrap();
        assert!(!holds_luks2(&disk).unwrap());
        for (at, magic, found) in
            [(0, LUKS2, true), (2 * ALIGNMENT, LUKS2, true), (512, LUKS2, false), (0, *b"LUKS\xba\xbe\0\x01", false)]
        {
            empty(&disk, 3 * ALIGNMENT + 4).unwrap();
            OpenOptions::new().write(true).open(&disk).unwrap().write_all_at(&magic, at).unwrap();
            assert_eq!(holds_luks2(&disk).unwrap(), found, "{at}");
        }
    }

    #[test]
    fn a_removed_identity_leaves_no_bytes_on_the_disk() {
        let dir = TempDir::new().unwrap();
        for name in ["cert.pem", "privkey.pem"] {
            fs::write(dir.path().join(name), format!("this is {name}")).unwrap();
        }
        let (image, link) = (dir.path().join(IDENTITY), dir.path().join("link"));
        let disk = Identity::make(image.clone(), dir.path()).unwrap();
        fs::hard_link(&image, &link).unwrap();
        let holds = |text: &[u8]| fs::read(&link).unwrap().windows(text.len()).any(|window| window == text);
        assert!(holds(b"this is privkey.pem") && holds(&IDENTITY_LABEL));
        drop(disk);
        assert!(!image.exists());
        assert!(fs::read(&link).unwrap().iter().all(|byte| *byte == 0));
    }
}
