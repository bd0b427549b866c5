//! The processes of a virtual machine: QEMU and its TPM.

use super::{Architecture, accelerator::Accelerator};
use crate::assets;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The first serial port: the console of firmware and kernel.
pub(super) const CONSOLE: &str = "console.log";
/// The second serial port: what the guest's script says.
pub(super) const SAID: &str = "said.log";
/// What tells why a boot went wrong.
pub(super) const LOGS: [&str; 5] = [CONSOLE, SAID, "qemu.log", "qemu.command", "swtpm.log"];

/// The further disks: where their images are, a line each.
pub(super) const DISKS: &str = "disks";
/// Further arguments of QEMU, a line each.
pub(super) const OPTIONS: &str = "options";
/// Where QEMU finds its TPM.
pub(super) const TPM: &str = "tpm.socket";
/// Where that TPM is when an interposer is between them: its control channel, and its socket for commands.
pub(super) const BEHIND: [&str; 2] = ["swtpm.control", "swtpm.data"];

/// The image of the second disk.
pub(super) const DATA_DISK: &str = "data.img";

/// A machine that is on. Dropping it cuts the power.
pub(super) struct Qemu {
    qemu: Process,
    _swtpm: Process,
    started: Instant,
}

/// A process that ends when it is dropped, or with us.
struct Process(Child);

impl Qemu {
    /// Switches on the machine whose files are in `dir`. `interposed`: an interposer is between it and its TPM.
    pub(super) fn start(architecture: Architecture, dir: &Path, interposed: bool) -> Self {
        for name in LOGS {
            fs::write(dir.join(name), "").expect("a writable directory");
        }
        let swtpm = swtpm(dir, interposed);
        let mut command = architecture.qemu(&dir.join("variables.fd"), &dir.join(CONSOLE), &dir.join(SAID));
        command.args(["-m", "512", "-no-reboot"]);
        command.arg("-chardev").arg(format!("socket,id=tpm,path={}", dir.join(TPM).display()));
        command.args(["-tpmdev", "emulator,id=tpm0,chardev=tpm"]);
        let disk = dir.join("boot.img");
        if disk.exists() {
            command.arg("-drive").arg(format!("if=none,id=boot,format=raw,file={}", disk.display()));
            command.args(["-device", "virtio-blk-pci,drive=boot,bootindex=1"]);
        }
        let disk = dir.join(DATA_DISK);
        if disk.exists() {
            command.arg("-drive").arg(format!("if=none,id=data,format=raw,file={}", disk.display()));
            command.args(["-device", "virtio-blk-pci,drive=data"]);
        }
        let lines = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
        for (number, image) in lines(DISKS).lines().enumerate() {
            command.arg("-drive").arg(format!("if=none,id=disk{number},format=raw,file={image}"));
            command.arg("-device").arg(format!("virtio-blk-pci,drive=disk{number}"));
        }
        command.args(lines(OPTIONS).lines());
        fs::write(dir.join("qemu.command"), format!("{command:?}\n")).expect("a writable directory");
        let started = Instant::now();
        Self { qemu: Process::start(&command, &dir.join("qemu.log")), _swtpm: swtpm, started }
    }

    /// When it was switched on.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Whether the guest has switched it off.
    pub(super) fn has_ended(&mut self) -> bool {
        self.qemu.0.try_wait().expect("QEMU can be waited for").is_some()
    }
}

/// The options of a machine of x86_64 with this firmware and these variables, and nothing else.
pub(super) fn firmware(command: &mut Command, accelerator: Accelerator, variables: &Path) {
    let code = assets::path("usr/share/OVMF/OVMF_CODE_4M.secboot.fd");
    // Only code in system management mode may write the variables.
    command.args(["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]);
    command.args(["-accel", accelerator.name(), "-cpu", accelerator.processor(), "-smp", "1"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    flash(command, &code, variables);
}

/// Flash memory with the firmware's code and its variables.
pub(super) fn flash(command: &mut Command, code: &Path, variables: &Path) {
    command.arg("-drive").arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={}", code.display()));
    command.arg("-drive").arg(format!("if=pflash,unit=1,format=raw,file={}", variables.display()));
}

fn swtpm(dir: &Path, interposed: bool) -> Process {
    let [control, data] = BEHIND.map(|name| dir.join(name));
    let socket = if interposed { control } else { dir.join(TPM) };
    let _ = fs::remove_file(&socket);
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2"]);
    command.arg("--tpmstate").arg(format!("dir={}", dir.join("tpm").display()));
    command.arg("--ctrl").arg(format!("type=unixio,path={}", socket.display()));
    if interposed {
        let _ = fs::remove_file(&data);
        command.arg("--server").arg(format!("type=unixio,path={}", data.display()));
    } else {
        command.arg("--terminate");
    }
    let mut process = Process::start(&command, &dir.join("swtpm.log"));
    let start = Instant::now();
    while !socket.exists() {
        let alive = process.0.try_wait().expect("swtpm can be waited for").is_none();
        let log = || fs::read_to_string(dir.join("swtpm.log")).unwrap_or_default();
        assert!(alive && start.elapsed() < Duration::from_secs(30), "swtpm does not start: {}", log());
        thread::sleep(Duration::from_millis(2));
    }
    process
}

impl Process {
    fn start(command: &Command, log: &Path) -> Self {
        let log = fs::File::create(log).expect("a writable directory");
        // A killed test ends its machines.
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        bound.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        Self(bound.spawn().expect("setpriv is installed (Debian: util-linux)"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
