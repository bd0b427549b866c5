//! Between QEMU and its TPM: swtpm's control channel is passed on as it is, but for the descriptor on which QEMU
//! wants to send TPM commands. That one is served here.

use crate::transport::{Raw, Serve};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    io::{self, IoSliceMut, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

/// The answer to `CMD_SET_DATAFD`: success.
const SUCCESS: [u8; 4] = [0; 4];

/// Waits at `path` for QEMU, and then serves its TPM commands. `control` is swtpm's control channel, which need not be
/// there before QEMU is.
pub(crate) fn serve(path: &Path, control: PathBuf, serve: Serve) {
    let listener = UnixListener::bind(path).expect("a writable directory");
    thread::spawn(move || {
        // No connection, if QEMU does not start.
        let Ok((qemu, _)) = listener.accept() else { return };
        let swtpm = UnixStream::connect(control).expect("swtpm listens");
        let (mut answers, mut to_qemu) = (swtpm.try_clone().expect("a socket"), qemu.try_clone().expect("a socket"));
        thread::spawn(move || {
            let _ = io::copy(&mut answers, &mut to_qemu);
            let _ = to_qemu.shutdown(Shutdown::Both);
        });
        let _ = relay(&qemu, &swtpm, &serve);
        let _ = swtpm.shutdown(Shutdown::Both);
    });
}

/// Passes on what QEMU asks for, until it is gone.
fn relay(mut qemu: &UnixStream, mut swtpm: &UnixStream, serve: &Serve) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let (length, descriptor) = receive(qemu, &mut buffer)?;
        if let Some(descriptor) = descriptor {
            let serve = serve.clone();
            let stream = UnixStream::from(descriptor);
            thread::spawn(move || serve(&mut Raw { stream, sender: None }));
            qemu.write_all(&SUCCESS)?;
        } else if length == 0 {
            return Ok(());
        } else {
            swtpm.write_all(buffer.get(..length).unwrap_or_default())?;
        }
    }
}

/// What QEMU sent, and the descriptor that came along.
fn receive(qemu: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(qemu, &mut [IoSliceMut::new(buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((received.bytes, descriptors.next()))
}
