//! `trust predict --fleet`: many machines by their states, judged one by one, whatever is in them.

use harness::{Banks, Home, HostTpm, Measured, firmware_log, sha256};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Output, Stdio},
    thread,
};
use trust::host::{
    keyset::Keyset,
    predict::{self, databases::Chain, profile::Machine},
    uefi::signature_list::{self, SignatureList},
};
use uuid::Uuid;

/// A keyset, and what a machine of it says of itself while it runs.
struct Fleet {
    home: Home,
    tpm: HostTpm,
}

impl Fleet {
    fn new() -> Self {
        let home = Home::with_keyset();
        let keyset = Keyset::open(home.keys().join("k").to_str().unwrap()).unwrap();
        let events = predict::pcr7(&keyset, &Machine::new(Chain::Direct)).unwrap().production;
        let events: Vec<Measured> = events.into_iter().map(|event| (event.kind.0, event.data)).collect();
        let tpm = HostTpm::new(Banks::Sha256);
        for (_, data) in &events {
            tpm.tpm.extend_pcr7(&sha256(&[data]));
        }
        tpm.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
        let fleet = Self { home, tpm };
        fs::create_dir(fleet.path("fleet")).unwrap();
        fs::write(fleet.path("log"), firmware_log(&events)).unwrap();
        let dbx = [SignatureList::sha256(Uuid::from_u128(7), &[[9; 32]])];
        fs::write(fleet.path("dbx.esl"), signature_list::to_bytes(&dbx).unwrap()).unwrap();
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What the machine says, in the form of `trust state --output`.
    fn state(&self) -> Value {
        let pcr7data = self.home.keys().join("k/pcr7data").display().to_string();
        let tcti = self.tpm.wire.tcti();
        let args = ["state", "--json", "--wait", "1", "--tcti", &tcti, "--event-log", "log", "--pcr7data", &pcr7data];
        let mut state: Value = serde_json::from_str(&self.home.ok(&args)).unwrap();
        state["policy_version"] = "0001".into();
        state["host"] = "web".into();
        state
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path("fleet").join(name), text).unwrap();
    }

    /// Status, output, complaint of `trust predict ARGS`.
    fn predict(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.home.output(&[&["predict"], args].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

/// The lines about machines, each by the name of its state, its verdict, and why.
fn told(text: &str) -> Vec<(String, String, String)> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let machines = lines.filter(|line| line["state"].is_string());
    machines.map(|line| (text(&line["state"]), text(&line["verdict"]), text(&line["why"]))).collect()
}

#[test]
fn an_update_is_judged_for_every_machine_and_the_remedy_keeps_them_open() {
    let fleet = Fleet::new();
    let state = fleet.state();
    fleet.put("a.json", state.to_string());
    fleet.put("b.json", format!("{state:#}\n"));
    fleet.put("c.jsonl", format!("{state}\n{state}\n"));
    fleet.put(".hidden", "not looked at");
    assert_eq!(fleet.predict(&["--fleet", "fleet"]), (0, "4 machines: 4 open\n".into(), String::new()));
    let update = ["--fleet", "fleet", "--dbx-append", "dbx.esl"];
    let (status, text, why) = fleet.predict(&update);
    assert_eq!(status, 12, "{text}{why}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[4]), (5, "4 machines: 4 stay dark"));
    for (line, name) in lines.iter().zip(["a.json (web)", "b.json (web)", "c.jsonl (web)", "c.jsonl:2 (web)"]) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = format!("{name} stays dark nothing is signed for production boots with PCR 7 = ");
        assert!(words.starts_with(&expected) && words.ends_with("(dbx is appended to)"), "{line}");
    }
    assert!(why.contains("of 4, 4 stay dark; leave the update for now: sign for the logs in their states"), "{why}");
    // As the message says. The states are those of before: what the keyset has signed since counts where it is named.
    fs::write(fleet.path("base64"), state["event_log"]["data"].as_str().unwrap()).unwrap();
    let mut decode = std::process::Command::new("base64");
    fs::write(fleet.path("log"), decode.arg("-d").arg(fleet.path("base64")).output().unwrap().stdout).unwrap();
    let (status, _, why) = fleet.predict(&["k", "--log", "log", "--dbx-append", "dbx.esl", "--sign"]);
    assert_eq!(status, 0, "{why}");
    let (status, text, _) = fleet.predict(&[&["k"], &update[..]].concat());
    assert_eq!((status, text.as_str()), (0, "4 machines: 4 open\n"));
    assert_eq!(fleet.predict(&update).0, 12);
    // A machine that has the new policies says so itself.
    fleet.put("a.json", fleet.state().to_string());
    let (_, text, _) = fleet.predict(&[&update[..], &["--json"]].concat());
    let verdicts: Vec<_> = told(&text).into_iter().map(|(state, verdict, _)| (state, verdict)).collect();
    assert_eq!(verdicts[0], ("a.json".to_owned(), "opens".to_owned()));
    assert!(verdicts[1..].iter().all(|(_, verdict)| verdict == "stays_dark"), "{text}");
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["machines"], 4);
    let expected = json!({ "opens": 1, "stays_dark": 3, "may_stay_dark": 0, "not_judged": 0 });
    assert_eq!((&summary["summary"], &summary["format"]), (&expected, &json!(1)));
}

/// What is not true, whole or harmless is refused by its name, with a reason, and the others are judged.
#[test]
fn hostile_states_are_refused_one_by_one() {
    let fleet = Fleet::new();
    let good = fleet.state();
    let with = |path: &str, value: Value| {
        let mut state = good.clone();
        *state.pointer_mut(path).unwrap() = value;
        state.to_string()
    };
    let policies = |change: &dyn Fn(&mut Value)| {
        let mut state = good.clone();
        state["policies"].as_array_mut().unwrap().iter_mut().for_each(change);
        state.to_string()
    };
    let mut none = good.clone();
    none.as_object_mut().unwrap().remove("event_log");
    none["unknown"]["event_log"] = "no \u{1b}[2Jroot".into();
    let huge = vec![b' '; (4 << 20) + 1];
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, Vec<u8>, &str, &str); 14] = [
        ("00-good", good.to_string().into(), "opens", ""),
        ("01-empty-object", "{}".into(), "not_judged", "missing field"),
        ("02-not-json", b"\xff\0\x1b[2J".to_vec(), "not_judged", "not the state of a machine"),
        ("03-cut", good.to_string().as_bytes()[..500].to_vec(), "not_judged", "ends too early"),
        ("04-huge", huge, "not_judged", "larger than 4 MiB"),
        ("05-deep", deep.into(), "not_judged", "not the state of a machine"),
        ("06-format", with("/format", json!(2)).into(), "not_judged", "format 2"),
        ("07-base64", with("/event_log/data", "!".into()).into(), "not_judged", "not base64"),
        ("08-other-log", with("/event_log/data", "AAAA".into()).into(), "not_judged", "does not lead to a PCR 7"),
        ("09-other-pcr", with("/pcrs/sha256/7", "00".repeat(32).into()).into(), "not_judged", "was altered"),
        ("10-no-log", none.to_string().into(), "not_judged", "no event log: no \u{fffd}[2Jroot"),
        ("11-version", with("/policy_version", "0002".into()).into(), "stays_dark", "nor is it signed for as it is"),
        (
            "12-forged",
            policies(&|policy| policy["signature_fits"] = false.into()).into(),
            "not_judged",
            "does not say what is signed for it",
        ),
        ("13-last", good.to_string().into(), "opens", ""),
    ];
    for (name, text, ..) in &cases {
        fleet.put(name, text);
    }
    fs::create_dir(fleet.path("fleet/14-directory")).unwrap();
    harness::run("mkfifo", &[fleet.path("fleet/15-fifo").to_str().unwrap()]);
    std::os::unix::fs::symlink("16-link", fleet.path("fleet/16-link")).unwrap();
    let (status, text, why) = fleet.predict(&["--fleet", "fleet", "--json"]);
    assert_eq!(status, 12, "{why}");
    let told = told(&text);
    for ((name, _, verdict, why), (state, found, reason)) in cases.iter().zip(&told) {
        assert_eq!((*name, *verdict), (state.as_str(), found.as_str()), "{reason}");
        assert!(reason.contains(why) && !reason.chars().any(char::is_control), "{name}: {reason}");
    }
    let rest: Vec<_> = told[cases.len()..].iter().map(|(state, _, why)| (state.as_str(), why.as_str())).collect();
    assert_eq!(rest[..2], [("14-directory", "it is not a regular file"), ("15-fifo", "it is not a regular file")]);
    assert!(rest[2].0 == "16-link" && rest[2].1.contains("symbolic links"), "{rest:?}");
    // Where nothing is dark and something is not known, that is another status.
    fs::remove_file(fleet.path("fleet/11-version")).unwrap();
    let (status, text, why) = fleet.predict(&["--fleet", "fleet"]);
    assert_eq!(status, 14, "{why}");
    assert!(text.ends_with("16 machines: 2 open, 14 not judged\n"), "{text}");
    // The keyset says what is signed, whatever a state says of that.
    let (_, text, _) = fleet.predict(&["k", "--fleet", "fleet/12-forged"]);
    assert_eq!(text, "1 machines: 1 open\n");
    assert_eq!(fleet.predict(&["--fleet", "none"]).0, 2);
}

/// From a pipe, in constant memory: what thousands take is what hundreds take.
#[test]
fn a_large_fleet_takes_no_more_memory_than_a_small_one() {
    const KIB: u64 = 8 * 1024;
    let fleet = Fleet::new();
    let line = format!("{}\n", fleet.state());
    let mut child = fleet.home.command(&["predict", "--fleet", "-", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    // The shell of the harness becomes the program.
    let status = format!("/proc/{}/status", child.id());
    let peak = || {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdin = child.stdin.take().unwrap();
    let (go, gone) = std::sync::mpsc::sync_channel::<usize>(0);
    let feeder = thread::spawn(move || {
        for count in gone {
            (0..count).for_each(|_| stdin.write_all(line.as_bytes()).unwrap());
        }
    });
    let mut judged = |count: usize| {
        go.send(count).unwrap();
        (0..count).for_each(|_| assert!(output.next().unwrap().unwrap().contains("\"opens\"")));
        peak()
    };
    // Rounds are of 256.
    let (small, large) = (judged(512), judged(2560));
    assert!(large < small + KIB, "{small} KiB, then {large} KiB");
    drop(go);
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
}

/// `docs/fleet.md`, word by word.
#[test]
fn the_page_is_followed() {
    let fleet = Fleet::new();
    let machine = &fleet.tpm;
    for name in ["log", "dbx.esl"] {
        machine.write(name, fs::read(fleet.path(name)).unwrap());
    }
    fs::rename(machine.file("log"), machine.file("binary_bios_measurements")).unwrap();
    fs::rename(machine.file("dbx.esl"), machine.file("dbxupdate.esl")).unwrap();
    harness::run("cp", &["-r", fleet.home.keys().join("k").to_str().unwrap(), machine.file("acme").to_str().unwrap()]);
    fs::create_dir(machine.file("fleet")).unwrap();
    for name in ["web-2", "web-3"] {
        let mut state = fleet.state();
        state["host"] = name.into();
        machine.write(&format!("fleet/{name}.json"), state.to_string());
    }
    assert!(machine.follow("docs/fleet.md") >= 7, "the search misses them");
}
