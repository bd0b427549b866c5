//! The power fails at any command of `provision`, `preinit` or `raise`, before the TPM has
//! carried it out or after: run again, it comes to a good end.

use harness::{Boot, Cut, Machine, State, cc, read_with_tools};
use std::fs;

/// The power goes at the n-th command from now.
fn cut(machine: &Machine, at: usize, when: Cut) {
    machine.wire.cut_power(&machine.tpm.power(), at, when, |_| true);
}

/// A provisioned machine gives its secrets to the right boot.
#[track_caller]
fn boots(machine: &Machine, what: &str) {
    let script = "trust setup\nsecret machine:luks >/sandbox/passphrase
        cmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";
    let run = machine.boot(Boot::Production, script);
    assert!(run.announced, "{what}: {run:#?}");
    assert_eq!(fs::read(machine.sandbox.dir().join("passphrase")).expect("written").len(), 40, "{what}");
}

/// The admin password is the owner's: the TPM can still be administered. This takes some seventy processes.
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

/// No failed attempt is counted.
#[track_caller]
fn nothing_counted(machine: &Machine, what: &str) {
    assert_eq!(machine.tpm.failed_attempts(), 0, "{what}: the TPM has counted failed attempts");
}

/// What the TPM holds is nothing, until the layout version is written, which comes last; and then all of it.
fn provision_cut_off(when: Cut) {
    let machine = Machine::with(harness::Swtpm::new(), harness::Identity::ec("P-256"));
    machine.tpm.off();
    let new: State = machine.tpm.state();
    machine.wire.take();
    machine.provision();
    let record = machine.wire.take();
    let total = record.len();
    let last_write = record.iter().rposition(|exchange| exchange.command.code() == cc::NV_WRITE).expect("it writes");
    boots(&machine, "uncut");
    obeys_its_owner(&machine, "uncut");
    let script = "try status trust provision $CERT $KEY\npublished";
    for at in 0..total {
        let what = format!("cut {when:?} command {at} of {total}");
        machine.tpm.restore(&new);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Limited.event());
        cut(&machine, at, when);
        let run = machine.script(script);
        assert_ne!(run.status(), 0, "{what}: {run:#?}");
        assert_eq!(run.value("published"), "no", "{what}");
        machine.wire.be_honest();
        machine.tpm.boot();
        nothing_counted(&machine, &what);
        if at > last_write || (at == last_write && when == Cut::After) {
            boots(&machine, &what);
        } else {
            machine.attempt("setup").refused(11);
        }
        let run = machine.boot(Boot::Limited, script);
        assert_eq!(run.status(), 0, "{what}, run again: {run:#?}");
        boots(&machine, &what);
        nothing_counted(&machine, &what);
        // The passwords are set by the last commands.
        if at % 6 == 0 || total - at < 12 {
            obeys_its_owner(&machine, &what);
        }
    }
}

#[test]
fn provision_cut_off_before_any_command_is_completed_by_the_next_run() {
    provision_cut_off(Cut::Before);
}

#[test]
fn provision_cut_off_after_any_command_is_completed_by_the_next_run() {
    provision_cut_off(Cut::After);
}

/// Until the owner has a password, an attacker who cuts the power can set the policies of those hierarchies that have none.
/// The next run takes them away again, and success is said of no TPM that has one.
#[test]
fn hierarchy_policies_set_between_power_cuts_are_removed() {
    let machine = Machine::with(harness::Swtpm::new(), harness::Identity::ec("P-256"));
    let (tools, attackers) = (machine.tpm.tools(), "01".repeat(32));
    fs::write(tools.dir().join("attackers.policy"), [1; 32]).expect("a writable directory");
    let set =
        |hierarchy| tools.output("setprimarypolicy", &["-C", hierarchy, "-L", "attackers.policy", "-g", "sha256"]);
    // TPM2_GetCapability of TPM_CAP_AUTH_POLICIES: one for each hierarchy.
    let policies = || {
        let ask = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 9, 0x40, 0, 0, 0x01, 0, 0, 0, 12];
        harness::hex(&machine.tpm.raw().send(&ask).0)
    };
    for hierarchy in ["o", "e", "l"] {
        assert!(set(hierarchy).status.success(), "they can be set");
    }
    assert_eq!(policies().matches(&attackers).count(), 3, "they can be seen");
    machine.tpm.off();
    let new = machine.tpm.state();
    machine.wire.take();
    machine.provision();
    assert!(!policies().contains(&attackers), "the attacker's policy has stayed");
    let codes: Vec<u32> = machine.wire.take().iter().map(|exchange| exchange.command.code()).collect();
    let total = codes.len();
    // Where the policies are taken away, and where the passwords are set.
    let first = codes.iter().position(|code| *code == cc::SET_PRIMARY_POLICY).expect("it does that");
    // Those of the endorsement, lockout and owner hierarchies.
    let mut passwords = (0..total).filter(|at| codes[*at] == cc::HIERARCHY_CHANGE_AUTH);
    let lockout = passwords.nth(1).expect("it does that");
    for at in (first..first + 3).chain(lockout - 4..total) {
        let what = format!("cut after command {at} of {total}");
        machine.tpm.restore(&new);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Limited.event());
        cut(&machine, at, Cut::After);
        let script = "try status trust provision $CERT $KEY\npublished";
        assert_ne!(machine.script(script).status(), 0, "{what}");
        machine.wire.be_honest();
        machine.tpm.boot();
        // One attempt with a wrong password blocks the lockout hierarchy for a day.
        for hierarchy in ["o", "e", "l"].into_iter().take(if at < lockout { 3 } else { 2 }) {
            set(hierarchy);
        }
        let run = machine.boot(Boot::Limited, script);
        assert_eq!(run.status(), 0, "{what}, run again: {run:#?}");
        assert!(!policies().contains(&attackers), "{what}: the attacker's policy has stayed");
    }
}

/// The passphrase is the old one until the command that writes the new one is carried out, and then the new one.
#[test]
fn preinit_cut_off_at_any_command_leaves_one_whole_passphrase() {
    let machine = Machine::provisioned();
    let passphrase = |script: &str| {
        let run = machine.boot(Boot::Production, &format!("trust {script}\nsecret machine:luks >/sandbox/passphrase"));
        assert!(run.announced, "{run:#?}");
        fs::read_to_string(machine.sandbox.dir().join("passphrase")).expect("written")
    };
    let old = passphrase("setup");
    machine.tpm.reboot();
    machine.tpm.off();
    let provisioned = machine.tpm.state();
    machine.wire.take();
    machine.boot(Boot::Production, "trust preinit").ok();
    let codes: Vec<u32> = machine.wire.take().iter().map(|exchange| exchange.command.code()).collect();
    let writes = codes.iter().filter(|code| **code == cc::NV_WRITE).count();
    assert_eq!(writes, 1, "half of a passphrase may be written: it is not written in one command");
    // The first that the TPM was asked: it asked to be asked again, and had counted by then.
    let position = |code: u32| codes.iter().position(|other| *other == code).expect("it does that");
    let (write, use_, told) = (position(cc::NV_WRITE), position(cc::POLICY_NV), position(cc::SHUTDOWN));
    for (at, when) in (0..codes.len()).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        let what = format!("cut {when:?} command {at} of {}", codes.len());
        let is_done = |command: usize| at > command || (at == command && when == Cut::After);
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        cut(&machine, at, when);
        let run = machine.script("try status trust preinit\npublished");
        machine.wire.be_honest();
        if run.status() != 0 {
            assert_eq!(run.value("published"), "no", "{what}: {run:#?}");
        }
        // One failed attempt, if the protected index was in use.
        machine.tpm.boot();
        let counted = u32::from(is_done(use_) && !is_done(told));
        assert_eq!(machine.tpm.failed_attempts(), counted, "{what}: failed attempts");
        let found = passphrase("setup");
        assert_eq!(found == old, !is_done(write), "{what}: the passphrase is the {found}");
        let is_one = found.len() == 40 && found.strip_prefix("trust-").is_some_and(|digits| digits.len() == 34);
        assert!(is_one, "{what}: {found:?} is no passphrase");
        let new = passphrase("preinit");
        assert_ne!(new, found, "{what}: it is not a new one");
        assert_eq!(passphrase("setup"), new, "{what}");
    }
}

/// The owner's policy is the one that there was until the command that sets ours is carried out, and then ours.
#[test]
fn delegate_cut_off_at_any_command_leaves_one_whole_policy() {
    let machine = Machine::with(harness::Swtpm::new(), harness::Identity::ec("P-256"));
    harness::provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &harness::Layout::default());
    // TPM2_GetCapability of TPM_CAP_AUTH_POLICIES: that of the owner hierarchy.
    let policy = || {
        let ask = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 9, 0x40, 0, 0, 0x01, 0, 0, 0, 1];
        harness::hex(&machine.tpm.raw().send(&ask).0)
    };
    machine.tpm.reboot();
    let none = policy();
    machine.tpm.off();
    let provisioned = machine.tpm.state();
    machine.wire.take();
    machine.boot(Boot::Tpm, "trust admin delegate").ok();
    let ours = policy();
    assert_ne!(none, ours);
    let codes: Vec<u32> = machine.wire.take().iter().map(|exchange| exchange.command.code()).collect();
    let sets: Vec<usize> = (0..codes.len()).filter(|at| codes[*at] == cc::SET_PRIMARY_POLICY).collect();
    let [set] = sets[..] else { panic!("it is not set in one command: {codes:x?}") };
    for (at, when) in (0..codes.len()).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        let what = format!("cut {when:?} command {at} of {}", codes.len());
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Tpm.event());
        cut(&machine, at, when);
        let run = machine.script("try status trust admin delegate\npublished");
        machine.wire.be_honest();
        assert_ne!(run.status(), 0, "{what}: {run:#?}");
        machine.tpm.boot();
        let is_set = at > set || (at == set && when == Cut::After);
        assert_eq!(policy(), if is_set { &*ours } else { &*none }, "{what}");
        machine.boot(Boot::Tpm, "trust admin delegate").ok();
        assert_eq!(policy(), ours, "{what}, run again");
    }
}

/// The policy version is the old one until the command that writes the new one is carried out, and then the new one; and
/// no power cut brings the TPM nearer to its lockout.
#[test]
fn raise_cut_off_at_any_command_leaves_one_whole_version() {
    let machine = Machine::provisioned();
    machine.tpm.off();
    let provisioned = machine.tpm.state();
    machine.wire.take();
    machine.boot(Boot::Tpm, "trust raise 0002").ok();
    let codes: Vec<u32> = machine.wire.take().iter().map(|exchange| exchange.command.code()).collect();
    let writes: Vec<usize> = (0..codes.len()).filter(|at| codes[*at] == cc::NV_WRITE).collect();
    let [write] = writes[..] else { panic!("it is not written in one command: {codes:x?}") };
    let version = || machine.tpm.tools().ok("nvread", &["0x1500020", "-C", "0x1500020"]);
    for (at, when) in (0..codes.len()).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        let what = format!("cut {when:?} command {at} of {}", codes.len());
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        machine.tpm.extend_pcr7(&Boot::Tpm.event());
        cut(&machine, at, when);
        let run = machine.script("try status trust raise 0002\npublished");
        machine.wire.be_honest();
        assert_ne!(run.status(), 0, "{what}: {run:#?}");
        machine.tpm.boot();
        nothing_counted(&machine, &what);
        let is_raised = at > write || (at == write && when == Cut::After);
        assert_eq!(version(), if is_raised { "0002" } else { "0001" }, "{what}");
        machine.boot(Boot::Tpm, "trust raise 0002").ok();
        assert_eq!(version(), "0002", "{what}, run again");
    }
}
