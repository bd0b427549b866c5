//! What `setup` and `preinit` hand over, and how: the kernel keyring and the private tmpfs.

use harness::{Boot, Machine};
use std::fs;

#[test]
fn the_tmpfs_is_private_and_read_only_in_effect() {
    let machine = Machine::provisioned();
    fs::write(machine.sandbox.dir().join("ca.pem"), "the CA of a manifest\n").expect("writable");
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup --manifest-ca /sandbox/ca.pem
        cd /priv/factory/secure
        echo "names $(ls -A | sort | tr '\n' ' ')"
        echo "modes $(stat -c %a . server.crt server.key manifestCA.pem | tr '\n' ' ')"
        echo "owner $(stat -c %u . server.crt server.key manifestCA.pem | sort -u)"
        # The one that carries it, whose root is that directory, and itself.
        echo "mounts $(grep -c ' /priv/factory/secure ' /proc/self/mountinfo)"
        echo "below $(grep ' /factory/secure /priv/factory/secure ' /proc/self/mountinfo)"
        echo "mount $(grep ' / /priv/factory/secure ' /proc/self/mountinfo)"
        cmp manifestCA.pem /sandbox/ca.pem
        cmp server.crt "$CERT"
        cmp server.key "$KEY"
        "#,
    );
    run.ok();
    assert_eq!(run.value("names").trim(), "manifestCA.pem server.crt server.key");
    assert_eq!(run.value("modes").trim(), "700 400 400 400");
    assert_eq!(run.value("owner"), machine.sandbox.uid().to_string());
    assert_eq!(run.value("mounts"), "2");
    for mount in [run.value("below"), run.value("mount")] {
        assert_eq!(mount.split(' ').nth(6), Some("-"), "neither shared nor a slave: {mount}");
    }
    let mount = run.value("mount");
    // Fields of mountinfo: … mount point, options, [optional fields: propagation], -, type, source, super options.
    let fields: Vec<&str> = mount.split(' ').collect();
    let options: Vec<&str> = fields[5].split(',').collect();
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(options.contains(&option), "{mount}");
    }
    assert_eq!(fields[7], "tmpfs", "{mount}");
    let version: Vec<u32> = run_version();
    if version >= vec![6, 4] {
        assert!(fields.last().expect("super options").contains("noswap"), "it may be swapped out: {mount}");
    }
}

/// The kernel's version: tmpfs knows noswap since 6.4.
fn run_version() -> Vec<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    text.split(['.', '-']).take(2).map(|number| number.trim().parse().expect("a number")).collect()
}

#[test]
fn other_users_see_nothing() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        other() { setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"; }
        other true
        try files other ls /priv/factory/secure
        try file other cat /priv/factory/secure/server.key
        key=$(keyctl search @u user machine:luks)
        # In a session of its own: the script's leads to the user keyring, as root's does.
        try key other keyctl session - keyctl pipe "$key"
        "#,
    );
    run.ok();
    for name in ["files", "file", "key"] {
        assert_ne!(run.value(name), "0", "{name}: {run:#?}");
    }
    assert!(!run.stdout.contains("trust-"));
}

/// Namespaces that there were before see what is mounted later, if that is shared with them: the tmpfs is not.
#[test]
fn another_mount_namespace_does_not_see_the_tmpfs() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        # The program wants to see this uid.
        mount="setpriv --reuid 0 mount"
        $mount --make-shared /priv
        unshare --mount --propagation unchanged sleep 60 &
        peer=$!
        unshare --mount --propagation slave sleep 60 &
        slave=$!
        until [ "$(sort -u /proc/$peer/comm /proc/$slave/comm)" = sleep ]; do sleep 0.1; done
        trust setup
        mkdir /priv/other
        $mount -t tmpfs other /priv/other
        see() { echo "$1 $(grep -c " - tmpfs $2 " /proc/$3/mountinfo || true)"; }
        see here trust self
        for other in $peer $slave; do
            see other other $other
            see trust trust $other
            echo "files $(ls -A /proc/$other/root/priv/factory/secure | wc -w)"
        done
        kill $peer $slave
        "#,
    );
    let said = |name: &str| {
        let lines = run.ok().stdout.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.collect::<Vec<_>>()
    };
    assert_eq!((said("trust"), said("files")), (vec!["0"; 2], vec!["0"; 2]), "others see the tmpfs: {run:#?}");
    assert_eq!((said("here"), said("other")), (vec!["1"], vec!["1"; 2]), "a mount that is shared is seen: {run:#?}");
}

#[test]
fn without_options_secrets_are_published_in_the_default_places() {
    let machine = Machine::provisioned();
    machine
        .boot(
            Boot::Production,
            r#"
            cp -r "$PCR7DATA" /pcr7data
            echo a manifest CA >/manifestCA.pem
            env -i "$TRUST" setup --tcti "$TCTI"
            cmp /priv/factory/secure/manifestCA.pem /manifestCA.pem
            cmp /priv/factory/secure/server.key "$KEY"
            "#,
        )
        .ok();
}

#[test]
fn further_descriptions_hold_the_same_passphrase() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup --also-as cryptsetup --also-as other:name
        for name in machine:luks cryptsetup other:name; do secret "$name"; echo; done | sort -u | wc -l | sed 's/^/different /'
        echo "count $(keyctl rlist @u | wc -w)"
        "#,
    );
    run.ok();
    assert_eq!((run.value("different"), run.value("count")), ("1", "3"));
}

#[test]
fn keys_are_in_the_user_keyring_and_nowhere_else() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        keyctl unlink @u @s
        for command in preinit setup; do
            # An own session keyring, to see what the program leaves in it.
            keyctl session fresh env -i "$TRUST" "$command" --tcti "$TCTI" --pcr7data "$PCR7DATA" --on-lock-failure=exit || true
            echo "$command-session $(keyctl rlist @s)"
            echo "$command-user $(keyctl rlist @u | wc -w)"
            echo "$command-keys $(grep -c 'machine:luks' /proc/keys)"
            break
        done
        "#,
    );
    run.ok();
    assert_eq!((run.value("preinit-session"), run.value("preinit-user"), run.value("preinit-keys")), ("", "1", "1"));
}

#[test]
fn a_key_timeout_is_set_in_the_kernel() {
    let machine = Machine::provisioned();
    let script = "trust setup --key-timeout 1000\ngrep machine:luks /proc/keys | awk '{print \"expires\", $4}'";
    let run = machine.boot(Boot::Production, script);
    // /proc/keys counts in the largest unit: 1000 s are 16 minutes.
    assert_eq!(run.ok().value("expires"), "16m");
    let run = machine.boot(Boot::Production, &script.replace("--key-timeout 1000", ""));
    assert_eq!(run.ok().value("expires"), "perm");
}

#[test]
fn cryptsetup_opens_a_volume_by_its_token() {
    let machine = Machine::provisioned();
    let volume = machine.sandbox.dir().join("volume");
    fs::File::create(&volume).and_then(|file| file.set_len(32 << 20)).expect("writable");
    machine
        .boot(
            Boot::Production,
            r#"
            trust preinit
            secret machine:luks | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file - /sandbox/volume
            cryptsetup token add --key-description machine:luks /sandbox/volume
            "#,
        )
        .ok();
    let run = machine.boot(
        Boot::Production,
        r#"
        try before cryptsetup open --test-passphrase --token-only /sandbox/volume
        trust setup
        try after cryptsetup open --test-passphrase --token-only /sandbox/volume
        "#,
    );
    run.ok();
    assert_ne!(run.value("before"), "0", "without setup nothing opens it: {run:#?}");
    assert_eq!(run.value("after"), "0", "{run:#?}");
}
