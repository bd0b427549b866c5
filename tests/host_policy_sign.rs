//! `trust policy sign`: a policy over other PCRs, which opens what is sealed for its reference, and nothing of a boot's.

use harness::{Banks, Home, HostTpm, openssl, sha256};
use serde_json::Value;
use std::{fs, path::Path};
use trust::policy::signed_file;

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
    machine.write("signature", &approved.signature);
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
