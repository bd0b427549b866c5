//! The process itself: nothing that could carry a secret out of it, nothing
//! inherited that could look into it.

#![allow(unsafe_code, reason = "inherited descriptors; SIGPIPE and fork(2) for the next program")]

use crate::error::{Error, Kind, Result};
use nix::{
    libc::_exit,
    sys::{
        signal::{SigHandler, SigSet, Signal, signal},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, execv, fork},
};
use rustix::{
    fs::Mode,
    io::Errno,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask},
};
use std::{
    ffi::{CString, NulError, OsString},
    io::{self, ErrorKind},
    os::{fd::BorrowedFd, unix::ffi::OsStrExt},
};

/// What [`harden`] has changed for all programs that come after this one.
pub struct Before {
    core: Rlimit,
    umask: Mode,
}

/// Prepares for handling secrets: no core dumps, no ptrace by others, memory
/// locked, files private, no inherited descriptors, no signal that could end
/// the process between reading and locking.
///
/// # Errors
/// When the kernel does not allow one of these.
pub fn harden() -> Result<Before> {
    let core = conceal()?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .map_err(|errno| Error::system("lock the memory", errno))?;
    let umask = umask(Mode::from_raw_mode(0o077));
    SigSet::all().thread_block().map_err(|e| Error::system("block signals", Errno::from_raw_os_error(e as i32)))?;
    close_inherited();
    Ok(Before { core, umask })
}

/// Keeps the memory to the process, no core dumps and no ptrace by others, and returns what the limit of core dumps was.
///
/// # Errors
/// When the kernel does not allow one of these.
pub fn conceal() -> Result<Rlimit> {
    let core = getrlimit(Resource::Core);
    // The hard limit stays: a process that may not raise it again could not give it back to the next program.
    let none = Rlimit { current: Some(0), ..core };
    setrlimit(Resource::Core, none).map_err(|errno| Error::system("switch core dumps off", errno))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::system("hide the process from others", errno))?;
    Ok(core)
}

/// Keeps the memory of a command that is not root's own out of the swap, as far as the limit of locked memory allows. What
/// to say where it does not, and there is swap.
#[cfg(feature = "host")]
#[must_use]
pub fn lock_memory() -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let limit = getrlimit(Resource::Memlock).current;
    let allowance = Allowance { limit, status: &read("/proc/self/status"), swaps: &read("/proc/swaps") };
    if allowance.suffices() {
        // Not before a page is used: it is the program that is large.
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if mlockall(flags).is_ok() {
            return None;
        }
    }
    allowance.advice()
}

/// What the kernel says about locking memory.
#[cfg(feature = "host")]
struct Allowance<'a> {
    /// RLIMIT_MEMLOCK in bytes; `None` is no limit.
    limit: Option<u64>,
    /// /proc/self/status.
    status: &'a str,
    /// /proc/swaps.
    swaps: &'a str,
}

#[cfg(feature = "host")]
impl Allowance<'_> {
    /// Whether all memory, and what is needed later, may be locked: beyond the limit an allocation would fail.
    fn suffices(&self) -> bool {
        const LATER: u64 = 64 << 20;
        const CAP_IPC_LOCK: u64 = 1 << 14;
        let capabilities = self.field("CapEff:").and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(0);
        let is_free = capabilities & CAP_IPC_LOCK != 0;
        let used = self.field("VmSize:").and_then(|size| size.trim_end_matches(" kB").parse::<u64>().ok());
        is_free || self.limit.is_none_or(|limit| used.is_some_and(|kib| kib.saturating_mul(1024) + LATER <= limit))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// The first line of /proc/swaps is a heading.
    fn advice(&self) -> Option<String> {
        let limit = self.limit.unwrap_or(0) / 1024;
        (self.swaps.lines().count() > 1).then(|| {
            format!(
                "the secret may get into the swap: no more than {limit} KiB of memory may be locked here (ulimit -l; in a unit, \
                 LimitMEMLOCK=infinity)"
            )
        })
    }
}

impl Before {
    /// Takes back what [`harden`] has changed and becomes another program, which inherits the environment.
    ///
    /// Returns only when that fails. An argv must not be empty.
    #[must_use]
    pub fn exec(self, argv: &[OsString]) -> Error {
        if let Err(why) = setrlimit(Resource::Core, self.core) {
            return Error::system("allow core dumps again", why);
        }
        rustix::process::umask(self.umask);
        if let Err(error) = unblock_signals() {
            return error;
        }
        become_program(argv)
    }
}

/// How a child ends that could not become its program, as shells have it.
const NOT_STARTED: i32 = 127;

impl Before {
    /// Has a child become another program, as [`Self::exec`] does, and waits for its end. An argv must not be empty.
    ///
    /// # Errors
    /// [`Kind::System`]: the program cannot be started.
    pub fn run(self, argv: &[OsString]) -> Result<WaitStatus> {
        let failed = |errno: Errno| Error::system("run a program", errno);
        // SAFETY: there is one thread, so that no lock is held that the child would wait for.
        let child = match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => child,
            Ok(ForkResult::Child) => {
                let _ = self.exec(argv);
                // SAFETY: it ends the process, and runs nothing before that.
                unsafe { _exit(NOT_STARTED) }
            }
            Err(errno) => return Err(failed(Errno::from_raw_os_error(errno as i32))),
        };
        loop {
            match waitpid(child, None) {
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(failed(Errno::from_raw_os_error(errno as i32))),
                Ok(WaitStatus::Exited(_, NOT_STARTED)) => {
                    let program = argv.first().map(|program| program.display().to_string()).unwrap_or_default();
                    return Err(Error::new(Kind::System, format!("start {program}"), "it does not run here")
                        .remedy("check that the initrd contains it, with its libraries"));
                }
                Ok(ended) => return Ok(ended),
            }
        }
    }
}

/// Becomes another program, which inherits everything. Returns only when that fails. An argv must not be empty.
#[must_use]
pub fn become_program(argv: &[OsString]) -> Error {
    let Some(program) = argv.first() else {
        return Error::new(Kind::Usage, "start a program", "none is given");
    };
    // SAFETY: it is the default that is set, and no handler that could interrupt anything.
    // Rust's runtime ignores SIGPIPE, and what is ignored stays so in the next program.
    if let Err(errno) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        return Error::system("give SIGPIPE back", errno);
    }
    let words: std::result::Result<Vec<_>, NulError> = argv.iter().map(|word| CString::new(word.as_bytes())).collect();
    let why = match words.as_deref() {
        Ok(words @ [program, ..]) => execv(program, words).map_or_else(io::Error::from, |never| match never {}),
        _ => ErrorKind::InvalidInput.into(),
    };
    Error::system(format!("start {}", program.display()), why).remedy("check that the initrd contains it")
}

/// Lets signals through again.
fn unblock_signals() -> Result<()> {
    SigSet::all().thread_unblock().map_err(|e| Error::system("unblock signals", Errno::from_raw_os_error(e as i32)))
}

/// Closes every descriptor but the standard three. Without /proc no
/// program has run that could have opened one.
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

/// Whether this is the first process of all, before which no other has run.
#[must_use]
pub fn is_first() -> bool {
    rustix::process::getpid().is_init()
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_locked_where_that_cannot_fail_later() {
        let suffices = |limit, capabilities: &str, size: &str| {
            let status = format!("Name:\ttrust\nVmSize:\t{size} kB\nCapEff:\t{capabilities}\n");
            Allowance { limit, status: &status, swaps: "" }.suffices()
        };
        const NONE: &str = "0000000000000000";
        assert!(suffices(None, NONE, "20000"));
        assert!(suffices(Some(0), "0000000000004000", "20000"));
        assert!(suffices(Some(1 << 30), NONE, "20000"));
        assert!(!suffices(Some(8 << 20), NONE, "20000") && !suffices(Some(0), NONE, "20000"));
        assert!(!suffices(Some(64 << 20), NONE, "20000") && !suffices(Some(1 << 30), "", "many"));
        assert!(!suffices(Some(u64::MAX - 1), NONE, "99999999999999999999999"));
    }

    #[test]
    fn without_swap_there_is_nothing_to_say() {
        const HEADING: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let advice = |swaps: &str| Allowance { limit: Some(64 << 10), status: "", swaps }.advice();
        assert_eq!((advice(""), advice(HEADING)), (None, None));
        let said = advice(&format!("{HEADING}/dev/dm-1 partition 8388604 0 -2\n")).unwrap();
        assert!(said.contains("64 KiB") && said.contains("LimitMEMLOCK=infinity"), "{said}");
    }
}
