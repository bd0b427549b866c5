//! TPMs that lack something, or that others have been at: each works, or it is said what is wrong and what to do.

use harness::{Action, Boot, Command, Identity, Machine, Response, Run, Swtpm, cc, extend, hex, rc, sha256};
use std::{fs, thread::sleep, time::Duration};

const PROVISION: &str = r#"provision "$CERT" "$KEY""#;
const WHOLE_JOB: &str =
    "trust setup\ncmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";

/// The commands that ask for more than PCR 7, each in its boot.
const COMMANDS: [(Boot, &str); 3] =
    [(Boot::Limited, PROVISION), (Boot::Production, "preinit"), (Boot::Production, "setup")];

/// One that is quickly made.
fn new_machine() -> Machine {
    Machine::with(Swtpm::new(), Identity::ec("P-256"))
}

fn attempt(machine: &Machine, (boot, command): (Boot, &str)) -> Run {
    machine.boot(boot, &format!("try status trust {command}\npublished"))
}

/// Refused with this status, in these words, and PCR 7 is locked all the same.
#[track_caller]
fn refused(machine: &Machine, run: &Run, boot: Boot, status: i32, words: &[&str]) {
    run.refused(status);
    for words in words {
        assert!(run.stderr.contains(words), "{words:?} is not said: {run:#?}");
    }
    let locked = hex(&extend(&boot.pcr7(), &sha256(&[b"atomix\n"])));
    assert_eq!(machine.tpm.pcr("sha256", 7), locked, "PCR 7 is not locked: {run:#?}");
}

/// Answers commands of this kind with a code.
fn refuse(machine: &Machine, which: u32, code: u32) {
    machine.wire.on_command(move |command| {
        if command.code() == which { Action::Reply(Response::error(code).0) } else { Action::Forward }
    });
}

/// No TPM of this kind can vouch for the lock; it is locked, though.
#[test]
fn a_tpm_without_curves_or_encryption_is_refused_and_locked() {
    // TPM_RC_TYPE and TPM_RC_CURVE of the template; TPM_RC_SYMMETRIC and TPM_RC_MODE of the session's algorithm.
    let lacks = [
        (cc::CREATE_PRIMARY, 0x2ca),
        (cc::CREATE_PRIMARY, 0x2e6),
        (cc::START_AUTH_SESSION, 0x4d6),
        (cc::START_AUTH_SESSION, 0x4c9),
    ];
    let machine = new_machine();
    for (which, code) in lacks {
        refuse(&machine, which, code);
        for (boot, command) in [COMMANDS[0], COMMANDS[2], (Boot::Production, "lock")] {
            let run = attempt(&machine, (boot, command));
            run.refused(16);
            assert!(run.stderr.contains("it lacks elliptic curves (P-256) or AES-128-CFB"), "{run:#?}");
            assert_ne!(machine.tpm.pcr("sha256", 7), hex(&boot.pcr7()), "PCR 7 is as it was: {run:#?}");
        }
    }
}

#[test]
fn a_tpm_with_an_owner_is_refused() {
    let machine = new_machine();
    let new = machine.tpm.state();
    for who in ["owner", "endorsement", "lockout"] {
        machine.tpm.restore(&new);
        machine.tpm.boot();
        machine.tpm.tools().ok("changeauth", &["-c", who, "foreign"]);
        let run = attempt(&machine, COMMANDS[0]);
        let why = if who == "owner" { "it has an owner already" } else { "a lockout or endorsement password is set" };
        refused(&machine, &run, Boot::Limited, 12, &[why, "clear", "in the firmware setup", "destroys what it holds"]);
        let run = attempt(&machine, COMMANDS[2]);
        refused(&machine, &run, Boot::Production, 11, &["the TPM does not hold it"]);
    }
}

/// An index at the place of the admin password holds something, which is not the password that is set.
#[test]
fn an_unknown_lockout_password_is_refused_without_trying_it() {
    let machine = new_machine();
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("contents"), [b'7'; 32]).expect("writable");
    tools.ok("nvdefine", &["0x1500001", "-C", "o", "-s", "32", "-a", "ownerread|ownerwrite"]);
    tools.ok("nvwrite", &["0x1500001", "-C", "o", "-i", "contents"]);
    tools.ok("changeauth", &["-c", "lockout", "foreign"]);
    // After one attempt the TPM would refuse even the right password for a day: none is made.
    for _ in 0..2 {
        let run = attempt(&machine, COMMANDS[0]);
        refused(&machine, &run, Boot::Limited, 12, &["a lockout or endorsement password is set", "clear the TPM"]);
        assert_eq!(machine.tpm.failed_attempts(), 0);
    }
}

/// The owner's password was changed since: no boot needs it.
#[test]
fn a_changed_owner_password_affects_no_command() {
    let machine = new_machine();
    machine.provision();
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Tpm.event());
    let password = harness::read_with_tools(&machine.tpm, &machine.keyset, Boot::Tpm, "admin", "0x1500001");
    let password = String::from_utf8(password).expect("characters");
    machine.tpm.tools().ok("changeauth", &["-c", "owner", "-p", &password, "foreign"]);
    machine.boot(Boot::Production, "trust preinit").ok();
    machine.boot(Boot::Production, WHOLE_JOB).ok();
    machine.provision();
}

/// The objects of a disabled hierarchy seem to be gone. Provisioning again would lose them.
#[test]
fn a_disabled_hierarchy_is_refused_and_named() {
    let (new, provisioned) = (new_machine(), new_machine());
    provisioned.provision();
    let attempt = |machine: &Machine, flag: &str, (boot, command): (Boot, &str)| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        machine.tpm.tools().ok("hierarchycontrol", &["-C", "p", flag, "clear"]);
        machine.script(&format!("try status trust {command}\npublished"))
    };
    let words = |which| [which, "switch it on in the firmware setup", "do not clear the TPM"];
    for machine in [&new, &provisioned] {
        for (boot, command) in COMMANDS {
            let run = attempt(machine, "shEnable", (boot, command));
            refused(machine, &run, boot, 10, &words("has switched its storage hierarchy off"));
        }
    }
    let run = attempt(&new, "ehEnable", COMMANDS[0]);
    refused(&new, &run, Boot::Limited, 10, &words("has switched its endorsement hierarchy off"));
    // It is not needed for more.
    assert_eq!(attempt(&provisioned, "ehEnable", COMMANDS[2]).status(), 0);
}

#[test]
fn a_tpm_in_lockout_is_refused_with_a_remedy() {
    let machine = new_machine();
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1800000", "-C", "o", "-s", "4", "-p", "right", "-a", "authread|authwrite"]);
    for _ in 0..4 {
        tools.fails("nvread", &["0x1800000", "-C", "0x1800000", "-P", "wrong", "-s", "4"]);
    }
    let words = ["it is in lockout", "leave the machine switched on until the TPM's lockout has passed"];
    refused(&machine, &attempt(&machine, COMMANDS[0]), Boot::Limited, 13, &words);

    let machine = new_machine();
    machine.provision();
    refuse(&machine, cc::POLICY_NV, rc::LOCKOUT);
    for (boot, command) in &COMMANDS[1..] {
        let run = attempt(&machine, (*boot, command));
        refused(&machine, &run, *boot, 13, &["the TPM is in lockout", words[1]]);
    }
}

/// What others leave at the handle of the storage root key: salted to where that is safe, left alone where it is not.
#[test]
fn a_foreign_storage_root_key_is_used_only_if_safe() {
    let storage = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt";
    let no_da = format!("{storage}|noda");
    let machine = new_machine();
    let (new, tools) = (machine.tpm.state(), machine.tpm.tools());
    let decryption = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt";
    for (what, algorithm, attributes, password, is_used) in [
        ("the TCG's template, as systemd makes it", "ecc256:aes128cfb", no_da.as_str(), "", true),
        ("tpm2-tools' own template", "ecc256:aes128cfb", storage, "", true),
        ("a password", "ecc256:aes128cfb", storage, "foreign", true),
        ("RSA", "rsa2048:aes128cfb", no_da.as_str(), "", false),
        ("another curve", "ecc384:aes128cfb", no_da.as_str(), "", false),
        ("another cipher", "ecc256:aes256cfb", no_da.as_str(), "", false),
        ("no storage key", "ecc256:ecdh", decryption, "", false),
    ] {
        machine.tpm.restore(&new);
        machine.tpm.boot();
        let make = ["-C", "o", "-G", algorithm, "-a", attributes, "-p", password, "-c", "key.ctx"];
        tools.ok("createprimary", &make);
        tools.ok("evictcontrol", &["-C", "o", "-c", "key.ctx", "0x81000001"]);
        tools.flush();
        let public = tools.ok("readpublic", &["-c", "0x81000001"]);
        machine.provision();
        machine.wire.take();
        machine.boot(Boot::Production, WHOLE_JOB).ok();
        let record = machine.wire.take();
        let start = record.iter().find(|exchange| exchange.command.code() == cc::START_AUTH_SESSION);
        let salted_to_it = start.expect("a session").command.word(0) == 0x8100_0001;
        assert_eq!(salted_to_it, is_used, "{what}");
        assert_eq!(tools.ok("readpublic", &["-c", "0x81000001"]), public, "{what}: it is another one now");
    }
}

/// Three seconds for each command are as much of the usual `--wait` as this is of one second.
#[test]
fn a_slow_tpm_is_waited_for() {
    let machine = new_machine();
    machine.provision();
    machine.wire.on_command(|_| {
        sleep(Duration::from_millis(300));
        Action::Forward
    });
    let script = WHOLE_JOB.replacen("trust setup", "trust setup --wait 1", 1);
    machine.boot(Boot::Production, &script).ok();
}

/// PCRs are extended all the time. That is waited for, six times `--wait`, but not for ever.
#[test]
fn pcrs_that_never_stop_changing_are_refused_in_bounded_time() {
    let machine = new_machine();
    machine.provision();
    for (command, access) in [("preinit", cc::NV_WRITE), ("setup", cc::NV_READ)] {
        let is_access = move |command: &Command| command.code() == access && command.word(4) == 0x0150_0040;
        machine.wire.on_command(move |command| {
            if !is_access(command) {
                return Action::Forward;
            }
            sleep(Duration::from_millis(250));
            Action::Reply(Response::error(rc::PCR_CHANGED).0)
        });
        let run = attempt(&machine, (Boot::Production, &format!("{command} --wait 1")));
        let words = ["the PCRs kept changing", "let the kernel measure less (IMA)"];
        refused(&machine, &run, Boot::Production, 12, &words);
        // A storm that ends.
        let mut left = 50;
        machine.wire.on_command(move |command| {
            left -= i32::from(is_access(command));
            let again = is_access(command) && left > 0;
            if again { Action::Reply(Response::error(rc::PCR_CHANGED).0) } else { Action::Forward }
        });
        machine.boot(Boot::Production, &format!("trust {command}")).ok();
    }
}
