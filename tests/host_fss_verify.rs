//! `trust fss verify` beside the real journald and journalctl of Debian 12, 13 and 14: what they have sealed is vouched
//! for, what an attacker has done to it is found, and so is what was never sealed.

use harness::{Journald, documentation, trust_host};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};
use trust::{
    host::journal::{Circumstances, JournalVerdict, SealKeys, VerificationKey, reseal, verify},
    secret::Secret,
};

/// One of each kind: `plain` has a file that was rotated, with an interval without entries, one whose journald was killed,
/// and one whose journald has ended; `online.journal` was being written to.
const SCRIPT: &str = r#"
new /out/key 2s
start
for i in 1 2 3; do say "entry $i"; large x; tick; done
tick; tick
say "after idle"; await "after idle"
rotate
say "after rotation"; await "after rotation"
tick
say "before the end"; await "before the end"
kill -KILL "$journald"; wait "$journald" || true; rm -f /run/systemd/journal/socket
start
say "after the crash"; await "after the crash"
cp "$JOURNALS/system.journal" /out/online.journal
stop
keep plain
"#;

/// What files may be like otherwise, each in a directory.
const VARIANTS: &str = r#"
variant() {
    local name=$1; shift
    new "/out/$name-key" 2s
    [ "$name" != unsealed ] || sed -i s/Seal=yes/Seal=no/ /etc/systemd/journald.conf
    start "$@"
    say first; large y; tick; say second; await second
    stop
    keep "$name"
}
variant other
variant unsealed
variant regular SYSTEMD_JOURNAL_COMPACT=0
variant jenkins SYSTEMD_JOURNAL_KEYED_HASH=0
variant LZ4 SYSTEMD_JOURNAL_COMPRESS=LZ4
variant XZ SYSTEMD_JOURNAL_COMPRESS=XZ
variant ZSTD SYSTEMD_JOURNAL_COMPRESS=ZSTD
new /out/plaintext-key 2s
sed -i s/Compress=yes/Compress=no/ /etc/systemd/journald.conf
start; large z; await "$(head -c 3000 /dev/zero | tr '\0' z)"; stop
keep plaintext
"#;

/// systemd 252, 257, and the newest.
const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

/// The journald of a suite, once it has written all of that.
fn journald(suite: &'static str) -> &'static Journald {
    static ALL: [OnceLock<Journald>; 3] = [const { OnceLock::new() }; 3];
    let number = SUITES.iter().position(|one| *one == suite).unwrap();
    ALL[number].get_or_init(|| {
        let journald = Journald::new(suite);
        journald.run(SCRIPT);
        journald.run(VARIANTS);
        journald
    })
}

/// The file that was rotated, while entries went on.
fn rotated(journald: &Journald) -> PathBuf {
    let files = fs::read_dir(journald.path("plain")).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| name(path).contains("-0000000000000001-");
    files.filter(|path| name(path).ends_with(".journal")).find(is_it).unwrap()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn trust(args: &[&str]) -> Output {
    let mut command = Command::new(trust_host());
    command.args(["fss", "verify"]).args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).output().unwrap()
}

/// The exit status and the report.
#[track_caller]
fn report(args: &[&str]) -> (i32, Value) {
    let output = trust(&[args, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {stderr}"));
    (output.status.code().unwrap(), report)
}

/// The report on one file.
#[track_caller]
fn of_file(journald: &Journald, key: &str, file: &Path) -> (i32, Value) {
    let key = journald.path(key);
    let (status, mut all) = report(&["--verify-key-file", key.to_str().unwrap(), file.to_str().unwrap()]);
    (status, all["files"][0].take())
}

/// An object of a file, found by the documentation of the format and not by the code under test.
#[derive(Clone, Debug)]
struct Found {
    kind: u8,
    at: usize,
    size: usize,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

const COMPACT: u8 = 16;
const TAG: u8 = 7;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

fn objects(bytes: &[u8]) -> Vec<Found> {
    let (mut at, last) = (number(bytes, 88) as usize, number(bytes, 136) as usize);
    let mut all = Vec::new();
    while at <= last {
        let size = number(bytes, at + 8) as usize;
        all.push(Found { kind: bytes[at], at, size });
        at += size.next_multiple_of(8);
    }
    all
}

fn key(journald: &Journald) -> VerificationKey {
    let secret = Secret::read_from(&mut fs::File::open(journald.path("key")).unwrap()).unwrap().unwrap();
    VerificationKey::parse(&secret).unwrap()
}

#[test]
fn what_journald_has_sealed_is_vouched_for_by_both() {
    for suite in SUITES {
        let journald = journald(suite);
        let mut files: Vec<_> =
            fs::read_dir(journald.path("plain")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3, "{suite}: {files:?}");
        files.push(journald.path("online.journal"));
        let accepted = journald.journalctl_accepts(&files);
        let (mut verdicts, mut states) = (Vec::new(), Vec::new());
        for (file, accepted) in files.iter().zip(accepted) {
            let (status, report) = of_file(journald, "key", file);
            assert!(accepted, "{suite}: {file:?}");
            assert!(report["misfit"].is_null(), "{suite}: {report}");
            let verdict = report["verdict"].as_str().unwrap().to_owned();
            let expected = if verdict == "sealed" { 0 } else { 14 };
            assert_eq!(status, expected, "{suite}: {verdict} has another status: {report}");
            verdicts.push(verdict);
            states.push(report["header"]["state"].as_str().unwrap().to_owned());
        }
        assert_eq!(states, ["offline", "online", "archived", "online"], "{suite}: {files:?}");
        // systemd 252 seals nothing more when it rotates, and nobody can when journald was killed. What it does when it
        // ends, and before the interval is over, is enough.
        let rotated = if suite == "bookworm" { "unsealed_end" } else { "sealed" };
        assert_eq!(verdicts, ["sealed", "unsealed_end", rotated, "overdue"], "{suite}");
    }
}

#[test]
fn every_kind_of_file_is_understood() {
    // Where in the header the flags are, and which.
    for (suite, name, flag, is_set) in [
        ("bookworm", "regular", COMPACT, false),
        ("bookworm", "other", COMPACT, true),
        ("bookworm", "jenkins", 4, false),
        ("forky", "regular", COMPACT, false),
        ("forky", "LZ4", 2, true),
        ("forky", "XZ", 1, true),
        ("forky", "ZSTD", 8, true),
        ("trixie", "LZ4", 2, true),
        ("forky", "plaintext", 0, false),
    ] {
        let journald = journald(suite);
        let file = journald.path(name).join("system.journal");
        let bytes = fs::read(&file).unwrap();
        assert_eq!(bytes[12] & flag != 0, is_set, "{suite} {name}: {:#x}", bytes[12]);
        let compressed = objects(&bytes).iter().filter(|object| object.kind == 1 && bytes[object.at + 1] != 0).count();
        assert_eq!(compressed > 0, name != "plaintext", "{suite} {name}");
        let (status, report) = of_file(journald, &format!("{name}-key"), &file);
        assert_eq!((status, report["verdict"].as_str()), (0, Some("sealed")), "{suite} {name}: {report}");
        assert_eq!(report["sealed"]["entries"], report["header"]["entries"], "{suite} {name}");
    }
}

/// An attack on the bytes of a file, the verdict, and whether journalctl notices, where it is known to be right.
type Attack = (&'static str, fn(&mut Vec<u8>), &'static str, bool);

fn text(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to);
}

fn nth(bytes: &[u8], kind: u8, number: usize) -> Found {
    objects(bytes).into_iter().filter(|object| object.kind == kind).nth(number).unwrap()
}

/// Takes everything behind a tag out, as carefully as an attacker can who has no key: what is counted and listed is so anew.
fn cut_behind_tag(bytes: &mut [u8], tag: usize) {
    let all = objects(bytes);
    let last = nth(bytes, TAG, tag);
    let kept: Vec<_> = all.iter().filter(|object| object.at <= last.at).collect();
    let count = |kind: u8| kept.iter().filter(|object| object.kind == kind).count() as u64;
    set(bytes, 136, last.at as u64);
    set(bytes, 144, kept.len() as u64);
    for (at, kind) in [(152, ENTRY), (208, 1), (216, 2), (224, TAG), (232, ENTRY_ARRAY)] {
        set(bytes, at, count(kind));
    }
    let tail = kept.iter().rfind(|object| object.kind == ENTRY).unwrap();
    for (header, entry) in [(160, 16), (192, 24), (200, 32)] {
        set(bytes, header, number(bytes, tail.at + entry));
    }
    let size = if bytes[12] & COMPACT != 0 { 4 } else { 8 };
    let (mut array, mut left) = (number(bytes, 176) as usize, count(ENTRY) as usize);
    loop {
        let room = (number(bytes, array + 8) as usize - 24) / size;
        let used = left.min(room);
        left -= used;
        bytes[array + 24 + used * size..array + 24 + room * size].fill(0);
        if left == 0 {
            set(bytes, array + 16, 0);
            bytes[256..260].copy_from_slice(&(array as u32).to_le_bytes());
            bytes[260..264].copy_from_slice(&(used as u32).to_le_bytes());
            break;
        }
        array = number(bytes, array + 16) as usize;
    }
    if number(bytes, 88) >= 272 {
        set(bytes, 264, tail.at as u64);
    }
    let end = last.at + last.size;
    bytes[end..].fill(0);
}

const ATTACKS: &[Attack] = &[
    ("text", |bytes| text(bytes, b"MESSAGE=entry 2", b"MESSAGE=entry 7"), "altered", true),
    (
        "time",
        |bytes| {
            let at = nth(bytes, ENTRY, 2).at + 24;
            bytes[at] ^= 1
        },
        "altered",
        true,
    ),
    (
        "boot",
        |bytes| {
            let at = nth(bytes, ENTRY, 2).at + 40;
            bytes[at] ^= 1
        },
        "altered",
        true,
    ),
    (
        "cut off",
        |bytes| {
            let at = nth(bytes, TAG, 2).at;
            bytes.truncate(at + 64)
        },
        "altered",
        true,
    ),
    (
        "cut off within",
        |bytes| {
            let at = nth(bytes, ENTRY, 2).at;
            bytes.truncate(at + 20)
        },
        "altered",
        true,
    ),
    (
        "a tag is none",
        |bytes| {
            let at = nth(bytes, TAG, 1).at;
            bytes[at] = 2
        },
        "altered",
        true,
    ),
    (
        "an empty tag",
        |bytes| {
            let at = nth(bytes, TAG, 1).at;
            bytes[at + 32..at + 64].fill(0)
        },
        "altered",
        true,
    ),
    (
        "a tag is exchanged",
        |bytes| {
            let (one, other) = (nth(bytes, TAG, 1).at, nth(bytes, TAG, 2).at);
            bytes.copy_within(one + 32..one + 64, other + 32);
        },
        "altered",
        true,
    ),
    (
        "another epoch",
        |bytes| {
            let at = nth(bytes, TAG, 1).at;
            bytes[at + 24] ^= 1
        },
        "altered",
        true,
    ),
    (
        "an absurd epoch",
        |bytes| {
            let at = nth(bytes, TAG, 0).at;
            set(bytes, at + 24, u64::MAX)
        },
        "other_key",
        true,
    ),
    (
        "the first tag",
        |bytes| {
            let at = nth(bytes, TAG, 0).at;
            bytes[at + 40] ^= 1
        },
        "other_key",
        true,
    ),
    ("the machine", |bytes| bytes[40] ^= 1, "other_key", true),
    ("the seals are denied", |bytes| bytes[8] &= !1, "never_sealed", true),
    // CVE-2023-31437: what is sealed is there, and no reader finds it.
    (
        "an entry is hidden",
        |bytes| {
            let first = number(bytes, 176) as usize + 24;
            let (size, room) = if bytes[12] & COMPACT != 0 { (4, 4) } else { (8, 4) };
            bytes.copy_within(first + size..first + size * room, first);
        },
        "altered",
        true,
    ),
    ("entries are not listed", |bytes| set(bytes, 176, 0), "altered", true),
    (
        "a size that overflows",
        |bytes| {
            let at = nth(bytes, ENTRY, 1).at;
            set(bytes, at + 8, u64::MAX - 8)
        },
        "altered",
        true,
    ),
    (
        "an object of no size",
        |bytes| {
            let at = nth(bytes, ENTRY, 1).at;
            set(bytes, at + 8, 0)
        },
        "altered",
        true,
    ),
    ("a header without end", |bytes| set(bytes, 88, !7), "altered", true),
    ("an arena without end", |bytes| set(bytes, 96, u64::MAX), "altered", true),
    ("no magic", |bytes| bytes[0] = 0, "unreadable", true),
    ("a feature of the future", |bytes| bytes[12] |= 0x80, "unreadable", true),
    ("nothing", |bytes| bytes.clear(), "unreadable", true),
];

#[test]
fn what_an_attacker_does_to_a_file_is_found_by_both() {
    for suite in ["bookworm", "forky"] {
        let journald = journald(suite);
        let whole = fs::read(rotated(journald)).unwrap();
        fs::create_dir(journald.path("attacks")).unwrap();
        let path = |name: &str| journald.path("attacks").join(format!("{}.journal", name.replace(' ', "-")));
        for (name, attack, ..) in ATTACKS {
            let mut bytes = whole.clone();
            attack(&mut bytes);
            assert_ne!(bytes, whole, "{name}");
            fs::write(path(name), bytes).unwrap();
        }
        let paths: Vec<_> = ATTACKS.iter().map(|(name, ..)| path(name)).collect();
        let accepted = journald.journalctl_accepts(&paths);
        for ((name, _, expected, is_right), accepted) in ATTACKS.iter().zip(accepted) {
            let (status, report) = of_file(journald, "key", &path(name));
            assert_eq!((status, report["verdict"].as_str()), (14, Some(*expected)), "{suite}: {name}: {report}");
            assert!(!accepted || !is_right, "{suite}: journalctl accepts {name}");
        }
        // Where the first object is that does not fit: the tag behind what was altered.
        let (_, report) = of_file(journald, "key", &path("text"));
        let altered = whole.windows(15).position(|window| window == b"MESSAGE=entry 2").unwrap();
        let tag = objects(&whole).into_iter().find(|object| object.kind == TAG && object.at > altered).unwrap();
        assert_eq!((&report["misfit"]["offset"], &report["misfit"]["object"]), (&tag.at.into(), &"tag".into()));
        let before = objects(&whole).into_iter().rfind(|object| object.kind == TAG && object.at < altered).unwrap();
        assert_eq!(report["sealed"]["end"], before.at + before.size, "{report}");
    }
}

#[test]
fn another_key_and_files_without_seals_are_told_from_damage() {
    for suite in ["bookworm", "forky"] {
        let journald = journald(suite);
        let file = journald.path("plain/system.journal");
        let (status, report) = of_file(journald, "other-key", &file);
        assert_eq!((status, report["verdict"].as_str()), (14, Some("other_key")), "{report}");
        let unsealed = journald.path("unsealed/system.journal");
        // journalctl has nothing to say against it.
        assert_eq!(journald.journalctl_accepts(std::slice::from_ref(&unsealed)), [true]);
        let (status, report) = of_file(journald, "key", &unsealed);
        assert_eq!((status, report["verdict"].as_str()), (14, Some("never_sealed")), "{report}");
        assert!(report["header"]["entries"].as_u64().unwrap() > 0, "{report}");
    }
}

/// CVE-2023-31438, CVE-2023-31439: an attacker who was root has the sealing key of that time. It seals nothing of before.
#[test]
fn what_is_sealed_too_late_is_told_from_what_was_sealed_in_time() {
    for suite in ["bookworm", "forky"] {
        let journald = journald(suite);
        let mut bytes = fs::read(rotated(journald)).unwrap();
        // An entry that claims to be an hour older than its seal.
        let entry = nth(&bytes, ENTRY, 3).at;
        let time = number(&bytes, entry + 24);
        set(&mut bytes, entry + 24, time - 3_600_000_000);
        let path = journald.path("backdated.journal");
        fs::write(&path, &bytes).unwrap();
        reseal(&path, key(journald)).unwrap();
        let (status, report) = of_file(journald, "key", &path);
        assert_eq!((status, report["verdict"].as_str()), (14, Some("clock")), "{report}");
        assert_eq!(report["misfit"]["offset"], entry, "{report}");
        assert_eq!(report["clock_steps"]["count"], 1, "{report}");
        // Intervals that have no seal of their own. systemd 255 and later promise that there are none.
        let mut bytes = fs::read(rotated(journald)).unwrap();
        let last = objects(&bytes).into_iter().rfind(|object| object.kind == TAG).unwrap().at;
        let epoch = number(&bytes, last + 24);
        set(&mut bytes, last + 24, epoch + 100);
        for object in objects(&bytes).iter().filter(|object| object.kind == ENTRY && object.at > last) {
            let later = number(&bytes, object.at + 24) + 100_000_000;
            set(&mut bytes, object.at + 24, later);
            set(&mut bytes, 192, later);
        }
        fs::write(&path, &bytes).unwrap();
        reseal(&path, key(journald)).unwrap();
        let (_, report) = of_file(journald, "key", &path);
        if suite == "forky" {
            assert_eq!(report["verdict"], "altered", "{report}");
            assert!(report["misfit"]["why"].as_str().unwrap().contains("it is of epoch"), "{report}");
        } else {
            assert!(report["sealed"]["intervals_without_tag"].as_u64().unwrap() >= 99, "{report}");
        }
    }
}

#[test]
fn what_is_missing_between_files_is_found() {
    for suite in ["bookworm", "forky"] {
        let journald = journald(suite);
        let copy = |name: &str| {
            let to = journald.path(name);
            fs::create_dir(&to).unwrap();
            for entry in fs::read_dir(journald.path("plain")).unwrap() {
                let from = entry.unwrap().path();
                fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
            }
            to
        };
        let of = |directory: &Path| {
            let key = journald.path("key");
            report(&["--verify-key-file", key.to_str().unwrap(), "--directory", directory.to_str().unwrap()])
        };
        let whole = copy("whole");
        let (status, report) = of(&whole);
        // The one that was killed.
        assert_eq!((status, &report["result"]), (14, &"unsealed_ends".into()), "{report}");
        assert_eq!(report["chains"][0]["files"], 3, "{report}");
        assert_eq!(report["chains"][0]["gaps"], serde_json::json!([]), "{report}");
        let middle = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path());
        let middle = middle.into_iter().find(|path| name(path).ends_with('~')).unwrap();
        let parts =
            &report["files"].as_array().unwrap().iter().find(|file| file["file"] == middle.to_str().unwrap()).unwrap()
                ["header"];
        let (head, tail) = (parts["head_seqnum"].as_u64().unwrap(), parts["tail_seqnum"].as_u64().unwrap());
        fs::remove_file(&middle).unwrap();
        let (status, report) = of(&whole);
        assert_eq!((status, &report["result"]), (14, &"failed".into()), "{report}");
        assert_eq!(
            report["chains"][0]["gaps"],
            serde_json::json!([{ "after": head - 1, "before": tail + 1 }]),
            "{report}"
        );
        // Everything behind a seal is taken out, and nothing in the file tells it.
        let cut = copy("cut");
        let file = cut.join(name(&rotated(journald)));
        let mut bytes = fs::read(&file).unwrap();
        cut_behind_tag(&mut bytes, 2);
        fs::write(&file, &bytes).unwrap();
        let (_, report) = of_file(journald, "key", &file);
        assert_eq!(report["verdict"], "sealed", "{report}");
        let (status, report) = of(&cut);
        assert_eq!((status, &report["result"]), (14, &"failed".into()), "{report}");
        assert_eq!(report["chains"][0]["gaps"].as_array().unwrap().len(), 1, "{report}");
        // A file is there twice.
        let twice = copy("twice");
        fs::copy(twice.join("system.journal"), twice.join("system@x.journal")).unwrap();
        let (_, report) = of(&twice);
        assert_eq!(report["chains"][0]["copies"].as_array().unwrap().len(), 1, "{report}");
        // An empty directory vouches for nothing.
        fs::create_dir(journald.path("empty")).unwrap();
        let key = journald.path("key");
        let output =
            trust(&["--verify-key-file", key.to_str().unwrap(), "-D", journald.path("empty").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(14));
    }
}

/// What of a file no seal covers, by kind.
fn outside(bytes: &[u8]) -> BTreeMap<&'static str, Vec<Range<usize>>> {
    let compact = bytes[12] & COMPACT != 0;
    let mut all = BTreeMap::<_, Vec<_>>::new();
    let mut add = |what, range: Range<usize>| all.entry(what).or_default().push(range);
    for range in [16..24, 56..72, 96..104, 136..number(bytes, 88) as usize] {
        add("header", range);
    }
    let last_tag = objects(bytes).into_iter().rfind(|object| object.kind == TAG).unwrap();
    for Found { kind, at, size } in objects(bytes) {
        if at > last_tag.at {
            add("behind the last tag", at..at + size);
            continue;
        }
        match kind {
            1 => add("links of data", at + 24..at + if compact { 72 } else { 64 }),
            2 => add("links of fields", at + 24..at + 40),
            4 | 5 => add("hash tables", at + 16..at + size),
            ENTRY_ARRAY => add("entry arrays", at + 16..at + size),
            _ => {}
        }
        add("between objects", at + size..at + size.next_multiple_of(8));
    }
    add("behind the last object", number(bytes, 136) as usize + 64..bytes.len());
    all
}

/// Whatever byte is altered: it is noticed, or no seal covers it.
#[test]
fn every_altered_byte_is_noticed_or_outside_of_the_seals() {
    for suite in ["bookworm", "forky"] {
        let journald = journald(suite);
        let whole = fs::read(journald.path("plain/system.journal")).unwrap();
        let outside = outside(&whole);
        let is_outside = |at: usize| outside.iter().find(|(_, ranges)| ranges.iter().any(|range| range.contains(&at)));
        let mut keys = SealKeys::new(vec![key(journald)]);
        let circumstances = Circumstances { now: 0, is_put_aside: true };
        let mut verdict = |bytes: &[u8]| verify(bytes.into(), &mut keys, circumstances, &mut |_| {}).unwrap().verdict;
        assert_eq!(verdict(&whole), JournalVerdict::Sealed);
        let mut bytes = whole.clone();
        let (mut covered, mut noticed_outside) = (0, BTreeMap::<_, [usize; 2]>::new());
        // All of the header, and of the rest what a stride without a pattern meets; of what is empty, little.
        let header = number(&whole, 88) as usize;
        let mut at = 0;
        while at < whole.len() {
            let place = is_outside(at).map(|(what, _)| *what);
            bytes[at] ^= 1 << (at % 8);
            let noticed = verdict(&bytes) != JournalVerdict::Sealed;
            bytes[at] = whole[at];
            match place {
                None => {
                    assert!(noticed, "{suite}: byte {at} is altered, and nobody notices");
                    covered += 1;
                }
                Some(what) => noticed_outside.entry(what).or_default()[usize::from(noticed)] += 1,
            }
            at += match place {
                _ if at < header => 1,
                Some("hash tables" | "behind the last object") => 2999,
                _ => 11,
            };
        }
        assert!(covered > 250, "{suite}: {covered}");
        // What the list of all entries is made of, and what the header counts, is compared, though no seal covers it.
        let [missed, noticed] = noticed_outside["header"];
        assert!(noticed > 100 && missed <= 48, "{suite}: {noticed_outside:?}");
        assert!(noticed_outside["entry arrays"][1] > 0, "{suite}: {noticed_outside:?}");
    }
}

/// The size does not matter.
#[test]
fn a_large_file_takes_little_memory() {
    const SIZE: u64 = 320 << 20;
    let journald = journald("forky");
    let mut bytes = fs::read(journald.path("regular/system.journal")).unwrap();
    let last = objects(&bytes).pop().unwrap();
    assert_eq!(last.kind, TAG);
    let end = last.at + last.size;
    bytes.truncate(end);
    // Data that nothing refers to, and another seal.
    let mut data = vec![0; 64];
    data[0] = 1;
    set(&mut data, 8, SIZE);
    let mut tag = bytes[last.at..].to_vec();
    set(&mut tag, 16, number(&bytes, last.at + 16) + 1);
    let epoch = number(&bytes, last.at + 24);
    set(&mut tag, 24, epoch + 1);
    for (at, more) in [(144, 2), (208, 1), (224, 1)] {
        let before = number(&bytes, at);
        set(&mut bytes, at, before + more);
    }
    set(&mut bytes, 136, end as u64 + SIZE);
    let header = number(&bytes, 88);
    set(&mut bytes, 96, end as u64 + SIZE + 64 - header);
    bytes.extend_from_slice(&data);
    let path = journald.path("large.journal");
    fs::write(&path, &bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &tag, end as u64 + SIZE).unwrap();
    let secret = fs::read(journald.path("regular-key")).unwrap();
    let secret = Secret::read_from(&mut secret.as_slice()).unwrap().unwrap();
    reseal(&path, VerificationKey::parse(&secret).unwrap()).unwrap();
    // The program itself is larger when it is made for debugging.
    let limit = 160 * 1024 + fs::metadata(trust_host()).unwrap().len() / 1024;
    let script = format!("ulimit -v {limit}; exec \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash"]).arg(trust_host()).args(["fss", "verify", "--json", "--verify-key-file"]);
    let output = command.arg(journald.path("regular-key")).arg(&path).output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{said:?}");
    assert!(fs::metadata(&path).unwrap().len() > limit * 1024, "the limit is no limit");
}

#[test]
fn files_finished_before_a_time_are_left_out() {
    let journald = journald("forky");
    let key = journald.path("key");
    let plain = journald.path("plain");
    let of = |since: &str| {
        report(&["--verify-key-file", key.to_str().unwrap(), "-D", plain.to_str().unwrap(), "--since", since]).1
    };
    let all = of("1d");
    assert_eq!((all["files"].as_array().unwrap().len(), &all["left_out"]), (3, &0.into()), "{all}");
    let newest = of("2100-01-01");
    assert_eq!((newest["files"].as_array().unwrap().len(), &newest["left_out"]), (1, &2.into()), "{newest}");
    assert!(newest["files"][0]["file"].as_str().unwrap().ends_with("/system.journal"), "{newest}");
}

/// The structure that no seal covers is journalctl's to check.
#[test]
fn journalctl_is_asked_about_the_rest() {
    let Some(version) = installed_version() else { panic!("journalctl is not installed (Debian: systemd)") };
    let suite = if version < 255 { "bookworm" } else { "trixie" };
    let journald = journald(suite);
    let mut bytes = fs::read(journald.path("plain/system.journal")).unwrap();
    let key = journald.path("key");
    let asked = |path: &Path| {
        let args = ["--with-journalctl", "--verify-key-file", key.to_str().unwrap(), path.to_str().unwrap()];
        let (status, mut report) = report(&args);
        (status, report["files"][0].take())
    };
    let (status, report) = asked(&journald.path("plain/system.journal"));
    assert_eq!((status, report["verdict"].as_str()), (0, Some("sealed")), "{report}");
    // Readers who look for this one find no entry.
    let data = nth(&bytes, 1, 3).at;
    set(&mut bytes, data + 40, 0);
    let path = journald.path("filtered.journal");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(of_file(journald, "key", &path).0, 0);
    let (status, report) = asked(&path);
    assert_eq!((status, report["verdict"].as_str()), (14, Some("altered")), "{report}");
    assert!(report["journalctl"].as_str().is_some_and(|said| !said.is_empty()), "{report}");
    // A copy is left nowhere.
    let left = fs::read_dir("/var/tmp").unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with("trust-fss-")).count(), 0);
}

fn installed_version() -> Option<u32> {
    let output = Command::new("journalctl").arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn mistakes_are_named_and_their_remedies_work() {
    let journald = journald("bookworm");
    let path = |name: &str| journald.path(name).to_str().unwrap().to_owned();
    let (key, file) = (path("key"), path("plain/system.journal"));
    let fails = |args: &[&str], status: i32, words: &[&str]| {
        let output = trust(args);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {complaint}");
        assert!(words.iter().all(|words| complaint.contains(words)), "{args:?}: {complaint}");
    };
    fails(&["--verify-key-file", &file, &file], 2, &["larger than"]);
    fs::write(journald.path("bad-key"), "xx").unwrap();
    fails(&["--verify-key-file", &path("bad-key"), &file], 2, &["give its one line: 24 digits"]);
    fails(&["--verify-key-file", &path("nothing"), &file], 2, &["check the name"]);
    fs::create_dir_all(journald.path("no-files")).unwrap();
    let nothing = ["--verify-key-file", &key, "-D", &path("no-files")];
    fails(&nothing, 14, &["name the directory of the journal with --directory, or the files"]);
    let killed = fs::read_dir(journald.path("plain")).unwrap().map(|entry| entry.unwrap().path());
    let killed = killed.into_iter().find(|path| name(path).ends_with('~')).unwrap();
    let killed = ["--verify-key-file", &key, killed.to_str().unwrap()];
    fails(&killed, 14, &["1 file with an unsealed end", "nothing that was sealed is altered"]);
    fails(
        &["--verify-key-file", &key, &path("unsealed/system.journal")],
        14,
        &["1 file never sealed", "keep the files"],
    );
    fails(&["--verify-key-file", &key, "/dev/null"], 14, &["1 file not readable"]);
    fails(&["--verify-key-file", &key, "--since", "1d", &file], 2, &["cannot be used with"]);
    // From standard input, and a file that is sealed.
    let mut command = Command::new(trust_host());
    command.args(["fss", "verify", "--verify-key-file", "-", &file]).stdin(fs::File::open(&key).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("system.journal: sealed\n") && text.contains(" entries under "), "{text}");
    // Without journalctl.
    let mut command = Command::new(trust_host());
    command.args(["fss", "verify", "--with-journalctl", "--verify-key-file", &key, &file]).env("PATH", "/nowhere");
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("install systemd, or leave --with-journalctl out"), "{complaint}");
}

/// `docs/verified-journals.md`, word by word: its commands print what it says, up to an ellipsis.
#[test]
fn the_page_is_followed() {
    let journald = Journald::new("forky");
    journald.run(
        r#"new /out/key 2s; start; say "a login"; await "a login"; tick; say "the disk is full"; await "the disk is full"
        rotate; tick; say "good night"; await "good night"; stop; keep journal
        cd /out/journal; mv system@*-0000000000000001-*.journal system@1.journal"#,
    );
    fs::create_dir(journald.path("bin")).unwrap();
    std::os::unix::fs::symlink(trust_host(), journald.path("bin/trust")).unwrap();
    let path = format!("{}:{}", journald.path("bin").display(), std::env::var("PATH").unwrap());
    let steps = documentation::console(&documentation::read("docs/verified-journals.md"));
    for (command, expected) in &steps {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(journald.dir()).env("PATH", &path);
        let output = shell.env("LC_ALL", "C").stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        match expected.split_once('…') {
            Some((start, _)) => assert!(printed.starts_with(start), "{command}: {printed}"),
            None => assert_eq!(printed, *expected, "{command}"),
        }
    }
    assert!(steps.len() > 5, "the search misses them");
}
