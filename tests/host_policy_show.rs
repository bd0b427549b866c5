//! `trust policy show`: which policy a digest is that of, what an index holds, and since when a PCR is not what it was.

use harness::{
    Banks, Boot, Digest, HostTpm, Keyset, Measured, extend, firmware_log, hex, luks_policy, running_system, sha256,
};
use serde_json::Value;
use std::fs;
use trust::policy::{Policy, assertion::Operand, delegation, public_key::PolicyKey};

/// A TPM with the policy version of provisioned machines, and a secret in the file `secret`.
fn machine() -> HostTpm {
    let machine = HostTpm::new(Banks::Sha256);
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    write_index(&machine, "0x1500020", "0001");
    machine.write("secret", "open sesame");
    machine
}

fn write_index(machine: &HostTpm, index: &str, content: &str) {
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("content"), content).unwrap();
    tools.ok("nvwrite", &[index, "-C", "o", "-i", "content"]);
}

fn show(machine: &HostTpm, args: &[&str]) -> Value {
    serde_json::from_slice(&machine.ok(&[&["policy", "show", "--json"], args].concat())).unwrap()
}

#[test]
fn a_digest_is_found_among_the_policies_that_are_known() {
    let keyset = Keyset::new("k");
    keyset.sign_system("0001");
    let pcr7data = keyset.pcr7data().display().to_string();
    let machine = machine();
    let [locked, _] = running_system(&Boot::Production.pcr7());
    machine.tpm.extend_pcr7(&Boot::Production.event());
    machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
    let key = PolicyKey::from_pem(&fs::read(keyset.pubkeys().join("luks-k.pem")).unwrap()).unwrap();
    let opened =
        |policy_ref: &[u8]| Policy::authorized_by(key.name(), Operand::from_slice(policy_ref).unwrap()).digest();
    let known = |digest: &Digest| show(&machine, &["--pcr7data", &pcr7data, &hex(digest)]);
    for (digest, what, holds) in [
        (luks_policy(&locked, "0001"), "what the keyset k has signed for the running system", true),
        (luks_policy(&Boot::Production.pcr7(), "0001"), "what the keyset k has signed for production boots", false),
        (opened(b"system"), "what opens what the running system of a machine seals of the keyset k", true),
        (opened(b""), "what opens the secrets of a machine of the keyset k", false),
    ] {
        let shown = known(&digest);
        assert_eq!((&shown["known_as"][0], &shown["holds"]), (&what.into(), &holds.into()), "{shown}");
        assert_eq!((&shown["policy"], &shown["format"]), (&hex(&digest).into(), &1.into()));
    }
    let why = known(&luks_policy(&Boot::Production.pcr7(), "0001"))["why"].to_string();
    assert!(why.contains("PCR sha256:7 is") && why.contains("and not"), "{why}");
    // What in this TPM has it.
    let tools = machine.tpm.tools();
    let owners = delegation::policy(key.name()).digest();
    for (name, digest) in [("system", opened(b"system")), ("owner", owners)] {
        fs::write(tools.dir().join(name), digest).unwrap();
    }
    tools.ok("nvdefine", &["0x1810005", "-C", "o", "-s", "4", "-L", "system", "-a", "ownerwrite|policyread"]);
    tools.ok("setprimarypolicy", &["-C", "o", "-L", "owner", "-g", "sha256"]);
    assert_eq!(known(&opened(b"system"))["used_by"], serde_json::json!(["index 0x1810005"]));
    let text = String::from_utf8(machine.ok(&["policy", "show", "--pcr7data", &pcr7data, &hex(&owners)])).unwrap();
    for line in ["used by      the owner", "one of", "├─ what the key ", "└─ what the key ", "keyset k delegates"]
    {
        assert!(text.contains(line), "{text}");
    }
    // Without the directory only the TPM knows it; and of some there is nothing to be said.
    let text = String::from_utf8(machine.ok(&["policy", "show", &hex(&owners)])).unwrap();
    assert!(text.contains("none that is known here") && text.contains("used by      the owner"), "{text}");
    let unknown = hex(&luks_policy(&locked, "0001"));
    let why = machine.fails(&["policy", "show", &unknown], 2);
    assert!(why.contains("a digest does not tell its policy") && why.contains("--pcr7data DIR"), "{why}");
    machine.ok(&["policy", "show", "--pcr7data", &pcr7data, &unknown]);
    let endorsement = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
    assert!(show(&machine, &[endorsement])["known_as"][0].as_str().unwrap().contains("endorsement keys"));
}

#[test]
fn what_an_index_holds_is_compared_where_anyone_may_read_it() {
    let machine = machine();
    let tools = machine.tpm.tools();
    for (index, attributes) in
        [("0x1800001", "ownerwrite|ownerread|authread|no_da"), ("0x1800002", "ownerwrite|ownerread|authread")]
    {
        tools.ok("nvdefine", &[index, "-C", "o", "-s", "4", "-a", attributes]);
        write_index(&machine, index, "0007");
        machine.ok(&["seal", "--version", &format!("{index}=0007"), "-o", index, "secret"]);
    }
    machine.ok(&["seal", "--version", "0x1500020=0001", "-o", "version", "secret"]);
    let judged = |file: &str| {
        let shown = show(&machine, &[file]);
        let assertion = &shown["alternatives"][0]["assertions"][0];
        (assertion["holds"].clone(), assertion["why"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(judged("0x1800001").0, true);
    assert_eq!(judged("version").0, true);
    // One that may have a password is not tried: a wrong one would count.
    assert_eq!(judged("0x1800002"), (Value::Null, "index 0x1800002 is compared by the TPM".into()));
    write_index(&machine, "0x1800001", "0008");
    write_index(&machine, "0x1500020", "0002");
    assert_eq!(judged("0x1800001"), (false.into(), "index 0x1800001 is \"0008\" and not \"0007\"".into()));
    assert_eq!(judged("version"), (false.into(), "the TPM's policy version is \"0002\" and not \"0001\"".into()));
    let why = machine.fails(&["unseal", "version"], 12);
    assert!(why.contains("is \"0002\" and not \"0001\"") && why.contains("seal it anew"), "{why}");
    // Power cuts behind it do not count either.
    for _ in 0..3 {
        let _ = judged("version");
        machine.tpm.power_cut();
    }
    assert_eq!(machine.tpm.failed_attempts(), 0);
    tools.ok("nvundefine", &["0x1800001", "-C", "o"]);
    assert_eq!(judged("0x1800001"), (false.into(), "index 0x1800001 is not defined".into()));
    tools.ok("nvdefine", &["0x1800001", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread|no_da"]);
    assert_eq!(judged("0x1800001").1, "index 0x1800001 has never been written");
    tools.ok("nvundefine", &["0x1800001", "-C", "o"]);
    tools.ok("nvdefine", &["0x1800001", "-C", "o", "-s", "4", "-a", "ownerwrite|authread|no_da"]);
    write_index(&machine, "0x1800001", "0007");
    assert!(judged("0x1800001").1.contains("not the one that was meant"));
}

/// `EV_EFI_ACTION`.
fn action(text: &str) -> Measured {
    (0x8000_0007, text.as_bytes().to_vec())
}

#[test]
fn since_when_a_pcr_is_another_is_told_by_the_logs() {
    let machine = HostTpm::new(Banks::Sha256);
    machine.write("secret", "open sesame");
    let events = ["one", "two", "three"].map(action);
    let extend_by = |events: &[Measured]| events.iter().for_each(|(_, data)| machine.tpm.extend_pcr7(&sha256(&[data])));
    extend_by(&events[..2]);
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    let whole = events.iter().fold([0; 32], |pcr, (_, data)| extend(&pcr, &sha256(&[data])));
    machine.ok(&["seal", "--pcr", &format!("7={}", hex(&whole)), "-o", "whole", "secret"]);
    machine.ok(&["seal", "--pcr", &format!("7={}", "11".repeat(32)), "-o", "never", "secret"]);
    extend_by(&events[2..]);
    machine.write("log", firmware_log(&events));
    machine.write("empty", "");
    let says = |file: &str, logs: &[&str], what: &str| {
        let why = machine.fails(&[&["unseal", file], logs].concat(), 12);
        assert!(why.contains(what), "{why}");
        let shown = String::from_utf8(machine.ok(&[&["policy", "show", file], logs].concat())).unwrap();
        assert!(shown.contains(what), "{shown}");
    };
    let logs = ["--event-log", "log", "--measure-log", "measured"];
    machine.write("measured", "");
    says("sealed", &logs, "(until event 3, EV_EFI_ACTION (three), it was as expected)");
    says("never", &logs, "(the last to extend it was event 3, EV_EFI_ACTION (three))");
    // By the system, which has recorded it.
    machine.ok(&["pcr", "extend", "7", "--data", "secret", "--event", "the door", "--log", "measured"]);
    says("whole", &logs, "(until \"the door\" of user space, it was as expected)");
    says("sealed", &logs, "(until event 3, EV_EFI_ACTION (three), it was as expected)");
    // By whatever has not.
    machine.tpm.extend_pcr7(&[5; 32]);
    says(
        "never",
        &logs,
        "(something that is in no log has extended it; the last record is \"the door\" of user space)",
    );
    says("whole", &logs, "(until \"the door\" of user space, it was as expected)");
    says("whole", &logs[..2], "(all that is logged is as expected; something that is in no log has extended it)");
    // Without a log it is not told; and a log of this machine tells nothing of another TPM.
    for logs in [&[][..], &["--event-log", "empty"]] {
        let why = machine.fails(&[&["unseal", "sealed"], logs].concat(), 12);
        assert!(why.contains("PCR sha256:7 is") && !why.contains("extended it") && !why.contains("event"), "{why}");
    }
    machine.fails(&["unseal", "sealed", "--event-log", "missing"], 2);
}
