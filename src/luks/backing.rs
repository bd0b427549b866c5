//! What a file system stands on, down to the volumes that this boot has opened.
//!
//! Names prove nothing: udev gives `/dev/mapper/root` to a volume `root` of any volume group called `mapper`, and a label
//! to the process that writes it. So this asks the kernel alone: which device is mounted, and which devices that one is made of.

use super::opened::{self, UUID_PREFIX};
use crate::{
    error::{Error, Kind, Result},
    files,
};
use rustix::fs::{major, minor};
use std::{
    cell::Cell,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// File systems that the kernel fills, or a program of this boot: no disk has a say in them.
const IN_MEMORY: [&[u8]; 5] = [b"tmpfs", b"ramfs", b"devtmpfs", b"proc", b"sysfs"];
/// How an overlay names what it lies on (overlayfs; two of them since Linux 6.5).
const LAYERS: [&[u8]; 4] = [b"lowerdir", b"upperdir", b"lowerdir+", b"datadir+"];
/// Upper bound of the mount table, in bytes.
const MAX_MOUNTS: usize = 1 << 20;
/// Upper bound of one attribute in sysfs, in bytes.
const MAX_ATTRIBUTE: usize = 4096;
/// Upper bound of the devices that one check asks about: what stands on more is not understood.
const MAX_DEVICES: u32 = 1024;

/// Why something is not trusted, as a message continues "it stands on …".
type BackingResult = std::result::Result<(), String>;

/// Makes sure that `path` stands on nothing but volumes that `trust luks open` has opened in this boot: a block device,
/// or everything that is mounted at a directory and below it.
///
/// # Errors
/// [`Kind::Refused`]; [`Kind::System`] where the kernel does not say.
pub fn check(path: &Path) -> Result<()> {
    let looked = |why| Error::system(format!("look at {}", path.display()), why);
    let metadata = fs::metadata(path).map_err(looked)?;
    let table = files::read_to_end(Path::new("/proc/self/mountinfo"), MAX_MOUNTS).map_err(looked)?;
    let kernel = Kernel::new("/sys".into(), &table, &opened::is_recorded);
    let verdict = if metadata.file_type().is_block_device() {
        kernel.device(&format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev())))
    } else {
        kernel.directory(path)
    };
    verdict.map_err(|why| {
        Error::new(Kind::Refused, format!("trust {}", path.display()), why)
            .remedy("remove foreign disks; all of it must lie on volumes that `trust luks open` opens in the same boot")
    })
}

/// The kernel's account of mounts and devices.
pub struct Kernel<'a> {
    sysfs: PathBuf,
    mounts: Vec<Mount>,
    is_opened: &'a dyn Fn(&str) -> Result<bool>,
    asked: Cell<u32>,
}

/// A line of the mount table.
struct Mount {
    /// `MAJOR:MINOR`; major 0 is no block device.
    device: String,
    point: Vec<u8>,
    kind: Vec<u8>,
    options: Vec<u8>,
}

impl<'a> Kernel<'a> {
    /// With sysfs at this place, this `/proc/self/mountinfo` (proc_pid_mountinfo(5)), and what tells whether `luks open`
    /// has opened the volume of this device-mapper UUID.
    #[must_use]
    pub fn new(sysfs: PathBuf, mountinfo: &[u8], is_opened: &'a dyn Fn(&str) -> Result<bool>) -> Self {
        let mounts = mountinfo.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        Self { sysfs, mounts, is_opened, asked: Cell::new(0) }
    }

    /// Whether everything mounted at `directory` and below it is trusted.
    ///
    /// # Errors
    /// What is not.
    pub fn directory(&self, directory: &Path) -> BackingResult {
        let wanted = directory.as_os_str().as_bytes();
        let mut mounts = self.mounts.iter().filter(|mount| is_within(&mount.point, wanted)).peekable();
        // Hidden mounts count: nothing is left to chance, and none of ours is mounted over.
        if !mounts.clone().any(|mount| mount.point == wanted) {
            return Err("nothing is mounted there".into());
        }
        mounts.try_for_each(|mount| {
            let at = String::from_utf8_lossy(&mount.point).into_owned();
            self.mount(mount).map_err(|why| if mount.point == wanted { why } else { format!("at {at}, {why}") })
        })
    }

    /// Whether the block device `MAJOR:MINOR` is one of the volumes, or made of nothing but trusted devices.
    ///
    /// # Errors
    /// What is not.
    pub fn device(&self, number: &str) -> BackingResult {
        self.count()?;
        let described = self.sysfs.join("dev/block").join(number);
        let uuid = attribute(&described.join("dm/uuid"));
        if uuid.starts_with(UUID_PREFIX) && (self.is_opened)(&uuid).map_err(|e| e.cause())? {
            return Ok(());
        }
        match self.devices(&described.join("slaves")) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let about = attribute(&described.join("uevent"));
                let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME=")).unwrap_or(number);
                Err(format!("it stands on {name}, which `trust luks open` has not opened in this boot"))
            }
            Err(why) => Err(why),
        }
    }

    fn mount(&self, mount: &Mount) -> BackingResult {
        self.count()?;
        match &*mount.kind {
            _ if !mount.device.starts_with("0:") => self.device(&mount.device),
            kind if IN_MEMORY.contains(&kind) => Ok(()),
            b"btrfs" => self.btrfs(),
            b"overlay" => self.overlay(&mount.options),
            kind => Err(format!("it is a {} file system, which stands on no volume", kind.escape_ascii())),
        }
    }

    /// Btrfs has several devices, and its mounts do not say which: all devices of all that are mounted are looked at.
    fn btrfs(&self) -> BackingResult {
        let mut found = false;
        for entry in fs::read_dir(self.sysfs.join("fs/btrfs")).into_iter().flatten().flatten() {
            found |= self.devices(&entry.path().join("devices"))?;
        }
        if found { Ok(()) } else { Err("the kernel does not say on which devices its btrfs lies".into()) }
    }

    /// What each layer lies in.
    fn overlay(&self, options: &[u8]) -> BackingResult {
        let odd = || "its overlay is not understood".to_owned();
        let mut layers = options
            .split(|byte| *byte == b',')
            .filter_map(|option| {
                let at = option.iter().position(|byte| *byte == b'=')?;
                let (name, value) = option.split_at(at);
                LAYERS.contains(&name).then(|| value.get(1..).unwrap_or_default())
            })
            .flat_map(|value| value.split(|byte| *byte == b':').filter(|path| !path.is_empty()))
            .peekable();
        if layers.peek().is_none() {
            return Err(odd());
        }
        layers.try_for_each(|path| {
            // An escape, or a place that depends on which process has mounted it.
            if path.contains(&b'\\') || !path.starts_with(b"/") || path.windows(3).any(|part| part == b"/..") {
                return Err(odd());
            }
            let around = self.mounts.iter().filter(|mount| is_within(path, &mount.point));
            // Of two at one place the later one is to be seen.
            let innermost = around.max_by_key(|mount| mount.point.len()).ok_or_else(odd)?;
            self.mount(innermost)
        })
    }

    /// Whether there are devices in this directory of sysfs.
    ///
    /// # Errors
    /// One of them is not trusted.
    fn devices(&self, directory: &Path) -> std::result::Result<bool, String> {
        let mut found = false;
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            self.device(attribute(&entry.path().join("dev")).trim_ascii())?;
            found = true;
        }
        Ok(found)
    }

    fn count(&self) -> BackingResult {
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() > MAX_DEVICES { Err("it stands on too many devices".into()) } else { Ok(()) }
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = str::from_utf8(fields.nth(2)?).ok()?.into();
        let point = unescaped(fields.nth(1)?);
        // Options of the mount follow, and any number of tags; the file system is behind a dash.
        let kind = fields.by_ref().skip_while(|field| *field != b"-").nth(1)?.into();
        let options = fields.nth(1)?.into();
        Some(Self { device, point, kind, options })
    }
}

/// A field without the kernel's escapes: a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Whether `path` is `directory` or lies in it.
fn is_within(path: &[u8], directory: &[u8]) -> bool {
    match path.strip_prefix(directory.strip_suffix(b"/").unwrap_or(directory)) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    }
}

/// What an attribute in sysfs says; nothing where there is none.
fn attribute(path: &Path) -> String {
    let bytes = files::read_to_end(path, MAX_ATTRIBUTE).unwrap_or_default();
    OsStr::from_bytes(bytes.trim_ascii_end()).to_string_lossy().into_owned()
}
