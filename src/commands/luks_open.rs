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
        handover, opened,
        seal::SealKey,
    },
    process,
};
use nix::sys::wait::WaitStatus;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::{
        fd::{AsRawFd, RawFd},
        unix::ffi::OsStrExt,
    },
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
    for_kexec: bool,
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
                name: "--for-kexec",
                value: "",
                default: "",
                help: "so that `trust kexec --with-disk` can hand it over: keep its header, and the volume key out of the kernel's keyring",
            },
            &mut self.for_kexec,
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
        if Path::new(name).file_name() != Some(name) {
            return Err(Error::new(Kind::Usage, "run luks open", format!("{} is not a device name", name.display()))
                .remedy("give the name that it gets in /dev/mapper, without slashes"));
        }
        let program = match &self.cryptsetup {
            Some(program) => program.clone(),
            None => installed()?,
        };
        // Whatever happens to the disk from here on, cryptsetup sees what was verified.
        let handed_over = handover::take(name)?;
        let volume = match &handed_over {
            Some(handed_over) => find::find(wanted, self.wait, &|header| handed_over.is_of(header))?,
            None => {
                let key = SealKey::from_keyring()?;
                find::find(wanted, self.wait, &|header| key.has_sealed(header))?
            }
        };
        refuse_taken(name)?;
        if handed_over.is_none() {
            volume.check_way_in()?;
        }
        if self.for_kexec {
            handover::keep(name, volume.header())?;
        }
        opened::record(&opened::dm_uuid(volume.uuid(), &name.to_string_lossy()))?;
        let device = volume.path().as_os_str().to_owned();
        let header = volume.into_memory()?;
        let inherited = |file: RawFd| OsString::from(format!("/proc/self/fd/{file}"));
        let mut argv = vec![program.into_os_string()];
        argv.extend(["open", "--type", "luks2", "--header"].map(OsString::from));
        argv.push(inherited(header.as_raw_fd()));
        let key = handed_over.map(|volume| volume.key_in_memory()).transpose()?;
        match &key {
            Some(key) => argv.extend(["--volume-key-file".into(), inherited(key.file.as_raw_fd())]),
            None => argv.push("--token-only".into()),
        }
        if self.for_kexec {
            argv.push("--disable-keyring".into());
        }
        argv.extend(more.iter().cloned());
        argv.extend(["--".into(), device, name.clone()]);
        ended(before.run(&argv)?, key.is_some())
    }
}

/// What cryptsetup's end means: its statuses (cryptsetup(8), "RETURN CODES") are not ours.
fn ended(how: WaitStatus, is_handed_over: bool) -> Result<()> {
    let failed = |why: String| Err(Error::new(Kind::System, "open the volume", why));
    match how {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, 2) if is_handed_over => {
            Err(Error::new(Kind::Refused, "open the volume", "the volume key that was handed over is not the volume's")
                .remedy("restart the machine"))
        }
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
