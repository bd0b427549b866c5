//! `luks open DEVICE NAME`: a volume with a sealed header, by way of cryptsetup.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec},
};
use crate::{
    error::{Error, Kind, Result},
    files,
    luks::{
        find::{self, DeviceName},
        opened,
    },
    process,
};
use nix::sys::wait::WaitStatus;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where distributions have it.
const CRYPTSETUP: [&str; 3] = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup", "/usr/bin/cryptsetup"];

/// Upper bound of a device's name in sysfs, in bytes.
const MAX_NAME: usize = 256;

pub const COMMAND: Command = Command {
    name: "luks open",
    alias: None,
    about: "Open a LUKS2 volume with the passphrase in the keyring, if its header is the one that was sealed.",
    heading: Heading::Boot,
    calls: None,
    new: || Box::new(LuksOpen::default()),
};

#[derive(Default)]
struct LuksOpen {
    device: OsString,
    name: OsString,
    more: Vec<OsString>,
    wait: Duration,
    cryptsetup: Option<PathBuf>,
}

impl Run for LuksOpen {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments.add(
            &Spec {
                name: "DEVICE",
                value: "",
                default: "",
                help: "UUID=… or LABEL=…, as its header has it, or a path",
            },
            &mut self.device,
        );
        arguments
            .add(&Spec { name: "NAME", value: "", default: "", help: "of the device in /dev/mapper" }, &mut self.name);
        arguments.rest(
            &Spec { name: "OPTION", value: "", default: "", help: "of cryptsetup, passed on to it" },
            &mut self.more,
        );
        arguments.add(
            &Spec {
                name: "--wait",
                value: "SECONDS",
                default: "10",
                help: "how long to wait for the volume to appear, 0 to 3600",
            },
            &mut self.wait,
        );
        arguments.add(
            &Spec {
                name: "--cryptsetup",
                value: "FILE",
                default: "",
                help: "the program that opens the volume (/usr/sbin/cryptsetup, else /sbin/cryptsetup or /usr/bin/cryptsetup)",
            },
            &mut self.cryptsetup,
        );
    }

    fn run(&self) -> Result<()> {
        let before = process::harden()?;
        let Self { device, name, more, .. } = self;
        let wanted = DeviceName::parse(device).ok_or_else(|| {
            Error::new(Kind::Usage, "run luks open", format!("{} is not a device name", device.display()))
                .remedy("name it UUID=… or LABEL=…, as its LUKS2 header does, or say where it is, such as /dev/vda2")
        })?;
        let program = match &self.cryptsetup {
            Some(program) => program.clone(),
            None => installed()?,
        };
        // Whatever happens to the disk from here on, cryptsetup sees what was verified.
        let volume = find::find(wanted, self.wait)?;
        refuse_taken(name)?;
        volume.check_way_in()?;
        opened::record(&opened::dm_uuid(volume.uuid(), &name.to_string_lossy()))?;
        let device = volume.path().as_os_str().to_owned();
        let header = volume.into_memory()?;
        let mut argv = vec![program.into_os_string()];
        argv.extend(["open", "--type", "luks2", "--token-only", "--header"].map(OsString::from));
        argv.push(format!("/proc/self/fd/{}", header.as_raw_fd()).into());
        argv.extend(more.iter().cloned());
        argv.extend(["--".into(), device, name.clone()]);
        ended(before.run(&argv)?)
    }
}

/// What cryptsetup's end means: its statuses (cryptsetup(8), "RETURN CODES") are not ours.
fn ended(how: WaitStatus) -> Result<()> {
    let failed = |why: String| Err(Error::new(Kind::System, "open the volume", why));
    match how {
        WaitStatus::Exited(_, 0) => Ok(()),
        // Wrong passphrase; but the header is sealed with it.
        WaitStatus::Exited(_, 2) => {
            let why = "its header is right, but no keyslot opens with the passphrase in the keyring: they are damaged";
            Err(Error::new(Kind::Refused, "open the volume", why).remedy(
                "in a maintenance image, put a copy of header and keyslots back: cryptsetup luksHeaderRestore; without \
                 one, install the machine anew",
            ))
        }
        WaitStatus::Exited(_, status) => failed(format!("cryptsetup ended with status {status}"))
            .map_err(|error| error.remedy("see what cryptsetup says above, and check its options, behind `--`")),
        _ => failed("cryptsetup was killed".into()).map_err(|error| error.remedy("restart the machine")),
    }
}

/// A name that is taken leads to another device: udev gives it to any volume group called `mapper`.
fn refuse_taken(name: &OsStr) -> Result<()> {
    let taken = |by: String| {
        let what = format!("open a volume as {}", name.display());
        Err(Error::new(Kind::Refused, what, format!("{by} has this name already"))
            .remedy("remove foreign disks, or close that device, and try again"))
    };
    let link = Path::new("/dev/mapper").join(name);
    if fs::symlink_metadata(&link).is_ok() {
        return taken(link.display().to_string());
    }
    for entry in fs::read_dir(find::BLOCK_DEVICES).into_iter().flatten().flatten() {
        // The kernel adds a newline.
        let other = files::read_to_end(&entry.path().join("dm/name"), MAX_NAME).unwrap_or_default();
        if other.strip_suffix(b"\n") == Some(name.as_bytes()) {
            return taken(entry.file_name().display().to_string());
        }
    }
    Ok(())
}

fn installed() -> Result<PathBuf> {
    CRYPTSETUP.iter().map(PathBuf::from).find(|program| program.exists()).ok_or_else(|| {
        Error::new(Kind::System, "open the volume", "cryptsetup is not installed")
            .remedy("add cryptsetup to the initrd, or say where it is with --cryptsetup")
    })
}
