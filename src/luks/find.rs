//! Which device is meant, found without udev: what a path or a header says of itself proves nothing, the seal does.

use super::{
    device::{self, Device, Verified},
    header::{self, Header},
    seal::Key,
};
use crate::error::{Error, Kind, Result};
use rustix::fs::{major, minor};
use std::{
    borrow::Cow,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// How often a device that is not there yet is looked for: soon at first, then less so.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// Every block device of the kernel, partitions too.
const BLOCK_DEVICES: &str = "/sys/class/block";

/// How a device is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Where it is.
    Path(&'a Path),
    /// `UUID=`, of its header.
    Uuid(&'a [u8]),
    /// `LABEL=`, of its header.
    Label(&'a [u8]),
}

impl<'a> Name<'a> {
    /// `None`: it is named in a way that is not known here.
    #[must_use]
    pub fn parse(text: &'a OsStr) -> Option<Self> {
        let bytes = text.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let (tag, value) = equals.and_then(|at| bytes.split_at_checked(at)).unwrap_or((b"/", bytes));
        match (tag, value.get(1..).unwrap_or_default()) {
            (b"UUID" | b"LABEL", []) => None,
            (b"UUID", uuid) => Some(Self::Uuid(uuid)),
            (b"LABEL", label) => Some(Self::Label(label)),
            _ => tag.contains(&b'/').then_some(Self::Path(Path::new(text))),
        }
    }

    fn is_of(self, header: &Header) -> bool {
        match self {
            Self::Path(_) => true,
            Self::Uuid(uuid) => header.uuid().eq_ignore_ascii_case(uuid),
            Self::Label(label) => header.label() == label,
        }
    }

    fn text(self) -> Cow<'static, str> {
        match self {
            Self::Path(path) => path.display().to_string().into(),
            Self::Uuid(uuid) => format!("UUID={}", uuid.escape_ascii()).into(),
            Self::Label(label) => format!("LABEL={}", label.escape_ascii()).into(),
        }
    }

    fn devices(self) -> Result<Vec<Device>> {
        let Self::Path(path) = self else { return block_devices() };
        let device =
            Device::open(path.into()).map_err(|e| absent(Error::system(format!("open {}", self.text()), e)))?;
        Ok(vec![device])
    }
}

/// The device of this name whose header this machine has sealed; waits for it, but not for a path at which there is
/// another one.
///
/// # Errors
/// [`Kind::Refused`]: there is no passphrase, or no device of this name with the right header; [`Kind::System`]: there
/// is no such device, or it cannot be read.
pub fn find(name: Name<'_>, wait: Duration) -> Result<Verified> {
    let key = Key::from_keyring()?;
    let deadline = Instant::now() + wait;
    let [mut pause, longest] = LOOK_AGAIN;
    loop {
        let error = match look(name, &key) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == Kind::Refused && matches!(name, Name::Path(_)) => return Err(error),
            Err(error) => error,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error.because(&format!("waited {} s for it", wait.as_secs())));
        }
        sleep(pause.min(left));
        pause = (2 * pause).min(longest);
    }
}

/// Looks once. Whoever else has a disk of this name keeps nobody from finding the right one.
fn look(name: Name<'_>, key: &Key) -> Result<Verified> {
    let mut devices = name.devices()?;
    let mut foreign = None;
    // Either copy of a header will do, since a power cut may have left the other one half written; but no disk is
    // searched for its second copy where one is known by its first.
    for offset in std::iter::once(0).chain(header::SIZES) {
        for at in 0..devices.len() {
            let Some(Device { path, file }) = devices.get(at) else { continue };
            let header = match device::read(file, offset) {
                Ok(Some(header)) if name.is_of(&header) => header,
                Err(e) if matches!(name, Name::Path(_)) => {
                    return Err(Error::system(format!("read {}", path.display()), e));
                }
                Ok(_) | Err(_) => continue,
            };
            if !key.has_sealed(&header) {
                foreign.get_or_insert_with(|| path.display().to_string());
                continue;
            }
            let refused = || refused(name, "its keyslots lie where none can be".into());
            return Verified::new(header, devices.swap_remove(at)).ok_or_else(refused);
        }
    }
    let not_ours = "is not the one that this machine has sealed";
    Err(match (name, foreign) {
        (Name::Path(_), Some(_)) => refused(name, format!("its LUKS2 header {not_ours}")),
        (Name::Path(_), None) => refused(name, "it is no LUKS2 volume".into()),
        (_, Some(path)) => refused(name, format!("the LUKS2 header of {path} {not_ours}")),
        (_, None) => absent(Error::new(Kind::System, format!("open {}", name.text()), "no LUKS2 volume has this name")),
    })
}

fn refused(name: Name<'_>, why: String) -> Error {
    Error::new(Kind::Refused, format!("open {}", name.text()), why)
        .remedy("remove foreign disks; if this machine's own was changed on purpose, seal it with `trust luks seal` from an installer boot")
}

fn absent(error: Error) -> Error {
    error.remedy("see that the disk is connected, and that the initrd has the kernel modules for it")
}

/// All block devices that can be opened.
fn block_devices() -> Result<Vec<Device>> {
    let entries = fs::read_dir(BLOCK_DEVICES).map_err(|e| Error::system(format!("list {BLOCK_DEVICES}"), e))?;
    let mut devices: Vec<_> = entries.flatten().filter_map(|entry| block_device(&entry.path())).collect();
    // What a mirror is made of, or one of several ways to a disk, shows the same header: the whole comes first.
    devices.sort_by(|(a, in_use_a), (b, in_use_b)| (in_use_a, &a.path).cmp(&(in_use_b, &b.path)));
    Ok(devices.into_iter().map(|(device, _)| device).collect())
}

/// The device that sysfs describes there, unless it is empty; and whether others are made of it.
fn block_device(described: &Path) -> Option<(Device, bool)> {
    let name = described.file_name()?.to_str()?;
    let says = |item: &str| fs::read_to_string(described.join(item)).unwrap_or_default();
    // Floppy drives take seconds to say that there is none.
    if name.starts_with("fd") || matches!(says("size").trim(), "" | "0") {
        return None;
    }
    let device = Device::open(Path::new("/dev").join(name.replace('!', "/"))).ok()?;
    let number = device.file.metadata().ok()?.rdev();
    let in_use = fs::read_dir(described.join("holders")).is_ok_and(|mut holders| holders.next().is_some());
    (says("dev").trim() == format!("{}:{}", major(number), minor(number))).then_some((device, in_use))
}
