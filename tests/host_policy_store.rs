//! `trust policy store` and `--nv-policy`: what is sealed once opens under every set of values that follows; a boot that a
//! set does not admit opens and writes nothing, nor does an index that somebody else has defined.

use harness::{Banks, HostTpm, cc, extend, hex, sha256, unhex};
use serde_json::Value;
use std::fs;

const SECRET: &[u8] = b"correct horse battery staple";
const INDEX: &str = "0x01810000";
/// In every command: where the files are.
const FILES: [&str; 2] = ["--nv-policies", "policies"];

fn machine() -> HostTpm {
    let machine = HostTpm::new(Banks::Sha256);
    machine.keep_storage_root_key();
    machine.write("secret", SECRET);
    machine
}

fn store_with(machine: &HostTpm, args: &[&str]) -> Value {
    let args = [&["policy", "store", INDEX, "--json"][..], &FILES, args].concat();
    serde_json::from_slice(&machine.ok(&args)).unwrap()
}

/// Seals the secret with the policy in the index.
fn seal(machine: &HostTpm) {
    machine.ok(&[&["seal", "--nv-policy", INDEX, "-o", "sealed", "secret"][..], &FILES].concat());
}

fn unseal(machine: &HostTpm) -> Vec<u8> {
    machine.ok(&[&["unseal", "sealed"][..], &FILES].concat())
}

fn refused(machine: &HostTpm) -> String {
    machine.fails(&[&["unseal", "sealed"][..], &FILES].concat(), 12)
}

/// What the index holds, in hex.
fn held(machine: &HostTpm) -> String {
    hex(&machine.ok(&["nv", "read", "--raw", INDEX]))
}

/// The value of PCR 7 of the n-th boot that is predicted, in hex.
fn value(number: u32) -> String {
    hex(&extend(&[0; 32], &event(number)))
}

fn event(number: u32) -> [u8; 32] {
    sha256(&[&number.to_be_bytes()])
}

/// The n-th such boot.
fn boot(machine: &HostTpm, number: u32) {
    machine.tpm.reboot();
    machine.tpm.raw().extend(7, &event(number));
}

#[test]
fn what_is_sealed_once_opens_under_every_set_that_follows() {
    let machine = machine();
    boot(&machine, 0);
    let first = store_with(&machine, &["--pcr", "7,8"]);
    assert_eq!((&first["changed"], &first["not_now"]), (&true.into(), &Value::Array(vec![])));
    seal(&machine);
    let sealed = machine.read("sealed");
    assert_eq!(unseal(&machine), SECRET);
    // The next boot is predicted, then the one after that.
    for number in 1..4 {
        let stored = store_with(&machine, &["--pcr", "7,8", "--pcr", &format!("7={}", value(number))]);
        assert_eq!(stored["pcrs"]["sha256"]["7"], serde_json::json!([value(number - 1), value(number)]));
        assert_eq!(held(&machine), format!("000b{}", stored["policy"].as_str().unwrap()));
        assert_eq!(unseal(&machine), SECRET, "{number}: before the update");
        boot(&machine, number);
        assert_eq!(unseal(&machine), SECRET, "{number}: after it");
    }
    assert_eq!(machine.read("sealed"), sealed);
    // The same again changes nothing, and is said.
    let before = machine.wire.counts().get(&cc::NV_WRITE).copied();
    let args = ["--pcr", &format!("7={},{}", value(2), "8"), "--pcr", "7"];
    assert_eq!(store_with(&machine, &args)["changed"], false);
    assert_eq!(machine.wire.counts().get(&cc::NV_WRITE).copied(), before);
    // A boot of two sets before is not admitted any more.
    boot(&machine, 0);
    let why = refused(&machine);
    assert!(why.contains("index 0x1810000 does not admit this boot: PCR sha256:7 is") && why.contains(" or "), "{why}");
    let text = String::from_utf8(machine.ok(&[&["policy", "show", "sealed"][..], &FILES].concat())).unwrap();
    assert!(text.contains("the policy in NV index 0x1810000: does not hold: index"), "{text}");
}

/// Today's values are in every set, unless it is said to be the last of this boot.
#[test]
fn a_set_without_today_s_values_takes_the_word_final() {
    let machine = machine();
    boot(&machine, 0);
    let next = format!("7={}", value(1));
    let stored = store_with(&machine, &["--pcr", &next]);
    assert_eq!(stored["pcrs"]["sha256"]["7"], serde_json::json!([value(1), value(0)]));
    seal(&machine);
    assert_eq!(unseal(&machine), SECRET);
    let stored = store_with(&machine, &["--pcr", &next, "--final"]);
    assert_eq!(
        (&stored["pcrs"]["sha256"]["7"], &stored["not_now"][0]),
        (&[value(1)].to_vec().into(), &"sha256:7".into())
    );
    let why = refused(&machine);
    assert!(why.contains("PCR sha256:7 is"), "{why}");
    boot(&machine, 1);
    assert_eq!(unseal(&machine), SECRET);
}

#[test]
fn a_boot_that_is_not_admitted_writes_nothing() {
    let machine = machine();
    boot(&machine, 0);
    store_with(&machine, &["--pcr", "7"]);
    seal(&machine);
    let (before, file) = (held(&machine), machine.read("policies/0x01810000.json"));
    boot(&machine, 9);
    machine.wire.take();
    let why = machine.fails(&[&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat(), 12);
    assert!(why.contains("does not admit this boot: PCR sha256:7 is"), "{why}");
    assert!(why.contains("boot what it admits"), "{why}");
    assert_eq!(machine.wire.counts().get(&cc::NV_WRITE), None);
    // Nor by other programs: not as the owner, whose password is empty, nor by the index' password, which is as well.
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("forged"), [0; 34]).unwrap();
    tools.fails("nvwrite", &["-C", "o", INDEX, "-i", "forged"]);
    tools.fails("nvwrite", &["-C", INDEX, INDEX, "-i", "forged"]);
    tools.flush();
    // Nor is it another one when it is removed, and defined again as it was: nobody there can write it.
    let public = tools.ok("nvreadpublic", &[INDEX]);
    let policy = public.lines().find_map(|line| line.trim().strip_prefix("authorization policy: ")).unwrap();
    fs::write(tools.dir().join("policy"), unhex(policy)).unwrap();
    assert_eq!((held(&machine), machine.read("policies/0x01810000.json")), (before, file));
    tools.ok("nvundefine", &["-C", "o", INDEX]);
    let again = ["-C", "o", "-s", "34", "-a", "authread|policywrite|no_da", "-L", "policy", INDEX];
    tools.ok("nvdefine", &again);
    tools.fails("nvwrite", &["-C", "o", INDEX, "-i", "forged"]);
    tools.fails("nvwrite", &["-C", INDEX, INDEX, "-i", "forged"]);
    tools.flush();
    let why = refused(&machine);
    assert!(why.contains("has never been written"), "{why}");
    let why = machine.fails(&[&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat(), 12);
    assert!(why.contains("it is not the one that its file is of"), "{why}");
}

/// With what an attacker could write on the bus: a signature that was seen once is of no use again.
#[test]
fn a_signature_is_for_one_session() {
    let machine = machine();
    boot(&machine, 0);
    store_with(&machine, &["--pcr", "7"]);
    machine.wire.take();
    let args = ["--pcr", "7", "--pcr", &format!("7={}", value(1))];
    store_with(&machine, &args);
    let seen = machine.wire.take();
    let signed: Vec<_> = seen.iter().filter(|exchange| exchange.command.code() == 0x160).collect();
    assert_eq!(signed.len(), 1);
    // Its nonceTPM is not empty: header, two handles, no sessions.
    let nonce = &signed[0].command.bytes[18..20];
    assert_eq!(nonce, [0, 32], "{:?}", signed[0].command);
    // Replayed into a session of the attacker's, whose nonce is another one.
    let session = machine.tpm.raw().send(&unhex(&start_policy_session()));
    let handle = &session.0[10..14];
    let loaded = seen.iter().find(|exchange| exchange.command.code() == 0x167).unwrap();
    let key = machine.tpm.raw().send(&loaded.command.bytes);
    let mut replayed = signed[0].command.bytes.clone();
    replayed[10..14].copy_from_slice(&key.0[10..14]);
    replayed[14..18].copy_from_slice(handle);
    assert_ne!(machine.tpm.raw().send(&replayed).code(), 0);
}

/// `TPM2_StartAuthSession`: neither salted nor bound, a policy session with SHA-256.
fn start_policy_session() -> String {
    let body = ["40000007", "40000007", "0010", &"11".repeat(16), "0000", "01", "0010", "000b"].concat();
    format!("8001{:08x}00000176{body}", 10 + body.len() / 2)
}

#[test]
fn any_number_of_values_of_several_pcrs_are_one_policy() {
    let machine = machine();
    boot(&machine, 0);
    for count in [2, 8, 9, 64, 65, 100] {
        let values: Vec<_> = (1..count).map(|number| format!("7={}", value(number))).collect();
        let mut args = vec!["--pcr", "0,7,8", "--pcr"];
        let other = format!("4={}", value(1));
        args.extend([other.as_str(), "--pcr", "4"]);
        for value in &values {
            args.extend(["--pcr", value]);
        }
        let stored = store_with(&machine, &args);
        assert_eq!(stored["pcrs"]["sha256"]["7"].as_array().unwrap().len(), count as usize);
        if count == 2 {
            seal(&machine);
        }
        assert_eq!(unseal(&machine), SECRET, "{count}: now");
        for number in [1, count / 2, count - 1] {
            boot(&machine, number);
            assert_eq!(unseal(&machine), SECRET, "{count}: {number}");
        }
        machine.tpm.raw().extend(4, &event(1));
        assert_eq!(unseal(&machine), SECRET, "{count}: the other value of PCR 4");
        machine.tpm.raw().extend(4, &event(1));
        let why = refused(&machine);
        assert!(why.contains("PCR sha256:4 is") && !why.contains("sha256:7"), "{why}");
        boot(&machine, count);
        let why = refused(&machine);
        assert!(why.contains("PCR sha256:7 is"), "{why}");
        assert!(count < 5 || why.contains(&format!("or {} others", count - 4)), "{why}");
        boot(&machine, 0);
    }
    let many: Vec<_> = (0..513).map(|number| format!("7={}", value(number))).collect();
    let args: Vec<_> = many.iter().flat_map(|value| ["--pcr", value]).collect();
    let why = machine.fails(&[&["policy", "store", INDEX][..], &FILES, &args].concat(), 2);
    assert!(why.contains("more than 512 values of a PCR"), "{why}");
}
