//! What `trust` predicts of a boot is what firmware, shim and stub measure: PCR 7 event by event, PCRs 4 and 11.

use harness::{
    extend, hex, sha256,
    vm::{self, Chain, Deployment, Event, Initrd, Report, Vm},
};
use serde_json::Value;
use std::sync::OnceLock;

/// What the guest tells.
const SCRIPT: &str = "\
for pcr in 4 7 11; do say pcr$pcr $(cat /sys/class/tpm/tpm0/pcr-sha256/$pcr | tr A-F a-f); done
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

fn check(chain: Chain, name: &str) {
    let (expected, pcr7) = predicted(chain, &format!("uki-{name}"));
    let image = deployment().file(&format!("{name}-{chain:?}.efi"));
    let options = [deployment().chain(chain), vec!["--json"]].concat();
    let built: Value = serde_json::from_str(&deployment().build(name, &Initrd::new(SCRIPT), &options, &image)).unwrap();
    let built = &built["pcr"]["sha256"];
    assert_eq!(built["7"], pcr7);

    let vm = Vm::new(&deployment().variables(chain, &[], &format!("{name}-{chain:?}.fd")));
    deployment().install(&vm, chain, &image);
    let report = vm.boot();
    let events = events(report.ok());
    let found: Vec<_> = events.iter().map(|event| (kind(event).to_owned(), hex(&event.data))).collect();
    assert_eq!(found, expected);
    assert_eq!(report.value("pcr7"), pcr7);
    assert_eq!(built["11"], report.value("pcr11"));
    // What the machine has logged says the same.
    let log = deployment().file(&format!("{name}-{chain:?}.log"));
    std::fs::write(&log, report.bytes("log")).unwrap();
    let command =
        [&["compute-pcr7", "k", "--json", "--log", log.to_str().unwrap()], &deployment().chain(chain)[..]].concat();
    let logged: Value = serde_json::from_str(&deployment().trust(&command)).unwrap();
    assert_eq!(logged[format!("uki-{name}")], pcr7);
    if chain == Chain::Direct {
        assert_eq!(built["4"], report.value("pcr4"));
    }
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
