//! The process itself: nothing that could carry a secret out of it, nothing
//! inherited that could look into it.

use crate::error::{Error, Result};
use nix::sys::signal::SigSet;
use rustix::{
    fs::Mode,
    io::Errno,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask},
};
use std::os::fd::BorrowedFd;

/// Prepares for handling secrets: no core dumps, no ptrace by others, memory
/// locked, files private, no inherited descriptors, no signal that could end
/// the process between reading and locking.
///
/// # Errors
/// When the kernel does not allow one of these.
pub fn harden() -> Result<()> {
    let step = |what| move |errno: Errno| Error::system(what, errno);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(step("switch core dumps off"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("hide the process from others"))?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(step("lock the memory"))?;
    umask(Mode::from_raw_mode(0o077));
    SigSet::all().thread_block().map_err(|e| Error::system("block signals", Errno::from_raw_os_error(e as i32)))?;
    close_inherited();
    Ok(())
}

/// Lets signals through again, for a program that is executed next.
///
/// # Errors
/// When the kernel does not allow it.
pub fn unblock_signals() -> Result<()> {
    SigSet::all().thread_unblock().map_err(|e| Error::system("unblock signals", Errno::from_raw_os_error(e as i32)))
}

/// Closes every descriptor but the standard three. Without /proc there is
/// nobody yet who could have opened one.
fn close_inherited() {
    let Ok(listing) = std::fs::read_dir("/proc/self/fd") else { return };
    let descriptors: Vec<i32> =
        listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in descriptors.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: nothing here has opened a descriptor yet but the listing's own, which is closed by now and passed over.
        unsafe {
            if rustix::io::fcntl_getfd(BorrowedFd::borrow_raw(fd)).is_ok() {
                rustix::io::close(fd);
            }
        }
    }
}
