//! Who asks: a process that cannot be taken for another, since its pidfd is held from before it was looked at until after.
//!
//! What a process is *now* is all that is known of it. It may have executed another program since it connected, while
//! another process of the same user has kept the connection; so may whoever traces it. Programs of one user are not parted
//! from one another by what is found here, users are.

use super::executable::Executable;
use crate::error::{Error, Kind, Result};
use nix::sys::socket::{
    getsockopt,
    sockopt::{PeerCredentials, PeerPidfd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, getpid, pidfd_open},
    time::{ClockId, clock_gettime},
};
use std::{
    fmt, fs, io,
    os::fd::{AsFd, OwnedFd},
};

const WHAT: &str = "tell who asks";
/// Ticks of /proc/PID/stat in a second: `USER_HZ`, the same on all architectures there are here.
const TICKS: u64 = 100;

/// A process that asks, or for which another asks.
#[derive(Debug)]
pub struct Requester {
    pid: Pid,
    pidfd: OwnedFd,
    uid: u32,
}

/// Whether a process may ask from another mount or user namespace, or another root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignNamespace {
    /// It is refused.
    Refused,
    /// It may; its path is what it is called there, so that any user can have any.
    Allowed,
}

impl Requester {
    /// The process that has connected a stream socket of the Unix domain. Its uid is the effective one of that moment.
    ///
    /// Before Linux 6.5 it is found by its number: another process that has got this number meanwhile is noticed if it has
    /// another user, or started later than this was called.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it has ended, or has become another user by now, as by executing a setuid program;
    /// [`Kind::System`].
    pub fn of_peer(stream: impl AsFd) -> Result<Self> {
        let called = ticks_since_boot();
        let fd = stream.as_fd();
        let peer = getsockopt(&fd, PeerCredentials).map_err(failed)?;
        match getsockopt(&fd, PeerPidfd) {
            Ok(pidfd) => Self::held(peer.pid(), pidfd, peer.uid()),
            Err(nix::Error::ENOPROTOOPT) => Self::by_number(peer.pid(), peer.uid(), called),
            // What kernels have said of a process that has ended.
            Err(nix::Error::ESRCH | nix::Error::EINVAL | nix::Error::ENODATA) => Err(gone()),
            Err(why) => Err(failed(why)),
        }
    }

    /// The process that has, or whose thread has, this number, with its effective uid. The caller knows that it does not
    /// end meanwhile.
    ///
    /// # Errors
    /// As [`Self::of_peer`].
    pub fn of_pid(pid: i32) -> Result<Self> {
        let thread = Status::of(pid)?;
        let this = Self::held(thread.process, open(thread.process)?, thread.uid)?;
        if Status::of(pid)?.process == thread.process { Ok(this) } else { Err(gone()) }
    }

    /// The process that has started this one, or has taken it over.
    ///
    /// # Errors
    /// As [`Self::parent`].
    pub fn of_this_parent() -> Result<Self> {
        Self::of_pid(getpid().as_raw_nonzero().get())?.parent()
    }

    /// The process that has started it, or has taken it over: for a command that asks in the name of its caller.
    ///
    /// # Errors
    /// As [`Self::of_peer`]; [`Kind::Refused`], too: the parent is another user's, or is not visible here.
    pub fn parent(&self) -> Result<Self> {
        let parent = self.look()?.parent;
        if parent == 0 {
            return Err(refused("its parent is outside of this namespace of processes")
                .remedy("name the executable: --exe FILE"));
        }
        let pidfd = open(parent)?;
        // Had the number been another's by then, this one would have been taken over before that.
        if self.look()?.parent != parent {
            return Err(gone());
        }
        let uid = Status::of(parent)?.uid;
        if uid != self.uid {
            return Err(refused(format!("its parent, process {parent}, is another user's"))
                .remedy("ask from the program that the key is for, or, as root, name the executable: --exe FILE"));
        }
        Self::held(parent, pidfd, uid)
    }

    fn held(pid: i32, pidfd: OwnedFd, uid: u32) -> Result<Self> {
        // A process of another namespace has the number 0 here.
        let pid = Pid::from_raw(pid).ok_or_else(|| {
            refused("it is outside of this namespace of processes")
                .remedy("ask from the system itself, not a container")
        })?;
        let this = Self { pid, pidfd, uid };
        this.look().map(|_| this)
    }

    fn by_number(pid: i32, uid: u32, called: u64) -> Result<Self> {
        let this = Self::held(pid, open(pid)?, uid)?;
        let started = this.while_it_lives(|| started(pid))?;
        if started <= called { Ok(this) } else { Err(gone()) }
    }

    /// Its effective uid.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Its executable.
    ///
    /// # Errors
    /// As [`Self::of_peer`]; [`Kind::Refused`], too: its file is not at its path any more, or it is in a foreign namespace.
    pub fn executable(&self, foreign: ForeignNamespace) -> Result<Executable> {
        let executable =
            self.while_it_lives(|| Executable::of_process(self.pid(), foreign == ForeignNamespace::Allowed))?;
        self.look().map(|_| executable)
    }

    /// Demands that it is still there, and the same user's.
    ///
    /// # Errors
    /// [`Kind::Refused`].
    pub fn is_still_there(&self) -> Result<()> {
        self.look().map(drop)
    }

    fn look(&self) -> Result<Status> {
        let status = self.while_it_lives(|| Status::of(self.pid()))?;
        if status.uid == self.uid {
            return Ok(status);
        }
        Err(refused("it has become another user's since then, as by executing a setuid program")
            .remedy("connect after that"))
    }

    /// What was read by its number, which is not another's while it lives.
    fn while_it_lives<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = read();
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) => outcome,
            Ok(_) => Err(gone()),
            Err(why) => Err(Error::system(WHAT, why)),
        }
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of user {}", self.pid(), self.uid)
    }
}

/// What /proc/PID/status says. No name of a program can forge a line of it.
struct Status {
    /// The process, where PID is that of a thread.
    process: i32,
    /// The process that is told when it ends; 0: one that is not seen here.
    parent: i32,
    /// The effective uid.
    uid: u32,
}

impl Status {
    fn of(pid: i32) -> Result<Self> {
        let text = read(pid, "status")?;
        Self::parse(&text).ok_or_else(|| Error::new(Kind::System, WHAT, "/proc/PID/status is not in a known form"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::split_whitespace);
        Some(Self {
            process: field("Tgid:")?.next()?.parse().ok()?,
            parent: field("PPid:")?.next()?.parse().ok()?,
            // Real, effective, saved, of the file system.
            uid: field("Uid:")?.nth(1)?.parse().ok()?,
        })
    }
}

/// When a process started, in ticks since the system did: field 22 of /proc/PID/stat.
fn started(pid: i32) -> Result<u64> {
    let text = read(pid, "stat")?;
    // The second field, in parentheses, may have anything in it.
    let field = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    field.ok_or_else(|| Error::new(Kind::System, WHAT, "/proc/PID/stat is not in a known form"))
}

fn ticks_since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let part = now.tv_nsec.cast_unsigned() / (1_000_000_000 / TICKS);
    now.tv_sec.cast_unsigned() * TICKS + part
}

fn read(pid: i32, name: &str) -> Result<String> {
    let text = fs::read(format!("/proc/{pid}/{name}"));
    text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|why| {
        match why.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::SRCH) => gone(),
            _ => Error::system(WHAT, why),
        }
    })
}

fn open(pid: i32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(gone)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|why| match why {
        Errno::SRCH | Errno::INVAL | Errno::NOENT => gone(),
        _ => Error::system(WHAT, why),
    })
}

fn failed(why: nix::Error) -> Error {
    Error::system(WHAT, io::Error::from(why))
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Refused, WHAT, why.into())
}

fn gone() -> Error {
    refused("the process has ended").remedy("ask again, and wait for the answer")
}

#[cfg(test)]
mod tests;
