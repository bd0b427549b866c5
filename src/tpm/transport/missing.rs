//! Why there is no TPM to open, as far as this machine tells: what its kernel, its firmware and its processor say about it.
//!
//! Everything is read below a root directory, so that tests have machines made of files. What is not there says nothing.

use super::{
    address::{Address, DEVICES},
    fault::{TPM12, TPM12_REMEDY},
};
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

/// How the firmware says that the TPM is reached: `StartMethod` of the ACPI table TPM2 (TCG ACPI Specification, table 7).
const START_METHOD_AT: usize = 48;
/// Where the firmware has set places for a TPM, ACPI's name for one of version 2.0.
const ACPI_TPM2: &str = "MSFT0101";
/// Names of TPMs 1.2.
const ACPI_TPM12: [&str; 7] = ["PNP0C31", "ATM1200", "IFX0102", "BCM0101", "BCM0102", "NSC1200", "ICO0102"];
/// Devices that are TPMs, as buses and device trees name them (part of the name), and their modules.
const DEVICES_OF_BUSES: [(&str, &str); 12] = [
    ("tcg,tpm_tis-spi", "tpm_tis_spi"),
    ("tcg,tpm-tis-mmio", "tpm_tis"),
    ("tcg,tpm-tis-i2c", "tpm_tis_i2c"),
    ("infineon,slb9670", "tpm_tis_spi"),
    ("infineon,slb9672", "tpm_tis_spi"),
    ("infineon,slb9673", "tpm_tis_i2c"),
    ("st,st33htpm-spi", "tpm_tis_spi"),
    ("st,st33tphf2e-i2c", "tpm_tis_i2c"),
    ("nuvoton,npct75x", "tpm_tis_i2c"),
    ("google,cr50", "tpm_tis_spi"),
    ("microsoft,ftpm", "tpm_ftpm_tee"),
    ("ibm,vtpm", "tpm_ibmvtpm"),
];
/// The name under which OP-TEE shows the firmware TPM of Microsoft's.
const FTPM_OF_TEE: &str = "bc50d971-d4c9-42c4-82cb-343fb7f37896";

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

    /// What says that there is a TPM 2.0, and the module that drives it.
    fn hardware(&self) -> Option<(String, &'static str)> {
        if let Some(found) = self.on_a_bus() {
            return Some(found);
        }
        let table = fs::read(self.path("sys/firmware/acpi/tables/TPM2")).ok();
        let method = table.as_deref().and_then(start_method);
        let is_named = self.acpi_device(&[ACPI_TPM2]).is_some();
        if !is_named && !self.exists("sys/firmware/acpi/tables/TPM2") {
            return None;
        }
        let module = match method {
            // Memory mapped.
            Some(6) => "tpm_tis",
            // Command response buffers, however they are started.
            Some(2 | 7 | 8 | 11 | 13 | 15) => "tpm_crb",
            // Only root may read the table.
            _ => "tpm_crb or tpm_tis",
        };
        let place = if is_named { "ACPI device MSFT0101" } else { "ACPI table TPM2" };
        Some((place.to_owned(), module))
    }

    /// TPMs on SPI, I²C and the like, or in a trusted execution environment.
    fn on_a_bus(&self) -> Option<(String, &'static str)> {
        let named = |names: &str| {
            let names = names.to_ascii_lowercase();
            DEVICES_OF_BUSES
                .iter()
                .find(|(name, _)| names.contains(name))
                .map(|(name, module)| ((*name).to_owned(), *module))
        };
        for bus in ["spi", "i2c", "platform", "vio"] {
            let dir = format!("sys/bus/{bus}/devices");
            for device in self.names(&dir) {
                let compatible = self.text(&format!("{dir}/{device}/of_node/compatible"));
                // ACPI's devices have their name in the modalias, with the bus's module.
                let modalias = self.text(&format!("{dir}/{device}/modalias"));
                if bus == "spi" && modalias.contains("SMO0768") {
                    return Some((format!("{device} on the bus spi"), "tpm_tis_spi"));
                }
                if let Some((name, module)) = named(&compatible).or_else(|| named(&modalias)) {
                    return Some((format!("{device} on the bus {bus}, {name}"), module));
                }
            }
        }
        let tee = self.names("sys/bus/tee/devices").into_iter().find(|name| name.contains(FTPM_OF_TEE));
        tee.map(|device| (format!("{device} on the bus tee"), "tpm_ftpm_tee"))
    }

    /// The first device of ACPI with one of these names that is present.
    fn acpi_device(&self, names: &[&str]) -> Option<String> {
        const IS_PRESENT: u32 = 1;
        let dir = "sys/bus/acpi/devices";
        let is_present = |device: &String| {
            let status = self.text(&format!("{dir}/{device}/status"));
            // Where there is no status, it is.
            status.parse::<u32>().map_or(true, |status| status & IS_PRESENT != 0)
        };
        let is_one = |device: &String| names.iter().any(|name| device.split(':').next() == Some(name));
        self.names(dir).into_iter().filter(is_one).find(is_present)
    }

    fn without_driver(&self, how: String, modules: &str) -> Absence {
        let release = self.text("proc/sys/kernel/osrelease");
        let is_running = |module: &str| self.exists(&format!("sys/module/{module}"));
        let listed = |file: &str, module: &str| {
            // File names have either.
            let list = self.text(&format!("lib/modules/{release}/{file}"));
            let names = [format!("/{module}.ko"), format!("/{}.ko", module.replace('_', "-"))];
            names.iter().any(|name| list.contains(name.as_str()))
        };
        let any = |is: &dyn Fn(&str) -> bool| modules.split(" or ").any(is);
        if any(&|module| is_running(module) || listed("modules.builtin", module)) {
            let why = format!("there is a TPM 2.0 ({how}), and its driver {modules} has not started it");
            return Absence::new(why, "see why: dmesg | grep -i tpm; an update of the firmware may help");
        }
        let why = format!("there is a TPM 2.0 ({how}), and its driver is not loaded: {modules}");
        if any(&|module| listed("modules.dep", module)) {
            let commands: Vec<_> = modules.split(" or ").map(|module| format!("modprobe {module}")).collect();
            return Absence::new(why, format!("load it: {}; in an initrd, have it included", commands.join(" or ")));
        }
        Absence::new(
            why,
            "use a kernel, or an initrd, with this module; `trust launch` and mkosi.conf.d have it included",
        )
    }

    /// What kind of container this is, if it says so.
    fn container(&self) -> Option<String> {
        let told = self.text("run/systemd/container");
        let is_plain = !told.is_empty() && told.len() < 32 && told.bytes().all(|byte| byte.is_ascii_graphic());
        match () {
            () if is_plain => Some(told),
            () if self.exists(".dockerenv") => Some("docker".into()),
            () if self.exists("run/.containerenv") => Some("podman".into()),
            () => None,
        }
    }

    /// What virtual machine this is, and how it gets a TPM.
    fn virtual_machine(&self) -> Option<(&'static str, &'static str)> {
        const MACHINES: [(&str, &str, &str); 9] = [
            (
                "Amazon EC2",
                "EC2",
                "start it from an image with TPM support v2.0 (register-image --tpm-support v2.0 --boot-mode uefi)",
            ),
            ("Google", "Google Compute Engine", "make it a Shielded VM with a vTPM (--shielded-vtpm)"),
            (
                "Microsoft Corporation",
                "Hyper-V or Azure",
                "use generation 2 with a TPM (Azure: Trusted Launch; Hyper-V: Enable-VMTPM)",
            ),
            ("VMware", "VMware", "add a Trusted Platform Module to it, which requires EFI and encryption"),
            ("innotek", "VirtualBox", "set TPM version 2.0 in its settings (VirtualBox 7 and later)"),
            ("Xen", "Xen", "give it a vTPM"),
            ("Parallels", "Parallels", "add a TPM chip to it"),
            ("QEMU", "QEMU", QEMU),
            ("KVM", "KVM", QEMU),
        ];
        const QEMU: &str = "give it one by swtpm (libvirt: <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>); \
                            `trust launch` does";
        let flags = self.text("proc/cpuinfo");
        let is_virtual = flags
            .lines()
            .any(|line| line.starts_with("flags") && line.ends_with(" hypervisor") || line.contains(" hypervisor "))
            || self.exists("sys/hypervisor/type");
        let dmi =
            ["sys_vendor", "product_name", "board_vendor"].map(|name| self.text(&format!("sys/class/dmi/id/{name}")));
        let known = MACHINES.into_iter().find(|(name, ..)| dmi.iter().any(|text| text.contains(name)));
        match known {
            // Real machines have the same vendor.
            Some(("Microsoft Corporation" | "Google", ..)) if !is_virtual => None,
            Some((_, kind, remedy)) => Some((kind, remedy)),
            None if is_virtual => Some(("of an unknown kind", QEMU)),
            None => None,
        }
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

/// `StartMethod` of the table.
fn start_method(table: &[u8]) -> Option<u32> {
    let field = table.get(START_METHOD_AT..)?.first_chunk()?;
    table.starts_with(b"TPM2").then(|| u32::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// A machine made of files, and what is said where its TPM cannot be opened.
    fn said(path: Option<&str>, kind: ErrorKind, files: &[(&str, &[u8])]) -> String {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let address = Address::Device(path.map(PathBuf::from));
        let absence = find_out(&address, &kind.into(), dir.path()).unwrap_or_else(|| Absence::new("", ""));
        format!("{}; {}", absence.why, absence.remedy)
    }

    fn missing(files: &[(&str, &[u8])]) -> String {
        said(None, ErrorKind::NotFound, files)
    }

    /// The ACPI table TPM2 of a machine whose TPM is started so.
    fn table(start_method: u8) -> Vec<u8> {
        let mut table = b"TPM2".to_vec();
        table.resize(START_METHOD_AT, 0);
        table.extend([start_method, 0, 0, 0]);
        table
    }

    const INTEL: (&str, &[u8]) = ("proc/cpuinfo", b"vendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n");
    const AMD: (&str, &[u8]) = ("proc/cpuinfo", b"vendor_id\t: AuthenticAMD\nflags\t\t: fpu vme\n");
    const ACPI: (&str, &[u8]) = ("sys/firmware/acpi/tables/FACP", b"FACP");
    const MSFT0101: (&str, &[u8]) = ("sys/bus/acpi/devices/MSFT0101:00/status", b"15\n");
    const RELEASE: (&str, &[u8]) = ("proc/sys/kernel/osrelease", b"6.12.1\n");

    #[test]
    fn a_tpm_1_2_is_named_however_it_shows() {
        for files in [
            ("sys/class/tpm/tpm0/tpm_version_major", &b"1\n"[..]),
            ("sys/bus/acpi/devices/PNP0C31:00/status", b"15\n"),
            ("sys/bus/acpi/devices/IFX0102:00/hid", b"IFX0102\n"),
            ("sys/firmware/acpi/tables/TCPA", b"TCPA"),
        ] {
            let said = missing(&[files]);
            assert!(said.contains("TPM 1.2") && said.contains("Intel PTT, AMD fTPM"), "{files:?}: {said}");
        }
        let said =
            said(Some("/dev/tpm0"), ErrorKind::ResourceBusy, &[("sys/class/tpm/tpm0/tpm_version_major", b"1\n")]);
        assert!(said.contains("TPM 1.2"), "{said}");
    }

    #[test]
    fn the_missing_module_is_named() {
        for (method, module) in
            [(6, "tpm_tis"), (7, "tpm_crb"), (2, "tpm_crb"), (11, "tpm_crb"), (0, "tpm_crb or tpm_tis")]
        {
            let table = table(method);
            let said = missing(&[MSFT0101, ("sys/firmware/acpi/tables/TPM2", &table), INTEL]);
            assert!(said.contains(&format!("is not loaded: {module};")), "{method}: {said}");
            assert!(said.contains("a kernel, or an initrd, with this module"), "{said}");
        }
        // A table that only root reads, or a torn one.
        for table in [&b""[..], b"TPM2", b"TPM3 and then some, which is not what a table has......"] {
            let said = missing(&[("sys/firmware/acpi/tables/TPM2", table)]);
            assert!(said.contains("ACPI table TPM2") && said.contains("tpm_crb or tpm_tis"), "{said}");
        }
        for (device, compatible, module) in [
            (
                "sys/bus/spi/devices/spi0.1/of_node/compatible",
                &b"infineon,slb9670\0tcg,tpm_tis-spi\0"[..],
                "tpm_tis_spi",
            ),
            ("sys/bus/spi/devices/spi-SMO0768:00/modalias", b"acpi:SMO0768:\n", "tpm_tis_spi"),
            ("sys/bus/i2c/devices/1-002e/of_node/compatible", b"infineon,slb9673\0", "tpm_tis_i2c"),
            ("sys/bus/platform/devices/ftpm/of_node/compatible", b"microsoft,ftpm\0", "tpm_ftpm_tee"),
            ("sys/bus/tee/devices/optee-ta-bc50d971-d4c9-42c4-82cb-343fb7f37896/uevent", b"", "tpm_ftpm_tee"),
        ] {
            let said = missing(&[(device, compatible)]);
            assert!(said.contains(&format!("is not loaded: {module};")), "{device}: {said}");
        }
    }

    #[test]
    fn a_module_that_is_there_is_to_be_loaded_and_one_that_runs_to_be_asked() {
        let table = table(7);
        let hardware = [MSFT0101, ("sys/firmware/acpi/tables/TPM2", &table[..]), RELEASE];
        let with = |name: &'static str, list: &'static [u8]| missing(&[&hardware[..], &[(name, list)]].concat());
        let dependencies = b"kernel/drivers/char/tpm/tpm_crb.ko.xz: kernel/drivers/char/tpm/tpm.ko.xz\n";
        assert!(with("lib/modules/6.12.1/modules.dep", dependencies).contains("load it: modprobe tpm_crb;"));
        assert!(!with("lib/modules/6.12.1/modules.dep", b"kernel/x/my_tpm_crb.kox").contains("modprobe"));
        for (name, list) in [
            ("lib/modules/6.12.1/modules.builtin", &b"kernel/drivers/char/tpm/tpm_crb.ko\n"[..]),
            ("sys/module/tpm_crb/version", b""),
        ] {
            let said = with(name, list);
            assert!(said.contains("its driver tpm_crb has not started it; see why: dmesg"), "{said}");
        }
    }

    #[test]
    fn a_firmware_that_hides_it_is_told_in_its_words() {
        let said = missing(&[ACPI, INTEL]);
        assert!(
            said.contains("the firmware shows no TPM: no ACPI device MSFT0101") && said.contains("Intel PTT"),
            "{said}"
        );
        assert!(missing(&[ACPI, AMD]).contains("AMD fTPM"));
        assert!(missing(&[]).contains("neither firmware nor device tree"));
        // Not present: switched off.
        assert!(missing(&[ACPI, INTEL, ("sys/bus/acpi/devices/MSFT0101:00/status", b"0\n")]).contains("Intel PTT"));
    }

    #[test]
    fn virtual_machines_and_containers_are_told_how_they_get_one() {
        let virtual_flags: (&str, &[u8]) =
            ("proc/cpuinfo", b"vendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor lahf\n");
        for (vendor, words) in [
            (&b"QEMU\n"[..], "swtpm (libvirt: <tpm model='tpm-crb'>"),
            (b"Amazon EC2\n", "--tpm-support v2.0"),
            (b"Google\n", "--shielded-vtpm"),
            (b"Microsoft Corporation\n", "Enable-VMTPM"),
            (b"VMware, Inc.\n", "Trusted Platform Module"),
            (b"innotek GmbH\n", "VirtualBox 7"),
        ] {
            let said = missing(&[ACPI, virtual_flags, ("sys/class/dmi/id/sys_vendor", vendor)]);
            assert!(said.contains("this is a virtual machine") && said.contains(words), "{said}");
        }
        assert!(missing(&[virtual_flags]).contains("of an unknown kind"));
        // A real machine of the same vendor.
        let surface = missing(&[ACPI, INTEL, ("sys/class/dmi/id/sys_vendor", b"Microsoft Corporation\n")]);
        assert!(surface.contains("Intel PTT"), "{surface}");
        let said = missing(&[virtual_flags, ("run/systemd/container", b"podman\n")]);
        assert!(said.contains("this is a container (podman)") && said.contains("--device /dev/tpmrm0"), "{said}");
        // What is no name is not printed.
        assert!(!missing(&[("run/systemd/container", b"\x1b[2J")]).contains('\x1b'));
        let said = missing(&[("sys/class/tpm/tpm0/tpm_version_major", b"2\n")]);
        assert!(said.contains("there is no device for it; mount a devtmpfs"), "{said}");
    }

    #[test]
    fn devices_of_others_are_told_how_to_be_shared() {
        let denied = |path| said(path, ErrorKind::PermissionDenied, &[]);
        assert!(denied(None).contains("usermod --append --groups tss"));
        assert!(denied(Some("/dev/tpm0")).contains("use /dev/tpmrm0"));
        assert!(denied(Some("/dev/tpmrm1")).contains("ls -l /dev/tpmrm1"));
        let busy = |path| said(path, ErrorKind::ResourceBusy, &[]);
        assert!(busy(Some("/dev/tpm0")).contains("--tcti device:/dev/tpmrm0"));
        assert!(busy(None).contains("fuser -v"));
        // A name of the caller's, and an error that says enough.
        assert_eq!(said(Some("/dev/other"), ErrorKind::NotFound, &[]), "; ");
        assert_eq!(said(None, ErrorKind::InvalidInput, &[]), "; ");
        for (address, words) in [
            ("swtpm:path=/s", "type=unixio"),
            ("swtpm:host=127.0.0.1,port=1", "type=tcp"),
            ("mssim", "start it: tpm_server"),
        ] {
            let address = address.parse().unwrap();
            let absence = find_out(&address, &ErrorKind::ConnectionRefused.into(), Path::new("/nowhere")).unwrap();
            assert!(absence.remedy.contains(words), "{absence:?}");
        }
    }
}
