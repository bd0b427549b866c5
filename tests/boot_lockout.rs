//! Power cuts: a TPM counts one after the use of a protected index as a failed
//! attempt, and after a few of those it is in lockout (tests/tpm_assumptions.rs).

use harness::{Action, Boot, Identity, Layout, Machine, Swtpm, cc, provision_with_tools};

/// A production boot after a power cut.
fn boot(machine: &Machine, script: &str) -> harness::Run {
    machine.tpm.power_cut();
    machine.tpm.raw().extend(7, &Boot::Production.event());
    machine.script(script)
}

/// A software TPM allows three by itself.
const CUTS: u32 = 40;

/// `setup` is no use of the protected index that a power cut afterwards would count: not on a machine of the old tool,
/// whose TPM counts as it came from the factory, and not on one of ours.
#[test]
fn power_cuts_after_setup_do_not_count_towards_lockout() {
    let tools: fn(&Machine) = |machine| {
        provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout::default());
        machine.tpm.reboot();
    };
    let ours: fn(&Machine) = |machine| drop(machine.provision());
    for (by, provision, cuts) in [("tpm2-tools", tools, CUTS), ("us", ours, 6)] {
        let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
        provision(&machine);
        for at in 0..cuts {
            let run = boot(&machine, "try status trust setup");
            assert_eq!(run.status(), 0, "provisioned by {by}, after {at} power cuts: {run:#?}");
            assert_eq!(machine.tpm.failed_attempts(), 0, "provisioned by {by}, after {at} power cuts");
        }
    }
}

/// A machine of ours whose power fails in the middle of `setup`, again and again, before the TPM could be told.
#[test]
fn power_cuts_during_setup_do_not_end_in_lockout() {
    let machine = Machine::provisioned();
    for at in 0..CUTS {
        // It follows the use of the protected index. Nothing comes after it.
        let mut off = false;
        machine.wire.on_command(move |command| {
            off |= command.code() == cc::POLICY_AUTHORIZE;
            if off { Action::Close } else { Action::Forward }
        });
        assert_ne!(boot(&machine, "try status trust setup").status(), 0);
        assert!(machine.tpm.failed_attempts() <= at, "more than one for each power cut");
    }
    machine.wire.be_honest();
    let run = boot(&machine, "try status trust setup");
    assert_eq!(run.status(), 0, "locked out by {CUTS} power cuts: {run:#?}");
    assert!(machine.tpm.failed_attempts() > CUTS / 2, "this test makes no failed attempts");
}
