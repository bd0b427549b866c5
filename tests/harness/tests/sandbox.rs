//! The machine that the other tests run on is one.

use harness::{End, Sandbox};
use std::fs;

#[test]
fn a_script_has_capabilities_mounts_and_a_keyring_of_its_own() {
    let sandbox = Sandbox::new();
    let run = sandbox.run(
        r#"
        keyctl add user machine:test secret @u >/dev/null
        echo "found $(keyctl print "$(keyctl request user machine:test)")"
        echo "uid $(id -u)"
        echo "init $$"
        grep -q ' /priv tmpfs' /proc/mounts && echo "priv tmpfs"
        echo hello >/dev/kmsg; echo world >/dev/console
        grep CapEff /proc/self/status | sed 's/:\s*/ /'
        echo kept >/sandbox/kept
        "#,
    );
    run.ok();
    assert_eq!(run.value("found"), "secret");
    assert_eq!(run.value("init"), "1");
    assert_eq!(run.value("priv"), "tmpfs");
    assert_eq!((run.kmsg.as_str(), run.console.as_str()), ("hello\n", "world\n"));
    assert_ne!(run.value("CapEff"), "0000000000000000");
    assert_eq!(fs::read_to_string(sandbox.dir().join("kept")).expect("/sandbox stays"), "kept\n");
    // The keyring does not outlive the boot.
    sandbox.run("! keyctl search @u user machine:test 2>/dev/null").ok();
}

#[test]
fn a_script_that_announces_no_end_is_no_success() {
    let sandbox = Sandbox::new();
    assert!(!sandbox.run("exit 0").announced);
    assert_eq!(sandbox.run("exit 7").end, End::Exit(7));
    assert_eq!(sandbox.run("false").end, End::Exit(1));
}

#[test]
fn switching_the_power_off_ends_the_machine_and_no_other() {
    let sandbox = Sandbox::new();
    // reboot(LINUX_REBOOT_CMD_POWER_OFF), by number: 169 on x86_64, 142 on the generic table.
    let number = if cfg!(target_arch = "x86_64") { 169 } else { 142 };
    let run =
        sandbox.run(&format!("perl -e 'syscall({number}, 0xfee1dead, 672274793, 0x4321fedc, 0)'; echo still here"));
    assert_eq!(run.end, End::PoweredOff, "{run:#?}");
    assert!(!run.announced && run.stdout.is_empty());
}
