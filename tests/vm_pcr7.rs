//! PCR 7 of real boots, by firmware and by shim, is what `trust computePCR7` says beforehand, event by event.

use harness::{
    Home, assets, extend, hex, run, sha256,
    vm::{self, Event, Initrd, Report, Vm},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

/// What the guest tells.
const SCRIPT: &str = "\
say pcr7 $(cat /sys/class/tpm/tpm0/pcr-sha256/7)
say log $(base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements)
";

/// Who checks the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chain {
    /// The firmware.
    Direct,
    /// shim, which the firmware checks.
    Shim,
}

/// A keyset, and what machines of it boot with.
struct Kit {
    home: Home,
    dir: TempDir,
}

impl Kit {
    /// One for all tests: they only look at it.
    fn get() -> &'static Self {
        static KIT: OnceLock<Kit> = OnceLock::new();
        KIT.get_or_init(|| {
            let kit = Self { home: Home::with_keyset(), dir: TempDir::new().unwrap() };
            vm::ukify(&Initrd::new(SCRIPT).pack(), "console=ttyS0 quiet panic=-1", &kit.file("unsigned.efi"));
            for role in ["uki-production", "uki-limited", "uki-tpm"] {
                kit.sign(role, &kit.file("unsigned.efi"), &kit.image(role));
            }
            fs::write(kit.file("shim-unsigned.efi"), vm::shim_with(&kit.vendor_db())).unwrap();
            kit.sign("uefi-db", &kit.file("shim-unsigned.efi"), &kit.file("shim.efi"));
            kit
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn image(&self, role: &str) -> PathBuf {
        self.file(&format!("{role}.efi"))
    }

    /// A file of the keyset.
    fn key(&self, role: &str, item: &str) -> PathBuf {
        self.home.keys().join("k").join(role).join(item)
    }

    fn sign(&self, role: &str, image: &Path, output: &Path) {
        let (key, cert) = (self.key(role, "privkey.pem"), self.key(role, "cert.pem"));
        let keys = ["--key", text(&key), "--cert", text(&cert)];
        self.home.ok(&[&["sign", "efi"], &keys[..], &["--output", text(output), text(image)]].concat());
    }

    /// The certificates that sign images, as shim has them compiled in.
    fn vendor_db(&self) -> Vec<u8> {
        let list = |role: &str| {
            let list = self.file(&format!("{role}.esl"));
            run("cert-to-efi-sig-list", &[text(&self.key(role, "cert.pem")), text(&list)]);
            fs::read(list).unwrap()
        };
        ["uki-production", "uki-limited", "uki-tpm"].map(list).concat()
    }

    /// Variables with the keyset's keys for a chain.
    fn variables(&self, chain: Chain) -> PathBuf {
        let store = TempDir::new_in(self.dir.path()).unwrap().keep().join("variables.fd");
        let mut command: Command = assets::program("virt-fw-vars");
        command.arg("--input").arg(vm::empty_variables()).arg("--output").arg(&store).arg("--sb");
        let images: &[&str] = if chain == Chain::Direct { &["uki-production", "uki-limited", "uki-tpm"] } else { &[] };
        let db = ["uefi-db"].iter().chain(images).map(|role| ("--add-db", *role));
        for (option, role) in [("--set-pk", "uefi-pk"), ("--add-kek", "uefi-kek")].into_iter().chain(db) {
            let guid = fs::read_to_string(self.key(role, "guid")).unwrap();
            command.arg(option).arg(guid.trim()).arg(self.key(role, "cert.pem"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        store
    }

    fn boot(&self, chain: Chain, role: &str) -> Report {
        let vm = Vm::new(&self.variables(chain));
        let (image, shim) = (self.image(role), self.file("shim.efi"));
        match chain {
            Chain::Direct => vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &image)]),
            Chain::Shim => vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &shim), ("EFI/BOOT/grubx64.efi", &image)]),
        }
        vm.boot()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The measured events of PCR 7, which explain its value.
fn events(report: &Report) -> Vec<Event> {
    let events: Vec<Event> = vm::event_log(&report.bytes("log")).into_iter().filter(|event| event.pcr == 7).collect();
    let replayed = events.iter().fold([0; 32], |pcr, event| extend(&pcr, &event.digest));
    assert_eq!(hex(&replayed), report.value("pcr7").to_lowercase(), "the log does not explain PCR 7");
    for event in &events {
        assert_eq!(event.digest, sha256(&[&event.data]));
    }
    events
}

/// What `trust` predicts: type and data of each event, and the value at last.
fn predicted(kit: &Kit, chain: Chain, role: &str) -> (Vec<(String, String)>, String) {
    let shim = kit.file("shim.efi");
    let chain: &[&str] = if chain == Chain::Shim { &["--chain", "shim", "--shim", text(&shim)] } else { &[] };
    let printed = kit.home.ok(&[&["computePCR7", "k", "--explain", "--json"], chain].concat());
    let all: Value = serde_json::from_str(&printed).unwrap();
    let events = all["events"][role].as_array().unwrap();
    let field = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let value = field(events.last().unwrap(), "pcr7");
    // The lines for people say the same.
    let lines = kit.home.ok(&[&["computePCR7", "k"], chain].concat());
    assert!(lines.lines().any(|line| line == format!("{role}: {value}")), "{lines}");
    (events.iter().map(|event| (field(event, "type"), field(event, "data"))).collect(), value)
}

/// As the specification calls it.
fn kind(event: &Event) -> &'static str {
    match event.kind {
        0x0000_0004 => "EV_SEPARATOR",
        0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
        other => panic!("PCR 7 has an event of type {other:#x}"),
    }
}

fn check(chain: Chain, role: &str) {
    let kit = Kit::get();
    let (expected, value) = predicted(kit, chain, role);
    let report = kit.boot(chain, role);
    report.ok();
    let found: Vec<_> = events(&report).iter().map(|event| (kind(event).to_owned(), hex(&event.data))).collect();
    assert_eq!(found, expected);
    assert_eq!(report.value("pcr7").to_lowercase(), value);
}

#[test]
fn a_production_image_started_by_the_firmware() {
    check(Chain::Direct, "uki-production");
}

#[test]
fn a_limited_image_started_by_the_firmware() {
    check(Chain::Direct, "uki-limited");
}

#[test]
fn a_tpm_image_started_by_the_firmware() {
    check(Chain::Direct, "uki-tpm");
}

#[test]
fn a_production_image_started_by_shim() {
    check(Chain::Shim, "uki-production");
}

#[test]
fn a_limited_image_started_by_shim() {
    check(Chain::Shim, "uki-limited");
}

#[test]
fn a_tpm_image_started_by_shim() {
    check(Chain::Shim, "uki-tpm");
}
