//! Beside systemd-pcrlock: it takes the lock of PCR 7 for a component that it knows, and comes to the digests that
//! `trust policy store` comes to.

use harness::{
    Banks, Boot, HostTpm, Identity, Machine, Pcrlock, Swtpm, digests, extend, firmware_log, firmware_log_of, hex, run,
    sha256, workspace,
};
use serde_json::{Value, json};
use std::fs;

/// `EV_EFI_VARIABLE_DRIVER_CONFIG`, `EV_SEPARATOR`.
const CONFIG: u32 = 0x8000_0001;
const SEPARATOR: u32 = 4;
/// Our component, as it is installed.
const COMPONENT: &str = "740-trust-lock.pcrlock";

fn component() -> String {
    fs::read_to_string(workspace().join("pcrlock.d").join(COMPONENT)).unwrap()
}

/// The component is what the lock extends: in each bank the hash of the same seven bytes.
#[test]
fn the_component_is_the_lock() {
    let component: Value = serde_json::from_str(&component()).unwrap();
    let expected = Banks::Four.names().iter().zip(digests(b"atomix\n"));
    let expected: Vec<_> = expected.map(|(bank, digest)| json!({ "hashAlg": bank, "digest": digest })).collect();
    assert_eq!(component, json!({ "records": [{ "pcr": 7, "digests": expected }] }));
}

/// A production boot, its lock and its records, as systemd-pcrlock replays them: of a TPM that tells more digests than it
/// has active banks.
#[test]
fn pcrlock_knows_the_lock_and_predicts_what_it_leaves() {
    const ACTIVE: Banks = Banks::Three;
    let machine = Machine::with(Swtpm::with_banks(ACTIVE), Identity::ec("P-256"));
    machine.provision();
    machine.tpm.reboot();
    let booted = b"boot of a production image";
    let extended: Vec<_> =
        ACTIVE.names().iter().zip(digests(booted)).map(|(bank, digest)| format!("{bank}={digest}")).collect();
    machine.tpm.tools().ok("pcrextend", &[&format!("7:{}", extended.join(","))]);
    let log = "/run/log/systemd/tpm2-measure.log";
    let done = machine.script(&format!("mkdir -p /run/log/systemd\ntrust setup\necho \"log $(base64 -w 0 {log})\""));
    let records = run("sh", &["-c", "printf %s \"$1\" | base64 -d", "sh", done.ok().value("log")]);
    let firmware = firmware_log_of(ACTIVE, &[(CONFIG, booted.to_vec())]);
    let pcrlock = Pcrlock::new(&firmware, records.as_bytes());
    pcrlock.component("240-secureboot-policy.pcrlock", 7, b"boot of a production image");
    let script = "pcrlock log --json=short\npcrlock predict --pcr=7 --json=short";
    let both = |text: String| -> [Value; 2] {
        let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.try_into().unwrap()
    };
    let [log, predicted] = both(pcrlock.run(machine.tpm.tools(), script));
    assert_eq!(log["log"][1]["component"], Value::Null, "{log}");
    assert!(
        predicted["sha256"].as_array().is_none_or(Vec::is_empty),
        "without it, PCR 7 is not predicted: {predicted}"
    );
    fs::write(pcrlock.path("components").join(COMPONENT), component()).unwrap();
    let [log, predicted] = both(pcrlock.run(machine.tpm.tools(), script));
    let record = &log["log"][1];
    assert_eq!((&record["component"], &record["pcr"]), (&"740-trust-lock".into(), &7.into()), "{log}");
    // What it has replayed is what the TPM has.
    let pcr7 = machine.tpm.pcr("sha256", 7).to_lowercase();
    assert_eq!(pcr7, hex(&extend(&Boot::Production.pcr7(), &sha256(&[b"atomix\n"]))));
    assert!(predicted.to_string().contains(&pcr7), "{predicted} {}", log["pcrs"][7]);
}

/// For the same values, systemd-pcrlock and `trust policy store` have an index hold the same.
#[test]
fn pcrlock_comes_to_the_same_policies() {
    let machine = HostTpm::new(Banks::Sha256);
    let pcrlock = Pcrlock::new(&firmware_log(&[(CONFIG, b"config 0".to_vec()), (SEPARATOR, vec![0; 4])]), b"");
    for event in [&b"config 0"[..], &[0; 4]] {
        machine.tpm.raw().extend(7, &sha256(&[event]));
    }
    pcrlock.component("400-separator.pcrlock", 7, &[0; 4]);
    // One value, several, and as many as one PolicyOR takes; of one PCR, and of two, one of which nothing has extended.
    for (number, (variants, pcrs)) in
        [(1, "--pcr=7"), (2, "--pcr=7"), (8, "--pcr=7"), (3, "--pcr=7 --pcr=14")].iter().enumerate()
    {
        let _ = fs::remove_dir_all(pcrlock.path("components/240-config.pcrlock.d"));
        for variant in 0..*variants {
            let name = format!("240-config.pcrlock.d/{variant}.pcrlock");
            pcrlock.component(&name, 7, format!("config {variant}").as_bytes());
        }
        let theirs = format!("{:#x}", 0x0181_0010 + number);
        let made = format!(
            "pcrlock make-policy {pcrs} --nv-index={theirs} --policy=/out/policy-{number} --recovery-pin=hide --force"
        );
        pcrlock.run(machine.tpm.tools(), &made);
        machine.tpm.tools().flush();
        let policy: Value =
            serde_json::from_slice(&fs::read(pcrlock.path(&format!("policy-{number}"))).unwrap()).unwrap();
        let values = policy["pcrValues"].as_array().unwrap().iter().flat_map(|pcr| {
            let of = |value: &Value| format!("{}={}", pcr["pcr"], value.as_str().unwrap());
            pcr["values"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
        });
        let values: Vec<_> = values.collect();
        assert!(values.len() >= *variants, "{policy}");
        let mut args = vec!["policy", "store", "0x01810001", "--final", "--nv-policies", "policies"];
        values.iter().for_each(|value| args.extend(["--pcr", value]));
        machine.ok(&args);
        let held = |index: &str| hex(&machine.ok(&["nv", "read", "--raw", index]));
        assert_eq!(held("0x01810001"), held(&theirs), "{variants} of {pcrs}");
    }
}
