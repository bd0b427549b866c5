//! `trust derive serve`.

use super::source::PrimaryOptions;
use crate::{
    error::{Error, Kind, Result},
    host::{
        derive::{ForeignNamespace, Keeper, ServiceOptions, serve},
        fs::interrupt,
    },
};
use clap::{Args, ValueHint};
use rustix::net::sockopt::socket_acceptconn;
use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

pub const HELP: &str = "\
Examples:
  systemctl enable --now trust-derive.socket
  trust derive serve --socket /run/trust/derive      # without systemd
  varlinkctl call /run/trust/derive trust.derive.Key '{\"mode\":\"path\"}'
  varlinkctl introspect /run/trust/derive trust.derive

Standard input is the socket, as systemd gives it, unless --socket makes one. The kernel tells who has connected; what
that process runs is looked up in /proc, which requires root.";

/// A service.
#[derive(Args)]
pub struct Serve {
    /// Make this socket, and remove it in the end
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// End when nobody has been connected for so long
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    /// Take callers in containers and chroots for what their own file system says: any user can then have the key of any
    /// path, for that user
    #[arg(long)]
    foreign: bool,
    #[command(flatten)]
    key: PrimaryOptions,
}

impl Serve {
    pub fn run(self) -> Result<()> {
        interrupt::defer();
        let foreign = if self.foreign { ForeignNamespace::Allowed } else { ForeignNamespace::Refused };
        let options = ServiceOptions { foreign, idle: self.idle.map(Duration::from_secs) };
        let listener = self.socket.as_deref().map_or_else(passed, listen)?;
        let key = self.key;
        let (keeper, thread) = Keeper::start(move |bound| key.make(bound))?;
        let served = serve(&listener, &keeper, options);
        if let Some(path) = &self.socket {
            let _ = fs::remove_file(path);
        }
        // What it holds in the TPM is released.
        keeper.stop();
        let _ = thread.join();
        served
    }
}

/// The socket that is standard input.
fn passed() -> Result<UnixListener> {
    const WHAT: &str = "serve on standard input";
    let stdin = io::stdin();
    if !socket_acceptconn(&stdin).unwrap_or(false) {
        return Err(Error::new(Kind::Usage, WHAT, "it is not a socket that listens")
            .remedy("start trust-derive.socket, or make a socket: --socket PATH"));
    }
    stdin.as_fd().try_clone_to_owned().map(UnixListener::from).map_err(|e| Error::system(WHAT, e))
}

/// A new socket, for everyone.
fn listen(path: &Path) -> Result<UnixListener> {
    let failed = |e: io::Error| Error::system(format!("listen on {}", path.display()), e);
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // One that nobody listens on is left over.
    if is_socket && UnixStream::connect(path).is_err() {
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}
