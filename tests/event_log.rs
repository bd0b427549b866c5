//! Event logs of real firmware, understood, and what is told of a boot that differs.

use harness::{Boot, Machine, Measured, extend, firmware_log, firmware_log_with_sha1, hex};
use std::fs;
use trust::measure::{
    event::EventType,
    expected,
    explain::explain,
    log::{Events, events_of},
};

fn log(name: &str) -> Vec<u8> {
    fs::read(harness::workspace().join("tests/data/event-logs").join(name)).unwrap()
}

/// The events of PCR 7 of a log.
fn measured(log: &[u8]) -> Vec<Measured> {
    events_of(log, 7).into_iter().map(|event| (event.kind.0, event.data.to_vec())).collect()
}

/// `UEFI_VARIABLE_DATA` of one of the firmware's own variables.
fn variable(name: &str, contents: &[u8]) -> Measured {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sizes = [(name.len() / 2) as u64, contents.len() as u64].map(u64::to_le_bytes).concat();
    let vendor = b"\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c";
    (EventType::EFI_VARIABLE_DRIVER_CONFIG.0, [&vendor[..], &sizes, &name, contents].concat())
}

/// The `pcr7.events` of boots like the one of this log.
fn list(log: &[u8], signer: &str) -> String {
    let events = events_of(log, 7);
    let mut text = String::new();
    for (at, event) in events.iter().enumerate() {
        let name = event.name();
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
fn firmware_logs_replay_to_the_recorded_pcr_7() {
    for (name, pcr7) in [
        ("direct.bin", "93b528f71c899a923644af08f7ec89520b39fdbc327d11d2aea34e4ca958f073"),
        ("shim.bin", "848f582891179bcd3582fda532eff2502b81d1b59e53c11f48c05d412395f6c7"),
    ] {
        let log = log(name);
        let value = events_of(&log, 7).iter().fold([0; 32], |pcr, event| extend(&pcr, &event.digest));
        assert_eq!(hex(&value), pcr7, "{name}");
        let mut events = Events::of(&log);
        let all: Vec<_> = events.by_ref().collect();
        assert!(all.len() > 20 && all.iter().all(|event| event.pcr < 24), "{name}");
        assert!(all.iter().all(|event| event.digests.len() == all[0].digests.len()), "{name}");
        assert_eq!(events.fault(), None, "{name}");
    }
}

#[test]
fn an_expected_boot_gets_no_explanation() {
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

/// What firmware measures beside what EDK II by itself does, on the way to and from a policy that knows nothing of it.
#[test]
fn unexpected_firmware_events_are_named_with_a_remedy() {
    let good = log("direct.bin");
    let (events, list) = (measured(&good), list(&good, "\"owner\""));
    let separator = events.iter().position(|(kind, _)| *kind == EventType::SEPARATOR.0).unwrap();
    let inserted = |at: usize, event: Measured| {
        let mut all = events.clone();
        all.insert(at, event);
        all
    };
    let changed = |at: usize, event: Measured| {
        let mut all = events.clone();
        all[at] = event;
        all
    };
    let without = |at: usize| {
        let mut all = events.clone();
        all.remove(at);
        all
    };
    let action = |text: &str| (EventType::EFI_ACTION.0, text.as_bytes().to_vec());
    let authority = events.last().unwrap();
    let from_log = "keyset pcr7data KEYSET --log FILE";
    for (what, log, expected) in [
        ("no value", changed(0, variable("SecureBoot", &[])), &["Secure Boot is switched off"][..]),
        ("off", changed(0, variable("SecureBoot", &[0])), &["Secure Boot is switched off"]),
        ("DMA", inserted(separator, action("DMA Protection Disabled")), &["DMA is switched off", "IOMMU"]),
        ("DMA with its NUL", inserted(separator, action("DMA Protection Disabled\0")), &["DMA is switched off"]),
        ("debugger", inserted(0, action("UEFI Debug Mode")), &["debugger is switched on"]),
        (
            "another action",
            inserted(0, action("Something \u{1b}[2J")),
            &["also measures Something \u{fffd}[2J", from_log],
        ),
        ("AuditMode", inserted(1, variable("AuditMode", &[0])), &["also measures AuditMode", from_log]),
        ("audit mode", inserted(1, variable("AuditMode", &[1])), &["is in audit mode"]),
        ("DeployedMode", inserted(1, variable("DeployedMode", &[1])), &["also measures DeployedMode", from_log]),
        ("dbt", inserted(separator, variable("dbt", &[])), &["also measures dbt", from_log]),
        ("dbr", inserted(separator, variable("dbr", b"x")), &["also measures dbr", from_log]),
        (
            "unknown",
            inserted(separator, (0x8000_1234, vec![7; 9])),
            &["also measures an event of type 0x80001234;", from_log],
        ),
        ("twice", inserted(events.len(), authority.clone()), &["has twice measured \"", from_log]),
        (
            "a driver",
            inserted(separator, authority.clone()),
            &["something signed by \"", "measure separator", from_log],
        ),
        ("more", inserted(events.len(), action("x")), &["has also measured x;", from_log]),
        ("an error", changed(separator, (EventType::SEPARATOR.0, vec![1, 0, 0, 0])), &["measuring has failed"]),
        ("no dbx", without(separator - 1), &["has no dbx", "--dbx /dev/null"]),
        ("no separator", without(separator), &["has measured no separator", from_log]),
    ] {
        for log in [firmware_log(&log), firmware_log_with_sha1(&log)] {
            let text = explain(&log, std::slice::from_ref(&list));
            assert!(expected.iter().all(|expected| text.contains(expected)), "{what}: {text}");
            assert!(text.contains("; ") && !text.contains("  "), "{what}: {text}");
        }
    }
    for whole in [firmware_log(&events), firmware_log_with_sha1(&events)] {
        assert_eq!(explain(&whole, std::slice::from_ref(&list)), "");
    }
    for off in [
        firmware_log_with_sha1(&changed(0, variable("SecureBoot", &[0]))),
        firmware_log(&changed(0, variable("SecureBoot", &[]))),
    ] {
        assert!(explain(&off, &[]).starts_with("Secure Boot is switched off"));
    }
}

/// What real firmware measures that others do not, against a policy of one that does not, and the other way round.
#[test]
fn quirks_of_real_machines_are_named_in_one_sentence() {
    let written = |log: &[u8]| {
        let events: Vec<_> = events_of(log, 7).into_iter().map(|event| event.into_owned()).collect();
        expected::write(&events)
    };
    let lines = |name: &str| written(&log(&format!("{name}.bin"))).lines().map(str::to_owned).collect::<Vec<_>>();
    let without = |lines: &[String], at: usize| {
        let mut lines = lines.to_vec();
        lines.remove(at);
        lines.join("\n") + "\n"
    };
    // A shim that measures the same certificate twice: events 6 and 7 of PCR 7.
    let old_shim = lines("gce-old-shim");
    assert_eq!((old_shim.len(), &old_shim[7]), (9, &old_shim[8]));
    let text = explain(&log("gce-old-shim.bin"), &[without(&old_shim, 8)]);
    assert!(text.starts_with("the firmware has twice measured ") && text.contains("KEYSET --log FILE"), "{text}");
    // Twice in the middle, and what is expected comes behind it.
    let events = measured(&log("hp-windows.bin"));
    let mut twice = events.clone();
    twice.insert(7, events[6].clone());
    let hp = lines("hp-windows");
    let text = explain(&firmware_log(&twice), &[hp.join("\n") + "\n"]);
    assert_eq!(
        text,
        "the firmware has twice measured \"Microsoft Corporation UEFI CA 2011\"; have policies signed for what it \
         measures (`trust keyset pcr7data KEYSET --log FILE`, FILE being its event log)"
    );
    let text = explain(&firmware_log(&events), &[written(&firmware_log(&twice))]);
    assert!(text.starts_with("the firmware has measured no second db; have policies signed"), "{text}");
    // The driver of a device, which most machines do not have.
    let text = explain(&log("hp-windows.bin"), &[without(&hp, 6)]);
    let driver =
        "the firmware has verified something signed by \"Microsoft Corporation UEFI CA 2011\" where it should measure";
    assert!(text.starts_with(&format!("{driver} db; remove what brings it, or have policies signed")), "{text}");
    let mut early = events.clone();
    early.swap(5, 6);
    let text = explain(&firmware_log(&early), &[hp.join("\n") + "\n"]);
    assert!(text.starts_with(&format!("{driver} separator; ")), "{text}");
    // Secure Boot is off, or unknown to the firmware, whatever else differs.
    for name in ["gce-ubuntu", "gce-coreos", "hp-debian", "intel-centos"] {
        for lists in [vec![], vec![hp.join("\n")]] {
            assert!(
                explain(&log(&format!("{name}.bin")), &lists).starts_with("Secure Boot is switched off; "),
                "{name}"
            );
        }
    }
}

#[test]
fn the_closest_policy_is_explained() {
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

#[test]
fn a_fault_is_located_by_its_offset() {
    let whole = log("direct.bin");
    let ends = |log: &[u8]| {
        let mut events = Events::of(log);
        let count = events.by_ref().count();
        (count, events.fault())
    };
    let (count, fault) = ends(&whole);
    assert_eq!(fault, None);
    let (short, fault) = ends(&whole[..whole.len() - 1]);
    let last = fault.expect("the last event is cut off");
    assert_eq!((short, ends(&whole[..last])), (count - 1, (count - 1, None)));
    let padded = [&whole[..], &[0xff; 64]].concat();
    assert_eq!(ends(&padded), (count, Some(whole.len())));
}

/// A log is not authentic: cut anywhere, and with any byte changed, the explanation is text or nothing.
#[test]
fn malformed_logs_yield_bounded_text_or_none() {
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
fn malformed_lists_yield_bounded_text() {
    let log = log("direct.bin");
    for list in ["", "\n\n", "db", " \n \n", "\u{0}\u{1} x y z"] {
        let text = explain(&log, &[list.to_owned()]);
        assert!(text.len() < 300, "{text:?}");
    }
}

#[test]
fn a_refused_boot_is_explained() {
    let machine = Machine::provisioned();
    fs::copy(harness::workspace().join("tests/data/event-logs/direct.bin"), machine.sandbox.dir().join("log")).unwrap();
    let log = log("direct.bin");
    let setup = "try status trust setup --event-log /sandbox/log\npublished";
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
    // A bank that the firmware leaves alone has its own explanation.
    machine.tpm.reboot();
    let run = machine.script("try status trust setup --event-log /nowhere\npublished");
    run.refused(12);
    assert!(run.stderr.contains("the firmware measures nothing into the SHA-256 bank"), "{run:#?}");
    // Of another kind of failure it explains nothing.
    let run = machine.boot(Boot::Production, "try status trust setup --event-log /sandbox/log --exec /nonsense");
    assert!(!run.stderr.contains("KEK"), "{run:#?}");
}
