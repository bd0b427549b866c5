//! `trust state`: what a machine says of itself, true, without a secret, and whatever cannot be read.

use harness::{
    Action, Boot, Home, Interposer, Layout, Machine, Transport, cc, hex, provision_with_tools, running_system, sha256,
    trust_host,
};
use serde_json::{Value, json};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};
use trust::policy::pcr7data::path_of;

fn path(name: &str) -> String {
    harness::workspace().join("tests/data/event-logs").join(name).display().to_string()
}

/// `trust state --json` with the TPM there and these arguments.
fn state(home: &Home, tcti: &str, args: &[&str]) -> Value {
    let text = home.ok(&[&["state", "--json", "--wait", "1", "--tcti", tcti], args].concat());
    serde_json::from_str(&text).unwrap()
}

/// A machine of the old tool, in a production boot.
fn machine(layout: &Layout) -> Machine {
    let machine = Machine::new();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, layout);
    machine.keyset.sign_system("0001");
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    machine
}

#[test]
fn a_provisioned_machine_says_what_it_is_and_no_secret() {
    let layout = Layout { srk: true, ..Layout::default() };
    let machine = machine(&layout);
    let (home, tcti) = (Home::new(), machine.wire.tcti());
    let pcr7data = machine.keyset.pcr7data().display().to_string();
    let args = ["--pcr7data", &pcr7data, "--event-log", &path("shim.bin"), "--whole-log"];
    let told = state(&home, &tcti, &args);
    assert_eq!((&told["format"], &told["trust"]), (&json!(1), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(told["provisioning"], "complete");
    assert_eq!((&told["layout_version"], &told["policy_version"]), (&json!("00000003"), &json!("0001")));
    assert_eq!(told["tpm"]["manufacturer"], "IBM");
    assert!(told["os"]["id"].is_string() && told["taken"].as_str().unwrap().ends_with('Z'), "{told}");
    // What tpm2-tools say.
    let tools = machine.tpm.tools();
    let pcr = |number: u32| machine.tpm.pcr("sha256", number);
    for number in [0, 7, 23] {
        assert_eq!(told["pcrs"]["sha256"][number.to_string()], pcr(number));
    }
    tools.ok("readpublic", &["-c", "0x81000001", "-n", "srk.name"]);
    let name = fs::read(tools.dir().join("srk.name")).unwrap();
    assert_eq!(told["storage_root_key"], hex(&name));
    for (key, public, opens) in [
        ("tpmpol-luks", "luks-snakeoil.pem", json!(["0x1500021", "0x1500022", "0x1500030", "0x1500040"])),
        ("tpmpol-admin", "tpmpass-snakeoil.pem", json!(["0x1500001"])),
    ] {
        let keys = told["policy_keys"].as_array().unwrap();
        let found = keys.iter().find(|found| found["key"] == key).unwrap_or_else(|| panic!("{told}"));
        let public = machine.keyset.pubkeys().join(public).display().to_string();
        tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", &public, "-c", "k.ctx", "-n", "k.name"]);
        tools.flush();
        assert_eq!(found["name"], hex(&fs::read(tools.dir().join("k.name")).unwrap()));
        assert_eq!((&found["keyset"], &found["opens"]), (&json!("snakeoil"), &opens));
    }
    // The log, whole.
    let log = fs::read(path("shim.bin")).unwrap();
    assert_eq!(told["event_log"]["sha256"], hex(&sha256(&[&log])));
    assert_eq!((&told["event_log"]["events"], &told["event_log"]["whole"]), (&json!(48), &json!(true)));
    assert_eq!(decoded(&home, &told), log);
    // The policies: this boot's holds, and after the lock the running system's does.
    let of_kind = |told: &Value, kind: &str| {
        let all = told["policies"].as_array().unwrap().clone();
        all.into_iter().filter(|one| one["kind"] == kind).collect::<Vec<_>>()
    };
    let [production] = &of_kind(&told, "production")[..] else { panic!("{told}") };
    assert_eq!(production["pcr7"], hex(&Boot::Production.pcr7()));
    assert_eq!((&production["holds"], &production["signature_fits"]), (&json!(true), &json!(true)));
    assert!(of_kind(&told, "system").iter().all(|one| one["holds"] == false), "{told}");
    assert_eq!(of_kind(&told, "limited")[0]["signature_fits"], Value::Null);
    machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
    let told = state(&home, &tcti, &args);
    let [locked, _] = running_system(&Boot::Production.pcr7());
    let holds = |one: &Value| one["holds"] == true;
    let held: Vec<_> = told["policies"].as_array().unwrap().iter().filter(|one| holds(one)).collect();
    assert_eq!(held.iter().map(|one| one["pcr7"].as_str().unwrap()).collect::<Vec<_>>(), [hex(&locked)]);
    // A signature that was changed on the disk.
    let entry = machine.keyset.pcr7data().join("policy-2").join(path_of(&Boot::Production.pcr7()));
    let file = entry.join("tpm_luks.policy.signed");
    let signature = fs::read(&file).unwrap();
    fs::write(&file, [&signature[..255], &[signature[255] ^ 1]].concat()).unwrap();
    let forged = of_kind(&state(&home, &tcti, &args), "production");
    assert_eq!(forged[0]["signature_fits"], false);
    // No secret, in whatever form, and no TPM that counts it.
    let text = told.to_string();
    let key = fs::read_to_string(machine.identity.key()).unwrap();
    let of_key = key.lines().nth(1).unwrap();
    for secret in [&layout.admin_password, &layout.os_passphrase, &layout.sbs_passphrase, of_key] {
        assert!(!text.contains(secret) && !text.contains(&hex(secret.as_bytes())), "{secret}");
    }
    assert_eq!(machine.tpm.failed_attempts(), 0);
    machine.tpm.power_cut();
    assert_eq!(machine.tpm.failed_attempts(), 0);
    // For people.
    let page = home.ok(&[&["state", "--wait", "1", "--tcti", &tcti], &args[..]].concat());
    for words in [
        "provisioned     complete, layout 00000003, policy version 0001",
        "opened by       tpmpol-admin of snakeoil: 0x1500001",
        "event log       48 events, ",
        "production  snakeoil  version 0001",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

/// The data of the log in a state.
fn decoded(home: &Home, state: &Value) -> Vec<u8> {
    fs::write(home.path().join("base64"), state["event_log"]["data"].as_str().unwrap()).unwrap();
    let mut command = Command::new("base64");
    command.args(["-d", "base64"]).current_dir(home.path());
    command.output().unwrap().stdout
}

/// What others than PCRs 7 and 14 are about stays on the machine; their digests do not.
#[test]
fn command_lines_and_boot_entries_stay_on_the_machine() {
    let home = Home::new();
    for (name, words) in [("gce-ubuntu", &b"root=PARTUUID="[..]), ("hp-debian", b"d\0e\0b\0i\0a\0n\0")] {
        let file = path(&format!("{name}.bin"));
        let log = fs::read(&file).unwrap();
        let holds = |log: &[u8]| log.windows(words.len()).any(|window| window == words);
        let told = state(&home, "device:/nonexistent", &["--event-log", &file]);
        let less = decoded(&home, &told);
        assert!(holds(&log) && !holds(&less), "{name}: what it is about has left the machine");
        assert_eq!(told["event_log"]["whole"], false);
        fs::write(home.path().join("less"), &less).unwrap();
        assert_eq!(home.ok(&["eventlog", "replay", "less"]), home.ok(&["eventlog", "replay", &file]), "{name}");
        let seven = |log: &str| home.ok(&["eventlog", "show", log, "--pcr", "7"]);
        assert_eq!(seven("less"), seven(&file), "{name}");
        let told = state(&home, "device:/nonexistent", &["--event-log", &file, "--whole-log"]);
        assert_eq!(decoded(&home, &told), log);
    }
}

/// Without TPM, log, policies and journal there is a state all the same, and a reason for each.
#[test]
fn what_cannot_be_read_is_a_member_with_a_reason() {
    let home = Home::new();
    let args = ["state", "--json", "--tcti", "device:/nonexistent", "--event-log", "none", "--pcr7data", "none"];
    let mut command = Command::new(trust_host());
    command.args(args).env("PATH", "/nonexistent").current_dir(home.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (member, why) in [
        ("tpm", "/nonexistent"),
        ("pcrs", "/nonexistent"),
        ("policy_keys", "/nonexistent"),
        ("event_log", "none: No such file"),
        ("policies", "none: No such file"),
        ("boots", "journalctl: No such file"),
    ] {
        assert_eq!(told[member], Value::Null, "{told}");
        assert!(told["unknown"][member].as_str().unwrap_or_default().contains(why), "{member}: {told}");
    }
    assert!(told["trust"].is_string() && told["host"].is_string(), "{told}");
    // A TPM of another machine says nothing of this one's log and journal.
    let machine = Machine::new();
    let told = state(&home, &machine.wire.tcti(), &[]);
    for member in ["event_log", "measure_log", "boots"] {
        assert!(told["unknown"][member].as_str().unwrap().contains("the TPM is not this machine's"), "{told}");
    }
    assert_eq!(told["provisioning"], "none");
    // Into a file, which nobody else reads.
    home.ok(&["state", "-o", "state.json", "--wait", "1", "--tcti", &machine.wire.tcti()]);
    let file = home.path().join("state.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let written: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(written["pcrs"], told["pcrs"]);
}

/// The journal is asked for what units and programs of the initrd cannot have said in another's name.
#[test]
fn the_last_boots_are_told_by_the_journal() {
    let (home, machine) = (Home::new(), Machine::new());
    let wire = Interposer::with_front(&machine.tpm, Transport::Device);
    let entry = |boot: &str, result: &str| {
        format!(
            r#"{{"_BOOT_ID":"{boot}","__REALTIME_TIMESTAMP":"1764000000000000","_PID":"1","UNIT":"trust-setup.service","JOB_TYPE":"start","JOB_RESULT":"{result}","MESSAGE":"x"}}"#
        )
    };
    let said = r#"{"_BOOT_ID":"b2","__REALTIME_TIMESTAMP":"1764000000000000","_PID":"7","MESSAGE":"trust: cannot find a signed policy for this boot: none"}"#;
    let lines = [entry("b1", "done"), entry("b2", "failed"), said.to_owned()].join("\n");
    let program = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >asked\ncat <<'END'\n{lines}\nEND\n");
    fs::write(home.path().join("journalctl"), program).unwrap();
    fs::set_permissions(home.path().join("journalctl"), Permissions::from_mode(0o755)).unwrap();
    let tcti = wire.tcti();
    let mut command = Command::new(trust_host());
    command.args(["state", "--wait", "1", "--tcti", &tcti, "--event-log", &path("shim.bin")]);
    let search = format!("{}:/usr/bin:/bin", home.path().display());
    let output = command.env("PATH", search).current_dir(home.path()).stdin(Stdio::null()).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("boots           2025-11-24T16:00:00Z  opened, the end is not known"), "{page}");
    assert!(page.contains("refused: cannot find a signed policy for this boot: none"), "{page}");
    let asked = fs::read_to_string(home.path().join("asked")).unwrap();
    for words in ["_PID=1", "_SYSTEMD_UNIT=trust-setup.service", "_TRANSPORT=kernel", "--lines=1000"] {
        assert!(asked.lines().any(|line| line == words), "{words}: {asked}");
    }
}

/// One command after the other is refused, or answered with nonsense: what the others say is still there.
#[test]
fn a_tpm_that_refuses_a_command_leaves_the_rest_readable() {
    let machine = machine(&Layout::default());
    let home = Home::new();
    let pcr7data = machine.keyset.pcr7data().display().to_string();
    for (code, lost) in [(cc::PCR_READ, "pcrs"), (cc::NV_READ_PUBLIC, "policy_keys")] {
        for nonsense in [false, true] {
            machine.wire.on_response(move |command, response| {
                let refused = command.code() == code;
                Action::Reply(match (refused, nonsense) {
                    (false, _) => response.0,
                    (true, false) => harness::Response::error(0x184).0,
                    (true, true) => response.harmed()[0].0.clone(),
                })
            });
            let told = state(&home, &machine.wire.tcti(), &["--pcr7data", &pcr7data]);
            assert!(told[lost].is_null() && told["unknown"][lost].is_string(), "{code:#x}: {told}");
            // Behind nonsense nothing more is asked.
            assert!(nonsense || told["tpm"]["manufacturer"] == "IBM", "{told}");
            assert_eq!(told["policies"].as_array().unwrap().len(), 5, "{told}");
        }
    }
}
