//! No secret where it does not belong: on the wire, in argv, in the memory of a process that ends, in a message.

use harness::{
    Action, Boot, Identity, Machine, MemoryProbe, SecretSearch, Snapshot, Swtpm, cc, find, read_with_tools, unhex,
};
use std::{
    fs,
    sync::{Arc, Mutex},
};

/// The secrets of a machine, by name, as search to search for.
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

/// Adds a password that is hex digits, with or without the public prefix, and the bytes that it was made from.
fn add(search: &mut SecretSearch, name: &'static str, password: &[u8]) {
    let digits = password.strip_prefix(b"trust-").unwrap_or(password);
    assert!(digits.len() >= 32, "{} digits are a secret", digits.len());
    search.add(name, digits).add(name, &unhex(str::from_utf8(digits).expect("digits")));
}

/// Adds what the TPM holds.
fn add_contents(search: &mut SecretSearch, machine: &Machine) {
    for (name, boot, key, index) in [
        ("admin password", Boot::Tpm, "admin", "0x1500001"),
        ("OS passphrase", Boot::Production, "luks", "0x1500040"),
        ("SBS passphrase", Boot::Production, "luks", "0x1500030"),
    ] {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        add(search, name, &read_with_tools(&machine.tpm, &machine.keyset, boot, key, index));
    }
}

/// A machine that has not been provisioned, and what only its private key has.
fn new_machine(identity: Identity) -> (Machine, SecretSearch) {
    let (machine, mut search) = (Machine::with(Swtpm::new(), identity), SecretSearch::new());
    for number in machine.identity.private_numbers() {
        search.add("private key", &number);
    }
    (machine, search)
}

/// A machine's life, with each secret looked for in each part of it, in pieces of eight bytes.
#[test]
fn nothing_secret_crosses_the_wire() {
    for identity in [Identity::rsa(2048), Identity::ec("P-256")] {
        let (machine, mut search) = new_machine(identity);
        let mut heard = Vec::new();
        let mut hear = |what: &'static str, least: usize| {
            let bytes = machine.wire.bytes();
            machine.wire.take();
            assert!(bytes.len() > least, "{what}: only {} bytes were recorded", bytes.len());
            heard.push((what, bytes));
        };
        machine.wire.take();
        // Cut off at the last of three, which is the owner's: the next run uses the password of this one.
        let mut passwords = 0;
        machine.wire.on_command(move |command| {
            passwords += usize::from(command.code() == cc::HIERARCHY_CHANGE_AUTH);
            if passwords == 3 { Action::Close } else { Action::Forward }
        });
        assert_eq!(machine.boot(Boot::Limited, "try status trust provision $CERT $KEY").status(), 16);
        machine.wire.be_honest();
        hear("provision that is cut off", 3000);
        machine.tpm.tools().ok("nvread", &["0x1500001", "-C", "o", "-o", "password"]);
        let password = fs::read(machine.tpm.tools().dir().join("password")).expect("written");
        add(&mut search, "first admin password", &password);
        machine.provision();
        hear("provision that goes on", 3000);
        machine.provision();
        hear("provision again", 500);
        add_contents(&mut search, &machine);
        machine.boot(Boot::Production, "trust preinit").ok();
        hear("preinit", 2000);
        machine.boot(Boot::Production, "trust setup\nenv -i $TRUST finish --tcti $TCTI --key-to-tpm").ok();
        hear("setup and finish --key-to-tpm", 5000);
        // The passphrase is another one by now.
        add_contents(&mut search, &machine);
        machine.wire.take();
        machine.boot(Boot::Tpm, "trust raise 0002").ok();
        hear("raise", 1500);
        for (what, bytes) in heard {
            assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear: {what}");
        }
    }
}

/// The same search finds all of it when tpm2-tools read the same indices: it can find something.
#[test]
fn the_search_finds_secrets_in_the_traffic_of_tpm2_tools() {
    let (machine, mut search) = new_machine(Identity::rsa(2048));
    machine.provision();
    machine.tpm.tools().wire().take();
    add_contents(&mut search, &machine);
    read_with_tools(&machine.tpm, &machine.keyset, Boot::Production, "luks", "0x1500022");
    let bytes = machine.tpm.tools().wire().bytes();
    let found = search.found(&bytes);
    println!("percent: {found:?}");
    for name in ["admin password", "OS passphrase", "SBS passphrase", "private key"] {
        // The ends of lines part some pieces of a key.
        assert!(found.get(name).is_some_and(|percent| *percent > 75), "the search misses the {name}: {found:?}");
    }
}

/// What is left of the program when it ends, in the boot that `script` runs in.
fn remains(machine: &Machine, boot: Boot, script: &str) -> Snapshot {
    let memory_probe = Arc::new(Mutex::new(None));
    let hook = memory_probe.clone();
    machine.wire.on_command(move |command| {
        let mut memory_probe = hook.lock().expect("no panic");
        if memory_probe.is_none() {
            *memory_probe = Some(MemoryProbe::attach(command.sender.expect("a unix socket")));
        }
        Action::Forward
    });
    // Where core dumps are off anyway, there is nothing to switch off.
    let run = machine.boot(boot, &format!("ulimit -S -c \"$(ulimit -H -c)\"\n{script}"));
    machine.wire.be_honest();
    assert!(run.announced, "{run:#?}");
    let memory_probe = memory_probe.lock().expect("no panic").take().expect("it was attached to");
    memory_probe.remains()
}

fn clean(machine: &Machine, what: &str, remains: &Snapshot, secrets: &[(&str, Vec<u8>)]) {
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
    let raise = remains(&machine, Boot::Tpm, "trust raise 0002");
    clean(&machine, "raise", &raise, &initial);
}

/// After a failure too: the secrets had been read when the lock was refused.
#[test]
fn nothing_secret_is_left_in_memory_after_a_failure() {
    let machine = Machine::provisioned();
    let secrets = secrets(&machine);
    let memory_probe = Arc::new(Mutex::new(None));
    let hook = memory_probe.clone();
    machine.wire.on_command(move |command| {
        let mut memory_probe = hook.lock().expect("no panic");
        if memory_probe.is_none() {
            *memory_probe = Some(MemoryProbe::attach(command.sender.expect("a unix socket")));
        }
        match command.code() {
            cc::PCR_EVENT | cc::PCR_EXTEND => Action::Close,
            _ => Action::Forward,
        }
    });
    machine.boot(Boot::Production, "try status trust setup\npublished").refused(16);
    machine.wire.be_honest();
    let remains = memory_probe.lock().expect("no panic").take().expect("it was attached to").remains();
    clean(&machine, "setup", &remains, &secrets);
}

#[test]
fn nothing_secret_is_printed() {
    let machine = Machine::new();
    let mut said = String::new();
    for (boot, script) in [
        (Boot::Limited, "trust provision --verbose $CERT $KEY"),
        (Boot::Production, "trust preinit --verbose"),
        (Boot::Production, "trust setup --verbose"),
        (Boot::Production, "trust lock --verbose"),
        // What it was before.
        (Boot::Tpm, "trust raise --verbose 0001"),
    ] {
        let run = machine.boot(boot, script);
        run.ok();
        said.extend([run.stdout, run.stderr, run.kmsg, run.console]);
    }
    // With the secrets in hand, and nothing to do with them.
    machine.wire.on_command(|command| if command.code() == cc::PCR_EVENT { Action::Close } else { Action::Forward });
    let run = machine.attempt("setup --verbose");
    assert_eq!(run.status(), 16, "{run:#?}");
    said.extend([run.stderr, run.kmsg, run.console]);
    machine.wire.be_honest();
    assert!(said.lines().count() > 20, "--verbose says what is done: {said}");
    for (name, secret) in secrets(&machine) {
        assert!(find(said.as_bytes(), &secret).is_none(), "the {name} is said");
    }
    assert!(!said.contains("trust-"), "{said}");
}

#[test]
fn secrets_are_in_no_file_outside_the_tmpfs() {
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
