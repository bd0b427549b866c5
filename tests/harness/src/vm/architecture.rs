//! What differs between the architectures of virtual machines.

use super::accelerator::Accelerator;
use crate::{
    assets::{self, Kernel},
    trust_host, trust_host_arm64, trust_initrd, trust_initrd_arm64,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Of a virtual machine, and of what it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// That of the machine that runs the tests.
    X86_64,
    /// An emulated one.
    Arm64,
}

impl Architecture {
    pub(super) fn kernel(self) -> Kernel {
        match self {
            Self::X86_64 => Kernel::new(),
            Self::Arm64 => Kernel::arm64(),
        }
    }

    /// systemd's.
    pub(super) fn stub(self) -> PathBuf {
        match self {
            Self::X86_64 => assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
            Self::Arm64 => assets::arm64("usr/lib/systemd/boot/efi/linuxaa64.efi.stub"),
        }
    }

    /// What a firmware starts from a disk by itself.
    pub(super) const fn default_loader(self) -> &'static str {
        match self {
            Self::X86_64 => "EFI/BOOT/BOOTX64.EFI",
            Self::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
        }
    }

    /// A firmware's variables as its maker ships them: no keys, Secure Boot off.
    #[must_use]
    pub fn empty_variables(self) -> PathBuf {
        match self {
            Self::X86_64 => assets::path("usr/share/OVMF/OVMF_VARS_4M.fd"),
            Self::Arm64 => assets::arm64("usr/share/AAVMF/AAVMF_VARS.fd"),
        }
    }

    /// The static one: it needs no libraries in the guest.
    pub(super) fn busybox(self) -> PathBuf {
        match self {
            Self::X86_64 => ["/bin/busybox", "/usr/bin/busybox"]
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.is_file())
                .expect("busybox is installed (Debian: busybox-static)"),
            Self::Arm64 => assets::arm64("usr/bin/busybox"),
        }
    }

    /// The modules that every guest needs.
    pub(super) const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["efivarfs", "virtio_pci", "virtio_blk"],
            Self::Arm64 => &["efivarfs", "virtio_blk", "tpm_tis"],
        }
    }

    pub(super) fn trust_initrd(self) -> PathBuf {
        match self {
            Self::X86_64 => trust_initrd(),
            Self::Arm64 => trust_initrd_arm64(),
        }
    }

    pub(super) fn trust_host(self) -> PathBuf {
        match self {
            Self::X86_64 => trust_host(),
            Self::Arm64 => trust_host_arm64(),
        }
    }

    /// QEMU for a machine with firmware, these variables, and its first two serial ports in these files: its console, and
    /// the one that is `/dev/ttyS1`. Its TPM has the id `tpm0`.
    pub(super) fn qemu(self, variables: &Path, console: &Path, said: &Path) -> Command {
        match self {
            Self::X86_64 => {
                let mut command = Command::new("qemu-system-x86_64");
                super::qemu::firmware(&mut command, Accelerator::get(), variables);
                command.args(["-device", "tpm-crb,tpmdev=tpm0"]);
                for port in [console, said] {
                    command.arg("-serial").arg(format!("file:{}", port.display()));
                }
                command
            }
            Self::Arm64 => {
                let code = assets::arm64("usr/share/AAVMF/AAVMF_CODE.secboot.fd");
                let mut command = Command::new("qemu-system-aarch64");
                command.args(["-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a72", "-smp", "1"]);
                command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
                command.args(["-device", "tpm-tis-device,tpmdev=tpm0"]);
                super::qemu::flash(&mut command, &code, variables);
                command.arg("-serial").arg(format!("file:{}", console.display()));
                // The board has one port of its own. Of two on a card Linux calls the second ttyS1.
                command.args(["-chardev", "null,id=none", "-chardev"]);
                command.arg(format!("file,id=said,path={}", said.display()));
                command.args(["-device", "pci-serial-2x,chardev1=none,chardev2=said"]);
                command
            }
        }
    }
}
