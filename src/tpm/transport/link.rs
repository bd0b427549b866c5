//! One open connection to a TPM, with a deadline on every response.

use super::{
    address::{Address, DEVICES},
    fault::Fault,
    response,
};
use crate::error::{Error, Kind, Result};
use rustix::{
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        poll,
    },
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// The largest command or response (`TPM2_MAX_COMMAND_SIZE`), in bytes.
pub const MAX_MESSAGE: usize = 4096;
/// Where a TPM is not waited for to appear, its responses are waited for all the same.
pub const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// How often a device that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Around each command the kernel's resource manager loads and saves the session and the key: six commands at most, and
/// slow TPMs take seconds for each.
const SWAPPING: u32 = 3;

/// How commands are wrapped on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Bare,
    Mssim,
}

/// An open connection.
pub struct Link {
    fd: OwnedFd,
    /// Becomes readable when `fd` does. To ask the device itself is to wait for the kernel, which holds its lock for as
    /// long as it works on a command: minutes, if the TPM is silent.
    responses: OwnedFd,
    /// mssim's second connection, which keeps the simulator powered.
    _platform: Option<OwnedFd>,
    framing: Framing,
    patience: Duration,
}

impl Link {
    /// Opens the TPM, waiting for it at most `patience`; a response may take three times as long.
    ///
    /// # Errors
    /// [`Kind::NoTpm`] when it does not appear in time.
    pub fn open(address: &Address, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            let error = match open_once(address) {
                Ok((fd, platform)) => {
                    let framing = if platform.is_some() { Framing::Mssim } else { Framing::Bare };
                    let responses = watch(&fd).map_err(|errno| {
                        Error::new(Kind::NoTpm, format!("use {}", name(address)), errno.to_string())
                    })?;
                    let patience = patience.max(LEAST_PATIENCE);
                    return Ok(Self { fd, responses, _platform: platform, framing, patience });
                }
                Err(error) => error,
            };
            if Instant::now() >= deadline || is_final(&error) {
                return Err(absent(address, &error, patience));
            }
            sleep(LOOK_AGAIN);
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// The link is of no more use.
    pub fn transmit(&mut self, command: &[u8]) -> std::result::Result<(), Fault> {
        const SEND_COMMAND: u32 = 8;
        const LOCALITY: u8 = 0;
        let deadline = Instant::now() + self.patience;
        if self.framing == Framing::Mssim {
            let size = u32::try_from(command.len()).map_err(|_| Fault::Malformed)?;
            let mut frame = Vec::with_capacity(9 + command.len());
            frame.extend_from_slice(&SEND_COMMAND.to_be_bytes());
            frame.push(LOCALITY);
            frame.extend_from_slice(&size.to_be_bytes());
            frame.extend_from_slice(command);
            return self.write_all(&frame, deadline);
        }
        self.write_all(command, deadline)
    }

    /// Receives the response to `command`: at most [`MAX_MESSAGE`] bytes, checked against what it says of itself.
    ///
    /// # Errors
    /// The link is of no more use.
    pub fn receive(&mut self, command: &[u8], response: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        let deadline = Instant::now() + self.patience * SWAPPING;
        response.clear();
        if self.framing == Framing::Mssim {
            // The size, which the response's own header repeats.
            self.read_exactly(4, response, deadline)?;
            response.clear();
        }
        self.read_exactly(response::HEADER, response, deadline)?;
        let size = response::stated_size(response).ok_or(Fault::Malformed)?;
        if size > MAX_MESSAGE {
            return Err(Fault::Malformed);
        }
        self.read_exactly(size, response, deadline)?;
        response::check(command, response)?;
        if self.framing == Framing::Mssim {
            let mut trailer = Vec::new();
            self.read_exactly(4, &mut trailer, deadline)?;
        }
        Ok(())
    }

    fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> std::result::Result<(), Fault> {
        while !bytes.is_empty() {
            self.wait_until_writable(deadline)?;
            match rustix::io::write(&self.fd, bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Fault::Closed),
                Err(errno) => return Err(Fault::Io(errno)),
            }
        }
        Ok(())
    }

    /// Reads until `buffer` holds `size` bytes; a device gives a whole response at once, so more may come.
    fn read_exactly(&self, size: usize, buffer: &mut Vec<u8>, deadline: Instant) -> std::result::Result<(), Fault> {
        let mut chunk = [0u8; MAX_MESSAGE];
        while buffer.len() < size {
            self.wait_for_answer(deadline)?;
            // Streams must not be read beyond the frame; devices must be read as a whole.
            let limit = if self.framing == Framing::Mssim { size - buffer.len() } else { MAX_MESSAGE };
            let room = chunk.get_mut(..limit).ok_or(Fault::Malformed)?;
            match rustix::io::read(&self.fd, room) {
                Ok(0) => return Err(Fault::Closed),
                Ok(count) => buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(Fault::Closed),
                Err(errno) => return Err(Fault::Io(errno)),
            }
        }
        Ok(())
    }

    fn wait_until_writable(&self, deadline: Instant) -> std::result::Result<(), Fault> {
        wait(deadline, |left| poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(left)))
    }

    fn wait_for_answer(&self, deadline: Instant) -> std::result::Result<(), Fault> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        wait(deadline, |left| epoll::wait(&self.responses, &mut events, Some(left)))
    }
}

/// Runs `ask`, which takes at most the time that it is given, until it has found something.
fn wait(
    deadline: Instant,
    mut ask: impl FnMut(&Timespec) -> rustix::io::Result<usize>,
) -> std::result::Result<(), Fault> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(&Timespec::try_from(left).map_err(|_| Fault::Io(Errno::INVAL))?) {
            Ok(0) => return Err(Fault::Silent),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Fault::Io(errno)),
        }
    }
}

/// What becomes readable when `fd` does.
fn watch(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let watching = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&watching, fd, EventData::new_u64(0), EventFlags::IN)?;
    Ok(watching)
}

/// Whether waiting changes nothing. In an initrd it might: everything there is root's.
fn is_final(error: &io::Error) -> bool {
    cfg!(feature = "host") && error.kind() == io::ErrorKind::PermissionDenied
}

/// That it has not appeared, with what the machine tells about the reason.
fn absent(address: &Address, error: &io::Error, patience: Duration) -> Error {
    let waited = if is_final(error) { String::new() } else { format!(" (waited {} s)", patience.as_secs()) };
    let absent = Error::new(Kind::NoTpm, format!("open {}", name(address)), format!("{error}{waited}"));
    #[cfg(feature = "host")]
    if let Some(absence) = super::missing::find_out(address, error, Path::new("/")) {
        return absent.because(&absence.why).remedy(absence.remedy);
    }
    absent
}

/// How messages name it.
fn name(address: &Address) -> String {
    match address {
        Address::Device(None) => format!("{} or {}", DEVICES[0], DEVICES[1]),
        Address::Device(Some(path)) => path.display().to_string(),
        Address::SwtpmUnix(path) => format!("the TPM socket {}", path.display()),
        Address::SwtpmTcp(socket) | Address::Mssim(socket) => format!("the TPM at {socket}"),
    }
}

/// One attempt: the connection, and for mssim the platform's.
fn open_once(address: &Address) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    match address {
        Address::Device(Some(path)) => Ok((device(path)?, None)),
        Address::Device(None) => {
            let [managed, bare] = DEVICES;
            match device(Path::new(managed)) {
                // The kernel makes the bare device first and the managed one at once after it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new(bare).exists() => {
                    sleep(LOOK_AGAIN);
                    let fd = device(Path::new(managed)).or_else(|_| device(Path::new(bare)))?;
                    Ok((fd, None))
                }
                other => Ok((other?, None)),
            }
        }
        Address::SwtpmUnix(path) => Ok((unix(path)?, None)),
        Address::SwtpmTcp(socket) => Ok((tcp(socket)?, None)),
        Address::Mssim(socket) => {
            let mut beside = *socket;
            beside.set_port(socket.port().checked_add(1).ok_or(Errno::INVAL)?);
            let platform = tcp(&beside)?;
            power_on(&platform)?;
            Ok((tcp(socket)?, Some(platform)))
        }
    }
}

/// Non-blocking, so that the kernel works on a command while we watch the clock.
fn device(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

fn unix(path: &Path) -> io::Result<OwnedFd> {
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
    Ok(fd)
}

fn tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&fd, address)?;
    Ok(fd)
}

/// Tells the reference simulator to switch TPM and NV on; each is answered by a zero.
fn power_on(platform: &OwnedFd) -> io::Result<()> {
    const SIGNAL_POWER_ON: u32 = 1;
    const SIGNAL_NV_ON: u32 = 11;
    for signal in [SIGNAL_POWER_ON, SIGNAL_NV_ON] {
        rustix::io::write(platform, &signal.to_be_bytes())?;
        let mut fds = [PollFd::new(platform, PollFlags::IN)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut response = [0u8; 4];
        if poll(&mut fds, Some(&second))? == 0 || rustix::io::read(platform, &mut response)? == 0 {
            return Err(Errno::TIMEDOUT.into());
        }
    }
    Ok(())
}
