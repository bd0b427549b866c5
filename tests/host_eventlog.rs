//! `trust eventlog`: logs of real machines in words, replayed, and compared with what their TPMs said; logs that lie.

use harness::{Banks, Digest, Home, HostTpm, extend, hex, sha256};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};
use trust::host::eventlog::replay::BankHash;

/// The logs of real machines.
const REAL: [&str; 10] = [
    "direct",
    "shim",
    "gce-windows",
    "gce-ubuntu",
    "gce-coreos",
    "gce-old-shim",
    "hp-windows",
    "hp-debian",
    "intel-centos",
    "locality-alone",
];

fn path(name: &str) -> String {
    harness::workspace().join("tests/data/event-logs").join(name).display().to_string()
}

fn log(name: &str) -> Vec<u8> {
    fs::read(path(&format!("{name}.bin"))).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `trust eventlog ARGS` with this as its input.
fn fed(home: &Home, args: &[&str], input: &[u8]) -> Output {
    let mut child = home.command(&[&["eventlog"], args].concat()).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have refused it already.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn ok(home: &Home, args: &[&str], input: &[u8]) -> String {
    let output = fed(home, args, input);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(home: &Home, args: &[&str], input: &[u8]) -> Value {
    serde_json::from_str(&ok(home, &[args, &["--json"]].concat(), input)).unwrap()
}

/// An entry with a SHA-256 digest.
fn entry(pcr: u32, kind: u32, digest: &[u8; 32], data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).unwrap().to_le_bytes();
    [&pcr.to_le_bytes()[..], &kind.to_le_bytes(), &[1, 0, 0, 0, 11, 0], digest, &size, data].concat()
}

fn event(pcr: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    entry(pcr, kind, &sha256(&[data]), data)
}

/// A header with SHA-256 alone, and these behind it.
fn with_header(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut log = harness::firmware_log(&[]);
    log.extend(entries.concat());
    log
}

/// Extends the TPM as a boot did that has left this log; its events, as they are shown.
fn boot(machine: &HostTpm, log: &[u8]) -> Vec<Value> {
    let shown = json(&Home::new(), &["show", "-"], log);
    let raw = machine.tpm.raw();
    let events = shown["events"].as_array().unwrap();
    for event in events {
        let digest = harness::unhex(event["digests"]["sha256"].as_str().unwrap());
        raw.extend(u8::try_from(event["pcr"].as_u64().unwrap()).unwrap(), &digest.try_into().unwrap());
    }
    events.clone()
}

/// PCRs by tpm2_eventlog, as it prints them; it knows nothing of localities.
fn by_tpm2_tools(name: &str) -> Option<String> {
    let output = Command::new("tpm2_eventlog").arg(path(&format!("{name}.bin"))).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_once("\npcrs:\n").map(|(_, pcrs)| pcrs.to_owned()).filter(|_| output.status.success())
}

const NO_ACTION: u32 = 3;
const SEPARATOR: u32 = 4;
const POST_CODE: u32 = 1;
const HCRTM: u32 = 0x8000_0010;

#[test]
fn a_real_log_leads_to_the_pcrs_that_its_tpm_quoted() {
    let home = Home::new();
    let pcrs = path("gce-windows.pcrs.json");
    let text = ok(&home, &["check", &path("gce-windows.bin"), "--pcrs", &pcrs], b"");
    let good: Vec<_> = text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [0, 4, 5, 7, 11, 12, 13, 14].map(|pcr| format!("sha1:{pcr} good"));
    assert_eq!(good, expected);
    let replayed = json(&home, &["replay", "-"], &log("gce-windows"));
    let quoted: Value = serde_json::from_str(&fs::read_to_string(pcrs).unwrap()).unwrap();
    let (replayed, quoted) = (replayed["sha1"].as_object().unwrap(), quoted["sha1"].as_object().unwrap());
    assert_eq!(replayed.len(), 8);
    assert!(replayed.iter().all(|(pcr, value)| quoted[pcr] == *value));
}

#[test]
fn other_logs_lead_to_what_tpm2_tools_compute() {
    let home = Home::new();
    let mut compared = 0;
    for name in REAL {
        let Some(theirs) = by_tpm2_tools(name).filter(|theirs| !theirs.trim().is_empty()) else { continue };
        fs::write(home.path().join("pcrs"), &theirs).unwrap();
        let json = json(&home, &["check", &path(&format!("{name}.bin")), "--pcrs", "pcrs"], b"");
        for pcr in json["pcrs"].as_array().unwrap() {
            assert_eq!(pcr["comes_out"], true, "{name}: {pcr}");
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

/// Nothing is left without words, and every digest that should be of the data is.
#[test]
fn every_event_of_real_logs_is_told_in_words() {
    let home = Home::new();
    for name in REAL {
        let shown = json(&home, &["show", "-"], &log(name));
        assert_eq!(
            (&shown["fault"], &shown["format"], &shown["padding"]),
            (&Value::Null, &1.into(), &0.into()),
            "{name}"
        );
        for event in shown["events"].as_array().unwrap() {
            let meaning = event["meaning"].as_str().unwrap();
            let is_blob = meaning.ends_with(" bytes") && !meaning.contains("root of trust");
            assert!(
                !meaning.is_empty() && !is_blob && !event["type"].as_str().unwrap().starts_with("0x"),
                "{name}: {event}"
            );
            assert_ne!(event["digest_of"], "doubtful", "{name}: {event}");
        }
    }
    for (name, words) in [
        ("gce-windows", "verified with db: \"Microsoft Root Certificate Authority 2010\""),
        ("gce-windows", "Windows: boot counter 4, version 1"),
        ("gce-windows", "\"\\\\Windows\\\\system32\\\\winload.efi\", verified on, publisher \"Microsoft Windows\""),
        ("gce-windows", "dbx: 77 hashes"),
        ("gce-ubuntu", "~ GRUB command: linux /boot/vmlinuz-5.11.0-1006-gcp root=PARTUUID="),
        ("gce-ubuntu", "~ kernel command line, by GRUB: /boot/vmlinuz"),
        ("gce-ubuntu", "  file read by GRUB: (hd0,gpt1)/boot/grub/grub.cfg"),
        ("gce-coreos", "= shim's SBAT level: sbat,1,2021030218"),
        ("gce-coreos", "= shim trusts its owner's keys (MokListTrusted): yes"),
        ("gce-coreos", "hypervisor: memory encryption: AMD SEV"),
        ("gce-coreos", "4 partitions: \"BIOS-BOOT\", \"EFI-SYSTEM\", \"boot\", \"root\""),
        (
            "gce-old-shim",
            "  verified with shim's built-in certificate: \"Canonical Ltd. Master Certificate Authority\"",
        ),
        ("hp-windows", "driver started: PciRoot(0x0)/Pci(0x2,0x0)/Pci(0x0,0x0)/Offset(0xf600-0x207ff)"),
        (
            "hp-windows",
            "61   -  EV_NO_ACTION                       Windows: for attestation, attestation key \"Windows AIK\"",
        ),
        ("hp-windows", "microcode: Load microcode revision 000000A1"),
        ("hp-debian", "= Secure Boot: off"),
        (
            "hp-debian",
            "boot entry 0012 \"debian\": HD(2,GPT,39d5b7c8-dca6-4808-bce2-efb2fa3d4b29)\\EFI\\debian\\grubx64.efi",
        ),
        ("intel-centos", "root of trust: Boot Guard Measured S-CRTM"),
        ("intel-centos", "Secure Boot: off (no such variable)"),
        ("locality-alone", "the TPM was started from locality 3"),
        ("direct", "~ unified kernel image: name of section .linux"),
        ("direct", "  unified kernel image: contents of section .linux"),
        ("direct", "kernel command line, by the kernel's EFI stub"),
        ("shim", "verified with shim's vendor database: \"test tpm\""),
    ] {
        let text = ok(&home, &["show", &path(&format!("{name}.bin"))], b"");
        assert!(text.contains(words), "{name}: {words}\n{text}");
    }
    let seven = ok(&home, &["show", &path("direct.bin"), "--pcr", "7,4"], b"");
    assert!(seven.lines().all(|line| matches!(line.split_whitespace().nth(1), Some("7" | "4"))), "{seven}");
}

/// PCR 0 begins with where the TPM was started from; other events that extend nothing change nothing.
#[test]
fn pcr_0_begins_with_the_locality_that_the_log_says() {
    let home = Home::new();
    let code = |start: u8| {
        extend(
            &{
                let mut pcr = [0; 32];
                pcr[31] = start;
                pcr
            },
            &sha256(&[b"code"]),
        )
    };
    let said = |locality| entry(0, NO_ACTION, &[0; 32], &[b"StartupLocality\0", &[locality][..]].concat());
    let manifest = entry(
        0,
        NO_ACTION,
        &[9; 32],
        b"SP800-155 Event\0\x57\x01\0\0\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11",
    );
    let component = entry(0, NO_ACTION, &[0; 32], b"H-CRTM CompMeas\0\x04acm\0rest");
    let post = event(0, POST_CODE, b"code");
    let other = event(u32::MAX, POST_CODE, b"not a PCR");
    for (entries, expected) in [
        (vec![post.clone()], code(0)),
        (vec![said(0), post.clone()], code(0)),
        (vec![said(3), post.clone()], code(3)),
        (vec![manifest.clone(), said(3), component, other, post.clone()], code(3)),
        (vec![said(4), event(0, HCRTM, b"HCRTM"), post.clone()], {
            let mut start = [0; 32];
            start[31] = 4;
            extend(&extend(&start, &sha256(&[b"HCRTM"])), &sha256(&[b"code"]))
        }),
    ] {
        let log = with_header(&entries);
        let replayed = json(&home, &["replay", "-"], &log);
        assert_eq!(replayed, serde_json::json!({ "sha256": { "0": hex(&expected) } }));
    }
    let text = ok(&home, &["show", "-"], &with_header(&[manifest, said(4), event(0, HCRTM, b"HCRTM")]));
    for words in [
        "reference manifest 11111111-1111-1111-1111-111111111111 of vendor 343 (SP 800-155)",
        "started from locality 4, an H-CRTM has measured before",
        "= H-CRTM: what has measured the firmware",
    ] {
        assert!(text.contains(words), "{text}");
    }
    // A log that does not say it.
    let mut pcrs = fs::File::create(home.path().join("pcrs")).unwrap();
    writeln!(pcrs, "sha256:0  {}", hex(&code(3))).unwrap();
    let output = fed(&home, &["check", "-", "--pcrs", "pcrs"], &with_header(&[post]));
    assert_eq!(output.status.code(), Some(14));
    assert!(stdout(&output).contains("started from locality 3, which the log does not say"), "{output:?}");
}

/// As OpenSSL computes it.
#[test]
fn the_bank_of_sm3_is_replayed_too() {
    let sm3 = |bytes: &[u8]| {
        let mut child = Command::new("openssl")
            .args(["dgst", "-sm3", "-binary"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let digest = child.wait_with_output().unwrap().stdout;
        <[u8; 32]>::try_from(digest).unwrap()
    };
    let mut log = with_header(&[event(4, 5, b"an action"), event(7, SEPARATOR, &[0; 4])]);
    // SM3 in the place of SHA-256: in the header, and in each event.
    for (at, bank) in log.clone().windows(2).enumerate().filter(|(_, bytes)| *bytes == [0x0b, 0]) {
        log[at..at + bank.len()].copy_from_slice(&[0x12, 0]);
    }
    for data in [&b"an action"[..], &[0; 4]] {
        let digest = sha256(&[data]);
        let at = log.windows(32).position(|window| window == digest).unwrap();
        log[at..at + 32].copy_from_slice(&sm3(data));
    }
    let home = Home::new();
    let pcr = |data: &[u8]| hex(&sm3(&[[0; 32], sm3(data)].concat()));
    let expected = serde_json::json!({ "sm3_256": { "4": pcr(b"an action"), "7": pcr(&[0; 4]) } });
    assert_eq!(json(&home, &["replay", "-"], &log), expected);
    assert!(ok(&home, &["show", "-"], &log).contains("= separator"));
    fs::write(home.path().join("pcrs"), expected.to_string()).unwrap();
    ok(&home, &["check", "-", "--pcrs", "pcrs"], &log);
}

/// What comes before a fault is shown, the fault is located, and padding is none.
#[test]
fn broken_logs_are_shown_as_far_as_they_are_sound() {
    let home = Home::new();
    let whole = with_header(&[event(7, SEPARATOR, &[0; 4]), event(4, 5, b"an action")]);
    let value = ok(&home, &["replay", "-"], &whole);
    for (fill, count) in [(0xff, 4096), (0, 4096), (0xff, 1)] {
        let padded = [&whole[..], &vec![fill; count]].concat();
        assert_eq!(ok(&home, &["replay", "-"], &padded), value);
        assert!(ok(&home, &["show", "-"], &padded).contains(&format!("{count} bytes of padding")));
    }
    let at = whole.len();
    for (bad, why) in [
        (vec![0x41; 100], format!("from byte {at} on: it says that it has 1094795585 digests")),
        (
            event(7, SEPARATOR, b"data")[..52].to_vec(),
            "4 bytes of data, and 2 are left (PCR 7, type EV_SEPARATOR)".into(),
        ),
        (vec![1, 2], format!("from byte {at} on: the log ends in the middle of it")),
    ] {
        let output = fed(&home, &["replay", "-"], &[&whole[..], &bad].concat());
        assert_eq!((output.status.code(), stdout(&output)), (Some(14), value.clone()));
        assert!(stderr(&output).contains(&why), "{why}: {}", stderr(&output));
        let shown = fed(&home, &["show", "-", "--json"], &[&whole[..], &bad].concat());
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!((&shown["fault"]["offset"], shown["events"].as_array().unwrap().len()), (&at.into(), 2));
    }
    // The remedy.
    ok(&home, &["replay", "-"], &whole);
    let output = fed(&home, &["show", "-"], &vec![0x41; 17 << 20]);
    assert!(stderr(&output).contains("larger than 16 MiB"), "{}", stderr(&output));
}

#[test]
fn a_log_is_compared_with_the_tpm_and_its_lies_are_found() {
    let machine = HostTpm::new(Banks::Sha256);
    let home = Home::new();
    let shim = log("shim");
    let events = boot(&machine, &shim);
    let check = |log: &[u8], more: &[&str]| {
        machine.write("log", log);
        let output = machine.output(&[&["eventlog", "check", "log"], more].concat());
        (output.status.code().unwrap(), stdout(&output), stderr(&output))
    };
    let (status, text, why) = check(&shim, &[]);
    assert_eq!(status, 0, "{text}{why}");
    assert!(text.lines().count() >= 10 && text.lines().all(|line| line.contains("  good  ")), "{text}");
    // A database that was described otherwise: the digest is true, the data are not.
    // It has signed itself: the second is its subject.
    let mut named = (0..shim.len()).filter(|at| shim[*at..].starts_with(b"test KEK"));
    let mut forged = shim.clone();
    forged[named.nth(1).unwrap()] = b'b';
    let (status, _, why) = check(&forged, &[]);
    assert_eq!(status, 0);
    assert!(why.contains("event 6 may be described wrongly"), "{why}");
    let text = ok(&home, &["show", "-"], &forged);
    assert!(text.contains("! KEK: one certificate: \"best KEK\""), "{text}");
    // With a digest to go with it.
    let offset = |number: usize| usize::try_from(events[number - 1]["offset"].as_u64().unwrap()).unwrap();
    let mut changed = shim.clone();
    changed[offset(6) + 20] ^= 1;
    let (status, text, why) = check(&changed, &[]);
    assert_eq!(status, 14);
    assert!(why.contains("does not lead to the PCRs sha256:7;"), "{why}");
    let kek = format!("sha256:7   bad   is {}", machine.tpm.pcr("sha256", 7));
    assert!(text.contains(&kek), "{text}");
    let blamed =
        format!("from event 6 (EV_EFI_VARIABLE_DRIVER_CONFIG, at byte {}) on, whose digest is not of", offset(6));
    assert!(text.contains(&blamed), "{text}");
    // An event too many, one too few, and one more at the end.
    let copy = shim[offset(25)..offset(26)].to_vec();
    let extra = [&shim[..offset(20)], &copy, &shim[offset(20)..]].concat();
    let (_, text, _) = check(&extra, &[]);
    assert!(
        text.contains("event 20 (EV_EFI_VARIABLE_AUTHORITY") && text.contains("without that it comes out"),
        "{text}"
    );
    let missing = [&shim[..offset(25)], &shim[offset(26)..]].concat();
    let (_, text, _) = check(&missing, &[]);
    assert!(text.contains("from event 4 (") && text.contains("one of its events was changed, or is missing"), "{text}");
    let later = [&shim[..], &event(7, SEPARATOR, &[0; 4])].concat();
    let (_, text, _) = check(&later, &[]);
    assert!(text.contains("event 49 (EV_SEPARATOR") && text.contains("nor has anything behind that"), "{text}");
    // What no log knows, and then one that does.
    machine.write("data", "enter-initrd");
    machine.ok(&["pcr", "extend", "11", "--data", "data", "--event", "enter-initrd", "--log", "records"]);
    machine.ok(&["pcr", "extend", "15", "--data", "data", "--log", "records"]);
    let (status, text, _) = check(&shim, &[]);
    assert_eq!(status, 14);
    assert!(text.contains("nothing in the logs has extended it, and something has"), "{text}");
    let (status, text, why) = check(&shim, &["--measure-log", "records"]);
    assert_eq!(status, 0, "{text}{why}");
    assert!(text.contains("sha256:11  good") && text.contains("sha256:15  good"), "{text}");
    let shown = fed(&home, &["show", "-", "--measure-log", machine.file("records").to_str().unwrap()], &shim);
    assert!(stdout(&shown).contains("u1  11  record") && stdout(&shown).contains("\"enter-initrd\""), "{shown:?}");
    // Records that are cut off are said, and not guessed.
    let records = machine.read("records");
    machine.write("records", &records[..records.len() - 9]);
    let (status, _, why) = check(&shim, &["--measure-log", "records"]);
    assert_eq!(status, 14);
    assert!(why.contains("1 of the system's records cannot be understood, the first at byte"), "{why}");
}

fn sha1(data: &[u8]) -> Vec<u8> {
    BankHash::of(4).unwrap().digest(data)
}

/// A record of IMA's list, of the template ima-ng, and its data, of which the digests are.
fn ima_record(name: &str) -> (Vec<u8>, Vec<u8>) {
    let sized = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    let digest = [b"sha256:\0", &sha256(&[name.as_bytes()])[..]].concat();
    let data = [sized(&digest), sized(format!("{name}\0").as_bytes())].concat();
    let record = [&10_u32.to_le_bytes()[..], &sha1(&data), &sized(b"ima-ng"), &sized(&data)].concat();
    (record, data)
}

#[test]
fn the_list_of_ima_is_compared_with_pcr_10_and_its_lies_are_found() {
    let machine = HostTpm::new(Banks::Sha256);
    let log = with_header(&[event(7, SEPARATOR, &[0; 4])]);
    let records: Vec<_> = ["boot_aggregate", "/bin/first", "/bin/second"].map(ima_record).into();
    let list = records.iter().map(|(record, _)| record.as_slice()).collect::<Vec<_>>().concat();
    let check = |list: &[u8]| {
        machine.write("list", list);
        machine.write("log", &log);
        let output = machine.output(&["eventlog", "check", "log", "--ima", "list"]);
        (output.status.code().unwrap(), stdout(&output), stderr(&output))
    };
    let measure = |digests: &[Digest]| {
        machine.tpm.reboot();
        machine.tpm.raw().extend(7, &sha256(&[&[0; 4]]));
        digests.iter().for_each(|digest| machine.tpm.raw().extend(10, digest));
    };
    let digests: Vec<Digest> = records.iter().map(|(_, data)| sha256(&[data])).collect();
    measure(&digests);
    let (status, text, why) = check(&list);
    assert!(status == 0 && text.contains("sha256:10  good  "), "{text}{why}");
    let list_file = machine.file("list");
    let replayed = ok(&Home::new(), &["replay", "-", "--ima", list_file.to_str().unwrap()], &log);
    assert!(replayed.contains(&format!("sha256:10  {}\n", machine.tpm.pcr("sha256", 10))), "{replayed}");
    let without = String::from_utf8(machine.ok(&["eventlog", "check", "log"])).unwrap();
    assert!(without.contains("IMA extends it, whose list is not part of these logs"), "{without}");
    // A name changed, a record too many, one too few, and a list that was cut off.
    let of = |numbers: &[usize]| numbers.iter().map(|number| records[*number].0.clone()).collect::<Vec<_>>().concat();
    let mut changed = list.clone();
    *changed.last_chunk_mut::<3>().unwrap().first_mut().unwrap() ^= 1;
    for (list, said) in [
        (&changed[..], "from record 1 of IMA (\"boot_aggregate\") on"),
        (&of(&[0, 1, 1, 2]), "record 2 of IMA (\"/bin/first\") has not extended it: without that it comes out"),
        (&of(&[0, 2]), "one of its events was changed, or is missing"),
        (&of(&[0, 1, 2, 1]), "record 4 of IMA (\"/bin/first\") has not extended it, nor has anything behind that"),
        (&list[..list.len() - 1], "from record 1 of IMA"),
    ] {
        let (status, text, why) = check(list);
        assert!(status == 14 && text.contains("sha256:10  bad  ") && text.contains(said), "{said}: {text}");
        let is_cut_off = said.ends_with("of IMA");
        assert_eq!(why.contains("IMA's list cannot be understood from byte"), is_cut_off, "{why}");
    }
    // A driver of the TPM that came too late for IMA.
    measure(&[]);
    let (status, text, _) = check(&list);
    assert!(
        status == 0 && text.contains("sha256:10  ?     nothing has extended it, so that nobody vouches for IMA's list"),
        "{text}"
    );
    // Kernels before 5.8, and a file that was open for writing while it was measured.
    let old = records.iter().map(|(_, data)| {
        let mut padded = [0; 32];
        padded[..20].copy_from_slice(&sha1(data));
        padded
    });
    measure(&old.collect::<Vec<_>>());
    assert_eq!(check(&list).0, 0);
    let mut violation = list.clone();
    let at = records[0].0.len() + 4;
    violation[at..at + 20].fill(0);
    assert_eq!(check(&violation).0, 14);
    measure(&[digests[0], [0xff; 32], digests[2]]);
    assert_eq!([check(&violation).0, check(&list).0], [0, 14]);
}

#[test]
fn values_that_are_none_are_refused_with_a_remedy() {
    let machine = HostTpm::new(Banks::Sha256);
    machine.write("pcrs", "no values");
    let args = ["eventlog", "check", &path("direct.bin"), "--pcrs", "pcrs"];
    let why = machine.fails(&args, 2);
    assert!(why.contains("is not a PCR and its value; give values as `trust pcr read --json` prints them"), "{why}");
    let values = machine.ok(&["pcr", "read", "--json"]);
    machine.write("pcrs", values);
    let output = machine.output(&args);
    assert_eq!(output.status.code(), Some(14));
    assert!(stdout(&output).contains("nothing has extended it: event 1 (EV_S_CRTM_VERSION"), "{output:?}");
}

/// Of every PCR the first event that differs, with its cause and what to do; of PCR 7 as the initrd says it.
#[test]
fn what_differs_between_boots_is_explained() {
    let home = Home::new();
    let explain = |args: &[&str]| {
        let output = home.output(&[&["explain"], args].concat());
        (output.status.code().unwrap(), stdout(&output), stderr(&output))
    };
    let (direct, shim) = (path("direct.bin"), path("shim.bin"));
    let (status, text, note) = explain(&["--log", &shim, "--against", &shim]);
    assert_eq!((status, text.as_str()), (0, ""));
    assert!(note.contains("no PCR differs"), "{note}");
    let (status, text, _) = explain(&["--log", &shim, "--against", &direct]);
    assert_eq!(status, 0);
    for words in [
        "PCR 4, event 26: new: started: PciRoot(0x0)/Pci(0x1,0x0)\\EFI\\BOOT\\BOOTX64.EFI, 994 KiB; another boot loader",
        "PCR 7, event 7: now: db: one certificate: \"test db\"; before: db: ",
        "has changed: have policies signed for it, `trust keyset pcr7data KEYSET --log FILE`",
        "PCR 14, event 27: new: MokList of shim; the owner's keys in shim have changed: seal anew",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("PCR 2") && !text.contains("PCR 6"), "{text}");
    let (_, back, _) = explain(&["--log", &direct, "--against", &shim, "--json"]);
    let back: Value = serde_json::from_str(&back).unwrap();
    let of = |pcr: u64| back["differences"].as_array().unwrap().iter().find(|found| found["pcr"] == pcr).unwrap();
    assert_eq!(of(14)["event"], Value::Null);
    assert!(of(14)["why"].as_str().unwrap().starts_with("missing: MokList of shim; "), "{back}");
    // Without a common bank.
    let (status, _, why) = explain(&["--log", &path("gce-windows.bin"), "--against", &direct]);
    assert_eq!(status, 2);
    assert!(why.contains("no bank in common; compare logs of one machine"), "{why}");
    // What the policies of a keyset expect is another matter.
    let home = Home::with_keyset();
    let output = home.output(&["explain", "k", "--log", &direct]);
    let text = stdout(&output);
    assert!(output.status.success() && text.starts_with("PCR 7: the firmware's PK is not the one"), "{output:?}");
    let mut off = log("direct");
    let name: Vec<u8> = "SecureBoot".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = off.windows(name.len()).position(|window| window == name).unwrap();
    off[at + name.len()] = 0;
    fs::write(home.path().join("off"), &off).unwrap();
    let output = home.output(&["explain", "--log", "off"]);
    assert!(stdout(&output).starts_with("PCR 7: Secure Boot is switched off; switch it on"), "{output:?}");
    // Its digest as well.
    let shown = json(&home, &["show", "-"], &off);
    let event = shown["events"].as_array().unwrap().iter().find(|event| event["digest_of"] == "doubtful").unwrap();
    let digest = usize::try_from(event["offset"].as_u64().unwrap()).unwrap() + 14;
    off[digest] ^= 1;
    fs::write(home.path().join("off"), &off).unwrap();
    let output = home.output(&["explain", "--log", "off", "--against", &direct]);
    assert!(stdout(&output).contains("PCR 7, event 4: Secure Boot is switched off; switch it on"), "{output:?}");
}

/// What the system has measured is compared where it is known of both boots, each kind with its cause.
#[test]
fn what_the_system_has_measured_is_explained() {
    let home = Home::new();
    let record = |pcr: u8, kind: &str, text: &str| {
        let digest = hex(&sha256(&[text.as_bytes()]));
        let content = serde_json::json!({ "string": text, "eventType": kind });
        format!(
            "\x1e{{\"pcr\":{pcr},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\"content_type\":\"systemd\",\"content\":{content}}}\n"
        )
    };
    let write = |name: &str, records: &[String]| fs::write(home.path().join(name), records.concat()).unwrap();
    let locked = record(7, "phase", "atomix\n");
    let phase = record(11, "phase", "enter-initrd");
    write("before", &[locked.clone(), phase.clone(), record(15, "machine-id", "machine-id:1")]);
    write(
        "now",
        &[
            locked.clone(),
            phase.clone(),
            record(11, "phase", "leave-initrd"),
            record(15, "machine-id", "machine-id:2"),
            record(15, "filesystem", "file-system:/"),
        ],
    );
    let direct = path("direct.bin");
    let args = ["explain", "--log", &direct, "--measure-log", "now", "--against", &direct];
    // Of the other boot nothing is known: nothing is new.
    assert_eq!(home.ok(&args), "");
    let text = home.ok(&[&args[..], &["--against-measure-log", "before"]].concat());
    let expected = "PCR 11, record 3: new: \"leave-initrd\" of user space; the boot has come to another point, or what is to \
                    be measured there has changed: seal anew what is bound to it\n\
                    PCR 15, record 4: now: \"machine-id:2\" of user space; before: \"machine-id:1\" of user space; the \
                    system has another machine ID: it was installed or reset: seal anew what is bound to it\n";
    assert_eq!(text, expected);
    let json = home.ok(&[&args[..], &["--against-measure-log", "before", "--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["differences"][0]["record"], &json["differences"][0]["event"]), (&3.into(), &Value::Null));
    // What has come before the lock, which no firmware's log says.
    write("early", &[record(7, "separator", "os-separator"), locked.clone()]);
    let explained = |log: &str| home.ok(&["explain", "--log", &direct, "--measure-log", log]);
    assert!(explained("early").contains("PCR 7, record 1: systemd has extended it with os-separator before"));
    write("other", &[record(7, "", "a\u{1b}[2Jb"), locked]);
    assert!(explained("other").contains("record 1: \"a\u{fffd}[2Jb\" of user space has extended it before"));
    assert!(!explained("now").contains("record"), "{}", explained("now"));
}

/// `docs/event-logs.md`, word by word: its commands, ours and those of tpm2-tools, print what it says.
#[test]
fn the_page_is_followed() {
    let machine = HostTpm::new(Banks::Sha256);
    let shim = log("shim");
    boot(&machine, &shim);
    machine.write("binary_bios_measurements", &shim);
    machine.write("before", log("direct"));
    assert!(machine.follow("docs/event-logs.md") >= 10, "the search misses them");
}

/// Cut anywhere, and with any byte changed, a log is shown, and what is shown is text.
#[test]
fn harmed_logs_are_shown_too() {
    use trust::host::eventlog::{check, measured, read::FirmwareLog, replay::BootLogs, words};
    for name in ["direct", "gce-windows", "hp-debian", "gce-old-shim"] {
        let whole = log(name);
        let look = |log: &[u8]| {
            let read = FirmwareLog::read(log);
            let logs = BootLogs { firmware: &read, ima: &[], user_space: &[] };
            let values = logs.replay();
            assert!(
                check::compare(logs, &values).iter().all(|compared| compared.outcome == check::PcrOutcome::ComesOut)
            );
            for logged in &read.events {
                let text = words::meaning(&logged.event);
                assert!(text.chars().count() <= 401 && !text.chars().any(char::is_control), "{name}: {text:?}");
                let _ = measured::of(&logged.event);
            }
        };
        for at in (0..whole.len()).step_by(997) {
            look(&whole[..at]);
            for value in [0, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                look(&broken);
            }
        }
    }
}
