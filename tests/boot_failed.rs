//! A boot that failed: whoever is at its prompt or shell has nothing of what the TPM keeps for the running system, which is
//! opened where PCR 7 has been locked once, and where systemd has extended it after that.

use harness::{Boot, Machine, extend, hex, running_system, sha256, workspace};
use std::fs;

/// What withdraws everything before a prompt or a shell: in an initrd with systemd, in one of dracut without it, and in one
/// of busybox alone.
fn withdrawals() -> [(&'static str, String); 3] {
    let read = |path: &str| fs::read_to_string(workspace().join(path)).unwrap();
    let unit = read("initrd/systemd/trust-withdraw.service");
    let starts: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/")).collect();
    let library = read("dracut-module/90trust/trust-lib.sh").replace(". /etc/trust/options", "");
    let init = read("initrd/busybox/init");
    let failed = init.split_once("\nfailed() {").unwrap().1.split_once("\n}\n").unwrap().0;
    // Each command of a unit must succeed, or the next one is not run.
    [
        ("systemd", starts.join(" &&\n")),
        ("dracut", format!("{library}\ntrust_withdraw")),
        ("busybox", format!("failed() {{{failed}\n}}\nfailed")),
    ]
}

/// The commands with their options for this machine, and what must not be reached from a test.
const STUBS: &str = r#"
    TRUST_WITHDRAW=
    trust() {
        case $1 in
            finish) env -i "$TRUST" "$@" ;;
            *) env -i "$TRUST" "$@" --tcti "$TCTI" --pcr7data "$PCR7DATA" --on-lock-failure=exit ;;
        esac
    }
    umount() { :; }
    lvm() { :; }
    cryptsetup() { :; }
    sleep() { :; }
    reboot() { exit 0; }
"#;

#[test]
fn a_boot_that_failed_is_past_what_the_running_system_has() {
    let machine = Machine::provisioned();
    let running = running_system(&Boot::Production.pcr7()).map(|value| hex(&value));
    let separator = || machine.tpm.extend_pcr7(&sha256(&[b"os-separator"]));
    // How far the boot had come: what has been run, whether systemd has extended PCR 7, and what it is then.
    for (before, separated, pcr7) in [
        ("true", false, hex(&Boot::Production.pcr7())),
        ("true", true, hex(&extend(&Boot::Production.pcr7(), &sha256(&[b"os-separator"])))),
        ("trust setup", false, running[0].clone()),
        ("trust setup", true, running[1].clone()),
        ("trust setup --manifest-ca /proc || true", false, running[0].clone()),
    ] {
        for (which, withdrawal) in withdrawals() {
            machine.boot(Boot::Production, &format!("{STUBS}\n{before}")).ok();
            if separated {
                separator();
            }
            assert_eq!(machine.tpm.pcr("sha256", 7), pcr7, "{before}");
            let run = machine.script(&format!("{STUBS}\n({withdrawal})\npublished"));
            assert_eq!(run.ok().value("published"), "no", "{which}: {run:#?}");
            let now = machine.tpm.pcr("sha256", 7);
            assert!(!running.contains(&now), "{which}, after {before}: PCR 7 is that of the running system");
            assert_ne!(now, pcr7, "{which}, after {before}: PCR 7 is not locked");
            // The next attempt is told so, however often that was.
            let run = machine.script(&format!("{STUBS}\n({withdrawal})\ntry status trust setup\npublished"));
            run.refused(12);
        }
    }
}
