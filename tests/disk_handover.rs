//! An open volume that is handed over to a successor by kexec: `luks open` takes header and volume key out of the initrd,
//! once, and `setup` leaves the TPM alone. The kernels themselves are in `vm_disk`.

use harness::{Boot, Identity, Machine, Run, Sandbox, Swtpm, trust_host, trust_initrd};
use std::{fs, os::unix::fs::PermissionsExt};
use trust::host::kexec::disk;

/// Functions of the scripts. `hand_over` does what a predecessor's `trust kexec` does.
const FUNCTIONS: &str = r#"
format() { cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$@"; }
opens() { try "$1" env -i "$TRUST" luks open "${@:3}" "$2" name -- --test-passphrase; }
try() { local name=$1 status=0; shift; "$@" || status=$?; echo "$name $status"; }
hand_over() {
    mkdir -p /.extra/trust-volumes
    cat "$1" "$2" >/.extra/trust-volumes/name
    chmod 0400 /.extra/trust-volumes/name
}
"#;

/// A machine with a sealed volume `/sandbox/disk`; what its boot has kept of it is `/sandbox/kept`, its volume key
/// `/sandbox/key`. Later boots have no passphrase.
fn machine() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("TRUST", trust_initrd()).set("HOST", trust_host());
    let tells = sandbox.dir().join("tells");
    fs::write(&tells, "#!/bin/bash\necho \"argv $*\"\nexec cryptsetup \"$@\"\n").unwrap();
    fs::set_permissions(&tells, fs::Permissions::from_mode(0o755)).unwrap();
    let run = sandbox.run(&format!(
        r#"{FUNCTIONS}
        printf %s "the owner's" | keyctl padd user machine:luks @u >/dev/null
        truncate --size 32M /sandbox/disk
        printf %s "the owner's" >/sandbox/passphrase
        format --uuid 6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10 /sandbox/disk /sandbox/passphrase
        cryptsetup token add --key-description machine:luks /sandbox/disk
        "$HOST" luks seal /sandbox/disk
        cryptsetup luksDump --batch-mode --dump-volume-key --volume-key-file /sandbox/key --key-file /sandbox/passphrase \
            /sandbox/disk >/dev/null
        opens plain /sandbox/disk --cryptsetup /sandbox/tells
        echo "plainly $(ls /run/trust-kexec 2>&1)"
        opens first /sandbox/disk --for-kexec --cryptsetup /sandbox/tells
        echo "kept $(stat -c '%a %s' /run/trust-kexec/name) $(stat -c %a /run/trust-kexec)"
        cp /run/trust-kexec/name /sandbox/kept
        rm /sandbox/passphrase
        "#
    ));
    assert_eq!(
        (run.ok().value("plain"), run.value("first"), run.value("kept")),
        ("0", "0", "400 16384 700"),
        "{run:#?}"
    );
    assert!(run.value("plainly").contains("No such file"), "{run:#?}");
    let with: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("argv ")).collect();
    assert!(!with[0].contains("--disable-keyring") && with[1].contains("--disable-keyring"), "{with:?}");
    sandbox
}

fn successor(machine: &Sandbox, script: &str) -> Run {
    machine.run(&format!("{FUNCTIONS}\n{script}"))
}

#[test]
fn a_successor_opens_what_it_was_handed_over_once_and_without_a_passphrase() {
    let machine = machine();
    let run = successor(
        &machine,
        r#"
        hand_over /sandbox/kept /sandbox/key
        exec 8</.extra/trust-volumes/name
        opens first /sandbox/disk --for-kexec --cryptsetup /sandbox/tells
        echo "left $(wc -c <&8) $(ls /.extra/trust-volumes | wc -l)"
        cmp /run/trust-kexec/name /sandbox/kept && echo "kept again"
        opens second /sandbox/disk
        "#,
    );
    assert_eq!((run.ok().value("first"), run.value("left"), run.value("second")), ("0", "0 0", "12"), "{run:#?}");
    assert_eq!(run.value("kept"), "again");
    assert!(run.value("argv").contains("--volume-key-file") && !run.value("argv").contains("--token-only"), "{run:#?}");
    assert!(run.stderr.contains("there is none; run `trust setup`"), "{run:#?}");
}

/// Whatever is refused, it is not left for another try.
#[test]
fn only_the_volume_that_was_open_is_opened() {
    let machine = machine();
    let run = successor(
        &machine,
        r#"
        left() { echo "left-$1 $(ls /.extra/trust-volumes | wc -l)"; }
        tail -c +17 /sandbox/key >/sandbox/other
        head -c 16 /sandbox/key >>/sandbox/other
        hand_over /sandbox/kept /sandbox/other
        opens key /sandbox/disk; left key
        hand_over /sandbox/kept /dev/null
        opens none /sandbox/disk; left none
        head -c 20000 /dev/zero >/sandbox/zeros
        hand_over /sandbox/zeros /sandbox/key
        opens garbage /sandbox/disk; left garbage
        truncate --size 5M /sandbox/zeros
        hand_over /sandbox/zeros /sandbox/key
        opens large /sandbox/disk; left large

        # A disk of an attacker's, of the same name, with a passphrase that the attacker knows.
        truncate --size 32M /sandbox/evil
        printf attacker >/sandbox/passphrase
        format --uuid 6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10 /sandbox/evil /sandbox/passphrase
        hand_over /sandbox/kept /sandbox/key
        opens evil /sandbox/evil --cryptsetup /sandbox/tells; left evil
        # A header that has changed since.
        cryptsetup config --label changed /sandbox/disk
        hand_over /sandbox/kept /sandbox/key
        opens changed /sandbox/disk --cryptsetup /sandbox/tells; left changed
        # A name that leads elsewhere.
        cp /sandbox/kept /sandbox/victim
        try path env -i "$TRUST" luks open /sandbox/disk /sandbox/victim
        try up env -i "$TRUST" luks open /sandbox/disk ../../sandbox/victim
        cmp /sandbox/kept /sandbox/victim && echo "victim whole"
        "#,
    );
    let outcome = |name: &str| format!("{} {}", run.ok().value(name), run.value(&format!("left-{name}")));
    assert_eq!(
        ["key", "none", "garbage", "large", "evil", "changed"].map(outcome),
        ["12 0", "15 0", "15 0", "15 0", "12 0", "12 0"],
        "{run:#?}"
    );
    assert_eq!((run.value("path"), run.value("up"), run.value("victim")), ("2", "2", "whole"), "{run:#?}");
    assert!(!run.stdout.contains("argv"), "cryptsetup has not been run: {run:#?}");
    assert!(run.stderr.contains("the volume key that was handed over is not the volume's"), "{run:#?}");
}

/// `setup` in a system that was started by kexec: PCR 7 has moved on.
#[test]
fn a_successor_asks_the_tpm_for_nothing_and_locks_it_once_more() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        env -i "$TRUST" finish --key-to-tpm --tcti "$TCTI" --pcr7data "$PCR7DATA"
        cp -r /priv/factory/secure /sandbox/bound
        "#,
    );
    run.ok();
    // Neither in a successor, where it could not, nor where somebody has put files into the initrd of a boot that may.
    machine.wire.take();
    let run = machine.boot(
        Boot::Production,
        r#"
        mkdir -p /.extra/trust-volumes
        cp -r /sandbox/bound /.extra/trust-identity
        printf spare >/.extra/trust-volumes/spare
        trust setup
        echo "keys $(grep -c machine:luks /proc/keys || :)"
        diff -r /sandbox/bound /priv/factory/secure && echo "files same"
        env -i "$TRUST" finish --key-to-tpm --tcti "$TCTI" --pcr7data "$PCR7DATA"
        diff -r /sandbox/bound /priv/factory/secure && echo "bound same"
        echo "left $(find /.extra -type f | wc -l)"
        "#,
    );
    run.ok();
    const NV_READ: u32 = 0x14e;
    assert!(machine.wire.record().iter().all(|exchange| exchange.command.code() != NV_READ), "nothing was read");
    assert_eq!(["keys", "files", "bound", "left"].map(|name| run.value(name)), ["0", "same", "same", "0"], "{run:#?}");
    assert!(run.stderr.contains("started by kexec, and handed over what it needs: the TPM is not asked"), "{run:#?}");

    // Nothing but the log was handed over.
    let run = machine.boot(
        Boot::Production,
        r#"
        trust lock
        mkdir -p /.extra
        : >/.extra/tpm2-measure.log
        try setup trust setup
        "#,
    );
    assert_eq!(run.ok().value("setup"), "12");
    assert!(run.stderr.contains("this system was started by kexec; restart the machine: "), "{run:#?}");
}

#[test]
fn a_private_key_in_the_clear_stays_behind() {
    let directory = tempfile::tempdir().unwrap();
    let named = |key: &str| {
        fs::write(directory.path().join("server.key"), key).unwrap();
        let handed_over = disk::identity(directory.path()).unwrap();
        handed_over.iter().map(|(path, _)| path.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(disk::identity(directory.path()).unwrap().is_empty());
    fs::write(directory.path().join("server.crt"), "certificate").unwrap();
    assert!(named(&fs::read_to_string(Identity::ec("P-256").key()).unwrap()).is_empty());
    let bound = "-----BEGIN TSS2 PRIVATE KEY-----\nMA==\n-----END TSS2 PRIVATE KEY-----\n";
    assert_eq!(named(bound), ["server.key", "server.crt"]);
}
