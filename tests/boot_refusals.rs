//! Boots that are not allowed the secrets: the exit status, one message, nothing published, PCR 7 locked.

use harness::{Banks, Boot, Keyset, Layout, Machine, Run, Swtpm, extend, hex, provision_with_tools, sha256};
use std::fs;

/// Asserts that PCR 7 holds `value` extended by the lock.
#[track_caller]
fn locked(machine: &Machine, value: &harness::Digest) {
    assert_eq!(machine.tpm.pcr("sha256", 7), hex(&extend(value, &sha256(&[b"atomix\n"]))), "PCR 7 is not locked");
}

/// Both commands that read secrets, in a boot, refused.
#[track_caller]
fn refused(machine: &Machine, boot: Boot, status: i32) -> Run {
    let mut last = None;
    for command in ["preinit", "setup"] {
        let run = machine.boot(boot, &format!("try status trust {command}\npublished"));
        run.refused(status);
        locked(machine, &boot.pcr7());
        last = Some(run);
    }
    last.expect("two commands")
}

#[test]
fn unknown_pcr7_is_refused_and_locked() {
    let machine = Machine::provisioned();
    machine.tpm.reboot();
    let event = sha256(&[b"another image"]);
    machine.tpm.extend_pcr7(&event);
    let run = machine.script("try status trust setup\npublished");
    run.refused(12);
    let value = extend(&[0; 32], &event);
    assert!(run.stderr.contains(&hex(&value)), "the message names PCR 7: {run:#?}");
    locked(&machine, &value);
}

#[test]
fn limited_and_tpm_boots_are_refused_and_locked() {
    let machine = Machine::provisioned();
    assert!(refused(&machine, Boot::Limited, 12).stderr.contains("limited"));
    assert!(refused(&machine, Boot::Tpm, 12).stderr.contains("tpm"));
}

/// A boot that claims to be a production boot, with a policy that was not signed for it.
#[test]
fn a_limited_boot_with_a_production_entry_is_refused_and_locked() {
    let machine = Machine::provisioned();
    let (from, to) = (machine.keyset.entry(&Boot::Production.pcr7()), machine.keyset.entry(&Boot::Limited.pcr7()));
    for name in ["info.json", "tpm_luks.policy.signed"] {
        fs::copy(from.join(name), to.join(name)).expect("a writable directory");
    }
    // Corrupt, since the policy is not what was signed.
    refused(&machine, Boot::Limited, 14);
}

#[test]
fn an_edited_signature_is_refused_and_locked() {
    let machine = Machine::provisioned();
    let path = machine.keyset.entry(&Boot::Production.pcr7()).join("tpm_luks.policy.signed");
    let genuine = fs::read(&path).expect("made");
    let mut edited = genuine.clone();
    edited[100] ^= 1;
    for (what, bytes) in [("edited", edited), ("short", genuine[..255].to_vec()), ("empty", Vec::new())] {
        fs::write(&path, bytes).expect("writable");
        let run = machine.attempt("setup");
        assert!([12, 14].contains(&run.status()), "{what}: {run:#?}");
        run.refused(run.status());
        locked(&machine, &Boot::Production.pcr7());
    }
    fs::write(&path, genuine).expect("writable");
    assert_eq!(machine.attempt("setup").status(), 0);
}

#[test]
fn a_foreign_keyset_is_refused_and_locked() {
    let mut machine = Machine::provisioned();
    let foreign = Keyset::foreign("snakeoil");
    machine.sandbox.set("PCR7DATA", foreign.pcr7data());
    refused(&machine, Boot::Production, 12);
}

#[test]
fn a_foreign_signature_is_refused_and_locked() {
    let machine = Machine::provisioned();
    let foreign = Keyset::foreign("snakeoil");
    let name = "tpm_luks.policy.signed";
    let (from, to) = (foreign.entry(&Boot::Production.pcr7()), machine.keyset.entry(&Boot::Production.pcr7()));
    fs::copy(from.join(name), to.join(name)).expect("writable");
    let run = machine.attempt("setup");
    assert!([12, 14].contains(&run.status()), "{run:#?}");
    run.refused(run.status());
}

#[test]
fn missing_and_malformed_pcr7data_is_refused_and_locked() {
    let machine = Machine::provisioned();
    let entry = machine.keyset.entry(&Boot::Production.pcr7());
    let breakages: [(&str, &str); 9] = [
        ("no directory", "PCR7DATA=/nowhere"),
        ("no policy-N", "mkdir /priv/p; PCR7DATA=/priv/p"),
        ("garbage in info.json", "head -c 200 /dev/urandom >$E/info.json"),
        ("empty info.json", ": >$E/info.json"),
        ("deep info.json", "printf '%.0s[' {1..50000} >$E/info.json"),
        ("unknown type", r#"echo '{"key": "snakeoil", "key_type": "everything"}' >$E/info.json"#),
        ("a keyset that is a path", r#"echo '{"key": "../../etc", "key_type": "production"}' >$E/info.json"#),
        ("no signature", "rm $E/tpm_luks.policy.signed"),
        ("no public keys", "rm -r $PCR7DATA/policy-2/pubkeys"),
    ];
    for (what, breakage) in breakages {
        let script = format!(
            r#"
            cp -r "$PCR7DATA" /run/pcr7data; PCR7DATA=/run/pcr7data
            E=$PCR7DATA/policy-2/{}
            {breakage}
            try status trust setup
            rm -rf /priv/p
            published
            "#,
            entry.strip_prefix(machine.keyset.pcr7data().join("policy-2")).expect("below it").display(),
        );
        let run = machine.boot(Boot::Production, &script);
        println!("{what}: {}", run.stderr.trim());
        run.refused(14);
        locked(&machine, &Boot::Production.pcr7());
    }
}

#[test]
fn a_fifo_in_pcr7data_is_not_waited_for() {
    let machine = Machine::provisioned();
    let info = machine.keyset.entry(&Boot::Production.pcr7()).join("info.json");
    fs::remove_file(&info).expect("writable");
    harness::run("mkfifo", &[info.to_str().expect("text")]);
    let setup = r#"env -i "$TRUST" setup --tcti "$TCTI" --pcr7data "$PCR7DATA""#;
    // Waiting for it would never end.
    let script = format!("try status timeout --signal=KILL 60 {setup}\npublished");
    machine.boot(Boot::Production, &script).refused(14);
}

/// The owner raises the version: what was signed for the old one is worth nothing.
#[test]
fn an_old_policy_version_is_refused_and_locked() {
    let machine = Machine::new();
    let layout = Layout { srk: true, ..Layout::default() };
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    assert_eq!(machine.attempt("setup").status(), 0);
    fs::write(machine.tpm.tools().dir().join("version"), "0002").expect("writable");
    let owner = ["-C", "o", "-P", &layout.admin_password, "-i", "version"];
    machine.tpm.tools().ok("nvwrite", &[&["0x1500020"][..], &owner].concat());
    refused(&machine, Boot::Production, 12);
    // A newer image, whose policy is signed for the new version.
    machine.keyset.sign_for_version("0002");
    assert_eq!(machine.attempt("setup").status(), 0);
}

#[test]
fn an_unprovisioned_tpm_is_refused_and_locked() {
    refused(&Machine::new(), Boot::Production, 11);
}

#[test]
fn another_layout_is_refused_and_locked() {
    let machine = Machine::new();
    let layout = Layout::default();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    fs::write(machine.tpm.tools().dir().join("layout"), "00000002").expect("writable");
    let owner = ["0x1500002", "-C", "o", "-P", &layout.admin_password, "-i", "layout"];
    machine.tpm.tools().ok("nvwrite", &owner);
    refused(&machine, Boot::Production, 11);
}

#[test]
fn a_tpm_in_lockout_is_refused_and_locked() {
    let machine = Machine::new();
    let layout = Layout::default();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    // Failed tries, on purpose: a wrong password for the version's index, which is subject to protection.
    for _ in 0..4 {
        machine.tpm.tools().fails("nvread", &["0x1500020", "-C", "0x1500020", "-P", "wrong", "-s", "4"]);
    }
    let run = machine.attempt("setup");
    run.refused(13);
    locked(&machine, &Boot::Production.pcr7());
}

#[test]
fn a_tpm_without_a_sha256_bank_is_refused() {
    let machine = Machine::with(Swtpm::with_banks(Banks::Sha1), harness::Identity::ec("P-256"));
    for command in ["setup", "preinit", r#"provision "$CERT" "$KEY""#] {
        let run = machine.boot(Boot::Production, &format!("try status trust {command}\npublished"));
        run.refused(10);
        assert!(run.stderr.to_lowercase().replace('-', "").contains("sha256"), "{run:#?}");
    }
}

#[test]
fn a_tpm_1_2_is_refused_and_named() {
    let machine = Machine::with(Swtpm::with_banks(Banks::Tpm12), harness::Identity::ec("P-256"));
    for command in ["setup", "lock", r#"provision "$CERT" "$KEY""#] {
        let run = machine.script(&format!("try status trust {command}\npublished"));
        run.refused(10);
        assert!(run.stderr.contains("1.2"), "the message says what it is: {run:#?}");
    }
}
