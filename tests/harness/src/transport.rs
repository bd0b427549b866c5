//! The ways in which a program reaches a TPM: unix socket, TCP, the framing of
//! the Microsoft simulator, a character device.

use crate::wire::{Command, Response, u32_at};
use nix::{
    fcntl::{OFlag, open},
    pty::{OpenptyResult, openpty},
    sys::{
        socket::{getsockopt, sockopt::PeerCredentials},
        stat::Mode,
        termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
    },
};
use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

/// Larger frames are none.
const MAX_FRAME: usize = 1 << 20;

/// Where a TPM takes raw commands.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    Unix(PathBuf),
    Tcp(u16),
}

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Upstream {
    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path)?),
            Self::Tcp(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

impl Upstream {
    /// Has the TPM carry out one command, on a connection of its own: swtpm
    /// serves one at a time, and a device is never closed.
    pub(crate) fn exchange(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut tpm = self.connect()?;
        tpm.write_all(command)?;
        read_frame(&mut *tpm)
    }
}

/// Reads one command or response, as long as its header says.
pub(crate) fn read_frame(from: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 10];
    from.read_exact(&mut frame)?;
    let size = u32_at(&frame, 2) as usize;
    if !(10..=MAX_FRAME).contains(&size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {size} bytes")));
    }
    frame.resize(size, 0);
    from.read_exact(&mut frame[10..])?;
    Ok(frame)
}

/// A program's end of a connection, whatever its framing.
pub(crate) trait Client: Send {
    /// The next command, `None` at the end.
    fn command(&mut self) -> Option<Command>;
    /// Answers it.
    fn respond(&mut self, response: &Response) -> io::Result<()>;
    /// Says nothing and waits until the program gives up.
    fn ignore(&mut self);
}

/// Raw commands and responses on a stream.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    /// Process at the other end, where the socket tells.
    pub(crate) sender: Option<i32>,
}

impl<S: Stream> Client for Raw<S> {
    fn command(&mut self) -> Option<Command> {
        let bytes = read_frame(&mut self.stream).ok()?;
        Some(Command { bytes, sender: self.sender })
    }
    fn respond(&mut self, response: &Response) -> io::Result<()> {
        self.stream.write_all(&response.0)
    }
    fn ignore(&mut self) {
        let _ = io::copy(&mut self.stream, &mut io::sink());
    }
}

/// The framing of Microsoft's simulator: TPM commands, and session end.
struct Mssim(TcpStream);

const SEND_COMMAND: u32 = 8;
const SESSION_END: u32 = 20;

impl Client for Mssim {
    fn command(&mut self) -> Option<Command> {
        match word(&mut self.0)? {
            SEND_COMMAND => {}
            SESSION_END => return None,
            other => panic!("the mssim protocol has no command {other}"),
        }
        let mut locality = [0; 1];
        self.0.read_exact(&mut locality).ok()?;
        let mut bytes = vec![0; (word(&mut self.0)? as usize).min(MAX_FRAME)];
        self.0.read_exact(&mut bytes).ok()?;
        Some(Command { bytes, sender: None })
    }
    fn respond(&mut self, response: &Response) -> io::Result<()> {
        let size = u32::try_from(response.0.len()).expect("a response is small");
        self.0.write_all(&[&size.to_be_bytes()[..], &response.0, &0u32.to_be_bytes()].concat())
    }
    fn ignore(&mut self) {
        let _ = io::copy(&mut self.0, &mut io::sink());
    }
}

/// The simulator's platform port: power, NV, cancel. All succeed.
fn platform(mut stream: TcpStream) {
    while let Some(command) = word(&mut stream) {
        if command == SESSION_END || stream.write_all(&0u32.to_be_bytes()).is_err() {
            return;
        }
    }
}

fn word(from: &mut impl Read) -> Option<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Called with every connection, in a thread of its own.
pub(crate) type Serve = Arc<dyn Fn(&mut dyn Client) + Send + Sync>;

/// Serves a unix socket until the process ends or the socket's file is connected to with `stopped` set.
pub(crate) fn serve_unix(path: &Path, serve: Serve, stopped: impl Fn() -> bool + Send + 'static) {
    let listener = UnixListener::bind(path).expect("a writable directory");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if stopped() {
                return;
            }
            let serve = serve.clone();
            let sender = getsockopt(&stream, PeerCredentials).ok().map(|peer| peer.pid());
            thread::spawn(move || serve(&mut Raw { stream, sender }));
        }
    });
}

/// Serves a TCP port, which it returns.
pub(crate) fn serve_tcp(serve: Serve, stopped: impl Fn() -> bool + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    accept(listener, stopped, move |stream| serve(&mut Raw { stream, sender: None }));
    port
}

/// Serves the simulator's two ports; returns the first.
pub(crate) fn serve_mssim(serve: Serve, stopped: impl Fn() -> bool + Clone + Send + 'static) -> u16 {
    let (commands, events) = listeners();
    let port = commands.local_addr().expect("a bound socket").port();
    accept(commands, stopped.clone(), move |stream| serve(&mut Mssim(stream)));
    accept(events, stopped, platform);
    port
}

/// Serves a character device, whose path it returns.
pub(crate) fn serve_device(serve: Serve) -> PathBuf {
    let OpenptyResult { master, slave } = openpty(None, None).expect("a pseudo terminal");
    let mut mode = tcgetattr(&slave).expect("a terminal");
    cfmakeraw(&mut mode);
    tcsetattr(&slave, SetArg::TCSANOW, &mode).expect("a terminal");
    let path = nix::unistd::ttyname(&slave).expect("a terminal has a name");
    // A second descriptor on the slave: without one the master says EIO between two programs.
    let keep: OwnedFd = open(&path, OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty()).expect("our terminal");
    thread::spawn(move || {
        let _keep = (slave, keep);
        let mut client = Raw { stream: File::from(master), sender: None };
        serve(&mut client);
    });
    path
}

fn accept(
    listener: TcpListener,
    stopped: impl Fn() -> bool + Send + 'static,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) {
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if stopped() {
                return;
            }
            let _ = stream.set_nodelay(true);
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// A port without a listener.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

/// A pair of neighbouring ports: TPM commands, and platform commands.
fn listeners() -> (TcpListener, TcpListener) {
    loop {
        let tpm = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = tpm.local_addr().expect("a bound socket").port();
        if let Some(next) = port.checked_add(1)
            && let Ok(platform) = TcpListener::bind((Ipv4Addr::LOCALHOST, next))
        {
            return (tpm, platform);
        }
    }
}
