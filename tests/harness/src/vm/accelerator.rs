//! KVM or emulation.

use super::{empty_variables, qemu};
use crate::workspace;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How QEMU runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor does.
    Kvm,
    /// QEMU itself does, everywhere.
    Tcg,
}

impl Accelerator {
    /// The fastest one with which a guest has started on this machine since it was booted.
    pub(super) fn get() -> Self {
        static FOUND: OnceLock<Accelerator> = OnceLock::new();
        *FOUND.get_or_init(|| {
            if !Path::new("/dev/kvm").exists() {
                return Self::Tcg;
            }
            // Other test programs need not ask again.
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let note = workspace().join(format!("target/vm-accelerator-{}", boot.trim()));
            match fs::read_to_string(&note).as_deref() {
                Ok("kvm") => Self::Kvm,
                Ok("tcg") => Self::Tcg,
                _ => {
                    let found = if answers() { Self::Kvm } else { Self::Tcg };
                    let _ = fs::write(&note, found.name());
                    found
                }
            }
        })
    }

    /// As QEMU's `-accel` has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// As QEMU's `-cpu` has it.
    pub(super) const fn processor(self) -> &'static str {
        match self {
            Self::Kvm => "max",
            // QEMU before 8.0 takes cmpxchg16b's flags from a stale place. An interrupt right after it then returns
            // with wrong ones, and the kernel, whose allocator uses it everywhere, dies of that now and then. A fifth
            // level of page tables, and an instruction before and after each access to a program's memory, cost time alone.
            Self::Tcg => "max,-cx16,-la57,-smap",
        }
    }
}

/// Whether the firmware gets to the point where it looks for something to boot: that there is a /dev/kvm says little.
fn answers() -> bool {
    let dir = TempDir::with_prefix("vm-probe-").expect("a temporary directory");
    let (variables, console) = (dir.path().join("variables.fd"), dir.path().join("console"));
    fs::copy(empty_variables(), &variables).expect("a writable directory");
    let mut command = Command::new("qemu-system-x86_64");
    qemu::firmware(&mut command, Accelerator::Kvm, &variables);
    command.args(["-m", "256", "-serial"]).arg(format!("file:{}", console.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("QEMU is installed (Debian: qemu-system-x86)");
    let start = Instant::now();
    let answered = loop {
        if fs::read_to_string(&console).is_ok_and(|text| text.contains("BdsDxe")) {
            break true;
        }
        if child.try_wait().expect("QEMU can be waited for").is_some() || start.elapsed() > Duration::from_secs(20) {
            break false;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let _ = child.kill();
    let _ = child.wait();
    answered
}
