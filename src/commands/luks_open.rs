//! `luks open DEVICE NAME`: a volume with a sealed header, by way of cryptsetup.

use super::options::Options;
use crate::{
    error::{Error, Kind, Result},
    luks::find::{Name, find},
    process,
};
use std::{ffi::OsString, os::fd::AsRawFd, path::PathBuf};

/// Where distributions have it.
const CRYPTSETUP: [&str; 3] = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup", "/usr/bin/cryptsetup"];

pub fn run(options: &Options) -> Result<()> {
    let before = process::harden()?;
    let [device, name, more @ ..] = options.operands.as_slice() else {
        return Err(Error::new(Kind::Usage, "run luks open", "it needs DEVICE and NAME"));
    };
    let wanted = Name::parse(device).ok_or_else(|| {
        Error::new(Kind::Usage, "run luks open", format!("{} is no way to name a device", device.display()))
            .remedy("name it UUID=… or LABEL=…, as its LUKS2 header does, or say where it is, such as /dev/vda2")
    })?;
    let program = match &options.cryptsetup {
        Some(program) => program.clone(),
        None => installed()?,
    };
    // Whatever happens to the disk from here on, cryptsetup sees what was verified.
    let volume = find(wanted, options.wait)?;
    let device = volume.path().as_os_str().to_owned();
    let header = volume.into_memory()?;
    let mut argv = vec![program.into_os_string()];
    argv.extend(["open", "--type", "luks2", "--token-only", "--header"].map(OsString::from));
    argv.push(format!("/proc/self/fd/{}", header.as_raw_fd()).into());
    argv.extend(more.iter().cloned());
    argv.extend(["--".into(), device, name.clone()]);
    Err(before.exec(&argv))
}

fn installed() -> Result<PathBuf> {
    CRYPTSETUP.iter().map(PathBuf::from).find(|program| program.exists()).ok_or_else(|| {
        Error::new(Kind::System, "open the volume", "cryptsetup is not installed")
            .remedy("add cryptsetup to the initrd, or say where it is with --cryptsetup")
    })
}
