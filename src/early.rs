//! What the first process of all finds missing: nothing is mounted yet.

use crate::{
    error::{Error, Result},
    files,
};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount},
};
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

const NODEV_NOEXEC: MountFlags = MountFlags::NODEV.union(MountFlags::NOEXEC);

/// Type, place and flags beside nosuid, in the order in which they are mounted.
const FILE_SYSTEMS: [(&str, &str, MountFlags); 5] = [
    ("devtmpfs", "/dev", MountFlags::NOEXEC),
    ("proc", "/proc", NODEV_NOEXEC),
    ("sysfs", "/sys", NODEV_NOEXEC),
    // Holds the firmware's event log. It is a directory of sysfs and cannot be made.
    ("securityfs", "/sys/kernel/security", NODEV_NOEXEC),
    // The next program would mount it over what --secrets-dir=/run/… has published.
    ("tmpfs", "/run", MountFlags::NODEV),
];

/// Mounts what a TPM driver and the next program need; what is mounted stays.
///
/// # Errors
/// [`crate::error::Kind::System`]; a kernel without securityfs is fine.
pub fn mount_all() -> Result<()> {
    for (kind, place, flags) in FILE_SYSTEMS {
        let failed = |why: Errno| Error::system(format!("mount {kind} at {place}"), why);
        // By the kernel itself, perhaps.
        if files::is_mount(Path::new(place)).unwrap_or(false) {
            continue;
        }
        if !Path::new(place).exists() {
            // Where it cannot be made, mounting says why.
            let _ = DirBuilder::new().mode(0o755).create(place);
        }
        let data = (kind == "tmpfs").then_some(c"mode=0755");
        match mount(kind, place, kind, MountFlags::NOSUID | flags, data) {
            Ok(()) => {}
            Err(Errno::NODEV | Errno::NOENT) if kind == "securityfs" => {}
            Err(why) => return Err(failed(why)),
        }
    }
    Ok(())
}
