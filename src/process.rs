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
