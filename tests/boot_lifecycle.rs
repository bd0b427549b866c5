//! The main job on the shipped program: a machine's life from provisioning to its boots.

use harness::{Boot, Machine, read_with_tools};
use std::fs;

/// `trust-` and 34 lower-case hex digits.
fn is_passphrase(text: &[u8]) -> bool {
    text.strip_prefix(b"trust-").is_some_and(|digits| {
        digits.len() == 34 && digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
    })
}

fn passphrase_by_tools(machine: &Machine) -> Vec<u8> {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    read_with_tools(&machine.tpm, &machine.keyset, Boot::Production, "luks", "0x1500040")
}

#[test]
fn a_provisioned_machine_is_installed_and_boots() {
    let machine = Machine::provisioned();
    let first = passphrase_by_tools(&machine);
    assert!(is_passphrase(&first));

    let installer = machine.boot(Boot::Production, "trust preinit\nsecret machine:luks >/sandbox/installer");
    installer.ok();
    let installed = fs::read(machine.sandbox.dir().join("installer")).expect("written");
    assert!(is_passphrase(&installed));
    assert_ne!(installed, first, "preinit makes a new passphrase");

    for boot in 0..2 {
        let run = machine.boot(
            Boot::Production,
            r#"
            trust setup
            secret machine:luks >/sandbox/passphrase
            cp /priv/factory/secure/server.crt /priv/factory/secure/server.key /sandbox/
            echo "found $(ls -A /priv/factory/secure | tr '\n' ' ')"
            "#,
        );
        run.ok();
        let file = |name: &str| fs::read(machine.sandbox.dir().join(name)).expect("written");
        assert_eq!(file("passphrase"), installed, "boot {boot}");
        assert_eq!(file("server.crt"), fs::read(machine.identity.cert()).expect("made"));
        assert_eq!(file("server.key"), fs::read(machine.identity.key()).expect("made"));
        assert_eq!(run.value("found").trim(), "server.crt server.key");
    }
    assert_eq!(passphrase_by_tools(&machine), installed, "the TPM gives what the keyring held");
}

#[test]
fn a_boot_can_read_its_secrets_only_once() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        keyctl clear @u
        try second trust setup --secrets-dir /priv/second
        try preinit trust preinit
        echo "keys $(keyctl rlist @u)"
        [ ! -e /priv/second ] || [ -z "$(ls -A /priv/second)" ]
        "#,
    );
    run.ok();
    assert_eq!((run.value("second"), run.value("preinit"), run.value("keys")), ("12", "12", ""));
    assert!(run.stderr.contains("already been locked"), "{run:#?}");
}

#[test]
fn lock_alone_refuses_a_later_setup() {
    let machine = Machine::provisioned();
    let before = Boot::Production.pcr7();
    let run = machine.boot(Boot::Production, "trust lock\npublished\ntry status trust setup");
    assert_eq!(run.value("published"), "no");
    assert_eq!(run.status(), 12);
    // lock extended PCR 7, and the refused setup extended it again.
    let atomix = harness::sha256(&[b"atomix\n"]);
    let twice = harness::extend(&harness::extend(&before, &atomix), &atomix);
    assert_eq!(machine.tpm.pcr("sha256", 7), harness::hex(&twice));
}

#[test]
fn every_command_leaves_pcr_7_locked() {
    let machine = Machine::new();
    let locked = harness::hex(&harness::extend(&Boot::Production.pcr7(), &harness::sha256(&[b"atomix\n"])));
    for command in [r#"provision "$CERT" "$KEY""#, "preinit", "setup", "lock"] {
        machine.boot(Boot::Production, &format!("trust {command}")).ok();
        assert_eq!(machine.tpm.pcr("sha256", 7), locked, "{command}");
    }
}

#[test]
fn provisioning_again_changes_nothing() {
    let machine = Machine::provisioned();
    let before = passphrase_by_tools(&machine);
    machine.provision();
    assert_eq!(passphrase_by_tools(&machine), before);
    // Another certificate is not taken in its place.
    let other = harness::Identity::ec("P-256");
    let script =
        format!("try status trust provision '{}' '{}'\npublished", other.cert().display(), other.key().display());
    machine.boot(Boot::Limited, &script).refused(12);
    assert_eq!(passphrase_by_tools(&machine), before);
}
