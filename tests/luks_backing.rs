//! What a root stands on, told from the kernel's account: here one that is made up, in the machines of `vm_` a real one.

use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;
use trust::luks::{backing::Kernel, opened::dm_uuid};

/// The volume that was opened in this boot, as `root`.
const VOLUME: &str = "4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10";

/// A made-up sysfs.
struct Sysfs(TempDir);

impl Sysfs {
    /// With a disk `vdb` (254:16), on it our volume `dm-0` (252:0), a foreign disk `vdc` (254:32), and nothing else.
    fn new() -> Self {
        let sysfs = Self(TempDir::new().unwrap());
        sysfs.device("vdb", "254:16", None, &[]);
        sysfs.device("vdc", "254:32", None, &[]);
        sysfs.device("dm-0", "252:0", Some(&dm_uuid(VOLUME, "root")), &["vdb"]);
        sysfs
    }

    fn device(&self, name: &str, number: &str, uuid: Option<&str>, slaves: &[&str]) {
        let place = self.0.path().join("devices").join(name);
        fs::create_dir_all(place.join("slaves")).unwrap();
        fs::write(place.join("dev"), format!("{number}\n")).unwrap();
        fs::write(place.join("uevent"), format!("MAJOR=1\nDEVNAME={name}\nDEVTYPE=disk\n")).unwrap();
        if let Some(uuid) = uuid {
            fs::create_dir(place.join("dm")).unwrap();
            fs::write(place.join("dm/uuid"), format!("{uuid}\n")).unwrap();
        }
        for slave in slaves {
            symlink(Path::new("../../").join(slave), place.join("slaves").join(slave)).unwrap();
        }
        self.link("dev/block", number, name);
    }

    /// A device among those of a mounted btrfs.
    fn btrfs(&self, name: &str) {
        self.link("fs/btrfs/6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10/devices", name, name);
    }

    fn link(&self, directory: &str, name: &str, device: &str) {
        let directory = self.0.path().join(directory);
        fs::create_dir_all(&directory).unwrap();
        symlink(self.0.path().join("devices").join(device), directory.join(name)).unwrap();
    }

    /// What is said of the root, with these mounts: device, place, type, options.
    fn verdict(&self, mounts: &[[&str; 4]]) -> Result<(), String> {
        let line = |(number, [device, point, kind, options]): (usize, &[&str; 4])| {
            format!("{number} 1 {device} / {point} rw,relatime shared:1 master:2 - {kind} /dev/mapper/root {options}\n")
        };
        let table: String = mounts.iter().enumerate().map(line).collect();
        let opened = dm_uuid(VOLUME, "root");
        Kernel::new(self.0.path().into(), table.as_bytes(), &|uuid| Ok(uuid == opened)).directory(Path::new("/sysroot"))
    }

    #[track_caller]
    fn refuses(&self, mounts: &[[&str; 4]], words: &str) {
        let why = self.verdict(mounts).expect_err("it was to be refused");
        assert!(why.contains(words), "{why}");
    }
}

const ROOT: [&str; 4] = ["252:0", "/sysroot", "ext4", "rw"];

#[test]
fn a_root_on_our_volume_is_trusted_whatever_is_mounted_elsewhere() {
    let sysfs = Sysfs::new();
    assert_eq!(sysfs.verdict(&[ROOT, ["254:32", "/mnt", "vfat", "rw"], ["254:32", "/sysroot2", "ext4", "rw"]]), Ok(()));
    assert_eq!(sysfs.verdict(&[ROOT, ["0:20", "/sysroot/run", "tmpfs", "rw"]]), Ok(()));
}

#[test]
fn a_root_that_is_not_there_or_not_ours_is_refused() {
    let sysfs = Sysfs::new();
    sysfs.refuses(&[["252:0", "/sysroot/usr", "ext4", "rw"]], "nothing is mounted");
    sysfs.refuses(&[["254:32", "/sysroot", "ext4", "rw"]], "it stands on vdc, which");
    sysfs.refuses(&[["254:99", "/sysroot", "ext4", "rw"]], "254:99");
    for kind in ["nfs4", "fuse.sshfs", "9p", "zfs"] {
        sysfs.refuses(&[["0:40", "/sysroot", kind, "rw"]], kind);
    }
    // Below it, over it, under it.
    for point in ["/sysroot/usr", "/sysroot", "/sysroot/with\\040blank"] {
        sysfs.refuses(&[ROOT, ["254:32", point, "ext4", "rw"]], "vdc");
        sysfs.refuses(&[["254:32", "/sysroot", "ext4", "rw"], ROOT], "vdc");
    }
}

#[test]
fn a_device_is_trusted_only_if_all_its_parts_are() {
    let sysfs = Sysfs::new();
    // A logical volume called root in a foreign group called mapper; one on top of ours; one on both; verity on it.
    sysfs.device("dm-1", "252:1", Some("LVM-foreign"), &["vdc"]);
    sysfs.refuses(&[["252:1", "/sysroot", "ext4", "rw"]], "vdc");
    sysfs.device("dm-2", "252:2", Some("LVM-ours"), &["dm-0"]);
    assert_eq!(sysfs.verdict(&[["252:2", "/sysroot", "ext4", "rw"]]), Ok(()));
    sysfs.device("dm-3", "252:3", Some("LVM-both"), &["dm-0", "vdc"]);
    sysfs.refuses(&[["252:3", "/sysroot", "ext4", "rw"]], "vdc");
    sysfs.device("dm-4", "252:4", Some("CRYPT-VERITY-1"), &["dm-2", "dm-0"]);
    assert_eq!(sysfs.verdict(&[ROOT, ["252:4", "/sysroot/usr", "erofs", "ro"]]), Ok(()));
    // Volumes of cryptsetup that this boot has not opened: another name, another volume.
    for (name, number, uuid) in [
        ("dm-5", "252:5", dm_uuid(VOLUME, "other")),
        ("dm-6", "252:6", dm_uuid("00000000-3c0b-4a3e-9d0e-1d3b4ce2ae10", "root")),
        ("dm-7", "252:7", "CRYPT-PLAIN-root".into()),
    ] {
        sysfs.device(name, number, Some(&uuid), &["vdc"]);
        sysfs.refuses(&[[number, "/sysroot", "ext4", "rw"]], "vdc");
    }
    // A target without a device below it is made of nothing that we know.
    sysfs.device("dm-8", "252:8", Some("zero"), &[]);
    sysfs.refuses(&[["252:8", "/sysroot", "ext4", "rw"]], "dm-8");
}

#[test]
fn circular_devices_are_refused() {
    let sysfs = Sysfs::new();
    sysfs.device("dm-1", "252:1", None, &["dm-2"]);
    sysfs.device("dm-2", "252:2", None, &["dm-1"]);
    sysfs.refuses(&[["252:1", "/sysroot", "ext4", "rw"]], "too many devices");
}

#[test]
fn btrfs_is_trusted_with_all_its_devices() {
    let sysfs = Sysfs::new();
    let btrfs = ["0:31", "/sysroot", "btrfs", "rw,subvol=/root"];
    sysfs.refuses(&[btrfs], "does not say");
    sysfs.btrfs("dm-0");
    assert_eq!(sysfs.verdict(&[btrfs]), Ok(()));
    sysfs.btrfs("vdc");
    sysfs.refuses(&[btrfs], "vdc");
}

#[test]
fn an_overlay_is_trusted_with_all_its_layers() {
    let sysfs = Sysfs::new();
    let lower = ["252:0", "/run/rootfsbase", "ext4", "ro"];
    let upper = ["0:25", "/run", "tmpfs", "rw"];
    let overlay = |options| ["0:50", "/sysroot", "overlay", options];
    let good = "rw,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork";
    assert_eq!(sysfs.verdict(&[upper, lower, overlay(good)]), Ok(()));
    assert_eq!(sysfs.verdict(&[upper, lower, overlay("ro,lowerdir+=/run/rootfsbase/a,lowerdir+=/run/b")]), Ok(()));
    // The file in the place of a layer is foreign.
    let foreign = ["254:32", "/run/rootfsbase", "ext4", "ro"];
    sysfs.refuses(&[upper, lower, foreign, overlay(good)], "vdc");
    sysfs.refuses(&[upper, foreign, overlay("ro,lowerdir=/run/a:/run/rootfsbase::/run/b")], "vdc");
    for odd in ["rw", "rw,lowerdir=root,upperdir=/run/a", "rw,lowerdir=/run/a\\054b", "rw,lowerdir=/run/../mnt"] {
        sysfs.refuses(&[upper, lower, overlay(odd)], "not understood");
    }
    // Nested: what an overlay lies on is looked at as well; one that lies on itself ends.
    let inner = ["0:51", "/run/inner", "overlay", "ro,lowerdir=/run/rootfsbase"];
    assert_eq!(sysfs.verdict(&[upper, lower, inner, overlay("ro,lowerdir=/run/inner")]), Ok(()));
    sysfs.refuses(&[upper, overlay("ro,lowerdir=/sysroot")], "too many devices");
}
