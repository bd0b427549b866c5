//! The power fails at any command of `provision` or `preinit`, before the TPM has
//! carried it out or after: run again, it comes to a good end.

use harness::{Action, Boot, Layout, Machine, PowerSwitch, State, provision_with_tools, read_with_tools};
use std::fs;

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Before,
    After,
}

/// The power goes at the n-th command from now.
fn cut(machine: &Machine, power: &PowerSwitch, at: usize, when: Cut) {
    let (mut sent, mut answered) = (0, 0);
    let switch = power.clone();
    machine.wire.on_command(move |_| {
        sent += 1;
        if when == Cut::Before && sent == at + 1 {
            switch.off();
            return Action::Close;
        }
        Action::Forward
    });
    let switch = power.clone();
    machine.wire.on_response(move |_, _| {
        answered += 1;
        if when == Cut::After && answered == at + 1 {
            switch.off();
            return Action::Close;
        }
        Action::Forward
    });
}

/// A provisioned machine gives its secrets to the right boot.
#[track_caller]
fn boots(machine: &Machine, what: &str) {
    let script = "trust setup\nsecret machine:luks >/cell/passphrase
        cmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";
    let run = machine.boot(Boot::Production, script);
    assert!(run.announced, "{what}: {run:#?}");
    assert_eq!(fs::read(machine.cell.dir().join("passphrase")).expect("written").len(), 40, "{what}");
}

/// The admin password is the owner's: nobody is locked out of the TPM. Some seventy processes find that out.
#[track_caller]
fn obeys_its_owner(machine: &Machine, what: &str) {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Tpm.event());
    let password = read_with_tools(&machine.tpm, &machine.keyset, Boot::Tpm, "admin", "0x1500001");
    let password = String::from_utf8(password).expect("characters");
    assert_eq!(password.len(), 32, "{what}");
    for hierarchy in ["owner", "endorsement", "lockout"] {
        machine.tpm.tools().ok("changeauth", &["-c", hierarchy, "-p", &password, &password]);
    }
}

fn provision_cut_off(when: Cut) {
    let machine = Machine::with(harness::Swtpm::new(), harness::Identity::ec("P-256"));
    machine.tpm.off();
    let new: State = machine.tpm.state();
    machine.wire.take();
    machine.provision();
    let total = machine.wire.take().len();
    boots(&machine, "uncut");
    obeys_its_owner(&machine, "uncut");
    let script = "try status trust provision $CERT $KEY\npublished";
    for at in 0..total {
        let what = format!("cut {when:?} command {at} of {total}");
        machine.tpm.restore(&new);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Limited.event());
        cut(&machine, &machine.tpm.power(), at, when);
        let run = machine.script(script);
        assert_ne!(run.status(), 0, "{what}: {run:#?}");
        assert_eq!(run.value("published"), "no", "{what}");
        machine.wire.be_honest();
        // Whatever state it is in, a boot gets everything or a clear no.
        let run = machine.attempt("setup");
        assert!([0, 11, 12].contains(&run.status()), "{what}: {run:#?}");
        let run = machine.boot(Boot::Limited, script);
        assert_eq!(run.status(), 0, "{what}, run again: {run:#?}");
        boots(&machine, &what);
        // The passwords are set by the last commands.
        if at % 6 == 0 || total - at < 12 {
            obeys_its_owner(&machine, &what);
        }
    }
}

#[test]
fn provision_cut_off_before_any_command() {
    provision_cut_off(Cut::Before);
}

#[test]
fn provision_cut_off_after_any_command() {
    provision_cut_off(Cut::After);
}

/// A machine that loses its power in every boot, after setup, is not locked out by its TPM for that.
#[test]
fn power_cuts_in_a_row_lock_nobody_out() {
    let tools: fn(&Machine) = |machine| {
        provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout::default());
        machine.tpm.reboot();
    };
    let ours: fn(&Machine) = |machine| drop(machine.provision());
    for (by, provision) in [("tpm2-tools", tools), ("us", ours)] {
        let machine = Machine::new();
        provision(&machine);
        for cut in 0..6 {
            machine.tpm.power_cut();
            machine.tpm.extend_pcr7(&Boot::Production.event());
            let run = machine.script("try status trust setup");
            assert_eq!(run.status(), 0, "provisioned by {by}, after {cut} power cuts: {run:#?}");
        }
    }
}

#[test]
fn preinit_cut_off_at_any_command() {
    let machine = Machine::provisioned();
    machine.tpm.off();
    let provisioned = machine.tpm.state();
    machine.wire.take();
    machine.boot(Boot::Production, "trust preinit").ok();
    let total = machine.wire.take().len();
    for (at, when) in (0..total).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        let what = format!("cut {when:?} command {at} of {total}");
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        cut(&machine, &machine.tpm.power(), at, when);
        let run = machine.script("try status trust preinit\npublished");
        machine.wire.be_honest();
        if run.status() != 0 {
            assert_eq!(run.value("published"), "no", "{what}: {run:#?}");
        }
        let script = "trust preinit\nsecret machine:luks >/cell/new";
        assert!(machine.boot(Boot::Production, script).announced, "{what}");
        let script = "trust setup\nsecret machine:luks | cmp - /cell/new";
        let run = machine.boot(Boot::Production, script);
        assert!(run.announced, "{what}: {run:#?}");
    }
}
