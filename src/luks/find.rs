//! Which device is meant, found without udev: what a path or a header says of itself proves nothing, the seal does.

use super::{
    device::{self, Device, Verified},
    header::{self, Header},
};
use crate::{
    error::{Error, Kind, Result},
    files,
};
use rustix::fs::{major, minor};
use std::{
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
pub const BLOCK_DEVICES: &str = "/sys/class/block";
/// More says none of their numbers.
const MAX_ATTRIBUTE: usize = 32;

/// How a device is named on the command line.
#[derive(Clone, Copy)]
pub struct DeviceName<'a> {
    text: &'a OsStr,
    of: Of<'a>,
}

/// Whose name it is.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// A place.
    Path,
    /// A header, in its field for a UUID.
    Uuid(&'a [u8]),
    /// A header, in its field for a label.
    Label(&'a [u8]),
}

impl<'a> DeviceName<'a> {
    /// A path.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        Self { text: path.as_os_str(), of: Of::Path }
    }

    /// `UUID=…`, `LABEL=…`, as blkid and fstab have it also in quotes, or a path. `None`: it is named in another way.
    #[must_use]
    pub fn parse(text: &'a OsStr) -> Option<Self> {
        let bytes = text.as_bytes();
        let tagged = |tag: &str| bytes.strip_prefix(tag.as_bytes()).map(unquoted);
        let of = match (tagged("UUID="), tagged("LABEL=")) {
            (Some([]), _) | (_, Some([])) => return None,
            (Some(uuid), _) => Of::Uuid(uuid),
            (_, Some(label)) => Of::Label(label),
            // Other tags that mount(8) knows are not known here.
            (None, None) if bytes.contains(&b'=') && !bytes.contains(&b'/') => return None,
            (None, None) => Of::Path,
        };
        Some(Self { text, of })
    }

    fn is_path(self) -> bool {
        matches!(self.of, Of::Path)
    }

    fn is_of(self, header: &Header) -> bool {
        self.is_of_names(header.uuid(), header.label())
    }

    fn is_of_names(self, uuid: &[u8], label: &[u8]) -> bool {
        match self.of {
            Of::Path => true,
            Of::Uuid(wanted) => uuid.eq_ignore_ascii_case(wanted),
            Of::Label(wanted) => label == wanted,
        }
    }

    fn devices(self) -> Result<Vec<Device>> {
        if !self.is_path() {
            return block_devices();
        }
        let device = Device::open(self.text.into()).map_err(|e| absent(Error::system(self.opening(), e)))?;
        Ok(vec![device])
    }

    fn opening(self) -> String {
        format!("open {}", self.text.display())
    }
}

/// What stands in quotes, if it does.
fn unquoted(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'"', quoted @ .., b'"'] | [b'\'', quoted @ .., b'\''] => quoted,
        _ => bytes,
    }
}

/// The device of this name whose header `is_ours`; waits for it, but not for a path at which there is another one.
///
/// # Errors
/// [`Kind::Refused`]: there is no device of this name with the right header; [`Kind::System`]: there is no such device, or it
/// cannot be read.
pub fn find(name: DeviceName<'_>, wait: Duration, is_ours: &dyn Fn(&Header) -> bool) -> Result<Verified> {
    let deadline = Instant::now() + wait;
    let [mut pause, longest] = LOOK_AGAIN;
    loop {
        let error = match look(name, is_ours) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == Kind::Refused && name.is_path() => return Err(error),
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

/// Looks once. A second disk of this name does not keep the right one from being found.
fn look(name: DeviceName<'_>, is_ours: &dyn Fn(&Header) -> bool) -> Result<Verified> {
    let mut devices = name.devices()?;
    let mut foreign = None;
    // Either copy of a header will do, since a power cut may have left the other one half written; but no disk is
    // searched for its second copy where one is known by its first.
    for offset in std::iter::once(0).chain(header::SIZES) {
        for (at, Device { path, file }) in devices.iter().enumerate() {
            let header = match device::read(file, offset) {
                Ok(Some(header)) if name.is_of(&header) => header,
                Err(e) if name.is_path() => return Err(Error::system(format!("read {}", path.display()), e)),
                Ok(_) | Err(_) => continue,
            };
            if is_ours(&header) {
                let refused = || refused(name, "its keyslots lie where none can be".into());
                return Verified::new(header, devices.swap_remove(at)).ok_or_else(refused);
            }
            foreign = Some((at, header));
        }
    }
    Err(match foreign.and_then(|(at, header)| Some((devices.get(at)?, header))) {
        Some((device, header)) => not_ours(name, &device.path, &header),
        None => none(name, &devices),
    })
}

/// What is wrong with a header of this name. It is not authenticated, and only shown.
fn not_ours(name: DeviceName<'_>, path: &Path, header: &Header) -> Error {
    let of = if name.is_path() { "its LUKS2 header".into() } else { format!("the LUKS2 header of {}", path.display()) };
    if header.is_being_reencrypted() {
        return refused(name, format!("{of} says that a re-encryption is under way")).remedy(
            "remove foreign disks; if it is this machine's own, end that in a maintenance image: cryptsetup reencrypt \
             --resume-only, with the passphrase; then trust luks seal",
        );
    }
    refused(
        name,
        match header.seals() {
            0 => format!("{of} bears no seal"),
            1 => format!("{of} is not the one that this machine has sealed"),
            _ => format!("{of} bears several seals"),
        },
    )
}

/// That there is no header of this name, or none of this version.
fn none(name: DeviceName<'_>, devices: &[Device]) -> Error {
    let is_old =
        |device: &&Device| device::uuid_of_luks1(&device.file).is_some_and(|uuid| name.is_of_names(&uuid, b""));
    if let Some(Device { path, .. }) = devices.iter().find(is_old) {
        return Error::new(Kind::Refused, name.opening(), format!("{} is a LUKS1 volume", path.display())).remedy(
            "remove foreign disks; if it is this machine's own, convert it in a maintenance image: cryptsetup convert \
             --type luks2, then cryptsetup token add and trust luks seal",
        );
    }
    if name.is_path() {
        return refused(name, "no LUKS2 header is on it".into()).remedy(
            "remove foreign disks; a volume of this machine's own begins with its header, and has none elsewhere",
        );
    }
    absent(Error::new(Kind::System, name.opening(), "no LUKS2 volume has this name"))
}

fn refused(name: DeviceName<'_>, why: String) -> Error {
    Error::new(Kind::Refused, name.opening(), why).remedy(
        "remove foreign disks; if this machine's own was changed on purpose, seal it in a maintenance image: trust luks seal",
    )
}

fn absent(error: Error) -> Error {
    error.remedy("see that the disk is connected, and that the initrd has the kernel modules for it")
}

/// All block devices that can be opened.
fn block_devices() -> Result<Vec<Device>> {
    let entries = fs::read_dir(BLOCK_DEVICES).map_err(|e| Error::system(format!("list {BLOCK_DEVICES}"), e))?;
    // What a mirror is made of, or one of several ways to a disk, shows the same header: the whole comes first.
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for entry in entries.flatten() {
        let described = entry.path();
        if let Some(device) = block_device(&described) {
            let is_part = fs::read_dir(described.join("holders")).is_ok_and(|mut holders| holders.next().is_some());
            if is_part { parts.push(device) } else { whole.push(device) }
        }
    }
    whole.append(&mut parts);
    Ok(whole)
}

/// The device that sysfs describes there, unless it is empty.
fn block_device(described: &Path) -> Option<Device> {
    let name = described.file_name()?.as_bytes();
    let says = |item| files::read_to_end(&described.join(item), MAX_ATTRIBUTE).unwrap_or_default();
    // Floppy drives take seconds to say that there is none.
    if name.starts_with(b"fd") || matches!(says("size").trim_ascii(), b"" | b"0") {
        return None;
    }
    // Slashes are exclamation marks there (cciss!c0d0).
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'!' { b'/' } else { *byte }).collect();
    let device = Device::open(Path::new("/dev").join(OsStr::from_bytes(&name))).ok()?;
    let number = device.file.metadata().ok()?.rdev();
    let expected = format!("{}:{}", major(number), minor(number));
    (says("dev").trim_ascii() == expected.as_bytes()).then_some(device)
}
