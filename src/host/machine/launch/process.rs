//! Processes that never outlive this one.

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

/// A program, and the package of Debian and Ubuntu that brings it.
#[derive(Clone, Copy)]
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
}

/// Runs the machine.
pub(super) const QEMU: Program = Program { name: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Is its TPM.
pub(super) const SWTPM: Program = Program { name: "swtpm", package: "swtpm" };
/// Makes its TPM.
pub(super) const SWTPM_SETUP: Program = Program { name: "swtpm_setup", package: "swtpm-tools" };
/// Has the kernel kill a process when its parent ends.
const SETPRIV: Program = Program { name: "setpriv", package: "util-linux" };

/// The firmware needed where none is given, as messages call it.
const FIRMWARE: Program = Program { name: "OVMF with Secure Boot", package: "ovmf" };

/// Fails, naming everything that is missing, if a program or the firmware is not installed; returns the firmware.
pub(super) fn ensure_installed<T>(firmware: Option<T>) -> Result<T> {
    let programs = [QEMU, SWTPM, SWTPM_SETUP, SETPRIV].into_iter().filter(|program| !program.is_installed());
    let missing: Vec<_> = programs.chain(firmware.is_none().then_some(FIRMWARE)).collect();
    let otherwise = if firmware.is_some() { "" } else { ", or name a firmware with --firmware and --variables" };
    if let (Some(firmware), []) = (firmware, missing.as_slice()) {
        return Ok(firmware);
    }
    let names = |name: fn(&Program) -> &str, between| missing.iter().map(name).collect::<Vec<_>>().join(between);
    let why = format!("not installed: {}", names(|program| program.name, ", "));
    let packages = names(|program| program.package, " ");
    let remedy = format!("install what is missing (Debian, Ubuntu: apt install {packages}){otherwise}");
    Err(Error::new(Kind::Usage, "run a virtual machine", why).remedy(remedy))
}

impl Program {
    fn is_installed(&self) -> bool {
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(self.name).is_file()))
    }

    /// The command to run it in a machine's directory, with its output in the file `log` there.
    ///
    /// It is killed however this process ends.
    pub(super) fn command(self, dir: &Path, log: &str) -> Result<Command> {
        let failed = |e| atomic::cannot("write", &dir.join(log), &e);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(atomic::PRIVATE);
        let log = options.open(dir.join(log)).map_err(failed)?;
        let mut command = Command::new(SETPRIV.name);
        command.args(["--pdeathsig", "KILL", "--", self.name]).current_dir(dir);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(command)
    }

    /// Runs it, and returns what it prints.
    pub(super) fn output(self, args: &[&OsStr]) -> Result<String> {
        let what = || format!("run {}", self.name);
        let output = Command::new(self.name).args(args).stdin(Stdio::null()).output();
        let output = output.map_err(|e| Error::system(what(), e))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = [output.stdout, output.stderr].concat();
        let why = String::from_utf8_lossy(&text).lines().last().unwrap_or("it does not say why").to_owned();
        Err(Error::new(Kind::System, what(), why).remedy("ensure that it works on this system"))
    }
}

/// A process that is killed when this is dropped.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts it in a process group of its own, so that Ctrl-C reaches only this process. It inherits these descriptors,
    /// which its arguments name by number.
    pub(super) fn start(mut command: Command, inherited: Vec<OwnedFd>) -> Result<Self> {
        command.process_group(0);
        Self::start_at_terminal(command, inherited)
    }

    /// Starts it in our process group, where it may read from the terminal.
    pub(super) fn start_at_terminal(mut command: Command, inherited: Vec<OwnedFd>) -> Result<Self> {
        for descriptor in &inherited {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())
                .map_err(|e| Error::system("hand a socket on", e))?;
        }
        let child = command.spawn().map_err(|e| {
            let program: OsString = command.get_program().into();
            Error::system(format!("start {}", program.display()), e).remedy("ensure that it is installed")
        })?;
        Ok(Self { child })
    }

    /// Its exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|e| Error::system("wait for a process", e))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pair of sockets: ours, and one for a process, with the descriptor's number there.
pub(super) fn socket() -> Result<(UnixStream, OwnedFd, i32)> {
    let (ours, theirs) = UnixStream::pair().map_err(|e| Error::system("make a socket", e))?;
    let theirs = OwnedFd::from(theirs);
    let number = theirs.as_raw_fd();
    Ok((ours, theirs, number))
}
