//! Event logs of real firmware, understood, and what is told of a boot that differs.

use harness::{Boot, Machine, extend, hex};
use std::fs;
use trust::{event_log, explain::explain};

fn log(name: &str) -> Vec<u8> {
    fs::read(harness::workspace().join("tests/data/event-logs").join(name)).unwrap()
}

/// The `pcr7.events` of boots like the one of this log.
fn list(log: &[u8], signer: &str) -> String {
    let events: Vec<_> = event_log::parse(log).into_iter().filter(|event| event.pcr == 7).collect();
    let mut text = String::new();
    for (at, event) in events.iter().enumerate() {
        let name = event_log::variable(event.data).map_or("separator".into(), |(name, _)| name);
        let signer = if at + 1 == events.len() { format!(" {signer}") } else { String::new() };
        text += &format!("{name} {}{signer}\n", hex(&event.digest));
    }
    text
}

/// Replaces the digest of the event of this name.
fn other(list: &str, name: &str) -> String {
    let line = |line: &str| match line.strip_prefix(&format!("{name} ")) {
        Some(rest) => format!("{name} {}{}\n", "0".repeat(64), &rest[64..]),
        None => format!("{line}\n"),
    };
    list.lines().map(line).collect()
}

/// Where in the log the contents of the first variable of this name stand.
fn contents(log: &[u8], name: &str) -> usize {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    log.windows(name.len()).position(|window| window == name).unwrap() + name.len()
}

#[test]
fn logs_of_firmware_replay_to_what_the_tpm_held() {
    for (name, pcr7) in [
        ("direct.bin", "93b528f71c899a923644af08f7ec89520b39fdbc327d11d2aea34e4ca958f073"),
        ("shim.bin", "848f582891179bcd3582fda532eff2502b81d1b59e53c11f48c05d412395f6c7"),
    ] {
        let log = log(name);
        let events = event_log::parse(&log);
        let value =
            events.iter().filter(|event| event.pcr == 7).fold([0; 32], |pcr, event| extend(&pcr, &event.digest));
        assert_eq!(hex(&value), pcr7, "{name}");
        assert!(events.len() > 20 && events.iter().all(|event| event.pcr < 24), "{name}");
    }
}

#[test]
fn a_boot_like_the_expected_one_needs_no_explanation() {
    for name in ["direct.bin", "shim.bin"] {
        let log = log(name);
        assert_eq!(explain(&log, &[list(&log, "\"owner\"")]), "");
    }
    assert_eq!(explain(b"", &[]), "");
}

#[test]
fn secure_boot_off_is_named_with_and_without_a_list() {
    let good = log("direct.bin");
    let list = other(&list(&good, "\"owner\""), "SecureBoot");
    let mut off = good.clone();
    off[contents(&good, "SecureBoot")] = 0;
    for lists in [vec![], vec![list]] {
        let text = explain(&off, &lists);
        assert!(text.starts_with("Secure Boot is switched off"), "{text}");
    }
}

#[test]
fn another_database_is_named() {
    let log = log("direct.bin");
    for name in ["PK", "KEK", "dbx"] {
        let text = explain(&log, &[other(&list(&log, "\"owner\""), name)]);
        assert!(text.starts_with(&format!("the firmware's {name} is not the one")), "{text}");
    }
}

#[test]
fn another_signer_is_named() {
    for (name, entry) in [("direct.bin", "db"), ("shim.bin", "vendor_db")] {
        let log = log(name);
        let list = list(&log, "\"UKI Production\"");
        // The last line alone: the first db is the whole variable.
        let (before, last) = list.trim_end().rsplit_once('\n').unwrap();
        let text = explain(&log, &[format!("{before}\n{}", other(last, entry))]);
        assert!(
            text.starts_with("what booted was signed by \"") && text.ends_with(", and not by \"UKI Production\""),
            "{text}"
        );
        let text = explain(&log, &[]);
        assert!(text.starts_with("what booted was signed by \""), "{text}");
    }
}

#[test]
fn the_policy_that_comes_closest_counts() {
    let log = log("shim.bin");
    let list = list(&log, "\"owner\"");
    let text = explain(&log, &[other(&list, "PK"), other(&list, "SbatLevel"), other(&list, "KEK")]);
    assert!(text.contains("SbatLevel"), "{text}");
    // One that ends earlier, one that goes on.
    let shorter = list.lines().take(6).collect::<Vec<_>>().join("\n");
    assert!(!explain(&log, &[shorter]).is_empty());
    let longer = format!("{list}vendor_db {} \"owner\"\n", "1".repeat(64));
    assert!(explain(&log, &[longer]).contains("has measured no vendor_db"));
}

/// Nobody vouches for a log: cut anywhere, and with any byte changed, it is text or nothing.
#[test]
fn broken_logs_end_in_text_or_nothing() {
    let log = log("direct.bin");
    let list = list(&log, "\"owner\"");
    for at in (0..log.len()).step_by(3) {
        let _ = explain(&log[..at], std::slice::from_ref(&list));
    }
    for at in (0..log.len()).step_by(7) {
        for value in [0, 0x7f, 0xff] {
            let mut broken = log.clone();
            broken[at] = value;
            let text = explain(&broken, &[]);
            assert!(text.len() < 300 && !text.chars().any(char::is_control), "at {at}: {text:?}");
        }
    }
}

#[test]
fn broken_lists_are_no_lists() {
    let log = log("direct.bin");
    for list in ["", "\n\n", "db", " \n \n", "\u{0}\u{1} x y z"] {
        let text = explain(&log, &[list.to_owned()]);
        assert!(text.len() < 300, "{text:?}");
    }
}

#[test]
fn a_refused_boot_says_what_is_wrong() {
    let machine = Machine::provisioned();
    fs::copy(harness::workspace().join("tests/data/event-logs/direct.bin"), machine.cell.dir().join("log")).unwrap();
    let log = log("direct.bin");
    let setup = "try status trust setup --event-log /cell/log\npublished";
    let run = machine.boot(Boot::Limited, setup);
    run.refused(12);
    assert!(run.stderr.contains(": what booted was signed by \""), "{run:#?}");

    let pcr7data = machine.keyset.pcr7data();
    let find = "find \"$PCR7DATA\" -name tpm_luks.policy.signed";
    let production = machine.script(&format!("{find} | sed 's/^/found /'")).ok().value("found").to_owned();
    let file = std::path::Path::new(&production).with_file_name("pcr7.events");
    assert!(file.starts_with(&pcr7data));
    fs::write(&file, other(&list(&log, "\"owner\""), "KEK")).unwrap();
    let run = machine.boot(Boot::Tpm, setup);
    run.refused(12);
    assert!(run.stderr.contains("the firmware's KEK is not the one"), "{run:#?}");
    // Of another kind of failure it explains nothing.
    let run = machine.boot(Boot::Production, "try status trust setup --event-log /cell/log --exec /nonsense");
    assert!(!run.stderr.contains("KEK"), "{run:#?}");
}
