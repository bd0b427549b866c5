//! `finish`: nothing that `setup` has published is left. `setup --exec`: what comes next finds a process like any other.

use harness::{Boot, Machine};

#[test]
fn finish_withdraws_every_secret() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup --also-as cryptsetup
        key=$(keyctl search @u user machine:luks)
        # Another process holds it in its own keyring, too.
        ring=$(keyctl newring holder @s)
        keyctl link "$key" "$ring"
        env -i "$TRUST" finish --also-as cryptsetup --verbose
        # It gets nothing for it any more.
        try key keyctl pipe "$key"
        keyctl unlink "$ring" @s
        published
        echo "mounts $(grep -c /priv/factory /proc/self/mountinfo || true)"
        try again env -i "$TRUST" finish --also-as cryptsetup
        "#,
    );
    run.ok();
    assert_eq!((run.value("published"), run.value("mounts"), run.value("again")), ("no", "0", "0"), "{run:#?}");
    assert_ne!(run.value("key"), "0");
    assert!(run.stderr.contains("2 keys revoked, 2 mounts removed"), "{run:#?}");
    assert!(!run.stdout.contains("trust-"), "no passphrase: {run:#?}");
}

#[test]
fn finish_withdraws_secrets_from_a_busy_tmpfs_without_waiting() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        cd /priv/factory/secure
        exec 8<server.key
        env -i "$TRUST" finish
        echo "left $(ls -A /priv/factory/secure . | grep -c server || true)"
        echo "held $(wc -c <&8)"
        published
        "#,
    );
    assert_eq!((run.ok().value("left"), run.value("published")), ("0", "no"), "{run:#?}");
    assert_eq!(run.value("held"), "0", "{run:#?}");
}

/// Units of systemd do that when a boot comes to nothing.
#[test]
fn concurrent_finishes_all_succeed() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        place=/priv/factory/secure
        # The program wants to see this uid.
        mount="setpriv --reuid 0 mount"
        mkdir -p $place
        for round in $(seq 50); do
            keyctl add user machine:luks secret @u >/dev/null
            $mount --bind $place $place
            $mount --make-private $place
            $mount -t tmpfs -o mode=0700 tmpfs $place
            for file in server.crt server.key manifestCA.pem; do head -c 2000 /dev/zero >$place/$file; done
            pids=
            for n in 1 2 3 4; do
                env -i "$TRUST" finish & pids="$pids $!"
            done
            for pid in $pids; do wait "$pid" || echo "failed $?"; done
            [ -z "$(keyctl rlist @u)" ]
            [ -z "$(grep $place /proc/self/mountinfo)" ]
        done
        published
        "#,
    );
    assert_eq!((run.ok().value("published"), run.stderr.as_str()), ("no", ""), "{run:#?}");
    assert!(!run.stdout.contains("failed"), "{run:#?}");
}

#[test]
fn finish_can_leave_the_identity() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        env -i "$TRUST" finish --keep-files
        cmp /priv/factory/secure/server.key "$KEY"
        [ -z "$(keyctl rlist @u)" ]
        "#,
    );
    run.ok();
}

#[test]
fn finish_without_published_secrets_succeeds() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        try nothing env -i "$TRUST" finish
        # Not ours, and not below the directory.
        keyctl add user other secret @u >/dev/null
        mkdir -p /priv/factory/secure
        try still env -i "$TRUST" finish
        echo "other $(keyctl pipe "$(keyctl search @u user other)")"
        "#,
    );
    run.ok();
    assert_eq!((run.value("nothing"), run.value("still"), run.value("other")), ("0", "0", "secret"));
}

#[test]
fn the_executed_program_inherits_no_hardening() {
    let machine = Machine::provisioned();
    let script = r#"for field in SigBlk SigIgn NoNewPrivs Seccomp; do grep $field: /proc/self/status; done; echo mask $(umask) core $(ulimit -c) $(ulimit -H -c)"#;
    let run = machine.boot(
        Boot::Production,
        &format!(
            r#"
            umask 0022
            ulimit -S -c 1000
            next='{script}'
            bash -c "$next" >/run/plain
            trust setup --exec /bin/bash -c "$next" >/run/next
            diff /run/plain /run/next
            cmp /priv/factory/secure/server.key "$KEY"
            published
            "#
        ),
    );
    assert_eq!(run.ok().value("published"), " keyring mount file", "{run:#?}");
}

#[test]
fn a_program_that_cannot_be_executed_gets_no_secrets() {
    let machine = Machine::provisioned();
    machine.boot(Boot::Production, "try status trust setup --exec /nonsense argument\npublished").refused(15);
    // An argument of the next program is not one of ours.
    let run = machine.boot(Boot::Production, "trust setup --exec /bin/echo --wait nonsense -- --exec");
    assert_eq!(run.ok().stdout, "--wait nonsense -- --exec\n");
    machine.boot(Boot::Production, "try status trust setup --exec\npublished").refused(2);
}
