//! What a machine starts and whom its TPM gives the secrets: one image with one key, on that machine alone.

use harness::{
    Identity, State,
    vm::{CMDLINE, Chain, Fleet, Initrd, Report, Vm},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Provisions the machine.
const PROVISION: &str = "trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n";
/// Asks for the secrets, twice, and tells what came of it.
const SETUP: &str = "\
try() { status=0; trust setup --on-lock-failure=exit || status=$?; say $1 $status; }
try first
say passphrases $(grep -c ' machine:luks: 40' /proc/keys)
say files $(ls /priv/factory/secure 2>/dev/null | tr '\\n' ,)
say certificate $(sha256sum /priv/factory/secure/server.crt 2>/dev/null)
try second
say cmdline $(cat /proc/cmdline)
";

/// `trust setup`: done, not provisioned, not allowed the secrets.
const DONE: &str = "0";
const NOT_PROVISIONED: &str = "11";
const REFUSED: &str = "12";

/// A keyset, its images, and the TPM of a machine that was provisioned.
struct World {
    fleet: Fleet,
    identity: Identity,
    tpm: State,
}

/// One for all tests: they only look at it.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let fleet = Fleet::new();
        for chain in [Chain::Direct, Chain::Shim] {
            let _ = fleet.variables(chain, &[], &format!("{chain:?}.fd"));
        }
        let setup = Initrd::new(SETUP);
        for kind in ["production", "limited", "tpm"] {
            fleet.build(kind, &setup, &[], &fleet.file(&format!("{kind}.efi")));
        }
        fleet.build("production", &setup, &["--unsigned"], &fleet.file("unsigned.efi"));
        let stranger = Identity::rsa(2048);
        let keys =
            ["--key", stranger.key().to_str().unwrap(), "--cert", stranger.cert().to_str().unwrap()].map(str::to_owned);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        fleet.build("production", &setup, &keys, &fleet.file("strange.efi"));
        fs::copy(stranger.cert(), fleet.file("stranger.pem")).unwrap();

        let identity = Identity::rsa(2048);
        let mut provision = Initrd::new(PROVISION);
        provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
        let image = fleet.file("provision.efi");
        fleet.build("limited", &provision, &[], &image);
        let vm = Vm::new(&fleet.file("Direct.fd"));
        fleet.install(&vm, Chain::Direct, &image);
        vm.boot().ok();
        World { fleet, identity, tpm: vm.tpm() }
    })
}

impl World {
    fn image(&self, name: &str) -> PathBuf {
        self.fleet.file(&format!("{name}.efi"))
    }

    /// The provisioned machine, switched off, with an image to boot.
    fn machine(&self, chain: Chain, image: &Path) -> Vm {
        let vm = Vm::new(&self.fleet.file(&format!("{chain:?}.fd")));
        vm.set_tpm(&self.tpm);
        self.fleet.install(&vm, chain, image);
        vm
    }
}

/// The image started, but `trust setup` ended with this status, gave nothing, and left PCR 7 locked.
#[track_caller]
fn gets_nothing(report: &Report, status: &str) {
    assert_eq!(report.ok().value("first"), status);
    assert_eq!(report.value("passphrases"), "0");
    assert_eq!(report.value("files"), "");
    assert_ne!(report.value("second"), DONE);
}

/// The refusal on the console says, of what this boot is.
#[track_caller]
fn explained(report: &Report, why: &str) {
    let refusals: Vec<&str> = report.console.lines().filter(|line| line.starts_with("trust: cannot ")).collect();
    assert!(refusals.first().is_some_and(|first| first.contains(why)), "{why:?} is not in {refusals:#?}");
}

/// `trust setup` gave everything, once.
#[track_caller]
fn gets_the_secrets(report: &Report) {
    assert_eq!(report.ok().value("first"), DONE);
    assert_eq!(report.value("passphrases"), "1");
    assert_eq!(report.value("files"), "manifestCA.pem,server.crt,server.key,");
    let sum = harness::hex(&harness::sha256(&[&fs::read(world().identity.cert()).unwrap()]));
    assert!(report.value("certificate").starts_with(&sum));
    assert_eq!(report.value("second"), REFUSED);
}

#[test]
fn a_production_image_is_given_the_secrets_once() {
    for chain in [Chain::Direct, Chain::Shim] {
        gets_the_secrets(&world().machine(chain, &world().image("production")).boot());
    }
}

#[test]
fn a_limited_image_gets_nothing() {
    let report = world().machine(Chain::Direct, &world().image("limited")).boot();
    gets_nothing(&report, REFUSED);
    explained(&report, "what booted was signed by \"UKI Limited\", and not by \"UKI Production\"");
}

#[test]
fn a_tpm_image_gets_nothing_from_setup() {
    gets_nothing(&world().machine(Chain::Direct, &world().image("tpm")).boot(), REFUSED);
}

#[test]
fn firmware_starts_no_image_that_nobody_signed() {
    world().machine(Chain::Direct, &world().image("unsigned")).boot().refused("Access Denied");
}

#[test]
fn firmware_starts_no_image_that_a_stranger_signed() {
    world().machine(Chain::Direct, &world().image("strange")).boot().refused("Access Denied");
}

#[test]
fn firmware_starts_no_image_with_one_byte_changed() {
    // Of the command line, the initrd and the kernel: of each section the byte in the middle.
    for section in [".cmdline", ".initrd", ".linux"] {
        let mut image = fs::read(world().image("production")).unwrap();
        let (start, size) = section_of(&image, section);
        image[start + size / 2] ^= 1;
        let changed = world().fleet.file(&format!("changed{section}.efi"));
        fs::write(&changed, image).unwrap();
        world().machine(Chain::Direct, &changed).boot().refused("Access Denied");
    }
}

#[test]
fn shim_starts_no_image_that_nobody_or_a_stranger_signed() {
    for name in ["unsigned", "strange"] {
        world().machine(Chain::Shim, &world().image(name)).boot().refused("Security Violation");
    }
}

#[test]
fn without_secure_boot_nothing_is_given() {
    let unprotected = world().machine(Chain::Direct, &world().image("unsigned"));
    unprotected.set_variables(&harness::vm::empty_variables());
    gets_nothing(&unprotected.boot(), REFUSED);

    // The right keys, the right image, but the firmware was told not to check.
    let off = world().fleet.file("off.fd");
    let mut command: Command = harness::assets::program("virt-fw-vars");
    command.arg("--input").arg(world().fleet.file("Direct.fd")).arg("--output").arg(&off);
    let output = command.args(["--set-false", "SecureBootEnable"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unchecked = world().machine(Chain::Direct, &world().image("production"));
    unchecked.set_variables(&off);
    let report = unchecked.boot();
    gets_nothing(&report, REFUSED);
    explained(&report, "Secure Boot is switched off");
}

#[test]
fn with_another_db_nothing_is_given() {
    let stranger = world().fleet.file("stranger.pem");
    let variables = world().fleet.variables(Chain::Direct, &["--db", stranger.to_str().unwrap()], "another-db.fd");
    for image in ["production", "strange"] {
        let vm = world().machine(Chain::Direct, &world().image(image));
        vm.set_variables(&variables);
        let report = vm.boot();
        gets_nothing(&report, REFUSED);
        explained(&report, "the firmware's db is not the one that the policies were signed for");
    }
}

#[test]
fn another_machine_has_nothing_to_give() {
    let vm = Vm::new(&world().fleet.file("Direct.fd"));
    world().fleet.install(&vm, Chain::Direct, &world().image("production"));
    gets_nothing(&vm.boot(), NOT_PROVISIONED);
}

#[test]
fn what_is_appended_at_the_boot_menu_does_not_reach_the_kernel() {
    let fleet = &world().fleet;
    let variables = fleet.file("menu.fd");
    let json = fleet.file("menu.json");
    fs::write(&json, boot_entry("\\EFI\\BOOT\\BOOTX64.EFI", &format!("{CMDLINE} rdinit=/bin/busybox"))).unwrap();
    let mut command: Command = harness::assets::program("virt-fw-vars");
    command.arg("--input").arg(fleet.file("Direct.fd")).arg("--output").arg(&variables).arg("--set-json").arg(&json);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let vm = world().machine(Chain::Direct, &world().image("production"));
    vm.set_variables(&variables);
    let report = vm.boot();
    assert!(report.console.contains("starting Boot0042"), "{}", report.console);
    assert_eq!(report.ok().value("cmdline"), CMDLINE);
    gets_the_secrets(&report);
}

/// Where a section's content is in the file, and how long it is.
fn section_of(image: &[u8], name: &str) -> (usize, usize) {
    let number = |at: usize| u32::from_le_bytes(image[at..][..4].try_into().unwrap()) as usize;
    let short = |at: usize| usize::from(u16::from_le_bytes(image[at..][..2].try_into().unwrap()));
    let coff = number(0x3c) + 4;
    let headers = (0..short(coff + 2)).map(|section| coff + 20 + short(coff + 16) + 40 * section);
    let mut named = headers.filter(|at| image[*at..][..8].split(|byte| *byte == 0).next() == Some(name.as_bytes()));
    let header = named.next().expect("there is such a section");
    (number(header + 20), number(header + 8))
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
