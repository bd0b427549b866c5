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
/// Its boot medium.
pub(super) const BOOT: &str = "boot.img";
/// The authority's signature of its storage root key, if its keyset asks for that, in the machine's directory.
pub(super) const SRK_SIGNATURE: &str = "trust.srk.cred";
/// Where systemd's stub finds it (systemd-stub(7)): it copies it to /.extra/global_credentials of the initrd.
const CREDENTIAL: &str = "loader/credentials/trust.srk.cred";
/// The disk with its identity.
pub(super) const IDENTITY: &str = "trust-data.img";

/// The volume label by which provisioning images find the disk with the identity.
const IDENTITY_LABEL: [u8; 11] = *b"trust-data ";
/// The volume label of the boot medium, which has no meaning.
const BOOT_LABEL: [u8; 11] = *b"TRUST-BOOT ";
/// The default loader on a medium without a boot entry (UEFI, section 3.5.1.1).
const DEFAULT_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// What shim starts, beside itself.
const SECOND_STAGE: &str = "EFI/BOOT/grubx64.efi";
/// Lower bound for a file system, in bytes.
const SMALLEST: u64 = 4 << 20;
/// Alignment of partitions, in bytes.
const ALIGNMENT: u64 = 1 << 20;
/// The beginning of a LUKS2 header: magic number and version.
const LUKS2: [u8; 8] = *b"LUKS\xba\xbe\0\x02";

/// Makes an empty sparse disk of `size` bytes.
pub(super) fn empty(path: &Path, size: u64) -> Result<()> {
    create(path).and_then(|file| file.set_len(size)).map_err(|e| atomic::cannot("make", path, &e))
}

/// Makes the medium from which a firmware starts `image`, behind `shim` if there is one. A signature of the machine's
/// storage root key beside the medium goes where the image's stub finds it.
pub(super) fn bootable(path: &Path, image: &Path, shim: Option<&Path>) -> Result<()> {
    let mut files = match shim {
        Some(shim) => vec![(DEFAULT_LOADER, shim), (SECOND_STAGE, image)],
        None => vec![(DEFAULT_LOADER, image)],
    };
    let signature = path.with_file_name(SRK_SIGNATURE);
    if signature.exists() {
        files.push((CREDENTIAL, &signature));
    }
    vfat(path, BOOT_LABEL, &files)
}

/// The disk with a machine's identity. It is wiped and removed when this is dropped.
pub(super) struct IdentityDisk(PathBuf);

impl IdentityDisk {
    /// Makes it from the directory of a machine of a project.
    pub(super) fn make(path: PathBuf, credentials: &Path) -> Result<Self> {
        let [cert, key] = ["cert.pem", "privkey.pem"].map(|name| (name, credentials.join(name)));
        let disk = Self(path);
        vfat(&disk.0, IDENTITY_LABEL, &[(cert.0, &cert.1), (key.0, &key.1)])?;
        Ok(disk)
    }
}

impl Drop for IdentityDisk {
    fn drop(&mut self) {
        // The private key must not stay among the machine's files. If wiping fails, the file is at least removed.
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

/// An empty file for its owner alone, replacing an existing one.
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
        let disk = IdentityDisk::make(image.clone(), dir.path()).unwrap();
        fs::hard_link(&image, &link).unwrap();
        let holds = |text: &[u8]| fs::read(&link).unwrap().windows(text.len()).any(|window| window == text);
        assert!(holds(b"this is privkey.pem") && holds(&IDENTITY_LABEL));
        drop(disk);
        assert!(!image.exists());
        assert!(fs::read(&link).unwrap().iter().all(|byte| *byte == 0));
    }
}
