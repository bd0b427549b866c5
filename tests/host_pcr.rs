//! `trust pcr`: what it reads is what tpm2-tools read, what it extends is extended in every bank and logged, and nobody
//! between it and the TPM makes it believe otherwise.

use harness::{Action, Banks, Exchange, HostTpm, cc, sha256, unhex};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    ops::Deref,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A TPM with banks, and `trust pcr` at work with it.
struct Machine {
    host: HostTpm,
}

impl Deref for Machine {
    type Target = HostTpm;

    fn deref(&self) -> &HostTpm {
        &self.host
    }
}

impl Machine {
    fn new(banks: Banks) -> Self {
        Self { host: HostTpm::new(banks) }
    }

    fn log(&self) -> PathBuf {
        self.file("tpm2-measure.log")
    }

    fn command(&self, args: &[&str]) -> Command {
        self.host.command(&[&["pcr"], args].concat())
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains of when it ends with this status.
    #[track_caller]
    fn fails(&self, args: &[&str], status: i32) -> String {
        let output = self.output(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// `trust pcr extend ARGS`, logged in this machine's log.
    fn extend<'a>(&self, log: &'a Path, args: &[&'a str]) -> Vec<&'a str> {
        [&["extend"], args, &["--log", log.to_str().unwrap()]].concat()
    }

    /// The values of a PCR by tpm2-tools, in every bank.
    fn values(&self, banks: &[&str], number: u32) -> Vec<String> {
        banks.iter().map(|bank| self.tpm.pcr(bank, number)).collect()
    }

    /// The records of the log.
    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.log()).unwrap();
        let records = text.split('\x1e').filter(|record| !record.is_empty());
        records.map(|record| serde_json::from_str(record).unwrap()).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const THREE: [&str; 3] = ["sha1", "sha256", "sha384"];

#[test]
fn what_is_read_is_what_tpm2_tools_read() {
    let machine = Machine::new(Banks::Three);
    machine.tpm.extend_pcr7(&[7; 32]);
    machine.tpm.raw().extend(23, &[1; 32]);
    let all = machine.ok(&["read"]);
    assert_eq!(all.lines().count(), 3 * 24);
    let json: Value = serde_json::from_str(&machine.ok(&["read", "--json"])).unwrap();
    assert_eq!(json["format"], 1);
    for bank in THREE {
        for number in [0, 7, 17, 23] {
            let value = machine.tpm.pcr(bank, number);
            let name = format!("{bank}:{number}");
            let line = all.lines().find(|line| line.split_whitespace().next() == Some(&name)).unwrap();
            assert_eq!(line.split_whitespace().nth(1), Some(&*value));
            assert_eq!(json["pcrs"][bank][number.to_string()], value);
        }
    }
    // In the order in which they are selected, and aligned.
    let some = machine.ok(&["read", "sha256:23,7+SHA1:7"]);
    let expected = [("sha256:7 ", "sha256", 7), ("sha256:23", "sha256", 23), ("sha1:7   ", "sha1", 7)];
    let expected = expected.map(|(name, bank, number)| format!("{name}  {}\n", machine.tpm.pcr(bank, number)));
    assert_eq!(some, expected.concat());
}

#[test]
fn what_cannot_be_read_is_named() {
    let machine = Machine::new(Banks::Sha256);
    let why = machine.fails(&["read", "sha256:7+sha512:0,8"], 2);
    assert!(why.contains("the TPM has no sha512:0,8") && why.contains("`trust pcr read`"), "{why}");
    assert_eq!(machine.ok(&["read"]).lines().count(), 24, "the remedy");
    for (selection, why) in [
        ("sha256:24", "\"24\" is not the number of a PCR"),
        ("sha265:1", "no bank \"sha265\""),
        ("7", "like sha256:0,7"),
    ] {
        let complaint = machine.fails(&["read", selection], 2);
        assert!(complaint.contains(why), "{complaint}");
    }
}

/// A TPM gives eight values at once: those of several answers must not be of different moments.
#[test]
fn values_are_of_one_moment() {
    let machine = Machine::new(Banks::Sha256);
    let (raw, mut answers) = (machine.tpm.raw(), 0);
    machine.wire.on_response(move |command, response| {
        if command.code() == cc::PCR_READ {
            answers += 1;
            if answers == 1 {
                // PCR 0 has just been given.
                raw.extend(0, &[1; 32]);
            }
        }
        Action::Reply(response.0)
    });
    let read = machine.ok(&["read"]);
    assert!(read.contains(&format!("sha256:0   {}\n", machine.tpm.pcr("sha256", 0))), "{read}");
    // They never stop: that ends, and is said.
    let raw = machine.tpm.raw();
    machine.wire.on_response(move |command, response| {
        if command.code() == cc::PCR_READ {
            raw.extend(0, &[1; 32]);
        }
        Action::Reply(response.0)
    });
    let start = Instant::now();
    let why = machine.fails(&["read"], 15);
    assert!(why.contains("they keep changing"), "{why}");
    assert!(start.elapsed() < Duration::from_secs(20));
    machine.wire.be_honest();
    machine.ok(&["read"]);
}

#[test]
fn data_are_extended_as_tpm2_tools_do_it() {
    let machine = Machine::new(Banks::Four);
    let banks = Banks::Four.names();
    let log = machine.log();
    // Larger than what TPM2_PCR_Event takes, and than what is read at once.
    for (ours, theirs, data) in [(14, 15, b"started\n".to_vec()), (12, 13, vec![7; 300_000])] {
        fs::write(machine.file("data"), &data).unwrap();
        machine.ok(&machine.extend(&log, &[&ours.to_string(), "--data", "data", "--event", "say \"started\"\n"]));
        for (bank, sum) in
            [("sha1", "sha1sum"), ("sha256", "sha256sum"), ("sha384", "sha384sum"), ("sha512", "sha512sum")]
        {
            let digest = harness::run(sum, &[machine.file("data").to_str().unwrap()]);
            let digest = digest.split_whitespace().next().unwrap();
            machine.tpm.tools().ok("pcrextend", &[&format!("{theirs}:{bank}={digest}")]);
        }
        assert_eq!(machine.values(banks, ours), machine.values(banks, theirs), "every bank");
    }
    fs::write(machine.tpm.tools().dir().join("small"), b"started\n").unwrap();
    machine.tpm.tools().ok("pcrevent", &["16", "small"]);
    assert_eq!(machine.values(banks, 14), machine.values(banks, 16));
    // From standard input.
    let mut child =
        machine.command(&machine.extend(&log, &["23", "--data", "-"])).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"started\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(machine.values(banks, 23), machine.values(banks, 16));
    // The log has all of it.
    let records = machine.records();
    assert_eq!(records.len(), 3);
    assert_eq!((&records[0]["pcr"], &records[0]["content"]["string"]), (&14.into(), &"say \"started\"\n".into()));
    assert_eq!((&records[2]["pcr"], &records[2]["content_type"]), (&23.into(), &"systemd".into()));
    let digests = records[0]["digests"].as_array().unwrap();
    let named: Vec<_> = digests.iter().map(|digest| digest["hashAlg"].as_str().unwrap()).collect();
    assert_eq!(named, banks);
    assert_eq!(digests[1]["digest"], harness::hex(&sha256(&[b"started\n"])));
}

#[test]
fn digests_are_given_for_every_active_bank() {
    let machine = Machine::new(Banks::Three);
    let log = machine.log();
    let digests: Vec<String> = [("sha1", 20), ("sha256", 32), ("sha384", 48)]
        .map(|(bank, size)| format!("{bank}={}", "5a".repeat(size)))
        .into();
    let args = |which: &[usize]| -> Vec<String> {
        which.iter().flat_map(|n| ["--digest".to_owned(), digests[*n].clone()]).collect()
    };
    let with = |which: &[usize], more: &[&str]| -> Vec<String> {
        let mut all = vec!["extend".to_owned(), "15".to_owned(), "--log".to_owned(), log.display().to_string()];
        all.extend(args(which));
        all.extend(more.iter().map(ToString::to_string));
        all
    };
    let before = machine.values(&THREE, 15);
    let refused = |args: Vec<String>, why: &str| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let complaint = machine.fails(&args, 2);
        assert!(complaint.contains(why), "{complaint}");
        assert_eq!(machine.values(&THREE, 15), before, "{args:?}");
    };
    refused(with(&[1], &[]), "no digest for sha1, sha384: what is open in one bank is open");
    let sha512 = format!("sha512={}", "00".repeat(64));
    refused(with(&[0, 1, 2], &["--digest", &sha512]), "no active bank sha512; leave its digest out");
    refused(with(&[0, 1, 2, 1], &[]), "two digests for one bank");
    refused(with(&[], &["--digest", "sha256=00"]), "64 hex digits");
    refused(with(&[], &[]), "--data");
    refused(with(&[0], &["--data", "x"]), "cannot be used with");
    assert!(!log.exists(), "nothing was done");
    let all = with(&[2, 0, 1], &[]);
    machine.ok(&all.iter().map(String::as_str).collect::<Vec<_>>());
    for digest in &digests {
        machine.tpm.tools().ok("pcrextend", &[&format!("14:{digest}")]);
    }
    assert_eq!(machine.values(&THREE, 15), machine.values(&THREE, 14));
    // What belongs to measured launches is refused by the TPM; what is no PCR, by us.
    machine.fails(&["extend", "24", "--data", "-"], 2);
    let why = machine.fails(&machine.extend(&log, &["17", "--data", "-"]), 12);
    assert!(why.contains("extended from another locality") && why.contains("extend PCR 0 to 16 or 23"), "{why}");
    assert_eq!(machine.records().len(), 1, "what was refused is not logged");
}

/// Whoever honours its lock sees a PCR and its log agree.
#[test]
fn the_log_is_locked_meanwhile() {
    let machine = Machine::new(Banks::Sha256);
    let log = machine.log();
    let (held, place) = (Arc::new(Mutex::new(None)), log.clone());
    let hook = held.clone();
    machine.wire.on_command(move |command| {
        if command.code() == cc::PCR_EXTEND {
            let file = File::open(&place).unwrap();
            *hook.lock().unwrap() = Some(file.try_lock().is_err());
        }
        Action::Forward
    });
    machine.ok(&machine.extend(&log, &["12", "--data", "-"]));
    assert_eq!(*held.lock().unwrap(), Some(true));
    machine.wire.be_honest();
    // Several at once: the log has their order.
    fs::remove_file(&log).unwrap();
    let names: Vec<String> = (0..6).map(|n| format!("data-{n}")).collect();
    thread::scope(|scope| {
        for name in &names {
            fs::write(machine.file(name), name).unwrap();
            scope.spawn(|| machine.ok(&machine.extend(&machine.log(), &["9", "--data", name])));
        }
    });
    let records = machine.records();
    assert_eq!(records.len(), 6);
    let value = records.iter().fold([0; 32], |pcr, record| {
        let digest = unhex(record["digests"][0]["digest"].as_str().unwrap());
        sha256(&[&pcr, &digest])
    });
    assert_eq!(harness::hex(&value), machine.tpm.pcr("sha256", 9), "replayed");
}

#[test]
fn without_a_log_it_is_extended_and_said() {
    let machine = Machine::new(Banks::Sha256);
    let elsewhere = machine.file("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    symlink(&elsewhere, machine.file("link")).unwrap();
    fs::create_dir(machine.file("directory")).unwrap();
    for (log, why) in
        [("none/log", "there is no such directory"), ("link", "symbolic link"), ("directory", "directory")]
    {
        let before = machine.tpm.pcr("sha256", 10);
        let output = machine.output(&machine.extend(Path::new(log), &["10", "--data", "-"]));
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("PCR 10 is extended without a record in").count(), 1, "{said}");
        assert!(said.to_lowercase().contains(why), "{said}");
        assert_ne!(machine.tpm.pcr("sha256", 10), before);
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), b"", "the link was not followed");
}

/// The example of the manual, with the seal of tpm2-tools: a secret that is gone until the machine is restarted.
#[test]
fn an_extension_closes_a_secret_until_the_restart() {
    let machine = Machine::new(Banks::Sha256);
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("secret"), "token").unwrap();
    tools.ok("createprimary", &["-C", "o", "-c", "primary"]);
    tools.ok("createpolicy", &["--policy-pcr", "-l", "sha256:15", "-L", "policy"]);
    let create =
        ["-C", "primary", "-L", "policy", "-i", "secret", "-u", "pub", "-r", "priv", "-a", "fixedtpm|fixedparent"];
    tools.ok("create", &create);
    tools.flush();
    let open = || {
        // Of this boot: there is no resource manager to keep it.
        tools.ok("createprimary", &["-C", "o", "-c", "primary"]);
        tools.flush();
        tools.ok("load", &["-C", "primary", "-u", "pub", "-r", "priv", "-c", "object"]);
        tools.flush();
        let output = tools.output("unseal", &["-c", "object", "-p", "pcr:sha256:15"]);
        tools.flush();
        output.status.success().then_some(output.stdout)
    };
    assert_eq!(open().as_deref(), Some(&b"token"[..]));
    machine.ok(&machine.extend(&machine.log(), &["15", "--data", "-"]));
    assert_eq!(open(), None);
    machine.tpm.reboot();
    assert_eq!(open().as_deref(), Some(&b"token"[..]));
}

/// An attacker between it and the TPM keeps the extension away, and says that it was done.
#[test]
fn an_extension_that_did_not_happen_is_not_believed() {
    let machine = Machine::new(Banks::Sha256);
    let before = machine.tpm.pcr("sha256", 15);
    machine.wire.take();
    machine.ok(&machine.extend(&machine.log(), &["14", "--data", "-"]));
    let earlier = machine.wire.take();
    let earlier = earlier.iter().find(|exchange| exchange.command.code() == cc::PCR_EXTEND).unwrap();
    let earlier = earlier.response.clone().unwrap();
    machine.wire.on_command(move |command| match command.code() {
        cc::PCR_EXTEND => Action::Reply(earlier.0.clone()),
        _ => Action::Forward,
    });
    let why = machine.fails(&machine.extend(&machine.log(), &["15", "--data", "-"]), 14);
    assert!(why.contains("not authentic"), "{why}");
    assert_eq!(machine.tpm.pcr("sha256", 15), before);
    assert_eq!(machine.records().len(), 1, "it is not logged");
}

/// Whatever a TPM answers, there is a message and a status.
#[test]
fn hostile_answers_do_no_harm() {
    let machine = Machine::new(Banks::Sha256);
    let log = machine.log();
    for args in [vec!["read"], machine.extend(&log, &["16", "--data", "-"])] {
        machine.wire.take();
        machine.ok(&args);
        let honest: Vec<Exchange> = machine.wire.take();
        for (at, exchange) in honest.iter().enumerate() {
            for harmed in exchange.response.clone().unwrap().harmed() {
                let mut number = 0;
                machine.wire.on_response(move |_, response| {
                    number += 1;
                    Action::Reply(if number == at + 1 { harmed.0.clone() } else { response.0 })
                });
                let output = machine.output(&args);
                let status = output.status.code();
                let complaint = stderr(&output);
                let known = [0, 2, 10, 12, 14, 15].contains(&status.unwrap_or(-1));
                assert!(
                    known && !complaint.contains("internal error"),
                    "{args:?}, response {at}: {status:?} {complaint}"
                );
                machine.wire.be_honest();
                machine.tpm.tools().flush();
            }
        }
    }
}
