//! Power cuts: a TPM counts one after the use of a protected index as a failed
//! attempt, and after a few of those it is in lockout (tests/premises.rs).

use harness::{Action, Boot, Identity, Layout, Machine, Swtpm, cc, provision_with_tools};

/// A production boot after a power cut.
fn boot(machine: &Machine, script: &str) -> harness::Run {
    machine.tpm.power_cut();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    machine.script(script)
}

fn failed_attempts(machine: &Machine) -> u32 {
    machine.tpm.tools().property("properties-variable", "TPM2_PT_LOCKOUT_COUNTER")
}

/// More than a software TPM allows by itself, which is three.
const CUTS: usize = 6;

/// A machine of the old tool, whose TPM counts as it came from the factory: `setup` is no use of the
/// protected index that a power cut afterwards would count.
#[test]
fn a_machine_that_is_never_shut_down() {
    let machine = Machine::with(Swtpm::new(), Identity::rsa(2048));
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout::default());
    machine.tpm.reboot();
    for at in 0..CUTS {
        boot(&machine, "trust setup").ok();
        assert_eq!(failed_attempts(&machine), 0, "after {at} power cuts");
    }
}

/// A machine of ours whose power fails in the middle of `setup`, again and again, before the TPM could be told.
#[test]
fn power_that_fails_in_the_middle() {
    let machine = Machine::provisioned();
    for _ in 0..CUTS {
        // It follows the use of the protected index. Nothing comes after it.
        let mut off = false;
        machine.wire.on_command(move |command| {
            off |= command.code() == cc::POLICY_AUTHORIZE;
            if off { Action::Close } else { Action::Forward }
        });
        assert_ne!(boot(&machine, "try status trust setup").status(), 0);
    }
    machine.wire.be_honest();
    machine.tpm.power_cut();
    assert!(failed_attempts(&machine) > 0, "this test makes no failed attempts");
    boot(&machine, "trust setup").ok();
}
