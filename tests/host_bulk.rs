//! Machines by the thousand: `trust sudi add --count` and `--from`, interrupted, gone on with, on full and read-only disks.

use harness::{Home, openssl, run, tree, trust_host};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

const SIGINT: i32 = 2;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn machines(home: &Home) -> PathBuf {
    home.keys().join("k/manifest/default/sudi")
}

/// The machines with a visible name.
fn names(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Every machine that is there is whole, and nothing else is there.
fn sound(home: &Home, serials: &BTreeSet<String>) {
    let dir = machines(home);
    let mut expected = BTreeSet::from([" 700".to_owned()]);
    for serial in serials {
        expected.extend([
            format!("{serial} 700"),
            format!("{serial}/cert.pem 640"),
            format!("{serial}/privkey.pem 600"),
        ]);
    }
    assert_eq!(tree(&dir), expected);
    assert!(home.ok(&["keyset", "check", "k"]).ends_with("k: no errors, no warnings\n"));
}

/// `sudi add k default --from` for a list, with small keys, which are there at once.
fn from<'a>(list: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["sudi", "add", "k", "default", "--key-type", "ec-p256", "--from", list], more].concat()
}

fn list(home: &Home, name: &str, lines: &[&str]) -> String {
    let path = home.path().join(name);
    fs::write(&path, lines.join("\n")).unwrap();
    text(&path).to_owned()
}

fn paths(home: &Home, serials: &[&str]) -> String {
    serials.iter().map(|serial| format!("{}/{serial}\n", machines(home).display())).collect()
}

#[test]
fn three_hundred_machines_are_made_at_once() {
    let home = Home::with_keyset();
    let output = home.output(&["sudi", "add", "k", "default", "--count", "300"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "trust: made 300 of 300 machines\n");
    let serials = names(&machines(&home));
    assert_eq!(serials.len(), 300);
    let expected: BTreeSet<_> = serials.iter().map(|serial| text(&machines(&home).join(serial)).to_owned()).collect();
    assert_eq!(printed.lines().map(String::from).collect::<BTreeSet<_>>(), expected);
    // With the same kind of key as the authority, and each its own.
    let keys: BTreeSet<_> = serials
        .iter()
        .map(|serial| {
            openssl(&["x509", "-in", text(&machines(&home).join(serial).join("cert.pem")), "-noout", "-pubkey"])
        })
        .collect();
    assert_eq!(keys.len(), 300);
    assert!(keys.iter().all(|key| key.lines().count() == 9), "RSA 2048 takes nine lines");
    sound(&home, &serials);
    // Each is what the command for a single one makes.
    let ca = home.keys().join("k/sudi-ca/cert.pem");
    let certs: Vec<_> = serials.iter().map(|serial| machines(&home).join(serial).join("cert.pem")).collect();
    let certs: Vec<_> = certs.iter().map(|cert| text(cert)).collect();
    openssl(&[&["verify", "-x509_strict", "-no-CApath", "-CAfile", text(&ca)][..], &certs].concat());
    // So many more.
    home.ok(&["sudi", "add", "k", "default", "--count", "1", "--key-type", "ec-p256"]);
    assert_eq!(names(&machines(&home)).len(), 301);
}

#[test]
fn a_list_with_bom_blank_lines_and_cr_lf_is_read() {
    let home = Home::with_keyset();
    let file = list(&home, "list", &["\u{feff}SN1\r", "", "  ", "Zoë 2\r", "SN3"]);
    let serials = ["SN1", "Zoë 2", "SN3"];
    assert_eq!(home.ok(&from(&file, &[])), paths(&home, &serials));
    sound(&home, &serials.map(String::from).into());
    // The same again: all are kept, as they are.
    let before = fs::read(machines(&home).join("SN1/privkey.pem")).unwrap();
    let output = home.output(&from(&file, &[]));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), paths(&home, &serials));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "trust: made 0 of 3 machines, 3 were there\n");
    assert_eq!(fs::read(machines(&home).join("SN1/privkey.pem")).unwrap(), before);
    // With others between them: in the order of the list.
    let longer = list(&home, "longer", &["A", "SN3", "B", "SN1", "C"]);
    assert_eq!(home.ok(&from(&longer, &[])), paths(&home, &["A", "SN3", "B", "SN1", "C"]));
    let found: Value = serde_json::from_str(&home.ok(&from(&longer, &["--json"]))).unwrap();
    let found: Vec<_> = found.as_array().unwrap().iter().map(|path| format!("{}\n", path.as_str().unwrap())).collect();
    assert_eq!(found.concat(), paths(&home, &["A", "SN3", "B", "SN1", "C"]));
    assert_eq!(home.ok(&from(&list(&home, "none", &["", "\r"]), &[])), "");
    assert_eq!(fs::read(machines(&home).join("SN1/privkey.pem")).unwrap(), before);
}

#[test]
fn a_list_is_read_from_standard_input() {
    let home = Home::with_keyset();
    let mut child = home.command(&from("-", &[])).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SN1\nSN2").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), paths(&home, &["SN1", "SN2"]));
}

#[test]
fn a_list_with_a_mistake_makes_nothing() {
    let home = Home::with_keyset();
    home.ok(&["sudi", "add", "k", "default", "there", "--key-type", "ec-p256"]);
    let before = tree(home.path());
    let long = "x".repeat(65);
    for (bad, why) in [
        ("a/b", "not a plain file name"),
        ("../../../../uefi-pk", "not a plain file name"),
        ("/etc/passwd", "not a plain file name"),
        (".hidden", "not a plain file name"),
        ("..", "not a plain file name"),
        ("-rf", "not a plain file name"),
        ("a\"b", "not a plain file name"),
        ("a\\b", "not a plain file name"),
        ("a\tb", "not a plain file name"),
        ("a\u{1b}[31mb", "not a plain file name"),
        ("a\0b", "not a plain file name"),
        ("a\rb", "not a plain file name"),
        (&long, "longer than 64 bytes"),
        (" a", "white space"),
        ("a ", "white space"),
        ("a\u{a0}", "white space"),
        ("SN1", "in line 1 already"),
    ] {
        let list = list(&home, "list", &["SN1", "", bad, "SN2"]);
        let complaint = home.refuses(&from(&list, &[]));
        assert!(complaint.contains("line 3: ") && complaint.contains(why), "{bad:?}: {complaint}");
        assert!(!complaint.contains('\u{1b}'), "{complaint:?}");
        fs::remove_file(list).unwrap();
        assert_eq!(tree(home.path()), before);
    }
    let many: Vec<_> = std::iter::repeat_n("SN1", 20).collect();
    let complaint = home.refuses(&from(&list(&home, "list", &many), &[]));
    assert!(complaint.contains("line 2: ") && complaint.contains("and 14 more"), "{complaint}");
    fs::write(home.path().join("list"), b"a\n\xff\xfe\n").unwrap();
    assert!(home.refuses(&from("list", &[])).contains("line 2: it is not UTF-8"));
    home.refuses(&from("missing", &[]));
    home.refuses(&from("missing", &["--count", "3"]));
    home.refuses(&from("missing", &["SN1"]));
    for count in ["0", "-1", "x", "1000001", ""] {
        home.refuses(&["sudi", "add", "k", "default", "--count", count]);
    }
    home.refuses(&["sudi", "add", "k", "none", "--count", "3"]);
    // A machine that is there in part is not kept, and not touched.
    fs::remove_file(machines(&home).join("there/privkey.pem")).unwrap();
    let complaint = home.refuses(&from(&list(&home, "list", &["SN1", "there"]), &[]));
    assert!(complaint.contains("default/sudi/there") && complaint.contains("no private key"), "{complaint}");
    fs::remove_file(machines(&home).join("there/cert.pem")).unwrap();
    home.refuses(&from(&list(&home, "list", &["SN1", "there"]), &[]));
    assert_eq!(names(&machines(&home)), BTreeSet::from(["there".into()]));
}

#[test]
fn unusual_but_valid_serials_are_accepted() {
    let home = Home::with_keyset();
    let longest = "ß".repeat(32);
    let serials = ["日本-1", "a b", "x;rm -rf $HOME", "*", "SN'1", "#3", "~", &longest, "a.b", "e\u{301}"];
    assert_eq!(home.ok(&from(&list(&home, "list", &serials), &[])), paths(&home, &serials));
    sound(&home, &serials.map(String::from).into());
    let listed: BTreeSet<String> = home.ok(&["sudi", "list", "k", "default"]).lines().map(String::from).collect();
    assert_eq!(listed, serials.map(String::from).into());
}

#[test]
fn an_interrupted_run_is_completed_by_the_next() {
    let home = Home::with_keyset();
    let serials: Vec<_> = (0..400).map(|n| format!("SN{n:04}")).collect();
    let file = list(&home, "list", &serials.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["sudi", "add", "k", "default", "--key-type", "rsa2048", "--from", &file];
    let mut child = home.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = vec![lines.next().unwrap().unwrap()];
    run("sh", &["-c", &format!("kill -INT {}", child.id())]);
    told.extend(lines.map(Result::unwrap));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGINT), "{said}");
    let there = names(&machines(&home));
    assert!((1..400).contains(&there.len()), "{}", there.len());
    // What was told of is there, in order; and what is there was told of.
    let expected: Vec<_> =
        serials.iter().take(there.len()).map(|serial| text(&machines(&home).join(serial)).to_owned()).collect();
    assert_eq!(told, expected);
    assert!(said.contains(&format!("made {} of 400 machines; run it again for the other", there.len())), "{said}");
    assert!(said.contains("SIGINT came; every machine is whole or not there"), "{said}");
    sound(&home, &there);
    let rest = home.output(&from(&file, &[]));
    let said = String::from_utf8(rest.stderr).unwrap();
    assert_eq!(said, format!("trust: made {} of 400 machines, {} were there\n", 400 - there.len(), there.len()));
    sound(&home, &serials.into_iter().collect());
}

#[test]
fn a_killed_run_is_completed_by_the_next() {
    let home = Home::with_keyset();
    let mut child = home.command(&["sudi", "add", "k", "default", "--count", "400"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    run("sh", &["-c", &format!("kill -KILL {}", child.id())]);
    child.wait().unwrap();
    let there = names(&machines(&home));
    assert!((1..400).contains(&there.len()));
    for serial in &there {
        openssl(&["pkey", "-in", text(&machines(&home).join(serial).join("privkey.pem")), "-noout"]);
    }
    assert!(home.ok(&["keyset", "check", "k"]).contains("was not finished"));
    // What was not finished goes with the next.
    home.ok(&["sudi", "add", "k", "default", "--count", "1", "--key-type", "ec-p256"]);
    assert_eq!(names(&machines(&home)).len(), there.len() + 1);
    sound(&home, &names(&machines(&home)));
}

#[test]
fn two_runs_with_one_list_make_each_machine_once() {
    let home = Home::with_keyset();
    let serials: Vec<_> = (0..200).map(|n| format!("SN{n:04}")).collect();
    let serials: Vec<_> = serials.iter().map(String::as_str).collect();
    let file = list(&home, "list", &serials);
    let children = [(), ()].map(|()| home.command(&from(&file, &[])).spawn().unwrap());
    let mut made = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), paths(&home, &serials));
        made += said.split(' ').nth(2).unwrap().parse::<usize>().unwrap();
    }
    assert_eq!(made, 200);
    sound(&home, &serials.into_iter().map(String::from).collect());
}

/// Runs a shell script as `sh` with `$0` the program and `$1` a home on a private file system.
fn on_a_disk(options: &str, keyset: &Path, script: &str) -> (i32, String, String) {
    let dir = TempDir::new().unwrap();
    let prelude = "mount -t tmpfs -o mode=700,$3 tmpfs \"$1\" && cd \"$1\" && export HOME=\"$1\" && \
        K=\"$1/.local/share/machine/trust/keys\" && mkdir -p \"$K\" && cp -a \"$2\" \"$K\" && chmod -R go-rwx \"$1\" || exit 99;";
    let mut command = Command::new("sh");
    harness::keep_mounts_in(&mut command).args(["-c", &format!("{prelude} {script}")]).arg(trust_host());
    command.arg(dir.path()).arg(keyset).arg(options).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_disk_that_fills_up_keeps_whole_machines() {
    let home = Home::with_keyset();
    // Inodes for the keyset, and a few machines with three each.
    let used = run("find", &[text(&home.keys().join("k"))]).lines().count() + 7;
    let script = "\"$0\" sudi add k default --count 50 --key-type ec-p256 >made; status=$?; \
        find \"$K/k/manifest/default/sudi\" -mindepth 1 -type d -name '.*'; find \"$K/k/manifest/default/sudi\" -name cert.pem | wc -l; \
        find \"$K/k/manifest/default/sudi\" -name privkey.pem | wc -l; wc -l <made; \"$0\" keyset check k >&2; exit $status";
    let (status, printed, said) = on_a_disk(&format!("nr_inodes={}", used + 20), &home.keys().join("k"), script);
    assert_eq!(status, 15, "{said}");
    let counts: Vec<usize> = printed.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(counts[0] > 0 && counts[0] < 8 && counts[0] == counts[1] && counts[1] == counts[2], "{counts:?}: {said}");
    assert!(said.contains(&format!("made {} of 50 machines; for the other", counts[0])), "{said}");
    assert!(said.contains("free some space"), "{said}");
}

#[test]
fn writers_on_a_full_disk_change_nothing() {
    let home = Home::with_keyset();
    let used = run("find", &[text(&home.keys().join("k"))]).lines().count() + 6;
    for arguments in [
        "project add k p",
        "sudi add k default SN1",
        "sudi add k default --count 2",
        "new-uuid k",
        "keyset export-public k -o out/k",
        "keyset add other --key-type ec-p256",
    ] {
        for spare in 0..3 {
            let script = format!(
                "find . | sort >/tmp/before.$$; \"$0\" {arguments}; status=$?; \
                find . | sort | comm -13 /tmp/before.$$ - | grep -vxE './(out|\\.config|\\.config/machine(/trust(/manifest)?)?)'; \
                rm /tmp/before.$$; exit $status"
            );
            let (status, left, said) =
                on_a_disk(&format!("nr_inodes={}", used + spare), &home.keys().join("k"), &script);
            assert_eq!((status, left.as_str()), (15, ""), "{arguments} with {spare}: {said}");
            assert!(said.contains("free some space"), "{arguments}: {said}");
        }
    }
}

#[test]
fn writers_on_a_read_only_disk_say_so() {
    let home = Home::with_keyset();
    for arguments in [
        "project add k p",
        "sudi add k default SN1",
        "sudi add k default --count 2",
        "new-uuid k",
        "keyset export-public k -o out/k",
        "keyset add other --key-type ec-p256",
    ] {
        let script = format!("mount -o remount,ro \"$1\"; \"$0\" {arguments}");
        let (status, printed, said) = on_a_disk("size=16m", &home.keys().join("k"), &script);
        assert_eq!((status, printed.as_str()), (15, ""), "{arguments}: {said}");
        assert!(said.contains("Read-only file system") && said.contains("choose another place"), "{said}");
        // And readers do not mind.
        let script = "mount -o remount,ro \"$1\"; \"$0\" keyset check k; \"$0\" keyset show k >/dev/null";
        let (status, printed, said) = on_a_disk("size=16m", &home.keys().join("k"), script);
        assert_eq!((status, printed.as_str()), (0, "k: no errors, no warnings\n"), "{said}");
    }
}
