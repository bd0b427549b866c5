//! The service asked, by those who have no TPM to ask.

use super::{
    DerivedKey,
    varlink::{self, KeyCall, MAX_CALL},
};
use crate::error::{Error, Kind, Result};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};
use zeroize::Zeroizing;

/// Where the service listens.
pub const SOCKET: &str = "/run/trust/derive";
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks the service at `socket` for a key, which comes in the answer.
///
/// # Errors
/// Those of the service; [`Kind::System`]: there is none.
pub fn ask(socket: &Path, call: &KeyCall) -> Result<DerivedKey> {
    let failed = |e: std::io::Error| {
        Error::system(format!("ask the service at {}", socket.display()), e)
            .remedy("see that it runs: systemctl status trust-derive.socket; or name the TPM: --tcti device")
    };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(&call.message()).map_err(failed)?;
    let mut reply = Zeroizing::new(Vec::with_capacity(MAX_CALL));
    let mut piece = Zeroizing::new([0; 1024]);
    while !reply.ends_with(&[0]) {
        let size = stream.read(&mut *piece).map_err(failed)?;
        if size == 0 || reply.len() + size > MAX_CALL {
            return Err(Error::new(Kind::System, "ask the service", "it has ended the connection").remedy("try again"));
        }
        reply.extend(piece.get(..size).unwrap_or_default());
    }
    varlink::key_in(reply.get(..reply.len() - 1).unwrap_or_default(), call.request.size)
}
