//! What `trust` predicts of a boot is what firmware, shim and stub measure: PCR 7 event by event, PCRs 4 and 11.

use harness::{
    extend, hex, sha256,
    vm::{self, Chain, Deployment, Event, Initrd, Report, Vm},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use trust::host::{
    pki::certificate,
    uefi::{
        signature_list::{self, SignatureList},
        variable::{BOOTSERVICE_ACCESS, NON_VOLATILE, SHIM_LOCK, Variable},
        variable_store::VariableStore,
    },
};
use uuid::Uuid;

/// What the guest tells.
const SCRIPT: &str = "\
for pcr in 4 7 11 14; do say pcr$pcr $(cat /sys/class/tpm/tpm0/pcr-sha256/$pcr | tr A-F a-f); done
say log $(base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements)
";

/// One for all tests: they only look at it.
fn deployment() -> &'static Deployment {
    static DEPLOYMENT: OnceLock<Deployment> = OnceLock::new();
    DEPLOYMENT.get_or_init(Deployment::new)
}

/// The events of PCR 7, which explain its value.
fn events(report: &Report) -> Vec<Event> {
    let events: Vec<Event> = vm::event_log(&report.bytes("log")).into_iter().filter(|event| event.pcr == 7).collect();
    let replayed = events.iter().fold([0; 32], |pcr, event| extend(&pcr, &event.digest));
    assert_eq!(hex(&replayed), report.value("pcr7"), "the log does not explain PCR 7");
    for event in &events {
        assert_eq!(event.digest, sha256(&[&event.data]));
    }
    events
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

/// What `trust compute-pcr7` says: type and data of each event, and the value at last.
fn predicted(chain: Chain, role: &str) -> (Vec<(String, String)>, String) {
    let chain = deployment().chain(chain);
    let command = ["compute-pcr7", "k"];
    let printed = deployment().trust(&[&command, &["--explain", "--json"], &chain[..]].concat());
    let all: Value = serde_json::from_str(&printed).unwrap();
    let events = all["events"][role].as_array().unwrap();
    let field = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let value = field(events.last().unwrap(), "pcr7");
    // The text says the same.
    let lines = deployment().trust(&[&command, &chain[..]].concat());
    assert!(lines.lines().any(|line| line == format!("{role}: {value}")), "{lines}");
    (events.iter().map(|event| (field(event, "type"), field(event, "data"))).collect(), value)
}

/// An image, and its boot on a fresh machine.
struct Booted {
    image: PathBuf,
    /// The values that `trust uki build` has predicted.
    built: Value,
    report: Report,
}

/// The boot of an image of this kind: one for all tests.
fn booted(chain: Chain, name: &str) -> &'static Booted {
    static BOOTS: [OnceLock<Booted>; 6] = [const { OnceLock::new() }; 6];
    let kind = ["production", "limited", "tpm"].iter().position(|kind| *kind == name).unwrap();
    BOOTS[kind + if chain == Chain::Shim { 3 } else { 0 }].get_or_init(|| {
        let image = deployment().file(&format!("{name}-{chain:?}.efi"));
        let options = [deployment().chain(chain), vec!["--json"]].concat();
        let built: Value =
            serde_json::from_str(&deployment().build(name, &Initrd::new(SCRIPT), &options, &image)).unwrap();
        let vm = Vm::new(&deployment().variables(chain, &[], &format!("{name}-{chain:?}.fd")));
        deployment().install(&vm, chain, &image);
        let report = vm.boot();
        report.ok();
        fs::write(deployment().file(&format!("{name}-{chain:?}.log")), report.bytes("log")).unwrap();
        fs::copy(vm.variables(), deployment().file(&format!("{name}-{chain:?}-after.fd"))).unwrap();
        Booted { image, built: built["pcr"]["sha256"].clone(), report }
    })
}

fn check(chain: Chain, name: &str) {
    let (expected, pcr7) = predicted(chain, &format!("uki-{name}"));
    let Booted { built, report, .. } = booted(chain, name);
    assert_eq!(built["7"], pcr7);

    let events = events(report);
    let found: Vec<_> = events.iter().map(|event| (kind(event).to_owned(), hex(&event.data))).collect();
    assert_eq!(found, expected);
    assert_eq!(report.value("pcr7"), pcr7);
    assert_eq!(built["11"], report.value("pcr11"));
    // What the machine has logged says the same.
    let log = deployment().file(&format!("{name}-{chain:?}.log"));
    let command = [&["compute-pcr7", "k", "--json", "--log", text(&log)], &deployment().chain(chain)[..]].concat();
    let logged: Value = serde_json::from_str(&deployment().trust(&command)).unwrap();
    assert_eq!(logged[format!("uki-{name}")], pcr7);
    if chain == Chain::Direct {
        assert_eq!(built["4"], report.value("pcr4"));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// From the log of a production boot and an update follows what another boot has measured: PCR 7 event by event, and the
/// values of the others.
fn follows(chain: Chain, update: &[&str], after: &Report, others: &[&str]) {
    booted(chain, "production");
    let log = deployment().file(&format!("production-{chain:?}.log"));
    let store = deployment().file(&format!("production-{chain:?}-after.fd"));
    let pcrs = [&["7"], others].concat().join(",");
    let machine = ["predict", "--log", text(&log), "--efivars", text(&store), "--json", "--pcr", &pcrs];
    let printed = deployment().trust(&[&machine[..], update].concat());
    let json: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["obstacles"], serde_json::json!([]), "{printed}");
    let of = |pcr: &str| {
        let all = json["pcrs"].as_array().unwrap();
        let number: u64 = pcr.parse().unwrap();
        let found = all.iter().find(|predicted| predicted["pcr"] == number).unwrap();
        let values = found["values"].as_array().unwrap();
        let is_it = |value: &&Value| value["value"] == after.value(&format!("pcr{pcr}"));
        let value = values.iter().find(is_it).unwrap_or_else(|| panic!("{found}"));
        assert!(values.len() <= 2, "{found}");
        value.clone()
    };
    let data = |event: &Value| event["data"].as_str().unwrap().to_owned();
    let predicted: Vec<_> = of("7")["events"].as_array().unwrap().iter().map(data).collect();
    let logged: Vec<_> = events(after).iter().map(|event| hex(&event.data)).collect();
    assert_eq!(predicted, logged, "{update:?}");
    for pcr in others {
        of(pcr);
    }
}

#[test]
fn another_image_measures_what_follows_from_the_log_of_the_first() {
    for chain in [Chain::Direct, Chain::Shim] {
        let Booted { image, report, .. } = booted(chain, "limited");
        let shim = deployment().shim();
        // Of the keys in shim, the log knows the one that was used.
        let update: &[&str] = match chain {
            Chain::Direct => &["--uki", text(image)],
            Chain::Shim => &["--uki", text(image), "--shim", text(&shim)],
        };
        follows(chain, update, report, if chain == Chain::Shim { &["4", "11", "14"] } else { &["4", "11"] });
    }
}

/// Another shim without keys of its own, whose owner has given it that of the image; then Secure Boot switched off.
#[test]
fn another_shim_and_secure_boot_off_measure_what_follows_from_the_log_before() {
    let shim = deployment().file("other-shim.efi");
    fs::write(&shim, vm::shim_with(&[])).unwrap();
    deployment().sign("uefi-db", &shim);
    let pem = fs::read(deployment().key("uki-production", "cert.pem")).unwrap();
    let certificate = certificate::first_der(&pem).unwrap();
    let owners = signature_list::to_bytes(&[SignatureList::x509(Uuid::from_u128(7), certificate)]).unwrap();
    let list = deployment().file("mok-list.esl");
    fs::write(&list, &owners).unwrap();

    let image = &booted(Chain::Shim, "production").image;
    let before = fs::read(deployment().file("production-Shim-after.fd")).unwrap();
    let mut store = VariableStore::parse(&before).unwrap();
    let mok_list = Variable { name: "MokList", vendor: SHIM_LOCK };
    store.set(mok_list, NON_VOLATILE | BOOTSERVICE_ACCESS, None, owners);
    let variables = deployment().file("other-shim.fd");
    fs::write(&variables, store.to_image().unwrap()).unwrap();
    let vm = Vm::new(&variables);
    vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &shim), ("EFI/BOOT/grubx64.efi", image)]);
    let report = vm.boot();
    report.ok();
    follows(Chain::Shim, &["--shim", text(&shim), "--mok-list", text(&list)], &report, &["4", "11", "14"]);

    let mut store = VariableStore::parse(&before).unwrap();
    let vendor = "f0a30bc7-af08-4556-99c4-001009c93a44".parse().unwrap();
    let enable = Variable { name: "SecureBootEnable", vendor };
    store.set(enable, NON_VOLATILE | BOOTSERVICE_ACCESS, None, vec![0]);
    fs::write(&variables, store.to_image().unwrap()).unwrap();
    let vm = Vm::new(&variables);
    deployment().install(&vm, Chain::Shim, image);
    let report = vm.boot();
    report.ok();
    follows(Chain::Shim, &["--secure-boot", "off"], &report, &["11"]);
}

#[test]
fn a_production_image_started_by_the_firmware_has_the_predicted_pcr_7() {
    check(Chain::Direct, "production");
}

#[test]
fn a_limited_image_started_by_the_firmware_has_the_predicted_pcr_7() {
    check(Chain::Direct, "limited");
}

#[test]
fn a_tpm_image_started_by_the_firmware_has_the_predicted_pcr_7() {
    check(Chain::Direct, "tpm");
}

#[test]
fn a_production_image_started_by_shim_has_the_predicted_pcr_7() {
    check(Chain::Shim, "production");
}

#[test]
fn a_limited_image_started_by_shim_has_the_predicted_pcr_7() {
    check(Chain::Shim, "limited");
}

#[test]
fn a_tpm_image_started_by_shim_has_the_predicted_pcr_7() {
    check(Chain::Shim, "tpm");
}
