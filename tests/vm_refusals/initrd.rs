//! Another initrd, another command line, and what else lies beside an image without being part of it.

use super::{REFUSED, fixture, gets_nothing, gets_the_secrets};
use harness::vm::{CMDLINE, Chain, Initrd, addon};
use std::{fs, path::PathBuf, process::Command};

const IMAGE: &str = "EFI/BOOT/BOOTX64.EFI";

#[test]
fn unsigned_files_do_not_reach_the_initrd_or_are_unused() {
    let deployment = &fixture().deployment;
    let variables = deployment.file("menu.fd");
    let json = deployment.file("menu.json");
    let appended = format!("{CMDLINE} rdinit=/bin/busybox initrd=\\other.img");
    fs::write(&json, boot_entry("\\EFI\\BOOT\\BOOTX64.EFI", &appended)).unwrap();
    let mut command: Command = harness::assets::program("virt-fw-vars");
    command
        .arg("--input")
        .arg(deployment.file("Direct.fd"))
        .arg("--output")
        .arg(&variables)
        .arg("--set-json")
        .arg(&json);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut other = Initrd::new("say foreign\n");
    other.write("foreign", "", 0o644);
    let unsigned = deployment.file("unsigned.addon.efi");
    addon("rdinit=/bin/busybox", &unsigned);
    let vm = fixture().machine(Chain::Direct, &fixture().image("production"));
    // systemd's stub takes such files along, from beside the image and from everywhere's directory.
    vm.set_boot_disk(&[
        (IMAGE, &fixture().image("production")),
        ("other.img", &other.pack()),
        (&format!("{IMAGE}.extra.d/a.cred"), &text("beside.cred", "root:x:0:0::/:/bin/sh")),
        (&format!("{IMAGE}.extra.d/a.raw"), &text("beside.raw", "an extension")),
        (&format!("{IMAGE}.extra.d/a.addon.efi"), &unsigned),
        ("loader/credentials/a.cred", &text("everywhere.cred", "another")),
        ("loader/addons/a.addon.efi", &unsigned),
    ]);
    vm.set_variables(&variables);
    let report = vm.boot();
    assert!(report.console.contains("starting Boot0042"), "{}", report.console);
    assert_eq!(report.ok().value("cmdline"), CMDLINE);
    assert_eq!(report.value("foreign"), "");
    // The kernel found them in a directory of their own.
    let beside =
        ["credentials/a.cred", "global_credentials/a.cred", "sysext/a.raw"].map(|name| format!("/.extra/{name}"));
    assert_eq!(report.value("extra"), beside.join(" "));
    gets_the_secrets(&report);
}

/// The firmware's strings (SMBIOS) can be written by an attacker who has the machine and its vendor's tools, or its
/// virtual machine's settings.
#[test]
fn strings_of_the_firmware_do_not_reach_the_command_line() {
    let vm = fixture().machine(Chain::Direct, &fixture().image("production"));
    vm.set_options(&["-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=rdinit=/bin/busybox"]);
    let report = vm.boot();
    assert_eq!(report.ok().value("cmdline"), CMDLINE);
    gets_the_secrets(&report);
}

/// Whose signature lets it add to the command line: PCR 7 tells that this key has been used.
#[test]
fn an_addon_that_is_signed_for_limited_boots_makes_a_limited_boot() {
    let deployment = &fixture().deployment;
    let limited = deployment.file("limited.addon.efi");
    addon("added", &limited);
    deployment.sign("uki-limited", &limited);
    let vm = fixture().machine(Chain::Direct, &fixture().image("production"));
    vm.set_boot_disk(&[(IMAGE, &fixture().image("production")), (&format!("{IMAGE}.extra.d/a.addon.efi"), &limited)]);
    let report = vm.boot();
    assert_eq!(report.ok().value("cmdline"), format!("{CMDLINE} added"));
    gets_nothing(&report, REFUSED);
}

/// A file with this text.
fn text(name: &str, text: &str) -> PathBuf {
    let path = fixture().deployment.file(name);
    fs::write(&path, text).unwrap();
    path
}

/// Boot0042, the first and only one, with arguments (UEFI, section 3.1.3), as virt-fw-vars reads variables.
fn boot_entry(path: &str, arguments: &str) -> String {
    let utf16 = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let file = utf16(path);
    let length = u16::try_from(file.len() + 4).unwrap().to_le_bytes();
    // A media device path to a file, and its end.
    let device_path = [&[4, 4][..], &length, &file, &[0x7f, 0xff, 4, 0]].concat();
    let length = u16::try_from(device_path.len()).unwrap().to_le_bytes();
    let entry = [&[1, 0, 0, 0][..], &length, &utf16("menu"), &device_path, &utf16(arguments)].concat();
    let variable = |name: &str, data: &[u8]| {
        serde_json::json!({
            "name": name, "guid": "8be4df61-93ca-11d2-aa0d-00e098032b8c", "attr": 7, "data": harness::hex(data),
        })
    };
    let variables = [variable("Boot0042", &entry), variable("BootOrder", &[0x42, 0x00])];
    serde_json::json!({ "version": 2, "variables": variables }).to_string()
}
