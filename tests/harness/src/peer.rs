//! A program with a connection that it has made itself.

use std::{
    os::{
        fd::IntoRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::Path,
    process::{Child, Command},
};

/// Starts `command`, whose process connects before it becomes that program, which keeps the connection; in the directory
/// `root`, if there is one. The other end of it.
///
/// # Panics
/// If the program does not start, or does not connect.
pub fn connected(command: &mut Command, root: Option<&Path>) -> (Child, UnixStream) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    // For other users.
    for path in [dir.path(), &socket] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let root = root.map(Path::to_owned);
    let connect = move || {
        let stream = UnixStream::connect(&socket)?;
        rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::empty())?;
        let _ = stream.into_raw_fd();
        root.as_ref().map_or(Ok(()), std::os::unix::fs::chroot)
    };
    // SAFETY: between fork and exec, system calls alone.
    unsafe { command.pre_exec(connect) };
    let child = command.spawn().expect("it starts");
    (child, listener.accept().expect("it has connected").0)
}
