//! A keyset that requires a signed storage root key: another TPM is noticed before any secret is asked for.

use harness::{
    Action, Boot, Home, Identity, KeySwap, Layout, Machine, Response, Run, Swtpm, cc, extend, hex, openssl,
    provision_with_tools, rc, run, sha256,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the machine of a test has its signature.
const SIGNATURE: &str = "/sandbox/trust.srk.cred";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The keyset asks for the signature of `authority`, a certificate, from now on.
fn pin(machine: &Machine, authority: &[u8]) {
    let directory = machine.keyset.pcr7data().join("policy-2/authorities");
    fs::create_dir_all(&directory).expect("a writable directory");
    fs::write(directory.join("snakeoil.pem"), authority).expect("a writable directory");
}

/// An administrator with a keyset, whose authority is asked about the machine's TPM.
fn pinned(machine: &Machine) -> Home {
    let home = Home::with_keyset();
    let authority = home.ok(&["sudi", "pin-tpm", "k"]);
    pin(machine, &fs::read(authority.trim()).expect("it is there"));
    home
}

/// A file that the scripts of a machine see in /sandbox.
fn file(machine: &Machine, name: &str) -> PathBuf {
    machine.sandbox.dir().join(name)
}

/// A machine whose storage root key the keyset's authority has signed, with the documented commands.
fn certified() -> Machine {
    let machine = Machine::new();
    let home = pinned(&machine);
    machine.boot(Boot::Limited, r#"trust provision --srk-public /sandbox/srk.pub "$CERT" "$KEY""#).ok();
    let (public, signature) = (file(&machine, "srk.pub"), file(&machine, "trust.srk.cred"));
    home.ok(&["sudi", "certify-tpm", "k", text(&public), "--output", text(&signature)]);
    machine
}

fn boot(machine: &Machine, command: &str) -> Run {
    machine.boot(Boot::Production, &format!("try status trust {command} --srk-signature {SIGNATURE}\npublished"))
}

/// What is said where no authority vouches for the TPM: no secret was asked for, and PCR 7 is locked.
#[track_caller]
fn refused(machine: &Machine, run: &Run, why: &str) {
    run.refused(12);
    assert!(run.stderr.contains(why), "{run:#?}");
    assert!(run.stderr.contains("certify-tpm"), "{run:#?}");
    assert_eq!(machine.tpm.pcr("sha256", 7), hex(&extend(&Boot::Production.pcr7(), &sha256(&[b"atomix\n"]))));
    let record = machine.wire.take();
    let asked = |code| record.iter().any(|exchange| exchange.command.code() == code);
    assert!(asked(cc::PCR_EVENT) && !asked(cc::POLICY_AUTHORIZE), "{run:#?}");
}

#[test]
fn a_tpm_with_a_signed_storage_root_key_needs_no_further_commands() {
    let machine = certified();
    let count = |command: &str| {
        machine.wire.take();
        let run = boot(&machine, command);
        assert_eq!(run.status(), 0, "{run:#?}");
        machine.wire.take().len()
    };
    let commands = ["setup", "preinit"];
    let pinned = commands.map(count);
    // The same boots of a keyset that does not ask.
    fs::remove_dir_all(machine.keyset.pcr7data().join("policy-2/authorities")).expect("it is there");
    fs::remove_file(file(&machine, "trust.srk.cred")).expect("it is there");
    assert_eq!(commands.map(count), pinned);
}

#[test]
fn a_missing_or_wrong_srk_signature_is_refused() {
    let machine = certified();
    let signature = file(&machine, "trust.srk.cred");
    let genuine = fs::read(&signature).expect("it is there");
    fs::remove_file(&signature).expect("it is there");
    for command in ["setup", "preinit"] {
        machine.wire.take();
        refused(&machine, &boot(&machine, command), "no authority vouches for 000b");
    }
    let mut flipped = genuine.clone();
    flipped[100] ^= 1;
    let wrong: [&[u8]; 6] = [b"", b"\0", &flipped, &genuine[..255], &[&genuine[..], b"\n"].concat(), &[0xff; 256]];
    for wrong in wrong {
        fs::write(&signature, wrong).expect("a writable directory");
        machine.wire.take();
        refused(&machine, &boot(&machine, "setup"), "is not an authority's signature of 000b");
    }
    // No file at all, and more than a signature.
    for (make, why) in [("mkfifo", "no regular file"), ("mkdir", "no regular file"), ("truncate -s 1M", "too large")] {
        run("sh", &["-c", &format!("rm -f '{0}'; {make} '{0}'", text(&signature))]);
        machine.wire.take();
        refused(&machine, &boot(&machine, "setup"), why);
        run("rm", &["-rf", text(&signature)]);
    }
}

/// The owner's password, too, is sent only to the TPM that was provisioned.
#[test]
fn raise_without_an_srk_signature_is_refused() {
    let machine = certified();
    let raise = format!("try status trust raise 0002 --srk-signature {SIGNATURE}\npublished");
    let signature = file(&machine, "trust.srk.cred");
    let genuine = fs::read(&signature).expect("it is there");
    fs::remove_file(&signature).expect("it is there");
    machine.wire.take();
    let run = machine.boot(Boot::Tpm, &raise);
    run.refused(12);
    assert!(run.stderr.contains("no authority vouches for 000b"), "{run:#?}");
    let record = machine.wire.take();
    assert!(!record.iter().any(|exchange| exchange.command.code() == cc::POLICY_AUTHORIZE), "{run:#?}");
    fs::write(&signature, genuine).expect("a writable directory");
    assert_eq!(machine.boot(Boot::Tpm, &raise).status(), 0);
}

/// The secrets of a machine, and a new passphrase, are only for the TPM that was provisioned.
#[test]
fn another_tpm_of_the_same_keyset_is_refused() {
    let ours = certified();
    // Another TPM was put in the place of ours, and provisioned for our keyset.
    let mut swapped = Machine::with(Swtpm::new(), ours.identity);
    // All software TPMs of a test come out of the factory with the same seeds.
    swapped.tpm.tools().ok("clear", &["-c", "p"]);
    swapped.sandbox.set("PCR7DATA", ours.keyset.pcr7data());
    swapped.boot(Boot::Limited, r#"trust provision "$CERT" "$KEY""#).ok();
    fs::copy(ours.sandbox.dir().join("trust.srk.cred"), file(&swapped, "trust.srk.cred"))
        .expect("a writable directory");
    for command in ["setup", "preinit"] {
        swapped.wire.take();
        refused(&swapped, &boot(&swapped, command), "is not an authority's signature of 000b");
    }
    // Without the requirement it is as good as ours.
    fs::remove_dir_all(ours.keyset.pcr7data().join("policy-2/authorities")).expect("it is there");
    assert_eq!(boot(&swapped, "setup").status(), 0);
}

/// An attacker who clears the TPM owns it, and can provision it with the policies of our keyset, which are public: our
/// image then boots with a passphrase of their choice, for a disk of theirs. Where a signature is required, it does not.
#[test]
fn a_tpm_provisioned_by_an_attacker_is_refused() {
    let machine = certified();
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    let theirs = Layout {
        admin_password: "the attacker's".into(),
        os_passphrase: "trust-of-the-attackers-own-choice-000000".into(),
        srk: true,
        ..Layout::default()
    };
    provision_with_tools(&machine.tpm, &machine.keyset, &Identity::ec("P-256"), &theirs);
    for command in ["setup", "preinit"] {
        machine.wire.take();
        refused(&machine, &boot(&machine, command), "is not an authority's signature of 000b");
    }
    // Without the requirement they get that far.
    fs::remove_dir_all(machine.keyset.pcr7data().join("policy-2/authorities")).expect("it is there");
    let run = machine.boot(Boot::Production, "trust setup\necho passphrase $(secret machine:luks)");
    assert_eq!(run.ok().value("passphrase"), theirs.os_passphrase, "the attack did not take place: {run:#?}");
}

/// A TPM without a storage root key: the session is salted to a key of the null hierarchy.
#[test]
fn a_tpm_without_a_storage_root_key_is_refused() {
    let machine = certified();
    machine.wire.on_response(|command, _| match command.code() {
        cc::READ_PUBLIC => Action::Reply(Response::error(rc::HANDLE | 0x100).0),
        _ => Action::Forward,
    });
    machine.wire.take();
    refused(&machine, &boot(&machine, "setup"), "it has none that an authority could vouch for");
}

/// The private key is wrapped for no other storage key either.
#[test]
fn finish_without_an_srk_signature_wraps_no_key() {
    let machine = certified();
    let script = |signature: &str| {
        let finish = format!("finish --key-to-tpm --pcr7data \"$PCR7DATA\" --srk-signature {signature}");
        format!(
            "trust setup --srk-signature {SIGNATURE}\ntry status env -i \"$TRUST\" {finish} --tcti \"$TCTI\"\n\
             [ ! -e /priv/factory/secure/server.key ] || head -n1 /priv/factory/secure/server.key\npublished"
        )
    };
    machine.wire.take();
    let run = machine.boot(Boot::Production, &script("/sandbox/none"));
    run.refused(12);
    assert!(run.stderr.contains("no authority vouches for"), "{run:#?}");
    assert!(machine.wire.take().iter().all(|exchange| exchange.command.code() != cc::IMPORT), "the key left");
    let run = machine.boot(Boot::Production, &script(SIGNATURE));
    assert_eq!(run.status(), 0, "{run:#?}");
    assert!(run.stdout.contains("TSS2 PRIVATE KEY"), "{run:#?}");
}

/// What an authority's certificate may be, and what it may not.
#[test]
fn unusable_authority_certificates_are_refused() {
    let machine = certified();
    let genuine = fs::read(machine.keyset.pcr7data().join("policy-2/authorities/snakeoil.pem")).expect("it is there");
    let not_a_certificate = fs::read(machine.keyset.pubkeys().join("luks-snakeoil.pem")).expect("it is there");
    let short = &genuine[..genuine.len() / 2];
    for wrong in [&b""[..], &not_a_certificate, short, &[0xff; 1000]] {
        pin(&machine, wrong);
        let run = boot(&machine, "setup");
        run.refused(14);
        assert!(run.stderr.contains("certificate of an authority"), "{run:#?}");
    }
    // Another authority of the same name.
    let other = Home::new();
    other.ok(&["keyset", "add", "k"]);
    pin(&machine, &fs::read(other.ok(&["sudi", "pin-tpm", "k"]).trim()).expect("it is there"));
    machine.wire.take();
    refused(&machine, &boot(&machine, "setup"), "is not an authority's signature");
}

/// ECDSA, where the kernel knows it; where it does not, that is what it says.
#[test]
fn an_ecdsa_authority_is_accepted_where_the_kernel_verifies_ecdsa() {
    let machine = certified();
    let [key, authority, statement] = ["ca.key", "ca.pem", "statement"].map(|name| file(&machine, name));
    let name = run("sh", &["-c", &format!("tail -c +3 '{}' | sha256sum", text(&file(&machine, "srk.pub")))]);
    fs::write(&statement, format!("storage root key 000b{}\n", &name[..64])).expect("a writable directory");
    let (key, authority) = (text(&key), text(&authority));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=SUDI CA",
        "-keyout",
        key,
        "-out",
        authority,
    ]);
    openssl(&["dgst", "-sha256", "-sign", key, "-out", text(&file(&machine, "trust.srk.cred")), text(&statement)]);
    pin(&machine, &fs::read(authority).expect("it is there"));
    let run = boot(&machine, "setup");
    if fs::read_to_string("/proc/crypto").expect("a kernel with cryptography").contains("ecdsa-nist-p256") {
        assert_eq!(run.status(), 0, "{run:#?}");
    } else {
        run.refused(15);
        assert!(run.stderr.contains("CONFIG_CRYPTO_ECDSA"), "{run:#?}");
    }
}

/// An attacker on the wire who presents a key of its own, and relays everything, reads what the program and the TPM have
/// encrypted for each other. Where a signature is required, it gets nothing.
#[test]
fn an_interposer_with_its_own_key_is_refused() {
    let machine = certified();
    let authorities = machine.keyset.pcr7data().join("policy-2/authorities");
    let aside = machine.keyset.pcr7data().join("aside");
    fs::rename(&authorities, &aside).expect("it is there");
    for command in ["setup", "preinit"] {
        let swap = KeySwap::on(&machine.wire);
        let run = machine.boot(Boot::Production, &format!("trust {command}\necho passphrase $(secret machine:luks)"));
        let passphrase = run.ok().value("passphrase").to_owned();
        assert!(swap.has_read(passphrase.as_bytes()), "{command}: the attack did not take place: {run:#?}");
    }
    fs::rename(&aside, &authorities).expect("it is there");
    for command in ["setup", "preinit"] {
        let swap = KeySwap::on(&machine.wire);
        machine.wire.take();
        refused(&machine, &boot(&machine, command), "is not an authority's signature of 000b");
        // The layout version, which is no secret, and the lock.
        assert!(swap.count() <= 2, "{command}: {} parameters", swap.count());
    }
}

/// Where another tool has made an RSA storage root key: said before anything is written, and both remedies work.
#[test]
fn provision_refuses_an_unsuitable_root_key_before_writing_anything() {
    let provision = r#"provision --srk-public /sandbox/srk.pub "$CERT" "$KEY""#;
    for remedy in [&["evictcontrol", "-C", "o", "-c", "0x81000001"][..], &["clear", "-c", "p"]] {
        let machine = Machine::new();
        let tools = machine.tpm.tools();
        tools.ok("createprimary", &["-C", "o", "-G", "rsa2048", "-c", "rsa"]);
        tools.ok("evictcontrol", &["-C", "o", "-c", "rsa", "0x81000001"]);
        let run = machine.boot(Boot::Limited, &format!("try status trust {provision}\npublished"));
        run.refused(12);
        assert!(run.stderr.contains("is not ECC P-256, and no authority can vouch for it"), "{run:#?}");
        assert!(run.stderr.contains("tpm2_evictcontrol -C o -c 0x81000001"), "{run:#?}");
        assert!(tools.ok("getcap", &["handles-nv-index"]).trim().is_empty(), "something was written");
        assert!(!file(&machine, "srk.pub").exists());
        tools.ok(remedy[0], &remedy[1..]);
        machine.boot(Boot::Limited, &format!("trust {provision}")).ok();
        assert!(file(&machine, "srk.pub").exists());
    }
}
