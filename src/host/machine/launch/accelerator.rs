//! KVM or emulation.

use super::{
    monitor::Monitor,
    process::{Process, QEMU, socket},
    qemu,
};
use crate::{
    error::{Error, Result},
    host::fs::interrupt,
};
use rustix::{
    fs::{Access, access},
    io::Errno,
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long a firmware may take to answer; with KVM it takes a second.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Temporary files of the probe.
const VARIABLES: &str = "probe.fd";
const CONSOLE: &str = "probe.log";

/// How QEMU runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accelerator {
    /// The processor does
    Kvm,
    /// QEMU itself does, everywhere, and ten times slower
    Tcg,
}

impl Accelerator {
    /// The fastest accelerator with which this firmware starts on this host, and why it is not a faster one. `dir` is the
    /// machine's.
    ///
    /// # Errors
    /// Those of starting QEMU, and of an interruption.
    pub(super) fn find(dir: &Path, firmware: &Path) -> Result<(Self, Option<String>)> {
        // A /dev/kvm alone proves little: in nested virtual machines it often does not work.
        if let Err(e) = access("/dev/kvm", Access::READ_OK | Access::WRITE_OK) {
            let why = match e {
                Errno::NOENT => "there is no /dev/kvm".to_owned(),
                Errno::ACCESS => "/dev/kvm is not accessible: become a member of the group kvm".to_owned(),
                e => format!("/dev/kvm: {e}"),
            };
            return Ok((Self::Tcg, Some(why)));
        }
        let files = [VARIABLES, CONSOLE].map(|name| dir.join(name));
        let copied = fs::copy(dir.join(qemu::VARIABLES), dir.join(VARIABLES));
        let answered =
            copied.map_err(|e| Error::system("copy a firmware's variables", e)).and_then(|_| answers(dir, firmware));
        for file in files {
            let _ = fs::remove_file(file);
        }
        Ok(answered?.map_or((Self::Kvm, None), |why| (Self::Tcg, Some(format!("there is a /dev/kvm, but {why}")))))
    }

    /// As QEMU's `-accel` has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// As QEMU's `-cpu` has it.
    pub(super) fn processor(self) -> Result<&'static str> {
        // QEMU before 8.0 emulates cmpxchg16b with wrong flags when an interrupt follows it at once: kernels, which
        // use it wherever they allocate memory, crash now and then. Without it they use another instruction.
        let flawed = self == Self::Tcg && major(&QEMU.output(&["--version".as_ref()])?).is_some_and(|major| major < 8);
        Ok(if flawed { "max,-cx16" } else { "max" })
    }
}

/// The first number of what `qemu-system-x86_64 --version` prints.
fn major(text: &str) -> Option<u32> {
    text.split_once("version ")?.1.split('.').next()?.parse().ok()
}

/// Why the firmware does not reach the point where it looks for something to boot, if it does not.
fn answers(dir: &Path, firmware: &Path) -> Result<Option<String>> {
    let (ours, theirs, number) = socket()?;
    let mut command = QEMU.command(dir, qemu::LOG)?;
    qemu::firmware(&mut command, Accelerator::Kvm.name(), "max", firmware, VARIABLES);
    qemu::monitor(&mut command, number);
    command.args(["-m", "256", "-serial"]).arg(format!("file:{CONSOLE}"));
    let mut process = Process::start(command, vec![theirs])?;
    let mut monitor = Monitor::new(ours)?;
    let start = Instant::now();
    loop {
        let text = fs::read(dir.join(CONSOLE)).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains("BdsDxe") {
            return Ok(None);
        }
        if process.ended()?.is_some() {
            return Ok(Some(format!("QEMU ends with it: {}", qemu::complaint(dir))));
        }
        if start.elapsed() > TIMEOUT {
            return Ok(Some(format!("no firmware starts with it within {} s", TIMEOUT.as_secs())));
        }
        interrupt::check()?;
        monitor.events();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_qemu_are_parsed() {
        assert_eq!(major("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright"), Some(7));
        assert_eq!(major("QEMU emulator version 10.0.3"), Some(10));
        assert_eq!(major("something else"), None);
    }
}
