//! OVMF, built with Secure Boot and system management mode, where distributions have it.

use std::path::{Path, PathBuf};

/// Code, and the variables that belong to it.
const KNOWN: [(&str, &str); 5] = [
    // Debian, Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora and its derivatives.
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-smm-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-vars.bin"),
];

/// The files of a firmware.
#[derive(Clone, Debug)]
pub struct FirmwareFiles {
    /// The code.
    pub code: PathBuf,
    /// Its initial variables: no keys, Secure Boot off.
    pub variables: PathBuf,
}

impl FirmwareFiles {
    /// The firmware installed on this system, if it is a known one.
    pub(super) fn installed() -> Option<Self> {
        let there = KNOWN.iter().find(|(code, variables)| Path::new(code).is_file() && Path::new(variables).is_file());
        there.map(|(code, variables)| Self { code: code.into(), variables: variables.into() })
    }
}
