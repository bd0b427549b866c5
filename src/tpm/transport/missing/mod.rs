//! Why there is no TPM to open, as far as this machine tells: what its kernel, its firmware and its processor say about it.
//!
//! Everything is read below a root directory, so that tests have machines made of files. What is not there says nothing.

mod hardware;
mod platform;
#[cfg(test)]
mod tests;

use super::{
    address::{Address, DEVICES},
    fault::{TPM12, TPM12_REMEDY},
};
use hardware::ACPI_TPM12;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What is known, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// A clause.
    pub why: String,
    /// As [`crate::error::Error::remedy`] has it.
    pub remedy: String,
}

/// What is to be said of a TPM that cannot be opened, where more is known than the system's error. `root` is `/`.
#[must_use]
pub fn find_out(address: &Address, error: &io::Error, root: &Path) -> Option<Absence> {
    let Address::Device(path) = address else { return of_socket(address, error) };
    let machine = Surroundings(root);
    match (error.kind(), path) {
        (io::ErrorKind::PermissionDenied, path) => {
            let device = path.as_deref().unwrap_or_else(|| Path::new(DEVICES[0]));
            Some(Absence::new("", permission(device)))
        }
        (io::ErrorKind::ResourceBusy, path) => Some(machine.busy(path.as_deref())),
        // Others have meant another device, or none that is a TPM.
        (io::ErrorKind::NotFound, None) => Some(machine.missing()),
        (io::ErrorKind::NotFound, Some(path)) if DEVICES.iter().any(|device| path == Path::new(device)) => {
            Some(machine.missing())
        }
        _ => None,
    }
}

impl Address {
    /// Whether it may still appear: of this machine's devices, where one is there, or something is about to bring one.
    #[must_use]
    pub fn may_appear(&self) -> bool {
        may_appear(self, Path::new("/"))
    }
}

fn may_appear(address: &Address, root: &Path) -> bool {
    match address {
        Address::Device(None) => {}
        Address::Device(Some(path)) if DEVICES.iter().any(|device| path == Path::new(device)) => {}
        _ => return true,
    }
    let machine = Surroundings(root);
    let is_of_a_tpm = |name: &String| name.starts_with("tpm");
    let is_loading =
        |module: &String| is_of_a_tpm(module) && machine.text(&format!("sys/module/{module}/initstate")) == "coming";
    ["dev", "sys/class/tpm"].iter().any(|dir| machine.names(dir).iter().any(is_of_a_tpm))
        || machine.names("sys/module").iter().any(is_loading)
        // While udev has something to do, it may be the module.
        || machine.exists("run/udev/queue")
}

/// A simulator, or whatever else is reached so.
fn of_socket(address: &Address, error: &io::Error) -> Option<Absence> {
    let remedy = match (address, error.kind()) {
        (Address::SwtpmUnix(_), io::ErrorKind::PermissionDenied) => {
            "have whoever runs it give you access to the socket (swtpm: --server type=unixio,path=…,mode=0660,gid=…)"
        }
        (Address::SwtpmUnix(_), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            "start it: swtpm socket --tpm2 --flags startup-clear --tpmstate dir=DIR --server type=unixio,path=SOCKET"
        }
        (Address::SwtpmTcp(_), io::ErrorKind::ConnectionRefused) => {
            "start it: swtpm socket --tpm2 --flags startup-clear --tpmstate dir=DIR --server type=tcp,port=N"
        }
        (Address::Mssim(_), io::ErrorKind::ConnectionRefused) => {
            "start it: tpm_server, which listens on port 2321, and on the next one for its platform"
        }
        _ => return None,
    };
    Some(Absence::new("", remedy))
}

/// A device is there, and another one's.
fn permission(device: &Path) -> String {
    if device == Path::new(DEVICES[1]) {
        return format!(
            "use {}, the kernel's resource manager, which the group tss may open; {} is for one root process",
            DEVICES[0], DEVICES[1]
        );
    }
    format!(
        "be a member of the group that may open it (`ls -l {}`; mostly `sudo usermod --append --groups tss USER`, and log in \
         anew), or run it as root",
        device.display()
    )
}

impl Absence {
    fn new(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { why: why.into(), remedy: remedy.into() }
    }
}

/// One machine, below a root directory.
struct Surroundings<'a>(&'a Path);

impl Surroundings<'_> {
    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A small file, trimmed; empty where there is none.
    fn text(&self, path: &str) -> String {
        let bytes = fs::read(self.path(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
    }

    /// The names in a directory, in order.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The kernel does not let a second process in.
    fn busy(&self, path: Option<&Path>) -> Absence {
        if self.is_12() {
            return Absence::new(TPM12, TPM12_REMEDY);
        }
        let other = if path.is_some_and(|path| path != Path::new(DEVICES[0])) { DEVICES[0] } else { "it" };
        let why = "another process has it for itself (tpm2-abrmd or tcsd, mostly)";
        if other == "it" {
            return Absence::new(why, "stop that process (`fuser -v /dev/tpm*` names it)");
        }
        Absence::new(why, format!("use --tcti device:{other}, which many processes may share, or stop that process"))
    }

    /// Whether the kernel has a TPM, and it is an old one.
    fn is_12(&self) -> bool {
        self.text("sys/class/tpm/tpm0/tpm_version_major") == "1"
    }

    fn missing(&self) -> Absence {
        if self.is_12() {
            return Absence::new(TPM12, TPM12_REMEDY);
        }
        if self.exists("sys/class/tpm/tpm0") {
            return self.without_node();
        }
        if let Some((how, module)) = self.hardware() {
            return self.without_driver(how, module);
        }
        if let Some(name) = self.acpi_device(&ACPI_TPM12) {
            return Absence::new(format!("the firmware has a TPM 1.2 ({name}), and Trust needs TPM 2.0"), TPM12_REMEDY);
        }
        if self.exists("sys/firmware/acpi/tables/TCPA") {
            return Absence::new("the firmware has a TPM 1.2 (ACPI table TCPA), and Trust needs TPM 2.0", TPM12_REMEDY);
        }
        if let Some(kind) = self.container() {
            let remedy = "give it the device (podman, docker: --device /dev/tpmrm0; nspawn: --bind /dev/tpmrm0 and \
                          --property DeviceAllow='/dev/tpmrm0 rw')";
            return Absence::new(format!("this is a container ({kind}) without a TPM"), remedy);
        }
        if let Some((kind, remedy)) = self.virtual_machine() {
            return Absence::new(format!("this is a virtual machine ({kind}) without a TPM"), remedy);
        }
        self.hidden()
    }

    /// The kernel has the TPM, and there is no device for it.
    fn without_node(&self) -> Absence {
        let why = "the kernel has a TPM 2.0 (/sys/class/tpm/tpm0), and there is no device for it";
        let remedy = if self.container().is_some() {
            "give the container the device: --device /dev/tpmrm0"
        } else {
            "mount a devtmpfs at /dev, or have udev make the device"
        };
        Absence::new(why, remedy)
    }

    /// Nothing shows one: the firmware may.
    fn hidden(&self) -> Absence {
        let processor = self.text("proc/cpuinfo");
        let name = match () {
            () if processor.contains("GenuineIntel") => "\"Intel PTT\", \"Security Device\" or \"TPM\"",
            () if processor.contains("AuthenticAMD") => "\"AMD fTPM\", \"Security Device\" or \"TPM\"",
            () => "\"TPM\" or \"Security Device\"",
        };
        let why = "the firmware shows no TPM: no ACPI device MSFT0101, no ACPI table TPM2, none on a bus that the kernel knows";
        Absence::new(
            if self.exists("sys/firmware/acpi") { why } else { "neither firmware nor device tree shows a TPM" },
            format!(
                "enable it in the firmware setup, where it is called {name}; if there is no such item, the machine has none"
            ),
        )
    }
}
