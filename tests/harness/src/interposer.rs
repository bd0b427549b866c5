//! An attacker on the wire between a program and its TPM.

use crate::{
    emulator,
    swtpm::Swtpm,
    transport::{self, Client, Upstream},
    wire::{Command, Response, cc, rc, u16_at},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

/// How a program reaches the interposer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `swtpm:path=…`
    Unix,
    /// `swtpm:host=…,port=…`
    Tcp,
    /// `mssim:host=…,port=…`
    Mssim,
    /// `device:…`, a pseudo terminal.
    Device,
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The TPM gets it.
    Forward,
    /// The TPM gets this in its place.
    Replace(Vec<u8>),
    /// The TPM does not get it; the program gets this.
    Reply(Vec<u8>),
    /// The program waits for ever.
    Drop,
    /// The connection ends.
    Close,
    /// The program is killed before the TPM hears of it.
    Kill,
}

/// A command and what the program got for an answer, if it got one.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As the program sent it.
    pub command: Command,
    /// As the program got it.
    pub response: Option<Response>,
}

type OnCommand = Box<dyn FnMut(&Command) -> Action + Send>;
type OnResponse = Box<dyn FnMut(&Command, Response) -> Action + Send>;

struct Inner {
    upstream: Upstream,
    record: Mutex<Vec<Exchange>>,
    on_command: Mutex<OnCommand>,
    on_response: Mutex<OnResponse>,
    stopped: AtomicBool,
}

/// A proxy that records every command and response, and may change, drop or forge them.
pub struct Interposer {
    inner: Arc<Inner>,
    place: Place,
}

enum Place {
    Unix(TempDir),
    Tcp(u16),
    Mssim(u16),
    Device(PathBuf),
    Emulator(PathBuf),
}

impl Interposer {
    /// Between a program and a TPM, on a unix socket.
    #[must_use]
    pub fn new(tpm: &Swtpm) -> Self {
        Self::with_front(tpm, Transport::Unix)
    }

    /// Between a program and a TPM, reached in another way.
    #[must_use]
    pub fn with_front(tpm: &Swtpm, transport: Transport) -> Self {
        Self::serve(tpm.upstream(), transport)
    }

    /// Between QEMU, which will connect to `socket`, and swtpm, which will have a `control` channel and take commands at `data`.
    pub(crate) fn of_emulator(socket: &Path, control: PathBuf, data: PathBuf) -> Self {
        let inner = Inner::new(Upstream::Unix(data));
        let serving = inner.clone();
        emulator::serve(socket, control, Arc::new(move |client| serving.converse(client)));
        Self { inner, place: Place::Emulator(socket.to_owned()) }
    }

    pub(crate) fn serve(upstream: Upstream, transport: Transport) -> Self {
        let inner = Inner::new(upstream);
        let (serving, stopping) = (inner.clone(), inner.clone());
        let serve: transport::Serve = Arc::new(move |client| serving.converse(client));
        let stopped = move || stopping.stopped.load(Ordering::SeqCst);
        let place = match transport {
            Transport::Unix => {
                let dir = TempDir::with_prefix("interposer-").expect("a temporary directory");
                transport::serve_unix(&dir.path().join("socket"), serve, stopped);
                Place::Unix(dir)
            }
            Transport::Tcp => Place::Tcp(transport::serve_tcp(serve, stopped)),
            Transport::Mssim => Place::Mssim(transport::serve_mssim(serve, stopped)),
            Transport::Device => Place::Device(transport::serve_device(serve)),
        };
        Self { inner, place }
    }

    /// What to give to `--tcti` (and to tpm2-tools, for [`Transport::Mssim`]).
    #[must_use]
    pub fn tcti(&self) -> String {
        match &self.place {
            Place::Unix(dir) => format!("swtpm:path={}", dir.path().join("socket").display()),
            Place::Tcp(port) => format!("swtpm:host=127.0.0.1,port={port}"),
            Place::Mssim(port) => format!("mssim:host=127.0.0.1,port={port}"),
            Place::Device(path) => format!("device:{}", path.display()),
            Place::Emulator(path) => panic!("{} is QEMU's", path.display()),
        }
    }

    /// Decides what becomes of every command from now on. It must not call the interposer.
    pub fn on_command(&self, hook: impl FnMut(&Command) -> Action + Send + 'static) {
        *self.inner.on_command.lock().expect("no hook panicked") = Box::new(hook);
    }

    /// Decides what becomes of every response of the TPM from now on:
    /// `Reply(bytes)` is what the program gets, `Forward` leaves it as it is.
    pub fn on_response(&self, hook: impl FnMut(&Command, Response) -> Action + Send + 'static) {
        *self.inner.on_response.lock().expect("no hook panicked") = Box::new(hook);
    }

    /// Forwards everything unchanged from now on.
    pub fn be_honest(&self) {
        self.on_command(|_| Action::Forward);
        self.on_response(|_, _| Action::Forward);
    }

    /// Makes the TPM look like one with a small NV buffer (`TPM_PT_NV_BUFFER_MAX`, in bytes):
    /// it says so, and refuses larger reads and writes.
    pub fn limit_nv_buffer(&self, max: u16) {
        self.on_command(move |command| {
            let parameters = 12 + command.word(8) as usize;
            let size = match command.code() {
                cc::NV_READ | cc::NV_WRITE => u16_at(command.body(), parameters),
                _ => 0,
            };
            if size > max { Action::Reply(Response::error(rc::VALUE | 0x140).0) } else { Action::Forward }
        });
        self.on_response(move |command, mut response| {
            const NV_BUFFER_MAX: u32 = 0x12c;
            if command.code() == cc::GET_CAPABILITY && response.ok() {
                // Header, moreData, capability, count, then pairs of property and value.
                for pair in response.0.get_mut(19..).unwrap_or_default().chunks_exact_mut(8) {
                    if pair[..4] == NV_BUFFER_MAX.to_be_bytes() {
                        pair[4..].copy_from_slice(&u32::from(max).to_be_bytes());
                    }
                }
            }
            Action::Reply(response.0)
        });
    }

    /// All that has crossed the wire so far.
    #[must_use]
    pub fn record(&self) -> Vec<Exchange> {
        self.inner.record.lock().expect("no panic holds the record").clone()
    }

    /// Forgets what has crossed the wire, and returns it.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.inner.record.lock().expect("no panic holds the record"))
    }

    /// How many commands of each code have crossed the wire.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for exchange in self.record() {
            *counts.entry(exchange.command.code()).or_default() += 1;
        }
        counts
    }

    /// Every byte that has crossed the wire, in order.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for exchange in self.record() {
            bytes.extend(exchange.command.bytes);
            bytes.extend(exchange.response.map(|response| response.0).unwrap_or_default());
        }
        bytes
    }
}

impl Inner {
    fn new(upstream: Upstream) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            record: Mutex::default(),
            on_command: Mutex::new(Box::new(|_| Action::Forward)),
            on_response: Mutex::new(Box::new(|_, response| Action::Reply(response.0))),
            stopped: AtomicBool::new(false),
        })
    }

    /// Serves one connection.
    fn converse(&self, client: &mut dyn Client) {
        while let Some(command) = client.command() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let decision = (self.on_command.lock().expect("no hook panicked"))(&command);
            let decision = match decision {
                Action::Forward => self.ask(&command, &command.bytes),
                Action::Replace(bytes) => self.ask(&command, &bytes),
                other => other,
            };
            let response = match &decision {
                Action::Reply(bytes) => Some(Response(bytes.clone())),
                _ => None,
            };
            let sender = command.sender;
            // Recorded before the program can act on it, so that a test that waits for the program finds it.
            self.record
                .lock()
                .expect("no panic holds the record")
                .push(Exchange { command, response: response.clone() });
            match (decision, response) {
                (_, Some(response)) => {
                    if client.respond(&response).is_err() {
                        return;
                    }
                }
                (Action::Drop, None) => return client.ignore(),
                (Action::Kill, None) => {
                    let pid = sender.expect("only a unix socket tells which process to kill");
                    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the program can be killed");
                    return client.ignore();
                }
                (_, None) => return,
            }
        }
    }

    /// Has the TPM carry out `bytes`, and the hook decide about its response.
    fn ask(&self, command: &Command, bytes: &[u8]) -> Action {
        let Ok(bytes) = self.upstream.exchange(bytes) else { return Action::Close };
        let response = Response(bytes);
        match (self.on_response.lock().expect("no hook panicked"))(command, response.clone()) {
            Action::Forward => Action::Reply(response.0),
            other => other,
        }
    }
}

impl Drop for Interposer {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, so that it ends.
        match &self.place {
            Place::Unix(dir) => drop(UnixStream::connect(dir.path().join("socket"))),
            Place::Tcp(port) => drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port))),
            Place::Mssim(port) => {
                drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
                drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port + 1)));
            }
            Place::Device(_) | Place::Emulator(_) => {}
        }
    }
}

impl fmt::Debug for Interposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Emulator(path) => write!(f, "interposer at {}", path.display()),
            _ => write!(f, "interposer at {}", self.tcti()),
        }
    }
}
