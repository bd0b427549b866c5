//! The memory of a program that has read the secrets: one copy of each, locked, which no other process may read.
#![cfg(target_arch = "x86_64")]

use harness::{Action, Boot, Identity, Machine, MemoryProbe, Snapshot, Swtpm, cc, find, read_with_tools};
use nix::libc;
use std::{
    fs,
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

/// What begins a part of publishing.
const CALLS: &[i64] = &[libc::SYS_fsopen, libc::SYS_add_key, libc::SYS_move_mount];

/// A moment, and what the program was then.
type Phase = (&'static str, Snapshot);

/// What a program is when it says these to its TPM, when it begins to publish, and at its end.
fn phases(machine: &Machine, boot: Boot, script: &str, commands: &'static [(u32, &'static str)]) -> Vec<Phase> {
    let (seen, memory_probe) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
    let (see, follow) = (seen.clone(), memory_probe.clone());
    machine.wire.on_command(move |command| {
        if let Some((code, name)) = commands.iter().find(|(code, _)| *code == command.code()) {
            let pid = command.sender.expect("a unix socket");
            // It waits for the answer, which it gets when it has been looked at.
            see.lock().expect("no panic").push((*name, Snapshot::of(pid)));
            if *code == cc::PCR_EVENT {
                *follow.lock().expect("no panic") = Some(MemoryProbe::attach_at(pid, CALLS));
            }
        }
        Action::Forward
    });
    machine.boot(boot, script).ok();
    machine.wire.be_honest();
    let mut phases: Vec<Phase> = std::mem::take(&mut *seen.lock().expect("no panic"));
    let memory_probe = memory_probe.lock().expect("no panic").take().expect("PCR 7 was locked");
    phases.extend(memory_probe.all().into_iter().map(|(call, remains)| {
        let name = match call {
            Some(libc::SYS_fsopen) => "the tmpfs is made",
            Some(libc::SYS_add_key) => "the passphrase is published",
            Some(_) => "the files are published",
            None => "end",
        };
        (name, remains)
    }));
    phases
}

/// What only the private key has of lines of 64 characters: its first number is the public one.
fn lines(identity: &Identity) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(identity.key()).expect("made");
    let long: Vec<_> = text.lines().filter(|line| line.len() == 64 && !line.starts_with('-')).collect();
    assert!(long.len() > 12, "a key of RSA has many lines");
    long[10..].iter().map(|line| line.as_bytes()[8..56].to_vec()).collect()
}

fn passphrase(machine: &Machine) -> Vec<u8> {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    read_with_tools(&machine.tpm, &machine.keyset, Boot::Production, "luks", "0x1500040")[6..].to_vec()
}

/// How often it is in there, on the stack and elsewhere.
fn copies(remains: &Snapshot, secret: &[u8]) -> (usize, usize) {
    let (mut stack, mut elsewhere) = (0, 0);
    for (mapping, bytes) in &remains.memory {
        let count = if mapping.ends_with("[stack]") { &mut stack } else { &mut elsewhere };
        let mut rest = &bytes[..];
        while let Some(at) = find(rest, secret) {
            *count += 1;
            rest = &rest[at + 1..];
        }
    }
    (stack, elsewhere)
}

/// `setup` looked at: before the first secret, with the first, locked, when each part is published, at its end.
#[test]
fn a_secret_is_in_memory_once_and_then_wiped() {
    let machine = Machine::with(Swtpm::new(), Identity::rsa(2048));
    machine.provision();
    let (passphrase, key) = (passphrase(&machine), lines(&machine.identity));
    let commands = &[
        (cc::LOAD_EXTERNAL, "nothing is read yet"),
        (cc::PCR_EVENT, "everything is read"),
        (cc::SHUTDOWN, "PCR 7 is locked"),
    ];
    let phases = phases(&machine, Boot::Production, "trust setup", commands);
    let names: Vec<_> = phases.iter().map(|(name, _)| *name).collect();
    let [read, locked, made, published, bound, attached, end] = names[1..] else { panic!("{names:?}") };
    assert_eq!(
        (names[0], read, locked, made, published, bound, attached, end),
        (
            "nothing is read yet",
            "everything is read",
            "PCR 7 is locked",
            "the tmpfs is made",
            "the passphrase is published",
            "the files are published",
            "the files are published",
            "end"
        )
    );
    for (phase, remains) in &phases {
        assert_eq!(remains.unlocked, [""; 0], "memory that may be swapped out when {phase}");
        let before_or_after = ["nothing is read yet", "end"].contains(phase);
        for (name, secret) in key.iter().map(|line| ("private key", line)).chain([("passphrase", &passphrase)]) {
            let (stack, elsewhere) = copies(remains, secret);
            assert_eq!(stack, 0, "the {name} is on the stack when {phase}");
            if before_or_after {
                assert_eq!(elsewhere, 0, "the {name} is in memory: {phase}");
            } else if ["everything is read", "PCR 7 is locked"].contains(phase) {
                // tpm2-tss still has its last answer.
                assert!([1, 2].contains(&elsewhere), "{elsewhere} copies of the {name} when {phase}");
            } else {
                assert_eq!(elsewhere, 1, "copies of the {name} when {phase}");
            }
        }
    }
}

#[test]
fn a_new_passphrase_is_in_memory_once_and_then_wiped() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    let commands = &[(cc::PCR_EVENT, "PCR 7 is locked")];
    let phases = phases(&machine, Boot::Production, "trust preinit", commands);
    let passphrase = passphrase(&machine);
    let found: Vec<_> = phases.iter().map(|(phase, remains)| (*phase, copies(remains, &passphrase))).collect();
    let expected = [("PCR 7 is locked", (0, 1)), ("the passphrase is published", (0, 1)), ("end", (0, 0))];
    assert_eq!(found, expected, "copies on the stack and elsewhere");
}

/// What `provision` has made and was given is gone from the stack before the lock, and from everywhere at the end.
#[test]
fn provisioned_secrets_are_wiped_from_memory() {
    let machine = Machine::with(Swtpm::new(), Identity::rsa(2048));
    let commands = &[(cc::PCR_EVENT, "PCR 7 is locked")];
    let phases = phases(&machine, Boot::Limited, r#"trust provision "$CERT" "$KEY""#, commands);
    let passphrase = passphrase(&machine);
    for secret in lines(&machine.identity).iter().chain([&passphrase]) {
        let [(_, locked), (_, end)] = &phases[..] else { panic!("{} phases", phases.len()) };
        assert_eq!(copies(locked, secret).0, 0, "a secret is on the stack when PCR 7 is locked");
        assert_eq!(copies(end, secret), (0, 0), "a secret is in memory at the end");
    }
}

/// A process of the same uid with the same capabilities, but those to read any process' memory, tries while the program
/// has the secrets.
#[test]
fn other_processes_cannot_read_its_memory() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    let (has_them, looked) = (machine.sandbox.dir().join("has-them"), machine.sandbox.dir().join("looked"));
    machine.wire.on_command(move |command| {
        if command.code() == cc::PCR_EVENT {
            fs::write(&has_them, command.sender.expect("a unix socket").to_string()).expect("a writable directory");
            let start = Instant::now();
            while !looked.exists() && start.elapsed() < Duration::from_secs(60) {
                sleep(Duration::from_millis(10));
            }
        }
        Action::Forward
    });
    let run = machine.boot(
        Boot::Production,
        r#"
        without=-sys_ptrace,-perfmon,-sys_admin
        less="setpriv --inh-caps=$without --ambient-caps=$without --bounding-set=$without"
        look() {
            for file in environ maps mem; do
                try "$1-$file" $less dd if=/proc/$2/$file of=/dev/null count=0 status=none
            done
            try "$1-trace" $less timeout --preserve-status 2 strace -qq -o /dev/null -e trace=none -p $2
        }
        $less sleep 60 &
        # Until then it has what the other process lacks, and is closed to it as well.
        until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.1; done
        look sleep $!
        ulimit -S -c "$(ulimit -H -c)"
        $less env -i "$TRUST" preinit --tcti "$TCTI" --pcr7data "$PCR7DATA" --on-lock-failure=exit &
        until [ -s /sandbox/has-them ]; do sleep 0.1; done
        look trust $!
        echo "core $(grep '^Max core file size' /proc/$!/limits | awk '{ print $5 }')"
        touch /sandbox/looked
        wait $!
        published
        "#,
    );
    assert_eq!(run.ok().value("published"), " keyring", "{run:#?}");
    // Some kernels allow only the parent to trace.
    for way in ["environ", "maps"] {
        assert_eq!(run.value(&format!("sleep-{way}")), "0", "an attack that never succeeds proves nothing: {run:#?}");
    }
    for way in ["environ", "maps", "mem", "trace"] {
        assert_ne!(run.value(&format!("trust-{way}")), "0", "another process reads its {way}: {run:#?}");
    }
    assert_eq!(run.value("core"), "0", "it may leave a core");
}
