//! The host program runs the target's commands too, also by the names that the tool before it had.

use harness::{Boot, End, Machine, Run, extend, hex, sha256, trust_host};

fn machine() -> Machine {
    let mut machine = Machine::provisioned();
    machine.sandbox.set("TRUST", trust_host());
    machine
}

#[track_caller]
fn locked(machine: &Machine, run: &Run) {
    let value = extend(&Boot::Production.pcr7(), &sha256(&[b"atomix\n"]));
    assert_eq!(machine.tpm.pcr("sha256", 7), hex(&value), "PCR 7 is not locked: {run:#?}");
}

#[test]
fn setup_runs_by_both_names() {
    let machine = machine();
    for name in ["setup", "initrd-setup"] {
        let script = format!("trust {name}\ncmp /priv/factory/secure/server.key $KEY\nsecret machine:luks");
        let run = machine.boot(Boot::Production, &script);
        assert_eq!(run.ok().stdout.trim().len(), 40, "{name}: {run:#?}");
        locked(&machine, &run);
    }
}

#[test]
fn preinit_runs_by_both_names() {
    let machine = machine();
    let mut last = String::new();
    for name in ["preinit", "preinstall"] {
        let run = machine.boot(Boot::Production, &format!("trust {name}\nsecret machine:luks"));
        let passphrase = run.ok().stdout.trim().to_owned();
        assert!(passphrase.len() == 40 && passphrase != last, "{name} makes a new one: {run:#?}");
        locked(&machine, &run);
        let run = machine.boot(Boot::Production, "trust setup\nsecret machine:luks");
        assert_eq!(run.ok().stdout.trim(), passphrase, "{name} keeps it");
        last = passphrase;
    }
}

#[test]
fn lock_runs_by_both_names() {
    let machine = machine();
    for name in ["lock", "extend-pcr7"] {
        let run = machine.boot(Boot::Production, &format!("trust {name}\npublished"));
        assert_eq!((run.end, run.ok().value("published")), (End::Exit(0), "no"), "{name}: {run:#?}");
        locked(&machine, &run);
    }
}
