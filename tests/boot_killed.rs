//! `setup` and `preinit` killed at any moment leave nothing behind for others to find.

use harness::{Action, Boot, Machine};

/// Kills the program at its n-th TPM command, for every n.
fn killed_at_every_command(command: &str) {
    let machine = Machine::provisioned();
    machine.wire.take();
    machine.boot(Boot::Production, &format!("trust {command}")).ok();
    let total = machine.wire.take().len();
    assert!(total > 10, "{total} commands");
    for fatal in 0..total {
        let mut seen = 0;
        machine.wire.on_command(move |_| {
            seen += 1;
            if seen == fatal + 1 { Action::Kill } else { Action::Forward }
        });
        let run = machine.boot(Boot::Production, &format!("try status trust {command}\npublished"));
        assert_eq!(run.status(), 128 + 9, "at command {fatal}: {run:#?}");
        assert_eq!(run.value("published"), "no", "at command {fatal}: {run:#?}");
    }
    machine.wire.be_honest();
    machine.boot(Boot::Production, "trust setup").ok();
}

#[test]
fn setup_killed_at_any_command_publishes_nothing() {
    killed_at_every_command("setup");
}

#[test]
fn preinit_killed_at_any_command_publishes_nothing() {
    killed_at_every_command("preinit");
}
