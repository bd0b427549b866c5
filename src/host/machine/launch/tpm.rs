//! The TPM of a machine: swtpm, with its state in the machine's directory.

use super::process::{Process, SWTPM, SWTPM_SETUP, socket};
use crate::{
    error::{Error, Result},
    host::fs::atomic,
    tpm::{Address, Tpm},
};
use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

/// Its state, in the machine's directory.
const STATE: &str = "tpm";
/// Its socket for us, while the machine is off.
const SOCKET: &str = "tpm.socket";
const LOG: &str = "swtpm.log";
/// It answers in milliseconds; the host may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Makes a new TPM, replacing an existing one.
pub(super) fn make(dir: &Path) -> Result<()> {
    let state = dir.join(STATE);
    let _ = std::fs::remove_dir_all(&state);
    atomic::make_dirs(&state)?;
    let args = ["--tpm2", "--pcr-banks", "sha256", "--tpmstate"].map(AsRef::as_ref);
    SWTPM_SETUP.output(&[&args[..], &[state.as_os_str()]].concat()).map(|_| ())
}

/// Starts it for a machine, with which it ends. Returns the machine's end of the socket, and its descriptor's number.
pub(super) fn start(dir: &Path) -> Result<(Process, OwnedFd, i32)> {
    // The first end is the TPM's, and only handed over.
    let (theirs, ours, number) = socket()?;
    let theirs = OwnedFd::from(theirs);
    let mut command = SWTPM.command(dir, LOG)?;
    command.args(["socket", "--tpm2", "--terminate", "--tpmstate"]).arg(format!("dir={STATE}"));
    command.arg("--ctrl").arg(format!("type=unixio,clientfd={}", theirs.as_raw_fd()));
    Ok((Process::start(command, vec![theirs])?, ours, number))
}

/// Runs `question` with the TPM, while the machine is off.
pub(super) fn ask<T>(dir: &Path, question: impl FnOnce(Tpm) -> Result<T>) -> Result<T> {
    let _ = std::fs::remove_file(dir.join(SOCKET));
    let mut command = SWTPM.command(dir, LOG)?;
    command.args(["socket", "--tpm2", "--terminate", "--flags", "startup-clear", "--tpmstate"]);
    command.arg(format!("dir={STATE}")).arg("--server").arg(format!("type=unixio,path={SOCKET}"));
    let _swtpm = Process::start(command, Vec::new())?;
    // By way of a descriptor: the path of a socket is limited to about a hundred bytes, that of a directory is not.
    let here = File::open(dir).map_err(|e| atomic::cannot("open", dir, &e))?;
    let address = Address::SwtpmUnix(format!("/proc/self/fd/{}/{SOCKET}", here.as_raw_fd()).into());
    let answer = Tpm::connect(&address, TIMEOUT, false).and_then(question);
    let _ = std::fs::remove_file(dir.join(SOCKET));
    answer.map_err(|e: Error| e.within("read the machine's TPM"))
}
