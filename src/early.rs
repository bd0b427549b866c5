//! What the first process of all finds missing: nobody has mounted anything yet.

use crate::{
    error::{Error, Result},
    files,
};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount},
};
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

/// Type and place, in the order in which they are mounted.
const FILE_SYSTEMS: [(&str, &str); 4] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    // Holds the firmware's event log. It is a directory of sysfs and cannot be made.
    ("securityfs", "/sys/kernel/security"),
];

/// Mounts what a TPM driver, and whoever comes next, needs; what is mounted stays.
///
/// # Errors
/// [`crate::error::Kind::System`]; a kernel without securityfs is fine.
pub fn mount_all() -> Result<()> {
    for (kind, place) in FILE_SYSTEMS {
        let failed = |why: Errno| Error::system(format!("mount {kind} at {place}"), why);
        // Somebody has: the kernel itself, perhaps.
        if files::is_mount(Path::new(place)).unwrap_or(false) {
            continue;
        }
        if !Path::new(place).exists() {
            // Where it cannot be made, mounting says why.
            let _ = DirBuilder::new().mode(0o755).create(place);
        }
        let exec = if kind == "devtmpfs" { MountFlags::empty() } else { MountFlags::NODEV };
        match mount(kind, place, kind, MountFlags::NOSUID | MountFlags::NOEXEC | exec, None) {
            Ok(()) => {}
            Err(Errno::NODEV | Errno::NOENT) if kind == "securityfs" => {}
            Err(why) => return Err(failed(why)),
        }
    }
    Ok(())
}
