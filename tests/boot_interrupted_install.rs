//! The power fails while a machine is being installed: between `preinit` and the making of the volume, or in the midst of
//! that. The installer that runs next comes to a good end.

use harness::{Boot, Identity, Machine, Run, Swtpm};
use std::fs;

/// Makes the volume; it takes what is to come before cryptsetup.
const FORMAT: &str = r#"
format() {
    secret machine:luks >/run/passphrase
    "$@" cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
        --key-file /run/passphrase /sandbox/volume
}
opens() { cryptsetup open --test-passphrase --token-only /sandbox/volume; }
"#;

/// An installer's boot, or a boot of what it has installed.
fn boot(machine: &Machine, script: &str) -> Run {
    machine.tpm.power_cut();
    assert_eq!(machine.tpm.failed_attempts(), 0, "a power cut counted");
    machine.tpm.raw().extend(7, &Boot::Production.event());
    machine.script(&format!("{FORMAT}\n{script}"))
}

/// Installs; the power fails behind it.
fn install(machine: &Machine) {
    let script = "trust preinit\nformat\ncryptsetup token add --key-description machine:luks /sandbox/volume";
    boot(machine, script).ok();
}

/// The volume's passphrase is the one that the TPM gives.
#[track_caller]
fn is_installed(machine: &Machine, what: &str) {
    let run = boot(machine, "trust setup\ntry opens opens");
    assert_eq!(run.ok().value("opens"), "0", "{what}: {run:#?}");
}

#[test]
fn an_interrupted_installation_is_completed_by_the_next() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    let volume = machine.sandbox.dir().join("volume");
    fs::File::create(&volume).and_then(|file| file.set_len(32 << 20)).expect("writable");
    install(&machine);
    is_installed(&machine, "uncut");

    // Before the volume is made: the one of an earlier installation is lost, and the machine can be installed.
    boot(&machine, "trust preinit").ok();
    let run = boot(&machine, "trust setup\ntry opens opens");
    assert_ne!(run.ok().value("opens"), "0", "the passphrase is the old one: {run:#?}");
    install(&machine);
    is_installed(&machine, "cut before the volume was made");

    // At writes of cryptsetup's: what it wipes first is most of them, the headers and the keyslot are the last.
    let count = "trust preinit\nformat strace -f -qq -o /run/trace -e trace=write\necho writes $(wc -l </run/trace)";
    let total: usize = boot(&machine, count).ok().value("writes").parse().expect("a number");
    assert!(total > 14, "cryptsetup makes a volume in {total} writes");
    for write in [1, total / 3].into_iter().chain((total - 13..=total).step_by(3)) {
        let cut = format!(
            "trust preinit
            try cut format strace -f -qq -o /run/trace -e trace=write -e inject=write:signal=KILL:when={write}"
        );
        let run = boot(&machine, &cut);
        assert_eq!(run.ok().value("cut"), "137", "cryptsetup was not killed: {run:#?}");
        install(&machine);
        is_installed(&machine, &format!("cut at write {write} of {total}"));
    }
}
