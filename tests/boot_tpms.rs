//! Kinds of TPMs and ways to reach them.

use harness::{Banks, Boot, Identity, Interposer, Machine, Swtpm, Transport, cc, rc};
use std::{collections::HashSet, fs, os::unix::fs::symlink, thread, time::Duration};

const WHOLE_JOB: &str =
    "trust setup\ncmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";

#[test]
fn a_small_nv_buffer_is_read_in_pieces() {
    let machine = Machine::new();
    machine.wire.limit_nv_buffer(512);
    machine.provision();
    machine.wire.take();
    machine.boot(Boot::Production, WHOLE_JOB).ok();
    let sizes = [&machine.identity.cert(), &machine.identity.key()].map(|path| fs::metadata(path).expect("made").len());
    let least: u64 = sizes.iter().map(|size| size.div_ceil(512)).sum();
    let reads = machine.wire.counts()[&cc::NV_READ] as u64;
    assert!(reads > least, "{reads} reads for {sizes:?} bytes, passphrase and layout version");
}

#[test]
fn every_bank_is_locked() {
    let machine = Machine::with(Swtpm::with_banks(Banks::Four), Identity::ec("P-256"));
    machine.provision();
    machine.boot(Boot::Production, WHOLE_JOB).ok();
    // What the firmware had put there, then the lock: hash(hash(zeros || event) || hash("atomix\n")), says openssl.
    let event = harness::hex(&Boot::Production.event());
    for (bank, size) in [("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64)] {
        let event: String = event.chars().cycle().take(size * 2).collect();
        let script = format!(
            "hash() {{ openssl {bank} -binary; }}
            bytes() {{ perl -e 'print pack(q(H*), shift)' \"$1\"; }}
            {{ {{ head -c {size} /dev/zero; bytes {event}; }} | hash; printf 'atomix\\n' | hash; }} | openssl {bank} -r"
        );
        let expected = harness::run("sh", &["-c", &script]);
        assert_eq!(machine.tpm.pcr(bank, 7), expected.split(' ').next().expect("a digest"), "{bank}");
    }
}

/// A machine whose TPM is reached by another front of the interposer.
fn by(transport: Transport) {
    let mut machine = Machine::new();
    let wire = Interposer::with_front(&machine.tpm, transport);
    machine.sandbox.set("TCTI", wire.tcti());
    machine.provision();
    machine.boot(Boot::Production, WHOLE_JOB).ok();
    assert!(wire.counts().contains_key(&cc::NV_READ), "{transport:?} was not used");
}

#[test]
fn a_tpm_is_reached_by_tcp() {
    by(Transport::Tcp);
}

#[test]
fn a_tpm_is_reached_by_the_simulators_protocol() {
    by(Transport::Mssim);
}

#[test]
fn a_tpm_is_reached_by_a_character_device() {
    by(Transport::Device);
}

#[test]
fn swtpm_is_reached_without_a_relay() {
    for tpm in [Swtpm::new(), Swtpm::on_tcp()] {
        let mut machine = Machine::with(tpm, Identity::ec("P-256"));
        let tcti = machine.tpm.tcti();
        machine.sandbox.set("TCTI", tcti);
        machine.provision();
        machine.boot(Boot::Production, WHOLE_JOB).ok();
    }
}

#[test]
fn a_tpm_that_appears_late_is_waited_for() {
    let mut machine = Machine::provisioned();
    let late = machine.sandbox.dir().join("late");
    machine.sandbox.set("TCTI", "swtpm:path=/sandbox/late");
    let socket = machine.wire.tcti().trim_start_matches("swtpm:path=").to_owned();
    // The script says when the program has begun to wait; only then does the TPM appear.
    let begun = machine.sandbox.dir().join("begun");
    let appear = thread::spawn(move || {
        while !begun.exists() {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(300));
        symlink(socket, late).expect("writable");
    });
    machine.boot(Boot::Production, &format!("touch /sandbox/begun\n{WHOLE_JOB}")).ok();
    appear.join().expect("it appeared");
}

#[test]
fn an_absent_tpm_is_refused_in_bounded_time() {
    let machine = Machine::new();
    for tcti in
        ["swtpm:path=/nowhere", "swtpm:host=127.0.0.1,port=1", "mssim:host=127.0.0.1,port=1", "device:/dev/tpm7"]
    {
        for command in ["setup", "preinit", "lock", "provision $CERT $KEY"] {
            let run = machine.script(&format!("TCTI={tcti}\ntry status trust {command} --wait 1\npublished"));
            run.refused(10);
        }
    }
    // With `--wait 0` it is not waited for; its answers are all the same.
    machine.script("TCTI=device:/dev/tpm7\ntry status trust setup --wait 0\npublished").refused(10);
    machine.provision();
    assert_eq!(machine.attempt("setup --wait 0").status(), 0);
    // A file, a directory and a terminal that is no TPM are none either.
    for tcti in ["device:/etc/passwd", "device:/", "device:/dev/null", "swtpm:path=/etc/passwd"] {
        let run = machine.script(&format!("TCTI={tcti}\ntry status trust setup --wait 1\npublished"));
        assert!([10, 14, 16].contains(&run.status()), "{tcti}: {run:#?}");
        run.refused(run.status());
    }
}

/// Codes by which a TPM asks to be asked again.
#[test]
fn commands_are_repeated_when_the_tpm_asks_for_it() {
    let machine = Machine::new();
    for code in [rc::RETRY, rc::YIELDED, rc::TESTING] {
        let mut asked = std::collections::BTreeMap::<Vec<u8>, u32>::new();
        machine.wire.on_command(move |command| {
            // The first time that a command comes, and the second time, not the third.
            let times = asked.entry(command.bytes.clone()).or_default();
            *times += 1;
            match *times {
                1 | 2 => harness::Action::Reply(harness::Response::error(code).0),
                _ => harness::Action::Forward,
            }
        });
        machine.provision();
        machine.boot(Boot::Production, "trust preinit").ok();
        machine.boot(Boot::Production, WHOLE_JOB).ok();
    }
}

/// One that never stops asking is given up.
#[test]
fn a_tpm_that_stays_busy_is_refused() {
    let machine = Machine::provisioned();
    for code in [rc::RETRY, rc::YIELDED, rc::TESTING] {
        machine.wire.on_command(move |_| harness::Action::Reply(harness::Response::error(code).0));
        let run = machine.boot(Boot::Production, "try status trust setup --wait 1\npublished");
        run.refused(16);
        assert!(run.stderr.contains("the TPM is busy and stays so"), "{run:#?}");
    }
}

/// Another PCR is extended while setup runs, as IMA does.
#[test]
fn extensions_of_pcr_10_do_not_disturb() {
    let machine = Machine::provisioned();
    let (raw, mut seen) = (machine.tpm.raw(), HashSet::new());
    machine.wire.on_command(move |command| {
        let is_access = [cc::NV_READ, cc::NV_WRITE].contains(&command.code());
        // Before the first access to each index, and not before the next one.
        if is_access && seen.insert((command.code(), command.word(4))) {
            raw.extend(10, &[7; 32]);
        }
        harness::Action::Forward
    });
    for (script, access) in [("trust preinit", cc::NV_WRITE), (WHOLE_JOB, cc::NV_READ)] {
        machine.wire.take();
        machine.boot(Boot::Production, script).ok();
        let lost = |exchange: &harness::Exchange| {
            let code = exchange.response.as_ref().expect("answered").code();
            exchange.command.code() == access && code == rc::PCR_CHANGED
        };
        assert!(machine.wire.record().iter().any(lost), "the race was not lost once");
    }
}
