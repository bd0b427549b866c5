use super::{hardware::START_METHOD_AT, *};
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

#[test]
fn a_device_is_waited_for_where_something_may_bring_it() {
    let may = |address: &Address, file: &str, content: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        may_appear(address, dir.path())
    };
    let named = |path: &str| Address::Device(Some(path.into()));
    for address in [Address::Device(None), named("/dev/tpm0")] {
        for (file, content) in [
            ("dev/tpm0", ""),
            ("dev/tpmrm0", ""),
            ("sys/class/tpm/tpm0/tpm_version_major", "2\n"),
            ("run/udev/queue", ""),
            ("sys/module/tpm_tis/initstate", "coming\n"),
        ] {
            assert!(may(&address, file, content), "{file}");
        }
        for (file, content) in [
            ("dev/null", ""),
            ("run/udev/control", ""),
            ("sys/module/tpm_tis/initstate", "live\n"),
            ("sys/module/e1000/initstate", "coming\n"),
        ] {
            assert!(!may(&address, file, content), "{file}");
        }
    }
    // Of others nothing is known.
    assert!(may(&named("/dev/another"), "dev/null", "") && may(&Address::SwtpmUnix("/run/s".into()), "dev/null", ""));
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
    let said = said(Some("/dev/tpm0"), ErrorKind::ResourceBusy, &[("sys/class/tpm/tpm0/tpm_version_major", b"1\n")]);
    assert!(said.contains("TPM 1.2"), "{said}");
}

#[test]
fn the_missing_module_is_named() {
    for (method, module) in [(6, "tpm_tis"), (7, "tpm_crb"), (2, "tpm_crb"), (11, "tpm_crb"), (0, "tpm_crb or tpm_tis")]
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
        ("sys/bus/spi/devices/spi0.1/of_node/compatible", &b"infineon,slb9670\0tcg,tpm_tis-spi\0"[..], "tpm_tis_spi"),
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
    let virtual_flags: (&str, &[u8]) = ("proc/cpuinfo", b"vendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor lahf\n");
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
