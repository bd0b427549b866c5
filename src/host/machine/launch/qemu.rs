//! The command line of QEMU. Files are named as they are called in the machine's directory, where it runs.

use super::{accelerator::Accelerator, console, disks, facts::Hardware};
use crate::error::Result;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    process::Command,
};

/// The firmware's variables.
pub(super) const VARIABLES: &str = "variables.fd";
/// QEMU's error output.
pub(super) const LOG: &str = "qemu.log";

/// What differs between boots.
pub(super) struct QemuSetup<'a> {
    pub hardware: &'a Hardware,
    pub accelerator: Accelerator,
    /// Whether it boots from [`disks::BOOT`], and not from its own disk.
    pub medium: bool,
    /// Whether [`disks::IDENTITY`] is attached.
    pub identity: bool,
    /// Whether the guest may restart it; otherwise QEMU ends.
    pub restarts: bool,
    /// Whether the console is the terminal.
    pub terminal: bool,
    /// The descriptors of the sockets.
    pub tpm: i32,
    pub monitor: i32,
    /// Options passed on unread.
    pub more: &'a [OsString],
}

/// Adds the options of a whole machine.
pub(super) fn machine(command: &mut Command, setup: &QemuSetup<'_>) -> Result<()> {
    let hardware = setup.hardware;
    firmware(command, setup.accelerator.name(), setup.accelerator.processor()?, &hardware.firmware, VARIABLES);
    command.args(["-m", &hardware.memory.to_string(), "-smp", &hardware.processors.to_string()]);
    monitor(command, setup.monitor);
    command.arg("-chardev").arg(format!("socket,id=tpm,fd={}", setup.tpm));
    command.args(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]);
    command.arg("-chardev").arg(format!(
        "{},id=console,logfile={},logappend=on",
        if setup.terminal { "stdio,mux=on,signal=off" } else { "null" },
        console::FILE
    ));
    command.args(["-serial", "chardev:console"]);
    // In this order, the same in each boot: the guest's own disk is its first, /dev/vda.
    disk(command, "disk", disks::DISK, if setup.medium { "" } else { ",bootindex=1" });
    command.args(["-device", "virtio-rng-pci"]);
    if setup.medium {
        disk(command, "boot", &format!("{},readonly=on", disks::BOOT), ",bootindex=1");
    }
    if setup.identity {
        disk(command, "trust-data", disks::IDENTITY, "");
    }
    if !setup.restarts {
        command.arg("-no-reboot");
    }
    command.args(setup.more);
    Ok(())
}

/// Adds the options of a machine with this firmware and nothing else.
pub(super) fn firmware(command: &mut Command, accelerator: &str, processor: &str, code: &Path, variables: &str) {
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    // The variables belong to code in system management mode: the system cannot write to them behind its back.
    command.args(["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]);
    command.args(["-accel", accelerator, "-cpu", processor]);
    let mut option = OsString::from("if=pflash,unit=0,format=raw,readonly=on,file=");
    option.push(escaped(code.as_os_str()));
    command.arg("-drive").arg(option);
    command.arg("-drive").arg(format!("if=pflash,unit=1,format=raw,file={variables}"));
}

/// Adds a monitor at a socket.
pub(super) fn monitor(command: &mut Command, number: i32) {
    command.arg("-chardev").arg(format!("socket,id=monitor,fd={number}"));
    command.args(["-mon", "chardev=monitor,mode=control"]);
}

/// Adds a disk, which Linux finds as /dev/disk/by-id/virtio-NAME.
fn disk(command: &mut Command, name: &str, file: &str, more: &str) {
    command.arg("-drive").arg(format!("if=none,id={name},format=raw,discard=unmap,file={file}"));
    command.arg("-device").arg(format!("virtio-blk-pci,drive={name},serial={name}{more}"));
}

/// The last line of QEMU's error output.
pub(super) fn complaint(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    text.lines().last().unwrap_or("it gives no reason").to_owned()
}

/// Escapes a value: a comma ends it unless doubled.
fn escaped(value: &OsStr) -> OsString {
    let mut bytes = Vec::new();
    for byte in value.as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(*byte);
        }
    }
    OsString::from_vec(bytes)
}
