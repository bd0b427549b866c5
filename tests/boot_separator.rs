//! systemd 261 and later extend PCR 7, too (`os-separator`), and log what they extend PCRs with. Before `trust` it is told;
//! afterwards it does no harm; and what `trust` extends is in the same log.

use harness::{Action, Banks, Boot, Digest, End, Identity, Machine, Run, Swtpm, cc, extend, hex, run, sha256};
use serde_json::Value;
use std::{
    fs::File,
    sync::{Arc, Mutex},
};

/// Where systemd has its log.
const LOG: &str = "/run/log/systemd/tpm2-measure.log";

fn separator() -> Digest {
    sha256(&[b"os-separator"])
}

fn lock() -> Digest {
    sha256(&[b"atomix\n"])
}

/// What `events` make of a production boot's PCR 7.
fn production(events: &[Digest]) -> String {
    hex(&events.iter().fold(Boot::Production.pcr7(), |pcr, event| extend(&pcr, event)))
}

/// A restart, the firmware's measurements, those of `events`, and a script.
fn boot_after(machine: &Machine, boot: Boot, events: &[Digest], script: &str) -> Run {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&boot.event());
    events.iter().for_each(|event| machine.tpm.extend_pcr7(event));
    machine.script(script)
}

#[test]
fn a_separator_before_the_lock_is_refused_and_named() {
    const WORDS: &str = "systemd has already extended PCR 7 with os-separator (systemd-pcrosseparator.service)";
    let machine = Machine::provisioned();
    for command in ["setup", "preinit"] {
        let script = format!("try status trust {command}\npublished");
        // After a first attempt it is no less so.
        for events in [vec![separator()], vec![separator(), lock()]] {
            let run = boot_after(&machine, Boot::Production, &events, &script);
            run.refused(12);
            assert!(run.stderr.contains(WORDS) && run.stderr.contains("Before="), "{run:#?}");
        }
    }
    let machine = Machine::new();
    let script = "try status trust provision $CERT $KEY\npublished";
    let run = boot_after(&machine, Boot::Limited, &[separator()], script);
    run.refused(12);
    assert!(run.stderr.contains(WORDS), "{run:#?}");
}

#[test]
fn an_earlier_lock_is_named_whatever_followed_it() {
    let machine = Machine::provisioned();
    for events in
        [vec![lock()], vec![lock(), lock()], vec![lock(), separator()], vec![lock(), separator(), lock(), lock()]]
    {
        let run = boot_after(&machine, Boot::Production, &events, "try status trust setup\npublished");
        run.refused(12);
        assert!(run.stderr.contains("PCR 7 has already been locked in this boot"), "{run:#?}");
    }
    // Whatever else it has been extended with is another boot.
    let run = boot_after(&machine, Boot::Production, &[sha256(&[b"os"])], "try status trust setup\npublished");
    run.refused(12);
    assert!(run.stderr.contains("is for PCR 7 ="), "{run:#?}");
}

/// By a process that ignores the log's lock: the secrets have been read, and PCR 7 is locked all the same. Where it does
/// not show what it must, it is extended once more.
#[test]
fn a_separator_next_to_the_lock_leaves_pcr_7_locked() {
    let machine = Machine::provisioned();
    for (command, after) in [("setup", false), ("setup", true), ("preinit", false), ("preinit", true), ("lock", true)] {
        let (raw, mut done) = (machine.tpm.raw(), false);
        let mut once = move || {
            if !done {
                raw.extend(7, &separator());
            }
            done = true;
        };
        if after {
            machine.wire.on_response(move |command, _| {
                if command.code() == cc::PCR_EVENT {
                    once();
                }
                Action::Forward
            });
        } else {
            machine.wire.on_command(move |command| {
                if command.code() == cc::PCR_EVENT {
                    once();
                }
                Action::Forward
            });
        }
        let run = machine.boot(Boot::Production, &format!("try status trust {command}\npublished"));
        machine.wire.be_honest();
        assert_eq!(run.status(), 0, "{run:#?}");
        assert_eq!(run.value("published") == "no", command == "lock", "{run:#?}");
        let events = if after { [lock(), separator(), lock()] } else { [separator(), lock(), lock()] };
        assert_eq!(machine.tpm.pcr("sha256", 7), production(&events), "{command}");
    }
}

/// A record of the log: what a bank was extended with, as the log has it.
fn digest<'a>(record: &'a Value, bank: &str) -> &'a str {
    let banks = record["digests"].as_array().unwrap();
    banks.iter().find(|entry| entry["hashAlg"] == bank).unwrap()["digest"].as_str().unwrap()
}

/// What `algorithm` makes of bytes in hexadecimal.
fn hash(algorithm: &str, bytes: &str) -> String {
    let script = "printf \"$(printf %s \"$1\" | sed 's/../\\\\x&/g')\" | \"$2sum\"";
    let line = run("bash", &["-c", script, "bash", bytes, algorithm]);
    line.split_whitespace().next().unwrap().to_owned()
}

/// Of every active one: a TPM tells the digests of those as well that it knows and does not have.
#[test]
fn the_lock_is_logged_with_the_digest_of_every_bank() {
    logged_in(Banks::Four);
    let machine = logged_in(Banks::Three);
    // A command that logs nothing makes no log.
    machine.boot(Boot::Production, &format!("trust setup\n! test -e {LOG}")).ok();
}

fn logged_in(banks: Banks) -> Machine {
    let machine = Machine::with(Swtpm::with_banks(banks), Identity::ec("P-256"));
    machine.provision();
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    let before = banks.names().iter().map(|bank| machine.tpm.pcr(bank, 7)).collect::<Vec<_>>();
    let script = format!(
        "mkdir -p /run/log/systemd\ntrust setup\ntrust lock\nstat -c 'mode %a' {LOG}\necho \"log $(base64 -w 0 {LOG})\""
    );
    let run = machine.script(&script);
    assert_eq!(run.ok().value("mode"), "600", "{run:#?}");
    let log = run.value("log");
    let log = harness::run("sh", &["-c", "printf %s \"$1\" | base64 -d", "sh", log]);
    let records: Vec<Value> = log
        .split_terminator('\n')
        .map(|line| serde_json::from_str(line.strip_prefix('\u{1e}').expect("RFC 7464")).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{log}");
    for (bank, before) in banks.names().iter().zip(before) {
        let replayed = records.iter().fold(before, |pcr, record| hash(bank, &(pcr + digest(record, bank))));
        assert_eq!(replayed, machine.tpm.pcr(bank, 7), "{bank}: {log}");
    }
    for record in &records {
        assert_eq!((&record["pcr"], &record["content"]["string"]), (&7.into(), &"atomix\n".into()), "{log}");
        let named = record["digests"].as_array().unwrap().iter().map(|digest| digest["hashAlg"].as_str().unwrap());
        assert_eq!(named.collect::<Vec<_>>(), banks.names(), "{log}");
    }
    machine
}

/// From the first read of PCR 7 to the last one, no process that would extend a PCR can take the log's lock.
#[test]
fn the_log_is_locked_while_pcr_7_must_not_change() {
    let machine = Machine::provisioned();
    for command in ["setup", "preinit", "lock"] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let tried = seen.clone();
        machine.wire.on_command(move |command| {
            if [cc::PCR_READ, cc::PCR_EVENT].contains(&command.code()) {
                let pid = command.sender.expect("a unix socket");
                let log = File::open(format!("/proc/{pid}/root{LOG}"));
                tried.lock().unwrap().push(log.map(|log| log.try_lock().is_ok()).ok());
            }
            Action::Forward
        });
        machine
            .boot(Boot::Production, &format!("mkdir -p /run/log/systemd\ntrust {command}\nflock -n {LOG} true"))
            .ok();
        machine.wire.be_honest();
        assert_eq!(*seen.lock().unwrap(), [Some(false); 3], "{command}");
    }
}

/// Whatever is in the place of the log, PCR 7 is locked, and the path is neither followed nor waited for.
#[test]
fn an_unusable_log_does_not_prevent_the_lock() {
    let machine = Machine::provisioned();
    let attempt = |what: &str, command: &str| {
        let script = format!(
            "mkdir -p /run/log/systemd\n{what}\ntry status trust {command}\npublished\n! test -e /run/elsewhere"
        );
        let run = machine.boot(Boot::Production, &script);
        let done = run.stdout.starts_with("status 0\n") && run.end == End::Exit(0);
        assert!(done, "{what}: {run:#?}");
        assert_eq!(run.value("published") == "no", command.starts_with("lock"), "{what}: {run:#?}");
        assert_eq!(machine.tpm.pcr("sha256", 7), production(&[lock()]), "{what}");
        assert!(run.stderr.contains("does not say that PCR 7 is locked"), "{what}: {run:#?}");
    };
    for what in [
        "ln -s /run/elsewhere LOG",
        "mkfifo LOG",
        "mkfifo LOG; exec 9<>LOG",
        "mkdir LOG",
        "ln -s /dev/full LOG",
        "touch LOG; exec 9<LOG; flock 9",
    ] {
        attempt(&what.replace("LOG", LOG), "setup");
    }
    // There is no room for it.
    attempt("ulimit -S -f 0", "lock; ulimit -S -f unlimited");
}

/// `systemd-tpm2-setup` would define an index for each NvPCR at every boot, with the owner's empty password.
#[test]
fn failed_attempts_of_systemd_tpm2_setup_count_towards_no_lockout() {
    let machine = Machine::provisioned();
    machine.boot(Boot::Production, "trust setup").ok();
    let before = machine.tpm.failed_attempts();
    for _ in 0..3 {
        let said =
            machine.tpm.tools().fails("nvdefine", &["0x1d10200", "-C", "o", "-a", "nt=extend|authread|authwrite"]);
        assert!(said.contains("auth"), "{said}");
    }
    assert_eq!(machine.tpm.failed_attempts(), before);
}
