//! The service on a socket: a thread for each connection, one TPM for all.

use super::{
    DerivedKey, ForeignNamespace, Requester,
    keeper::Keeper,
    varlink::{self, Delivered, Delivery, KeyCall, ServiceCall},
};
use crate::{
    console,
    error::{Error, Kind, Result},
    foreign::printable,
    host::fs::interrupt,
    keyring::user::UserKeyring,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    thread::set_thread_res_uid,
};
use std::{
    collections::HashMap,
    fs::File,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Connections at once, of all users and of one.
const MOST: usize = 512;
const MOST_OF_ONE: usize = 256;
/// How long a caller may take for a message, or leave a connection idle.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the stack of a connection's thread.
const STACK: usize = 256 * 1024;
/// How often it is looked whether the service is to end.
const TICK: Duration = Duration::from_millis(500);

/// What a service is told.
#[derive(Clone, Copy, Debug)]
pub struct ServiceOptions {
    /// Whether callers may be in containers.
    pub foreign: ForeignNamespace,
    /// Ends when nobody has been connected for so long.
    pub idle: Option<Duration>,
}

/// How many connections each user has.
type Connections = Arc<Mutex<HashMap<u32, usize>>>;

/// Serves until it is idle for long enough, or told to end by a signal.
///
/// # Errors
/// [`Kind::System`]: the socket is none.
pub fn serve(listener: &UnixListener, keeper: &Keeper, options: ServiceOptions) -> Result<()> {
    const WHAT: &str = "serve on the socket";
    let connections = Connections::default();
    let mut busy = Instant::now();
    listener.set_nonblocking(true).map_err(|e| Error::system(WHAT, e))?;
    while interrupt::pending().is_none() {
        let tick = Timespec::try_from(TICK).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&tick)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::system(WHAT, e)),
        }
        // One that has gone again, or a lack of descriptors, which passes.
        if let Ok((stream, _)) = listener.accept() {
            admit(stream, keeper, options, &connections);
            busy = Instant::now();
        } else if locked(&connections).is_empty() {
            if options.idle.is_some_and(|idle| busy.elapsed() > idle) {
                return Ok(());
            }
        } else {
            busy = Instant::now();
        }
    }
    Ok(())
}

fn locked(connections: &Connections) -> std::sync::MutexGuard<'_, HashMap<u32, usize>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a connection, in a thread of its own, unless there are too many.
fn admit(stream: UnixStream, keeper: &Keeper, options: ServiceOptions, connections: &Connections) {
    // What a listener that does not wait has made may not wait either.
    let waits = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let requester = waits.map_err(|e| Error::system("talk to a caller", e)).and_then(|()| Requester::of_peer(&stream));
    let requester = match requester {
        Ok(requester) => requester,
        Err(error) => return turn_away(&stream, &error),
    };
    let Some(seat) = Seat::take(connections, requester.uid()) else {
        let why = format!("user {} has too many connections, or all users together have", requester.uid());
        return turn_away(&stream, &Error::new(Kind::System, "serve another caller", why).remedy("try again later"));
    };
    let keeper = keeper.clone();
    let serving = thread::Builder::new().name("caller".into()).stack_size(STACK).spawn(move || {
        let _seat = seat;
        attend(&stream, &requester, &keeper, options);
    });
    if serving.is_err() {
        console::note("a caller is turned away: there can be no more threads");
    }
}

fn turn_away(mut stream: &UnixStream, error: &Error) {
    console::report(error);
    let _ = stream.write_all(&varlink::error_reply(error));
}

/// A connection that counts, until this is dropped.
struct Seat {
    connections: Connections,
    uid: u32,
}

impl Seat {
    fn take(connections: &Connections, uid: u32) -> Option<Self> {
        let mut all = locked(connections);
        let of_all: usize = all.values().sum();
        let of_one = all.entry(uid).or_default();
        if of_all >= MOST || *of_one >= MOST_OF_ONE {
            return None;
        }
        *of_one += 1;
        drop(all);
        Some(Self { connections: Arc::clone(connections), uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = locked(&self.connections);
        if let Some(count) = all.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
        }
        all.retain(|_, count| *count > 0);
    }
}

/// Answers one caller until it goes.
fn attend(mut stream: &UnixStream, requester: &Requester, keeper: &Keeper, options: ServiceOptions) {
    let mut received = Vec::new();
    while let Some(message) = next_message(stream, &mut received) {
        let answered = match ServiceCall::parse(&message) {
            None => return,
            Some(ServiceCall::Answered(answer)) => stream.write_all(&answer),
            Some(ServiceCall::Key(call)) => match derive(requester, &call, keeper, options) {
                Ok(derived) => answer(stream, requester, &call, &derived),
                Err(error) => {
                    let reply = varlink::error_reply(&error);
                    console::report(&error.within(format!("derive a key for {requester}")));
                    stream.write_all(&reply)
                }
            },
        };
        if answered.is_err() {
            return;
        }
    }
}

/// The next message without its NUL; `None` where there is none, or it is too long, or takes too long.
fn next_message(mut stream: &UnixStream, received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let start = Instant::now();
    loop {
        if let Some(end) = received.iter().position(|byte| *byte == 0) {
            let rest = received.split_off(end + 1);
            let mut message = std::mem::replace(received, rest);
            message.pop();
            return Some(message);
        }
        let left = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero())?;
        let mut piece = [0; 1024];
        stream.set_read_timeout(Some(left)).ok()?;
        let size = stream.read(&mut piece).ok().filter(|size| *size > 0)?;
        received.extend(piece.get(..size)?);
        if received.len() > varlink::MAX_CALL {
            return None;
        }
    }
}

/// The key that a caller asks for, if it may have it.
fn derive(requester: &Requester, call: &KeyCall, keeper: &Keeper, options: ServiceOptions) -> Result<DerivedKey> {
    let context = if call.parent {
        call.request.context_of(&requester.parent()?, options.foreign)?
    } else {
        call.request.context_of(requester, options.foreign)?
    };
    let prf = keeper.derive(context.message(), call.request.bound)?;
    // What a process was may have changed while the TPM was waited for.
    requester.is_still_there()?;
    DerivedKey::new(&call.request, &context, &prf)
}

fn answer(mut stream: &UnixStream, requester: &Requester, call: &KeyCall, derived: &DerivedKey) -> std::io::Result<()> {
    let delivered = match call.deliver {
        Delivery::Key => Ok((Delivered::Key, None)),
        Delivery::Memfd => sealed_file(derived).map(|file| (Delivered::Memfd, Some(file))),
        Delivery::Keyring => in_keyring(requester, call, derived).map(|serial| (Delivered::Keyring(serial), None)),
    };
    let (delivered, file) = match delivered {
        Ok(delivered) => delivered,
        Err(error) => return stream.write_all(&varlink::error_reply(&error)),
    };
    let reply = varlink::key_reply(derived, delivered);
    let Some(file) = file else { return stream.write_all(&reply) };
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    along.push(SendAncillaryMessage::ScmRights(&files));
    let sent = sendmsg(stream, &[IoSlice::new(&reply)], &mut along, SendFlags::NOSIGNAL)?;
    stream.write_all(reply.get(sent..).unwrap_or_default())
}

/// The key in a file that is in memory only, and that nobody can change.
#[allow(clippy::disallowed_methods, reason = "to hand it over is what it is made for")]
fn sealed_file(derived: &DerivedKey) -> Result<OwnedFd> {
    const WHAT: &str = "put a key into a sealed file";
    let system = |e: std::io::Error| Error::system(WHAT, e);
    let file = memfd_create("trust-derived-key", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let mut file = File::from(file.map_err(|e| system(e.into()))?);
    file.write_all(derived.key.expose()).map_err(system)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).map_err(|e| system(e.into()))?;
    // Read from its start by whoever gets it.
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).map_err(|e| system(e.into()))?;
    Ok(file.into())
}

/// The key in the user keyring of the caller, by a thread that is that user's for the purpose; its serial.
fn in_keyring(requester: &Requester, call: &KeyCall, derived: &DerivedKey) -> Result<i32> {
    const WHAT: &str = "add a key to the caller's user keyring";
    let description = format!("trust:{}:{}", call.request.mode.name(), printable(&derived.origin.basis));
    let user = rustix::process::Uid::from_raw(requester.uid());
    thread::scope(|scope| {
        let adding = scope.spawn(|| {
            if user != rustix::process::geteuid() {
                set_thread_res_uid(user, user, user).map_err(|e| Error::system(WHAT, e))?;
            }
            add(WHAT, &description, derived)
        });
        adding.join().unwrap_or_else(|_| Err(Error::new(Kind::System, WHAT, "the thread has ended")))
    })
}

#[allow(clippy::disallowed_methods, reason = "to hand it over is what it is made for")]
fn add(what: &'static str, description: &str, derived: &DerivedKey) -> Result<i32> {
    let key = UserKeyring::open(what)?.add(description, derived.key.expose(), None)?;
    Ok(key.get_id().0)
}
