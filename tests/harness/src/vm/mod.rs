//! Virtual machines with Secure Boot (OVMF), a TPM that it measures into, and disks.
//!
//! A machine keeps its variables, its TPM's state and its disks over its boots. A guest announces success; silence, and an
//! end without an announcement, are failures.

mod accelerator;
mod architecture;
mod deployment;
mod disk;
mod dracut;
mod event_log;
mod hot_plug;
mod initrd;
mod qemu;
mod shim;
mod slot;
mod uki;

pub use architecture::Architecture;
pub use deployment::{CMDLINE, Chain, Deployment, SIGNED};
pub use disk::{from_vfat, trust_data};
pub use dracut::{Dracut, in_debian};
pub use event_log::{Event, event_log};
pub use initrd::{ATTEMPT, Initrd};
pub use shim::shim_with;
pub use slot::Slot;
pub use uki::{addon, ukify};

use crate::{
    assets,
    interposer::Interposer,
    swtpm::{Banks, State},
    workspace,
};
use accelerator::Accelerator;
use base64ct::{Base64, Encoding};
use qemu::Qemu;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A guest without output for so long hangs. systemd waits 90 s for a device, Trust for a slow TPM, and
/// beside another guest on two cores either may take several times as long.
const SILENCE: Duration = Duration::from_secs(400);
/// Upper bound for a boot, however much it prints.
const TIMEOUT: Duration = Duration::from_secs(1200);
/// Words after which a firmware or boot loader waits for a key press.
const REFUSALS: [&str; 3] = ["No bootable option or device was found", "Security Violation", "Press any key"];

/// A virtual machine, switched off.
#[derive(Debug)]
pub struct Vm {
    dir: TempDir,
    architecture: Architecture,
}

/// How a boot of a [`Vm`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest announced that it did all it was to do.
    Announced,
    /// The guest's script failed, or the kernel panicked, or the power was cut.
    Died,
    /// The firmware or a boot loader would not start what it was given.
    Refused,
    /// There was no output any more.
    Silent,
}

/// What a boot of a [`Vm`] left behind.
#[derive(Clone, Debug)]
pub struct Report {
    /// When QEMU was started.
    pub started: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// What came over the serial console: firmware, boot loaders, kernel, programs.
    pub console: String,
    /// The lines `NAME VALUE` that the guest's script said.
    pub said: String,
    /// The logs as they are, by name.
    logs: Vec<(&'static str, String)>,
}

impl Vm {
    /// A new machine: a copy of a firmware's variables, a new TPM, no disk.
    #[must_use]
    pub fn new(variables: &Path) -> Self {
        Self::of(Architecture::X86_64, variables)
    }

    /// The same for another architecture.
    #[must_use]
    pub fn of(architecture: Architecture, variables: &Path) -> Self {
        let vm = Self { dir: TempDir::with_prefix("vm-").expect("a temporary directory"), architecture };
        vm.set_variables(variables);
        vm.set_tpm(&State::new(Banks::Sha256));
        vm
    }

    pub(super) const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Puts a copy of another firmware's variables in.
    pub fn set_variables(&self, variables: &Path) {
        fs::copy(variables, self.variables()).expect("a variable store, and a writable directory");
    }

    /// The file of its firmware's variables, as they are after the last boot.
    #[must_use]
    pub fn variables(&self) -> PathBuf {
        self.dir.path().join("variables.fd")
    }

    /// Sets variables of its firmware that need no authentication: names and texts, of a vendor.
    pub fn add_variables(&self, vendor: &str, variables: &[(&str, &str)]) {
        let variable = |(name, value): &(&str, &str)| {
            let units = value.encode_utf16().chain([0]);
            let data: String = units.flat_map(u16::to_le_bytes).map(|byte| format!("{byte:02x}")).collect();
            // Kept without power, for boot loader and system: EFI_VARIABLE_NON_VOLATILE and both accesses.
            format!(r#"{{"name":"{name}","guid":"{vendor}","attr":7,"data":"{data}"}}"#)
        };
        let list: Vec<_> = variables.iter().map(variable).collect();
        let json = self.dir.path().join("variables.json");
        fs::write(&json, format!(r#"{{"version":2,"variables":[{}]}}"#, list.join(","))).expect("a writable directory");
        let mut command = assets::program("virt-fw-vars");
        command.arg("--inplace").arg(self.variables()).arg("--set-json").arg(json);
        let output = command.output().expect("virt-fw-vars runs");
        assert!(output.status.success(), "virt-fw-vars: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Puts another TPM in.
    pub fn set_tpm(&self, state: &State) {
        let _ = fs::remove_dir_all(self.tpm_dir());
        state.write(&self.tpm_dir());
    }

    /// What its TPM keeps without power.
    #[must_use]
    pub fn tpm(&self) -> State {
        State::read(&self.tpm_dir())
    }

    fn tpm_dir(&self) -> PathBuf {
        self.dir.path().join("tpm")
    }

    /// Gives it a new boot disk, an EFI system partition with these files: path and content.
    pub fn set_boot_disk(&self, files: &[(&str, &Path)]) {
        disk::vfat(&self.boot_disk(), "ESP", files);
    }

    /// The image of its second disk, `/dev/vdb`, which is there once a file is.
    #[must_use]
    pub fn data_disk(&self) -> PathBuf {
        self.dir.path().join(qemu::DATA_DISK)
    }

    /// Plugs these disk images in, in this order and in place of those that were: `/dev/vdb`, `/dev/vdc` and so on, where
    /// there is no [`Self::data_disk`].
    pub fn set_disks(&self, images: &[&Path]) {
        let images: Vec<_> = images.iter().map(|image| image.to_str().expect("temporary paths are text")).collect();
        fs::write(self.dir.path().join(qemu::DISKS), images.join("\n")).expect("a writable directory");
    }

    /// Has QEMU started with these arguments, too, in place of those that were.
    pub fn set_options(&self, options: &[&str]) {
        fs::write(self.dir.path().join(qemu::OPTIONS), options.join("\n")).expect("a writable directory");
    }

    /// Tells, while it runs, whether a line was printed: by the guest's script, or on the console.
    pub fn output_watcher(&self) -> impl Fn(&str) -> bool + Send + use<> {
        let logs = [qemu::SAID, qemu::CONSOLE].map(|name| self.dir.path().join(name));
        move |line| {
            let texts = logs.each_ref().map(|log| fs::read(log).unwrap_or_default()).concat();
            String::from_utf8_lossy(&texts).lines().any(|other| other.trim_end() == line)
        }
    }

    fn boot_disk(&self) -> PathBuf {
        self.dir.path().join("boot.img")
    }

    /// Switches it on, and waits until it is off again, or can be switched off since nothing will come of it.
    #[must_use]
    pub fn boot(&self) -> Report {
        self.run(false)
    }

    /// As [`Self::boot`], with a disk that is plugged in once these words stand on the console; QEMU's further options are
    /// `options` alone.
    #[must_use]
    pub fn boot_and_plug_in(&self, image: &Path, when: &'static str, options: &[&str]) -> Report {
        let more = hot_plug::options(self.dir.path(), image);
        let all: Vec<_> = options.iter().copied().chain(more.iter().map(String::as_str)).collect();
        self.set_options(&all);
        // What the last boot has said is not this one's.
        fs::write(self.dir.path().join(qemu::CONSOLE), "").expect("a writable directory");
        hot_plug::plug_in(self.dir.path().to_path_buf(), when);
        self.run(false)
    }

    /// As [`Self::boot`], with an interposer between the machine and its TPM, set up by `instruct`.
    #[must_use]
    pub fn boot_interposed(&self, instruct: impl FnOnce(&Interposer)) -> (Report, Interposer) {
        let path = |name| self.dir.path().join(name);
        let _ = fs::remove_file(path(qemu::TPM));
        let [control, data] = qemu::BEHIND.map(path);
        let interposer = Interposer::of_emulator(&path(qemu::TPM), control, data);
        instruct(&interposer);
        (self.run(true), interposer)
    }

    fn run(&self, interposed: bool) -> Report {
        let _slot = Slot::wait();
        let mut qemu = Qemu::start(self.architecture, self.dir.path(), interposed);
        let start = qemu.started();
        let (mut seen, mut last) = (0, Instant::now());
        let outcome = loop {
            let ended = qemu.has_ended();
            let report = self.report(start, Outcome::Died);
            if ended {
                break if report.announced() { Outcome::Announced } else { Outcome::Died };
            }
            if REFUSALS.iter().any(|text| report.console.contains(text)) {
                break Outcome::Refused;
            }
            let length = report.console.len() + report.said.len();
            if length != seen {
                (seen, last) = (length, Instant::now());
            }
            if last.elapsed() > SILENCE || start.elapsed() > TIMEOUT {
                break Outcome::Silent;
            }
            thread::sleep(Duration::from_millis(50));
        };
        drop(qemu);
        self.report(start, outcome)
    }

    fn report(&self, started: Instant, outcome: Outcome) -> Report {
        let read =
            |name| String::from_utf8_lossy(&fs::read(self.dir.path().join(name)).unwrap_or_default()).into_owned();
        let logs: Vec<_> = qemu::LOGS.iter().map(|name| (*name, read(*name))).collect();
        // The firmware speaks at every serial port.
        let said = read(qemu::SAID).replace('\r', "");
        let said = said.split_once(initrd::BEGINNING).map_or("", |(_, said)| said).to_owned();
        Report { started, outcome, console: read(qemu::CONSOLE).replace('\r', ""), said, logs }
    }
}

impl Report {
    /// Whether the guest said that it was done.
    fn announced(&self) -> bool {
        self.said.lines().last() == Some(initrd::ANNOUNCEMENT)
    }

    /// Asserts that the guest did all it was to do.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.expect(self.outcome == Outcome::Announced, "the guest did not do what it was to do")
    }

    /// Asserts that firmware or boot loader would not start it, and said why in these words.
    #[track_caller]
    pub fn refused(&self, why: &str) -> &Self {
        let refused = self.outcome == Outcome::Refused && self.said.is_empty() && self.console.contains(why);
        self.expect(refused, &format!("the boot was not refused with the words {why:?}"))
    }

    /// The value that the guest's script said in a line `NAME VALUE`, or `NAME` if it is empty.
    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        let line = self.said.lines().find_map(|line| match line.strip_prefix(name)? {
            "" => Some(""),
            value => value.strip_prefix(' '),
        });
        self.expect(line.is_some(), &format!("the guest said nothing of {name}"));
        line.unwrap_or_default()
    }

    /// What a line `NAME BASE64` of the guest's script means.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let bytes = Base64::decode_vec(self.value(name));
        self.expect(bytes.is_ok(), &format!("{name} is no base64"));
        bytes.unwrap_or_default()
    }

    /// Keeps the logs and panics unless `as_expected`.
    #[track_caller]
    fn expect(&self, good: bool, what: &str) -> &Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !good {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let kept = workspace().join(format!("target/vm-logs/{}-{number}", std::process::id()));
            let _ = fs::create_dir_all(&kept);
            for (name, text) in &self.logs {
                let _ = fs::write(kept.join(name), text);
            }
            let Self { outcome, console, said, .. } = self;
            panic!("{what} ({outcome:?}; logs in {})\n-- console\n{console}\n-- said\n{said}", kept.display());
        }
        self
    }
}

/// What runs the guests' instructions, as QEMU's `-accel` has it: `kvm`, where a guest has answered with it, or `tcg`.
#[must_use]
pub fn accelerator() -> &'static str {
    Accelerator::get().name()
}

/// A firmware's variables as its maker ships them: no keys, Secure Boot off.
#[must_use]
pub fn empty_variables() -> PathBuf {
    Architecture::X86_64.empty_variables()
}
