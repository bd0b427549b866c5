//! The running kernel is told to load another, and to start it.

#![allow(unsafe_code, reason = "kexec_file_load(2), which no library here wraps")]

use super::successor::{Successor, WHAT};
use crate::error::{Error, Kind, Result};
use nix::{
    errno::Errno,
    libc::{SYS_kexec_file_load, c_ulong, syscall},
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    system::{RebootCommand, reboot},
};
use std::{
    ffi::CString,
    fs::{self, File},
    io::Write,
    os::{fd::AsRawFd, unix::fs::FileExt},
};

/// Says whether a kernel is loaded.
const LOADED: &str = "/sys/kernel/kexec_loaded";
/// Says whether loading is switched off until the next restart.
const DISABLED: &str = "/proc/sys/kernel/kexec_load_disabled";
/// Says how far the kernel keeps even root from changing it.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// What the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Whether it starts signed kernels alone.
    pub signed: bool,
}

/// Asks the kernel what stands against loading another.
///
/// # Errors
/// [`Kind::Refused`]: it is not able or not willing to, or one is loaded already.
pub fn demands() -> Result<Demands> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let loaded = read(LOADED);
    let refused = |why: &'static str| Error::new(Kind::Refused, WHAT, why);
    match loaded.trim() {
        "0" => {}
        "" => return Err(refused("this kernel has no kexec").remedy("restart the machine")),
        _ => {
            let why = "somebody has loaded a kernel already, and not measured it";
            return Err(refused(why).remedy("unload it: kexec --unload"));
        }
    }
    if read(DISABLED).trim() == "1" {
        let why = "loading kernels is switched off (kernel.kexec_load_disabled)";
        return Err(refused(why).remedy("restart the machine"));
    }
    let lockdown = read(LOCKDOWN);
    Ok(Demands { signed: ["[integrity]", "[confidentiality]"].iter().any(|level| lockdown.contains(level)) })
}

/// Has the kernel load it; nothing is started yet.
///
/// # Errors
/// [`Kind::Refused`]: the kernel does not take it; [`Kind::System`]: there is no room; those of reading.
pub fn load(successor: &Successor<'_>) -> Result<()> {
    let kernel = in_memory("trust-kexec-kernel", |file| {
        successor.kernel.pieces(|_, bytes| file.write_all(bytes).map_err(|e| Error::system("copy the kernel", e)))
    })?;
    let initrd = in_memory("trust-kexec-initrd", |file| {
        successor.initrd(|bytes| file.write_all(bytes).map_err(|e| Error::system("copy the initrd", e)))
    })?;
    let cmdline = CString::new(successor.cmdline.as_str())
        .map_err(|_| Error::new(Kind::Corrupt, WHAT, "its command line holds a NUL").remedy("build it again"))?;
    let (flags, length) = (0 as c_ulong, cmdline.as_bytes_with_nul().len() as c_ulong);
    // SAFETY: two descriptors that stay open, and a string with its length, NUL included, which the kernel copies.
    let outcome = unsafe {
        syscall(SYS_kexec_file_load, kernel.as_raw_fd(), initrd.as_raw_fd(), length, cmdline.as_ptr(), flags)
    };
    // The kernel has its copy; what is handed over lies at the end of ours.
    let extra = successor.extra_size()?;
    let end = initrd.metadata().map_or(0, |file| file.len());
    let _ = initrd.write_all_at(&vec![0; extra], end.saturating_sub(extra as u64));
    Errno::result(outcome).map(drop).map_err(|errno| {
        let (kind, why) = explained(errno);
        Error::new(kind, WHAT, why).remedy("restart the machine instead: it has been measured, and not loaded")
    })
}

/// What the kernel means.
fn explained(errno: Errno) -> (Kind, String) {
    let why = match errno {
        Errno::EPERM => "only root may load a kernel, and only while the kernel allows it",
        Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EBADMSG | Errno::ENODATA | Errno::ELIBBAD => {
            "this kernel does not trust whoever has signed the kernel in it"
        }
        Errno::EBUSY => "another kernel is being loaded",
        Errno::ENOEXEC | Errno::EINVAL => "this kernel cannot start the kernel in it",
        Errno::ENOMEM | Errno::EADDRNOTAVAIL => return (Kind::System, format!("there is no room for it ({errno})")),
        other => return (Kind::System, other.to_string()),
    };
    (Kind::Refused, format!("{why} ({errno})"))
}

fn in_memory(name: &str, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<File> {
    let descriptor = memfd_create(name, MemfdFlags::CLOEXEC).map_err(|e| Error::system("keep it in memory", e))?;
    let mut file = File::from(descriptor);
    fill(&mut file)?;
    Ok(file)
}

/// Writes what is to be written to disks, and starts what is loaded, without asking any process to end. Does not return.
///
/// # Errors
/// [`Kind::System`]: the kernel does not.
pub fn start() -> Result<()> {
    rustix::fs::sync();
    reboot(RebootCommand::Kexec).map_err(|e| Error::system("start the kernel that is loaded", e))
}
