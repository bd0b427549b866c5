//! The log of a system that was started by kexec, in words, and what its kernel says of that (IMA).

use harness::{Home, hex, sha256, workspace};
use std::fs;
use trust::{
    host::{
        eventlog::{read::FirmwareLog, replay::BootLogs},
        uefi::signature_list,
    },
    measure::{user_space, variable::VariableData},
    policy::pcr_values::PcrName,
};

#[test]
fn a_successor_is_told_in_words() {
    let home = Home::new();
    let firmware = workspace().join("tests/data/event-logs/direct.bin").display().to_string();
    let direct = fs::read(&firmware).unwrap();
    let read = FirmwareLog::read(&direct);
    // Whoever is in db has signed it.
    let db =
        read.events.iter().filter_map(|logged| VariableData::parse(logged.event.data)).find(|data| data.name == "db");
    let lists = signature_list::parse(db.unwrap().contents).unwrap();
    let known = hex(&sha256(&[&lists[0].signatures[0].data]));
    let of_bytes = |pcr: u8, text: &str, bytes: &[u8]| {
        let (digest, content) = (hex(&sha256(&[bytes])), serde_json::json!({ "string": text }));
        format!(
            "\x1e{{\"pcr\":{pcr},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\"content_type\":\"systemd\",\"content\":{content}}}\n"
        )
    };
    let record = |pcr: u8, text: &str| of_bytes(pcr, text, text.as_bytes());
    let (event, stranger) = (format!("kexec {known}"), format!("kexec {}", "ab".repeat(32)));
    let records = [
        record(7, "atomix\n"),
        record(7, "os-separator"),
        record(11, ".linux"),
        record(7, &event),
        of_bytes(11, ".linux", b".linux\0"),
        of_bytes(11, "contents of .linux", b"MZ"),
        of_bytes(12, "quiet \u{1b}[31m", b"q\0"),
        record(12, "quiet"),
        record(7, &stranger),
        record(12, "x"),
        // Which says something else than was measured.
        of_bytes(7, &event, b"kexec"),
    ];
    fs::write(home.path().join("records"), records.concat()).unwrap();
    let args = ["eventlog", "show", &firmware, "--measure-log", "records"];
    let shown = home.ok(&args);
    let said: Vec<&str> = shown.lines().filter(|line| line.trim_start().starts_with('u')).collect();
    let words = [
        "Trust locks what the boot may read",
        "separator: the system's own measurements begin here",
        "\".linux\"",
        "a successor is started by kexec: an image signed by \"",
        "section .linux of the successor: its name",
        "section .linux of the successor: what it holds",
        "command line of the successor: \"quiet \u{fffd}[31m\"",
        "\"quiet\"",
        "a successor is started by kexec: an image signed by a certificate that the log does not have, abab",
        "command line of the successor: \"x\"",
        "\"kexec ",
    ];
    assert_eq!(said.len(), words.len(), "{shown}");
    for (line, words) in said.iter().zip(words) {
        assert!(line.contains(&format!("  {words}")), "{line}: {words}");
    }
    let explained = home.ok(&["explain", "--log", &firmware, "--measure-log", "records"]);
    assert!(explained.contains("PCR 7, record 9: this system was started by kexec"), "{explained}");

    // IMA's first record is of PCRs 0 to 9, which the log before it leads to.
    let aggregate = |records: &[u8]| {
        let records = user_space::read(records).0;
        let values = BootLogs { firmware: &read, ima: &[], user_space: &records }.replay();
        let value = |number| values.get(PcrName { bank: 0x000b, number }).unwrap_or_else(|| vec![0; 32]);
        sha256(&(0..10).map(value).collect::<Vec<_>>().iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let part = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat();
    let ima = |template: &str, fields: &[&[u8]]| {
        let data: Vec<u8> = fields.iter().flat_map(|field| part(field)).collect();
        [&10_u32.to_le_bytes()[..], &[7; 20], &part(template.as_bytes()), &part(&data)].concat()
    };
    let boot = |digest: [u8; 32]| ima("ima-ng", &[&[&b"sha256:\0"[..], &digest].concat(), b"boot_aggregate\0"]);
    let list = [
        boot(aggregate(b"")),
        ima("ima-ng", &[&[&b"sha256:\0"[..], &[1; 32]].concat(), b"/usr/bin/a\n10 b\0"]),
        ima("ima-buf", &[&[&b"sha256:\0"[..], &[2; 32]].concat(), b"kexec-cmdline\0", b"root=/dev/sda \x1b"]),
        boot(aggregate(records[..7].concat().as_bytes())),
        boot(aggregate(records[..1].concat().as_bytes())),
    ];
    fs::write(home.path().join("ima"), list.concat()).unwrap();
    let shown = home.ok(&[&args[..], &["--ima", "ima"]].concat());
    let of_ima = |shown: &str| {
        let lines = shown.lines().filter(|line| line.trim_start().starts_with('i'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let said = of_ima(&shown);
    let words = [
        "PCRs 0 to 9 as the kernel has found them: as the firmware has left them",
        "command line of a kernel that was loaded for kexec:",
        "PCRs 0 to 9 as the kernel has found them after the kexec of record u4",
        "PCRs 0 to 9 as the kernel has found them: not what the logs lead to",
    ];
    assert_eq!(said.len(), words.len(), "{shown}");
    for (line, words) in said.iter().zip(words) {
        assert!(line.contains(words) && !line.contains('\u{1b}'), "{line}: {words}");
    }
    assert!(shown.contains("one file measured by IMA"), "{shown}");
    // A list that was handed on says where each kernel has begun, and one that was not, what is missing.
    let missing = "what IMA has measured before it is in the PCR, and not in this list";
    assert!(!shown.contains("what IMA has measured before"), "{shown}");
    let buffer = |name: &str, bytes: &[u8]| {
        ima("ima-buf", &[&[&b"sha256:\0"[..], &[2; 32]].concat(), &[name.as_bytes(), b"\0"].concat(), bytes])
    };
    let certificate = &lists[0].signatures[0].data;
    let anew = [
        boot(aggregate(records[..7].concat().as_bytes())),
        buffer("kernel_version", b"6.12.0"),
        buffer(".platform", certificate),
        buffer(".platform", b"a key"),
        // Another hook's bytes are not a key, whatever they are.
        buffer("platform", certificate),
    ];
    fs::write(home.path().join("ima"), anew.concat()).unwrap();
    let said = home.ok(&[&args[..], &["--ima", "ima", "--json"]].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let meaning = |number: usize| said["ima"][number]["meaning"].as_str().unwrap();
    assert!(meaning(0).contains("after the kexec of record u4") && meaning(0).ends_with(missing), "{said}");
    assert_eq!(meaning(1), "version of the kernel: \"6.12.0\"");
    assert!(meaning(2).starts_with("put into the kernel's keyring .platform: the certificate of \""), "{said}");
    assert_eq!(meaning(3), "\"a key\"");
    assert_eq!(meaning(4), format!("{} bytes", certificate.len()));
    // What is cut off is said, and what comes before is shown.
    let whole = list.concat();
    fs::write(home.path().join("ima"), &whole[..whole.len() - 1]).unwrap();
    let output = home.output(&[&args[..], &["--ima", "ima"]].concat());
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && why.contains("IMA's list cannot be understood from byte"), "{why}");
    fs::write(home.path().join("ima"), [0xff; 100]).unwrap();
    let output = home.output(&[&args[..], &["--ima", "ima"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("from byte 0 on"));
}
