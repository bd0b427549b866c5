//! No secret where it does not belong: on the wire, in argv, in the memory of a process that ends, in a message.

use harness::{Action, Boot, Machine, Remains, Witness, find, read_with_tools};
use std::{
    fs,
    sync::{Arc, Mutex},
};

/// The secrets of a machine, by name, as needles to search for.
fn secrets(machine: &Machine) -> Vec<(&'static str, Vec<u8>)> {
    let read = |boot: Boot, key: &str, index: &str| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        read_with_tools(&machine.tpm, &machine.keyset, boot, key, index)
    };
    // A PEM key may be found by any of its lines but the first and the last; a line goes over the wire as it is.
    let key = fs::read_to_string(machine.identity.key()).expect("made");
    let line = |n: usize| key.lines().nth(n).expect("a key has many lines").as_bytes()[8..40].to_vec();
    vec![
        ("admin password", read(Boot::Tpm, "admin", "0x1500001")[4..28].to_vec()),
        ("OS passphrase", read(Boot::Production, "luks", "0x1500040")[6..].to_vec()),
        ("SBS passphrase", read(Boot::Production, "luks", "0x1500030")[6..].to_vec()),
        ("key, at its beginning", line(2)),
        ("key, in its middle", line(key.lines().count() / 2)),
        ("key, at its end", line(key.lines().count() - 3)),
    ]
}

/// A search finds what is there: the certificate's text, in the clear, where nothing hides it.
#[test]
fn nothing_secret_crosses_the_wire() {
    let machine = Machine::new();
    machine.wire.take();
    machine.provision();
    let provisioning = machine.wire.bytes();
    let initial = secrets(&machine);
    machine.wire.take();
    machine.boot(Boot::Production, "trust preinit").ok();
    let installing = machine.wire.bytes();
    machine.wire.take();
    machine.boot(Boot::Production, "trust setup").ok();
    let booting = machine.wire.bytes();
    let renewed = secrets(&machine);
    assert_ne!(initial[1].1, renewed[1].1, "preinit makes a new passphrase");

    for (what, bytes) in [("provision", provisioning), ("preinit", installing), ("setup", booting)] {
        assert!(bytes.len() > 3000, "{what}: only {} bytes were recorded", bytes.len());
        for (name, secret) in initial.iter().chain(&renewed) {
            assert!(find(&bytes, secret).is_none(), "{what}: the {name} crosses the wire in clear");
        }
    }
}

/// The same search finds all of it when tpm2-tools read the same indices: it can find something.
#[test]
fn the_search_finds_what_tpm2_tools_let_everybody_see() {
    let machine = Machine::provisioned();
    let secrets = secrets(&machine);
    machine.tpm.tools().wire().take();
    for index in ["0x1500022", "0x1500030", "0x1500040"] {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        read_with_tools(&machine.tpm, &machine.keyset, Boot::Production, "luks", index);
    }
    let bytes = machine.tpm.tools().wire().bytes();
    for (name, secret) in &secrets[1..] {
        assert!(find(&bytes, secret).is_some(), "the search misses the {name}");
    }
}

/// What is left of the program when it ends, in the boot that `script` runs in.
fn remains(machine: &Machine, boot: Boot, script: &str) -> Remains {
    let witness = Arc::new(Mutex::new(None));
    let hook = witness.clone();
    machine.wire.on_command(move |command| {
        let mut witness = hook.lock().expect("no panic");
        if witness.is_none() {
            *witness = Some(Witness::attach(command.sender.expect("a unix socket")));
        }
        Action::Forward
    });
    let run = machine.boot(boot, script);
    machine.wire.be_honest();
    assert!(run.announced, "{run:#?}");
    let witness = witness.lock().expect("no panic").take().expect("it was attached to");
    witness.remains()
}

fn clean(machine: &Machine, what: &str, remains: &Remains, secrets: &[(&str, Vec<u8>)]) {
    let sizes: usize = remains.memory.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(sizes > 10_000, "{what}: only {sizes} bytes of memory were seen");
    // The search can find something: the name of the socket is in the memory of the program.
    let socket = machine.wire.tcti();
    let socket = socket.trim_start_matches("swtpm:path=").as_bytes();
    assert!(remains.memory.iter().any(|(_, bytes)| find(bytes, socket).is_some()), "{what}: argv is not found");
    for (name, secret) in secrets {
        for (mapping, bytes) in &remains.memory {
            assert!(find(bytes, secret).is_none(), "{what}: the {name} is left in {mapping}");
        }
        assert!(find(&remains.cmdline, secret).is_none() && find(&remains.environ, secret).is_none(), "{what}: {name}");
    }
    let core = remains.limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{what}: {core}");
    assert!(remains.environ.is_empty(), "{what}: the environment was empty");
}

#[test]
fn nothing_secret_is_left_in_memory() {
    let machine = Machine::new();
    let provision = remains(&machine, Boot::Limited, "trust provision $CERT $KEY");
    let initial = secrets(&machine);
    clean(&machine, "provision", &provision, &initial);
    let setup = remains(&machine, Boot::Production, "trust setup");
    clean(&machine, "setup", &setup, &initial);
    let preinit = remains(&machine, Boot::Production, "trust preinit");
    clean(&machine, "preinit", &preinit, &initial);
    clean(&machine, "preinit", &preinit, &secrets(&machine));
}

/// After a failure too: the secrets had been read when the lock was refused.
#[test]
fn nothing_secret_is_left_in_memory_after_a_failure() {
    let machine = Machine::provisioned();
    let secrets = secrets(&machine);
    let witness = Arc::new(Mutex::new(None));
    let hook = witness.clone();
    machine.wire.on_command(move |command| {
        let mut witness = hook.lock().expect("no panic");
        if witness.is_none() {
            *witness = Some(Witness::attach(command.sender.expect("a unix socket")));
        }
        match command.code() {
            harness::cc::PCR_EVENT | harness::cc::PCR_EXTEND => Action::Close,
            _ => Action::Forward,
        }
    });
    machine.boot(Boot::Production, "try status trust setup\npublished").refused(16);
    machine.wire.be_honest();
    let remains = witness.lock().expect("no panic").take().expect("it was attached to").remains();
    clean(&machine, "setup", &remains, &secrets);
}

#[test]
fn nothing_secret_is_said() {
    let machine = Machine::new();
    let mut said = String::new();
    for (boot, script) in [
        (Boot::Limited, "trust provision --verbose $CERT $KEY"),
        (Boot::Production, "trust preinit --verbose"),
        (Boot::Production, "trust setup --verbose"),
        (Boot::Production, "trust lock --verbose"),
    ] {
        let run = machine.boot(boot, script);
        run.ok();
        said.extend([run.stdout, run.stderr, run.kmsg, run.console]);
    }
    assert!(said.lines().count() > 20, "--verbose says what is done: {said}");
    for (name, secret) in secrets(&machine) {
        assert!(find(said.as_bytes(), &secret).is_none(), "the {name} is said");
    }
    assert!(!said.contains("trust-"), "{said}");
}

#[test]
fn no_file_but_those_of_the_tmpfs() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        trust setup
        passphrase=$(secret machine:luks)
        # Everything that is new in this boot, but the tmpfs.
        echo "elsewhere $(grep -rlF -e "$passphrase" -e "$(sed -n 5p "$KEY")" /run /dev/shm /priv 2>/dev/null | tr '\n' ' ')"
        "#,
    );
    run.ok();
    assert_eq!(run.value("elsewhere").trim(), "/priv/factory/secure/server.key");
}
