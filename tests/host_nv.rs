//! `trust nv`: what it writes tpm2-tools read, and the other way round; nothing secret crosses the wire in clear; a power
//! cut leaves the old content, the new one, or one that is said to be incomplete.

use harness::{Action, Banks, Cut, Exchange, HostTpm, SecretSearch, State, at_terminal, cc, trust_host};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
    thread,
};

/// A TPM, and `trust nv` at work with it.
struct Machine {
    host: HostTpm,
}

impl Deref for Machine {
    type Target = HostTpm;

    fn deref(&self) -> &HostTpm {
        &self.host
    }
}

/// Where the first index goes whose number is not given.
const FIRST: &str = "0x01810000";

impl Machine {
    fn new() -> Self {
        Self { host: HostTpm::new(Banks::Sha256) }
    }

    fn command(&self, args: &[&str]) -> Command {
        self.host.command(&[&["nv"], args].concat())
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output.stdout
    }

    /// What it prints, without the end of the line.
    #[track_caller]
    fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.ok(args)).unwrap().trim_end().to_owned()
    }

    /// What it complains of when it ends with this status; it has printed nothing.
    #[track_caller]
    fn fails(&self, args: &[&str], status: i32) -> String {
        let output = self.output(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}: it prints {:?}", output.stdout);
        stderr(&output)
    }

    /// An index of the list, as JSON.
    fn listed(&self, index: &str) -> Option<Value> {
        let list: Value = serde_json::from_str(&self.text(&["list", "--json"])).unwrap();
        assert_eq!(list["format"], 1);
        list["indices"].as_array().unwrap().iter().find(|entry| entry["index"] == index).cloned()
    }

    /// What tpm2-tools read.
    fn read_by_tools(&self, index: &str) -> Vec<u8> {
        let tools = self.tpm.tools();
        tools.ok("nvread", &["-C", "o", index, "-o", "read"]);
        fs::read(tools.dir().join("read")).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_content_is_kept_replaced_and_removed() {
    let machine = Machine::new();
    machine.write("token", b"correct horse");
    assert_eq!(machine.text(&["define", "--write", "token"]), FIRST);
    assert_eq!(machine.ok(&["read", FIRST]), b"correct horse");
    // A file for its owner alone.
    machine.ok(&["read", FIRST, "-o", "out"]);
    assert_eq!(fs::read(machine.file("out")).unwrap(), b"correct horse");
    assert_eq!(fs::metadata(machine.file("out")).unwrap().permissions().mode() & 0o777, 0o600);
    // Shorter, by way of a pipe; then nothing.
    for content in [&b"battery"[..], b""] {
        let mut child = machine.command(&["write", FIRST]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(content).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(machine.ok(&["read", FIRST]), content);
    }
    // Longer than the index.
    machine.write("long", [7; 14]);
    let why = machine.fails(&["write", FIRST, "long"], 2);
    assert!(why.contains("it has 51 bytes, and 52 are needed; define a larger one"), "{why}");
    assert_eq!(machine.text(&["define", "--write", "long"]), "0x01810001");
    machine.ok(&["remove", FIRST]);
    assert!(machine.listed(FIRST).is_none());
    for gone in ["read", "remove"] {
        let why = machine.fails(&[gone, FIRST], 2);
        assert!(why.contains("the TPM has no such index; see which there are: `trust nv list`"), "{why}");
    }
    // The number is free again; an index with room and nothing in it.
    assert_eq!(machine.text(&["define", "--size", "64"]), FIRST);
    let why = machine.fails(&["read", FIRST], 2);
    assert!(why.contains("nothing has been written to it yet; write it first"), "{why}");
    machine.ok(&["write", FIRST, "long"]);
    assert_eq!(machine.ok(&["read", FIRST]), [7; 14]);
    let why = machine.fails(&["define", FIRST, "--size", "1"], 2);
    assert!(why.contains("it is defined already; choose another index, or none"), "{why}");
}

#[test]
fn tpm2_tools_read_ours_and_we_theirs() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    machine.write("secret", b"0123456789abcdef");
    // Ours, raw: theirs to read and to write.
    let raw = machine.text(&["define", "0x1800100", "--raw", "--write", "secret"]);
    assert_eq!(machine.read_by_tools(&raw), b"0123456789abcdef");
    fs::write(tools.dir().join("in"), b"fedcba9876543210").unwrap();
    tools.ok("nvwrite", &["-C", "o", &raw, "-i", "in"]);
    let output = machine.output(&["read", &raw]);
    assert_eq!(output.stdout, b"fedcba9876543210");
    assert!(stderr(&output).contains("0x01800100 has no header of ours: all of it is read"), "{}", stderr(&output));
    assert_eq!(machine.output(&["read", &raw, "--raw"]).stderr, b"");
    // Ours with its header: they see it, and the content behind it.
    let framed = machine.text(&["define", "--write", "secret"]);
    let bytes = machine.read_by_tools(&framed);
    assert_eq!((bytes.len(), &bytes[..6], &bytes[38..]), (54, &b"TNV1\0\x10"[..], &b"0123456789abcdef"[..]));
    assert_eq!(machine.ok(&["read", &framed, "--raw"]), bytes);
    // Theirs: with other attributes, another name algorithm, larger than what is moved at once.
    let large: Vec<u8> = (0..1500).map(|n| (n % 251) as u8).collect();
    fs::write(tools.dir().join("large"), &large).unwrap();
    for (index, more) in [
        ("0x1800200", &["-a", "ownerread|ownerwrite"][..]),
        ("0x1800201", &["-a", "ownerwrite|authread|no_da", "-g", "sha384"]),
        ("0x1800202", &["-a", "ownerwrite|authread"]),
    ] {
        tools.ok("nvdefine", &[&["-C", "o", index, "-s", "1500"][..], more].concat());
        tools.ok("nvwrite", &["-C", "o", index, "-i", "large"]);
        assert_eq!(machine.output(&["read", index]).stdout, large, "{index}");
        tools.ok("nvundefine", &["-C", "o", index]);
    }
    // What they have written is not replaced by something in our form, unless it is said how.
    let why = machine.fails(&["write", &raw, "secret"], 2);
    assert!(why.contains("16 bytes, and 54 are needed"), "{why}");
    tools.ok("nvdefine", &["-C", "o", "0x1800300", "-s", "64", "-a", "ownerread|ownerwrite"]);
    tools.ok("nvwrite", &["-C", "o", "0x1800300", "-i", "in"]);
    let why = machine.fails(&["write", "0x1800300", "secret"], 2);
    assert!(why.contains("another program has written, without a header; give --raw"), "{why}");
    machine.ok(&["write", "0x1800300", "secret", "--raw"]);
    assert_eq!(machine.read_by_tools("0x1800300")[..16], *b"0123456789abcdef");
    // A counter has no content that could be written.
    tools.ok("nvdefine", &["-C", "o", "0x1800400", "-a", "nt=counter|ownerread|ownerwrite"]);
    let why = machine.fails(&["write", "0x1800400", "secret", "--raw"], 2);
    assert!(why.contains("of the type counter"), "{why}");
    tools.ok("nvincrement", &["-C", "o", "0x1800400"]);
    assert_eq!(machine.output(&["read", "0x1800400"]).stdout.len(), 8);
}

#[test]
fn the_list_says_whose_they_are() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    machine.write("secret", b"secret");
    machine.ok(&["define", "--write", "secret", "--attributes", "ownerwrite|authread"]);
    tools.ok("nvdefine", &["-C", "o", "0x1500001", "-s", "32", "-a", "ownerread|ownerwrite|policyread"]);
    fs::write(
        tools.dir().join("policy"),
        harness::unhex("8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e"),
    )
    .unwrap();
    tools.ok("nvdefine", &["-C", "o", "0x1c101ff", "-s", "8", "-a", "policyread|ownerwrite|no_da", "-L", "policy"]);
    let platform = "ppwrite|ppread|authread|platformcreate|no_da";
    tools.ok("nvdefine", &["-C", "p", "0x1c00002", "-s", "16", "-a", platform]);
    let list = machine.text(&["list"]);
    let line = |index: &str| {
        let line = list.lines().find(|line| line.starts_with(index)).unwrap_or_else(|| panic!("{index}: {list}"));
        line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(line(FIRST), [FIRST, "44", "password", "owner", "written", "owner"]);
    assert_eq!(
        line("0x01500001"),
        ["0x01500001", "32", "owner, policy", "owner", "empty", "Trust: the TPM admin password"]
    );
    // The policy with this digest is one that everybody has: the object's password.
    let password = tools.ok("getcap", &["handles-nv-index"]);
    assert!(password.contains("0x1C101FF"), "{password}");
    assert_eq!(line("0x01c101ff")[2..], ["policy (password)", "owner", "empty", "TCG: maker of a component"]);
    // What a machine comes with.
    let expected = ["password, platform", "platform", "empty", "TCG: endorsement key certificate, RSA 2048"];
    assert_eq!(line("0x01c00002")[2..], expected);
    let count = tools.ok("getcap", &["handles-nv-index"]).lines().count();
    assert!(list.lines().last().unwrap().starts_with(&format!("{count} indices with ")), "{list}");
    let entry = machine.listed("0x01c101ff").unwrap();
    assert_eq!(entry["attributes"], serde_json::json!(["ownerwrite", "policyread", "no_da"]));
    assert_eq!((&entry["whose"], &entry["size"], &entry["type"]), (&"tcg".into(), &8.into(), &"ordinary".into()));
    assert!(entry["policy"].as_str().unwrap().starts_with("8fcd2169"));
    // More of them than a TPM lists at once.
    for n in 0..70 {
        machine.tpm.tools().ok("nvdefine", &["-C", "o", &format!("0x{:x}", 0x0182_0000 + n), "-s", "1"]);
    }
    assert!(machine.listed("0x01820045").is_some());
}

#[test]
fn what_the_machine_needs_is_not_removed_by_accident() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    machine.write("x", b"x");
    tools.ok("nvdefine", &["-C", "o", "0x1500020", "-s", "4", "-a", "ownerread|ownerwrite|authread"]);
    tools.ok("nvdefine", &["-C", "o", "0x1c20000", "-s", "4", "-a", "ownerread|ownerwrite"]);
    for (index, why) in [
        ("0x1500020", "it is for the policy version, without which Trust does not boot this machine; leave it"),
        ("0x1c20000", "it is the firmware's or the maker's, for: maker of the TPM; leave it"),
    ] {
        for args in [&["remove", index][..], &["write", index, "x", "--raw"]] {
            let complaint = machine.fails(args, 12);
            assert!(complaint.contains(why), "{complaint}");
        }
        machine.ok(&["write", index, "x", "--raw", "--force"]);
        machine.ok(&["remove", index, "--force"]);
    }
    let why = machine.fails(&["define", "0x1500020", "--size", "4"], 12);
    assert!(why.contains("choose another index"), "{why}");
    machine.ok(&["define", "--size", "4"]);
    // What the platform has made stays, whatever is said.
    tools.ok("nvdefine", &["-C", "p", "0x1c00002", "-s", "16", "-a", "ppwrite|ppread|authread|platformcreate"]);
    let why = machine.fails(&["remove", "0x1c00002", "--force"], 12);
    assert!(why.contains("the platform has made 0x1c00002"), "{why}");
    for wrong in ["0x81000001", "0x1", "1500020x", "+1"] {
        machine.fails(&["remove", wrong], 2);
    }
}

/// The owner's password is read from a file or from the terminal, proven and not sent.
#[test]
fn the_owner_has_a_password() {
    let machine = Machine::new();
    let (password, wrong) = ("correct horse battery staple", "incorrect horse battery");
    machine.tpm.tools().ok("changeauth", &["-c", "owner", password]);
    machine.write("password", format!("{password}\n").as_bytes());
    machine.write("wrong", wrong.as_bytes());
    machine.write("secret", b"swordfish swordfish");
    let mut search = SecretSearch::new();
    search.add("password", password.as_bytes()).add("wrong password", wrong.as_bytes());
    search.add("secret", b"swordfish swordfish");
    machine.wire.take();
    let owner = ["--owner-password-file", "password"];
    let index = machine.text(&[&["define", "--write", "secret"][..], &owner].concat());
    assert_eq!(machine.ok(&[&["read", &index][..], &owner].concat()), b"swordfish swordfish");
    machine.ok(&[&["write", &index, "secret"][..], &owner].concat());
    let why = machine.fails(&["read", &index, "--owner-password-file", "wrong"], 12);
    assert!(why.contains("the owner's password is wrong; give the right one"), "{why}");
    machine.write("long", [b'x'; 65]);
    let why = machine.fails(&["read", &index, "--owner-password-file", "long"], 2);
    assert!(why.contains("it is longer than a TPM takes; give the right one"), "{why}");
    // Without a terminal to ask at.
    let why = machine.fails(&["read", &index], 2);
    assert!(why.contains("--owner-password-file FILE"), "{why}");
    let mut script = Command::new("script");
    script.current_dir(machine.file(""));
    let line = format!("{} nv read {index} -o typed --tcti {}", trust_host().display(), machine.wire.tcti());
    at_terminal(script, &line, "Password of the TPM's owner: ", password);
    assert_eq!(fs::read(machine.file("typed")).unwrap(), b"swordfish swordfish");
    // An index that anybody reads needs none.
    let anyones = [&["define", "--write", "secret", "--attributes", "authread|ownerwrite|no_da"][..], &owner].concat();
    let anyones = machine.text(&anyones);
    assert_eq!(machine.ok(&["read", &anyones]), b"swordfish swordfish");
    machine.ok(&[&["remove", &index][..], &owner].concat());
    let bytes = machine.wire.bytes();
    assert!(bytes.len() > 5_000);
    assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear");
}

/// The same search finds it where tpm2-tools write the same.
#[test]
fn nothing_secret_crosses_the_wire() {
    let machine = Machine::new();
    let secret: Vec<u8> = (0..1500_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    machine.write("secret", &secret);
    let mut search = SecretSearch::new();
    search.add("secret", &secret);
    machine.wire.take();
    let framed = machine.text(&["define", "--write", "secret"]);
    machine.ok(&["write", &framed, "secret"]);
    assert_eq!(machine.ok(&["read", &framed]), secret);
    machine.ok(&["remove", &framed]);
    let raw = machine.text(&["define", "--raw", "--write", "secret", "--attributes", "authread|authwrite|no_da"]);
    assert_eq!(machine.ok(&["read", &raw, "--raw"]), secret);
    machine.ok(&["write", &raw, "secret", "--raw"]);
    let bytes = machine.wire.bytes();
    assert!(bytes.len() > 12_000);
    assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear");
    machine.tpm.tools().wire().take();
    machine.tpm.tools().ok("nvread", &[&raw, "-C", &raw]);
    assert!(search.found(&machine.tpm.tools().wire().bytes()).get("secret").is_some_and(|percent| *percent > 90));
}

impl Machine {
    /// The power goes at the n-th command that changes NV memory.
    fn cut(&self, at: usize, when: Cut) {
        let changes = |code: u32| [cc::NV_DEFINE_SPACE, cc::NV_WRITE, cc::NV_UNDEFINE_SPACE].contains(&code);
        self.wire.cut_power(&self.tpm.power(), at, when, changes);
    }
}

/// Whatever the power is cut at, an index holds what it held, what it is to hold, or says that it is incomplete; and
/// written again it is whole.
#[test]
fn a_power_cut_leaves_no_half_of_a_content() {
    let machine = Machine::new();
    // In one command, and in several.
    for size in [100, 1800] {
        machine.write("old", vec![1; size]);
        machine.write("new", vec![2; size - 10]);
        let index = machine.text(&["define", "--write", "old"]);
        machine.tpm.reboot();
        machine.tpm.off();
        let before: State = machine.tpm.state();
        machine.tpm.boot();
        machine.wire.take();
        machine.ok(&["write", &index, "new"]);
        let writes = machine.wire.counts().get(&cc::NV_WRITE).copied().unwrap_or(0);
        assert_eq!(writes == 1, size == 100, "{writes} writes of {size} bytes");
        let mut seen = Vec::new();
        for (at, when) in (0..writes).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
            let what = format!("{size} bytes, cut {when:?} write {at} of {writes}");
            machine.tpm.restore(&before);
            machine.tpm.boot();
            machine.cut(at, when);
            let output = machine.output(&["write", &index, "new"]);
            assert!(!output.status.success(), "{what}");
            machine.wire.be_honest();
            machine.tpm.boot();
            let output = machine.output(&["read", &index]);
            match output.status.code() {
                Some(0) if output.stdout == vec![1; size] => seen.push('o'),
                Some(0) if output.stdout == vec![2; size - 10] => seen.push('n'),
                Some(14) if output.stdout.is_empty() => {
                    let why = stderr(&output);
                    assert!(why.contains("it is incomplete") && why.contains("write it again"), "{what}: {why}");
                    seen.push('i');
                }
                status => panic!("{what}: {status:?} {} bytes, {}", output.stdout.len(), stderr(&output)),
            }
            machine.ok(&["write", &index, "new"]);
            assert_eq!(machine.ok(&["read", &index]), vec![2; size - 10], "{what}");
        }
        // Old until the first command is carried out, new from the last one on.
        let expected = if writes == 1 { "on".into() } else { format!("o{}n", "i".repeat(2 * writes - 2)) };
        assert_eq!(seen.iter().collect::<String>(), expected);
    }
    // Defining with a content: no index, or one that says that it is empty or incomplete, or all of it.
    machine.write("new", [2; 1800]);
    machine.tpm.reboot();
    machine.tpm.off();
    let before = machine.tpm.state();
    for (at, when) in (0..5).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        machine.tpm.restore(&before);
        machine.tpm.boot();
        machine.cut(at, when);
        let output = machine.output(&["define", "0x1840000", "--write", "new"]);
        machine.wire.be_honest();
        machine.tpm.boot();
        assert!(!output.status.success());
        let output = machine.output(&["read", "0x1840000"]);
        let (status, why) = (output.status.code(), stderr(&output));
        let is_last = (at, when) == (4, Cut::After);
        let expected = match (at, when) {
            (0, Cut::Before) => why.contains("no such index"),
            (0, Cut::After) | (1, Cut::Before) => why.contains("nothing has been written"),
            _ if is_last => output.stdout == [2; 1800],
            _ => status == Some(14) && why.contains("it is incomplete"),
        };
        assert!(expected, "cut {when:?} {at}: {status:?} {why}");
    }
}

/// A change behind its back is noticed as well.
#[test]
fn a_changed_content_is_named() {
    let machine = Machine::new();
    machine.write("secret", b"correct horse");
    let index = machine.text(&["define", "--write", "secret"]);
    fs::write(machine.tpm.tools().dir().join("x"), b"x").unwrap();
    machine.tpm.tools().ok("nvwrite", &["-C", "o", &index, "-i", "x", "--offset", "40"]);
    let why = machine.fails(&["read", &index, "-o", "out"], 14);
    assert!(why.contains("its content is not what its header says; write it again"), "{why}");
    assert!(!machine.file("out").exists());
    machine.ok(&["write", &index, "secret"]);
    assert_eq!(machine.ok(&["read", &index]), b"correct horse");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_changed() {
    let machine = Machine::new();
    machine.write("large", [1; 2011]);
    machine.wire.take();
    let why = machine.fails(&["define", "--write", "large"], 2);
    assert!(why.contains("it would have 2049 bytes, and an index of this TPM has at most 2048"), "{why}");
    assert_eq!(machine.wire.counts().get(&cc::NV_DEFINE_SPACE), None);
    machine.write("larger", [1; 20_000]);
    let why = machine.fails(&["define", "--write", "larger"], 2);
    assert!(why.contains("it is larger than 16384 bytes; seal it"), "{why}");
    for (command, more) in [("seal", ["-o", "sealed", "larger"]), ("unseal", ["-o", "out", "sealed"])] {
        let mut sealing = Command::new(trust_host());
        sealing.arg(command).args(more).args(["--tcti", &machine.wire.tcti()]).current_dir(machine.file(""));
        assert!(sealing.output().unwrap().status.success(), "{command}: the remedy");
    }
    assert_eq!(fs::read(machine.file("out")).unwrap(), [1; 20_000]);
    // Full NV memory.
    machine.write("fits", [1; 2010]);
    let mut defined = Vec::new();
    let why = loop {
        let output = machine.output(&["define", "--write", "fits"]);
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(15));
            break stderr(&output);
        }
        defined.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        assert!(defined.len() < 100, "NV memory is never full");
    };
    assert!(why.contains("NV memory is full, and nothing was changed; remove what is not needed"), "{why}");
    assert_eq!(machine.listed(&format!("{:#010x}", 0x0181_0000 + defined.len())), None);
    for index in &defined {
        assert_eq!(machine.ok(&["read", index]), [1; 2010], "what was there is");
    }
    machine.ok(&["remove", &defined[0]]);
    assert_eq!(machine.text(&["define", "--write", "fits"]), defined[0]);
}

/// Several at once take indices of their own, and none is lost.
#[test]
fn several_programs_at_once() {
    let machine = Machine::new();
    // There is no resource manager here, and room for three sessions.
    let names: Vec<String> = (0..2).map(|n| format!("content-{n}")).collect();
    let mut indices: Vec<String> = thread::scope(|scope| {
        let define = |name: &str| {
            machine.write(name, name.as_bytes());
            machine.text(&["define", "--write", name])
        };
        let threads: Vec<_> = names.iter().map(|name| scope.spawn(move || define(name))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (index, name) in indices.iter().zip(&names) {
        assert_eq!(machine.ok(&["read", index]), name.as_bytes());
    }
    indices.sort();
    indices.dedup();
    assert_eq!(indices.len(), 2);
    // Two that write one index, in several commands each: whole, or said not to be.
    machine.write("a", [b'a'; 1900]);
    machine.write("b", [b'b'; 1900]);
    let index = machine.text(&["define", "--write", "a"]);
    for _ in 0..3 {
        thread::scope(|scope| {
            let threads = ["a", "b"].map(|name| scope.spawn(|| machine.output(&["write", &index, name])));
            assert!(threads.map(|thread| thread.join().unwrap().status.success()).into_iter().all(|done| done));
        });
        let output = machine.output(&["read", &index]);
        let whole = output.stdout == [b'a'; 1900] || output.stdout == [b'b'; 1900];
        assert!(whole || output.status.code() == Some(14), "{:?}", stderr(&output));
    }
}

/// A TPM in lockout: what is not protected against guessing goes on; what is says why it does not.
#[test]
fn a_tpm_in_lockout() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    machine.write("secret", b"secret");
    let index = machine.text(&["define", "--write", "secret"]);
    let define = ["0x1830000", "-C", "o", "-s", "8", "-a", "authread|authwrite", "-p", "password"];
    tools.ok("nvdefine", &define);
    tools.ok("dictionarylockout", &["-s", "-n", "1", "-t", "1000", "-l", "1000"]);
    // It has a password of its own: that is no failure of the TPM's.
    let why = machine.fails(&["write", "0x1830000", "secret", "--raw"], 12);
    assert!(why.contains("the index has another password, or PIN"), "{why}");
    let why = machine.fails(&["write", "0x1830000", "secret", "--raw"], 13);
    assert!(why.contains("the TPM is in lockout"), "{why}");
    assert_eq!(machine.ok(&["read", &index]), b"secret");
    machine.ok(&["write", &index, "secret"]);
    // Locked until the restart.
    tools.ok("nvdefine", &["0x1830001", "-C", "o", "-s", "60", "-a", "ownerread|ownerwrite|read_stclear"]);
    machine.ok(&["write", "0x1830001", "secret"]);
    tools.ok("nvreadlock", &["0x1830001", "-C", "o"]);
    let why = machine.fails(&["read", "0x1830001"], 12);
    assert!(why.contains("it is locked until the machine is restarted"), "{why}");
    assert!(machine.text(&["list"]).contains("not readable until the restart"));
    machine.tpm.reboot();
    assert_eq!(machine.ok(&["read", "0x1830001"]), b"secret");
}

/// A policy opens an index as it opens what is sealed, the owner does not, and an extension closes it.
#[test]
fn a_policy_is_what_reads() {
    let machine = Machine::new();
    machine.write("secret", b"correct horse battery");
    machine.write("pin", b"1234\n");
    machine.write("wrong", b"4321\n");
    let mut search = SecretSearch::new();
    search.add("secret", b"correct horse battery");
    machine.wire.take();
    let pcr = machine.text(&["define", "--pcr", "sha256:15,16", "--write", "secret"]);
    let list = machine.listed(&pcr).unwrap();
    assert_eq!(list["attributes"], serde_json::json!(["ownerwrite", "policyread", "no_da", "written"]));
    assert_eq!(machine.ok(&["read", &pcr, "--pcr", "sha256:15,16"]), b"correct horse battery");
    machine.ok(&["write", &pcr, "secret"]);
    let why = machine.fails(&["read", &pcr], 12);
    assert!(why.contains("only its policy allows that; give the policy that it was defined with"), "{why}");
    // tpm2-tools come to the same policy.
    let tools = machine.tpm.tools();
    let by_tools = tools.output("nvread", &[&pcr, "-C", &pcr, "-P", "pcr:sha256:15,16"]);
    assert_eq!(by_tools.stdout[38..], *b"correct horse battery");
    tools.fails("nvread", &[&pcr, "-C", "o"]);
    // Or a PIN: it is asked for when the PCRs are others.
    let either = ["--pcr", "sha256:15", "--or", "--pin"];
    let index = machine.text(&[&["define", "--write", "secret", "--pin-file", "pin"][..], &either].concat());
    assert_eq!(
        machine.listed(&index).unwrap()["attributes"],
        serde_json::json!(["ownerwrite", "policyread", "written"])
    );
    assert_eq!(machine.ok(&[&["read", &index][..], &either].concat()), b"correct horse battery");
    let zero = format!("sha256:15={}", "00".repeat(32));
    let either = ["--pcr", &zero, "--or", "--pin", "--pin-file"];
    let (right, wrong) = ([&either[..], &["pin"]].concat(), [&either[..], &["wrong"]].concat());
    machine.tpm.raw().extend(15, &[1; 32]);
    let why = machine.fails(&["read", &pcr, "--pcr", "sha256:15,16"], 12);
    assert!(why.contains("its policy is another one than is given, or PCRs have changed since"), "{why}");
    let literal = format!("sha256:15,16={0}", "00".repeat(32)).replacen("15,", &format!("15={},", "00".repeat(32)), 1);
    let why = machine.fails(&["read", &pcr, "--pcr", &literal], 12);
    assert!(why.contains("its policy does not hold: PCR sha256:15 is"), "{why}");
    assert_eq!(machine.ok(&[&["read", &index][..], &right].concat()), b"correct horse battery");
    let why = machine.fails(&[&["read", &index][..], &wrong].concat(), 12);
    assert!(why.contains("another password, or PIN; give it with --pin-file; do not guess"), "{why}");
    assert_eq!(machine.tpm.failed_attempts(), 1, "a wrong PIN counts");
    machine.tpm.reboot();
    assert_eq!(machine.ok(&["read", &pcr, "--pcr", "sha256:15,16"]), b"correct horse battery");
    // Written by a policy alone, in several commands: it is asserted for each.
    machine.write("long", [7; 1900]);
    let attributes = ["--attributes", "policyread|policywrite|no_da"];
    let index = machine.text(&[&["define", "--pcr", "sha256:15", "--write", "long"][..], &attributes].concat());
    assert_eq!(machine.ok(&["read", &index, "--pcr", "sha256:15"]), [7; 1900]);
    machine.ok(&["write", &index, "secret", "--pcr", "sha256:15"]);
    machine.tpm.raw().extend(15, &[1; 32]);
    machine.fails(&["write", &index, "secret", "--pcr", "sha256:15"], 12);
    let bytes = machine.wire.bytes();
    assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear");
}

/// An index of tpm2-tools with a password of its own.
#[test]
fn an_index_has_a_password_of_its_own() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    machine.write("pin", b"open sesame 12345\n");
    machine.write("secret", b"secret");
    let mut search = SecretSearch::new();
    search.add("password", b"open sesame 12345");
    let define = ["0x1830000", "-C", "o", "-s", "8", "-a", "authread|authwrite", "-p", "open sesame 12345"];
    tools.ok("nvdefine", &define);
    machine.wire.take();
    machine.ok(&["write", "0x1830000", "secret", "--raw", "--pin-file", "pin"]);
    assert_eq!(machine.output(&["read", "0x1830000", "--pin-file", "pin"]).stdout[..6], *b"secret");
    let bytes = machine.wire.bytes();
    assert!(bytes.len() > 2000);
    assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear");
    // Its use is no failed attempt when the power goes afterwards.
    machine.tpm.power_cut();
    assert_eq!(machine.tpm.failed_attempts(), 0);
    // One of ours.
    let ours =
        machine.text(&["define", "--write", "secret", "--attributes", "authread|authwrite", "--pin-file", "pin"]);
    assert_eq!(machine.ok(&["read", &ours, "--pin-file", "pin"]), b"secret");
    let why = machine.fails(&["read", &ours], 12);
    assert!(why.contains("has another password, or PIN; give it with --pin-file"), "{why}");
    assert_eq!(machine.ok(&["read", &ours, "--pin-file", "pin"]), b"secret");
}

/// `docs/nv-and-pcrs.md`, word by word: its commands, ours and those of tpm2-tools, print what it says.
#[test]
fn the_page_is_followed() {
    let machine = Machine::new();
    machine.write("token.txt", "correct horse battery staple\n");
    assert!(machine.follow("docs/nv-and-pcrs.md") > 20, "the search misses them");
    assert!(fs::read_to_string(machine.file("log")).unwrap().contains("\"string\":\"started\""));
}

/// Whatever a TPM answers, there is a message and a status, and what is printed is what was written.
#[test]
fn hostile_answers_do_no_harm() {
    let machine = Machine::new();
    machine.write("secret", b"correct horse");
    let index = machine.text(&["define", "--write", "secret"]);
    for args in [&["list"][..], &["read", &index], &["write", &index, "secret"]] {
        machine.wire.take();
        machine.ok(args);
        let honest: Vec<Exchange> = machine.wire.take();
        for (at, exchange) in honest.iter().enumerate().take(12) {
            for harmed in exchange.response.clone().unwrap().harmed().into_iter().take(9) {
                let mut number = 0;
                machine.wire.on_response(move |_, response| {
                    number += 1;
                    Action::Reply(if number == at + 1 { harmed.0.clone() } else { response.0 })
                });
                let output = machine.output(args);
                machine.wire.be_honest();
                machine.tpm.tools().flush();
                let (status, complaint) = (output.status.code(), stderr(&output));
                let known = [0, 2, 10, 11, 12, 13, 14, 15].contains(&status.unwrap_or(-1));
                assert!(
                    known && !complaint.contains("internal error"),
                    "{args:?}, response {at}: {status:?} {complaint}"
                );
                let is_read = args[0] == "read" && status == Some(0);
                assert!(!is_read || output.stdout == b"correct horse", "{args:?}, response {at}: {:?}", output.stdout);
            }
        }
    }
}
