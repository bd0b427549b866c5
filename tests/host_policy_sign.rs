//! `trust policy sign`: a policy over other PCRs, which opens what is sealed for its reference, and nothing of a boot's.

use harness::{Banks, Home, HostTpm, openssl, sha256};
use serde_json::Value;
use std::{fs, path::Path};
use trust::{
    policy::{
        approved::{ApprovedPolicy, PolicySignature},
        signed_file,
        statements::PolicyRecipe,
    },
    tpm2::{
        constants::cc,
        key_file::{Alternative, KeyFile, Statement},
    },
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A keyset's directory, and a TPM that has its policy version; `key.pem` is the public half of tpmpol-luks.
fn machine() -> (Home, String, HostTpm) {
    let home = Home::with_keyset();
    let keyset = text(&home.keys().join("k")).to_owned();
    let machine = HostTpm::new(Banks::Three);
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    fs::write(tools.dir().join("version"), "0001").unwrap();
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    machine.write("key.pem", fs::read(format!("{keyset}/pcr7data/policy-2/pubkeys/luks-k.pem")).unwrap());
    machine.write("secret", "open sesame");
    (home, keyset, machine)
}

#[test]
fn what_is_signed_opens_what_is_sealed_for_its_reference_while_it_holds() {
    let (_home, keyset, machine) = machine();
    for policy_ref in ["backup", "system"] {
        machine.ok(&["seal", "--signed-by", &format!("key.pem:{policy_ref}"), "-o", policy_ref, "secret"]);
    }
    machine.ok(&["seal", "--signed-by", "key.pem", "-o", "boot", "secret"]);
    let unseal = |name| ["unseal", "--signed-policy", "policies", name];
    // The order in which the banks are given is not that in which they are signed.
    let sign =
        ["policy", "sign", &keyset, "--pcr", "sha256:14,4", "--pcr", "sha1:2", "--ref", "backup", "-o", "policies"];
    let printed = String::from_utf8(machine.ok(&sign)).unwrap();
    let json = machine.read(printed.trim_end());
    let file: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&file["format"], &file["policy_ref"]), (&1.into(), &harness::hex(b"backup").into()));
    assert_eq!(file["pcrs"]["sha256"]["14"], "00".repeat(32));
    // openssl finds the signature good.
    let approved = signed_file::parse(&json).unwrap();
    machine.write("message", [&approved.policy.digest()[..], b"backup"].concat());
    let PolicySignature::RsaSsa(signature) = &approved.signature else { panic!("{approved:?}") };
    machine.write("signature", signature);
    let [message, signature, key] = ["message", "signature", "key.pem"].map(|name| machine.file(name));
    openssl(&["dgst", "-sha256", "-verify", text(&key), "-signature", text(&signature), text(&message)]);

    assert_eq!(machine.ok(&unseal("backup")), b"open sesame");
    for other in ["system", "boot"] {
        let _ = machine.fails(&unseal(other), 12);
    }
    let _ = machine.fails(&["unseal", "backup"], 12);
    machine.tpm.raw().extend(14, &[1; 32]);
    let _ = machine.fails(&unseal("backup"), 12);
    // One more is signed for what the PCR is now: either opens it.
    machine.write("pcr", harness::extend(&[0; 32], &[1; 32]));
    let sign = ["policy", "sign", &keyset, "--pcr", "14=@pcr", "--ref", "backup", "-o", "policies"];
    machine.ok(&sign);
    assert_eq!(machine.ok(&unseal("backup")), b"open sesame");
    assert_eq!(fs::read_dir(machine.file("policies")).unwrap().count(), 2);
    // Withdrawn.
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("version"), "0002").unwrap();
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    let _ = machine.fails(&unseal("backup"), 12);
    fs::remove_dir_all(machine.file("policies")).unwrap();
    machine.ok(&[&sign[..], &["--policy-version", "0002"]].concat());
    assert_eq!(machine.ok(&unseal("backup")), b"open sesame");
}

#[test]
fn an_edited_signature_opens_nothing() {
    let (_home, keyset, machine) = machine();
    machine.ok(&["seal", "--signed-by", "key.pem:backup", "-o", "sealed", "secret"]);
    let sign = ["policy", "sign", &keyset, "--pcr", "14", "--ref", "backup", "-o", "policies"];
    let path = String::from_utf8(machine.ok(&sign)).unwrap();
    machine.tpm.raw().extend(14, &[1; 32]);
    let json = String::from_utf8(machine.read(path.trim_end())).unwrap();
    let now = harness::hex(&sha256(&[&[0; 32], &[1; 32]]));
    machine.write(path.trim_end(), json.replace(&"00".repeat(32), &now));
    let _ = machine.fails(&["unseal", "--signed-policy", "policies", "sealed"], 14);
    machine.write(path.trim_end(), json.replace("\"format\": 1", "\"format\": 2"));
    let why = machine.fails(&["unseal", "--signed-policy", "policies", "sealed"], 14);
    assert!(why.contains("format"), "{why}");
}

/// What is forged, unreadable or of others is named, and does not keep closed what another one opens.
#[test]
fn files_that_are_no_signed_policies_are_passed_over() {
    let (_home, keyset, machine) = machine();
    machine.ok(&["seal", "--signed-by", "key.pem:backup", "-o", "sealed", "secret"]);
    let sign = ["policy", "sign", &keyset, "--pcr", "14", "--ref", "backup", "-o", "policies"];
    let path = String::from_utf8(machine.ok(&sign)).unwrap();
    let sound = String::from_utf8(machine.read(path.trim_end())).unwrap();
    let at = sound.find("\"signature\": \"").unwrap() + 14;
    let forged = format!("{}{}", &sound[..at], sound[at..].replace(['0', '1', '2', '3'], "4"));
    assert_ne!(forged, sound);
    // Before it and behind it, as directories are read.
    for name in ["0.json", "z.json"] {
        machine.write(&format!("policies/{name}"), &forged);
    }
    machine.write("policies/1.json", "[]");
    machine.write("policies/2.json", [0xff; 9]);
    fs::create_dir(machine.file("policies/3.json")).unwrap();
    let unseal = ["unseal", "--signed-policy", "policies", "sealed"];
    let output = machine.output(&unseal);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"open sesame"[..]), "{notes}");
    for (name, why) in [("0", "the signature is not the key's"), ("1", "invalid"), ("2", "expected"), ("3", "")] {
        let line = notes.lines().find(|line| line.contains(&format!("passed over: policies/{name}.json: ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {notes}");
    }
    // Where nothing opens it, they may be why.
    fs::remove_file(machine.file(path.trim_end())).unwrap();
    let why = machine.fails(&unseal, 14);
    let last = why.lines().last().unwrap();
    assert!(last.contains("0.json: the signature is not the key's") && last.contains("1.json: "), "{why}");
    assert!(last.contains("get the signed policies anew"), "{why}");
    // What is sound and does not hold is.
    for name in ["0.json", "z.json"] {
        machine.write(&format!("policies/{name}"), &sound);
    }
    machine.tpm.raw().extend(14, &[1; 32]);
    let why = machine.fails(&unseal, 12);
    assert!(why.contains("what is signed does not hold") && why.contains("1.json: "), "{why}");
    // The same in a policy of PCRs alone is of no interest.
    machine.ok(&["seal", "--pcr", "14", "-o", "plain", "secret"]);
    assert_eq!(machine.ok(&["unseal", "--signed-policy", "policies", "plain"]), b"open sesame");
}

/// The same of what a sealed file brings itself.
#[test]
fn a_forged_policy_in_the_sealed_file_is_passed_over() {
    let (_home, keyset, machine) = machine();
    machine.ok(&["seal", "--signed-by", "key.pem:backup", "-o", "sealed", "secret"]);
    let sign = ["policy", "sign", &keyset, "--pcr", "14", "--ref", "backup", "-o", "policies"];
    let path = String::from_utf8(machine.ok(&sign)).unwrap();
    let approved = signed_file::parse(&machine.read(path.trim_end())).unwrap();
    let with = |policies: &[ApprovedPolicy]| {
        let sealed = String::from_utf8(machine.read("sealed")).unwrap();
        let base64: String =
            sealed.lines().filter(|line| !line.starts_with(['#', '-'])).map(|l| format!("{l}\n")).collect();
        machine.write("base64", base64);
        openssl(&["base64", "-d", "-in", text(&machine.file("base64")), "-out", text(&machine.file("der"))]);
        let mut file = KeyFile::parse(&machine.read("der")).unwrap();
        file.alternatives = policies.iter().map(statements).collect();
        machine.write("bringing", file.to_pem().unwrap());
    };
    let PolicySignature::RsaSsa(mut signature) = approved.signature.clone() else { panic!() };
    signature[100] ^= 1;
    let forged = ApprovedPolicy { signature: PolicySignature::RsaSsa(signature), ..approved.clone() };
    with(&[forged.clone(), approved.clone(), forged.clone()]);
    assert_eq!(machine.ok(&["unseal", "bringing"]), b"open sesame");
    with(&[forged]);
    let why = machine.fails(&["unseal", "bringing"], 14);
    assert!(why.contains("the sealed file itself: the signature is not the key's"), "{why}");
}

/// A signed policy as the draft has it: the signature first, then what has been signed.
fn statements(approved: &ApprovedPolicy) -> Alternative {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let PolicySignature::RsaSsa(signature) = &approved.signature else { panic!() };
    let signature = [&[0, 0x14, 0, 0x0b][..], &sized(signature)].concat();
    let body = [sized(approved.signer.area()), sized(&approved.policy_ref), signature].concat();
    let recipe = PolicyRecipe { policy: approved.policy.clone(), ..PolicyRecipe::default() };
    let mut policy = vec![Statement { code: cc::POLICY_AUTHORIZE, body }];
    policy.extend(recipe.write().unwrap().0);
    Alternative { name: None, policy }
}

/// It would open the machine's secrets, whatever PCR 7 is.
#[test]
fn an_empty_reference_is_refused() {
    let (_home, keyset, machine) = machine();
    let why = machine.fails(&["policy", "sign", &keyset, "--pcr", "14", "--ref", "", "-o", "policies"], 2);
    assert!(why.contains("would be one of production boots"), "{why}");
    for policy_ref in ["a/b", "..", "a b", &"x".repeat(33)] {
        let _ = machine.fails(&["policy", "sign", &keyset, "--pcr", "14", "--ref", policy_ref, "-o", "policies"], 2);
    }
    assert!(!machine.file("policies").exists());
    // As the message says.
    machine.ok(&["policy", "sign", &keyset, "--pcr", "14", "--ref", "system", "-o", "policies"]);
}
