//! `trust fss`: journald's verification key in the TPM, made with the real journalctl. A power cut leaves what the next run
//! completes; whoever replaces a key is found out; nothing of a key is on the bus, in argv, in a file or in a log.

use harness::{Action, Banks, HostTpm, Sandbox, SecretSearch, Shell, State, cc, hex, trust_host};
use serde_json::Value;
use std::{cell::RefCell, fs, path::PathBuf};

/// A machine-id(5) of nobody's.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";
/// `journalctl --setup-keys` in a file system of its own: what it writes is below `/sandbox`.
const PRELUDE: &str = "
    mkdir -p /sandbox/log/journal/0123456789abcdef0123456789abcdef
    echo 0123456789abcdef0123456789abcdef >/sandbox/machine-id
    # The program wants to see this uid.
    setpriv --reuid 0 mount --bind /sandbox/log /var/log
    setpriv --reuid 0 mount --bind /sandbox/machine-id /etc/machine-id
";
/// The commands that change what a TPM keeps: increments, locks, and those of [`cc`].
const CHANGES: [u32; 5] = [cc::NV_DEFINE_SPACE, cc::NV_WRITE, cc::NV_UNDEFINE_SPACE, 0x134, 0x138];

/// A TPM, and a machine without anything else.
struct Machine {
    host: HostTpm,
    shell: RefCell<Shell>,
    dir: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        Self::with(HostTpm::new(Banks::Sha256))
    }

    fn with(host: HostTpm) -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("TRUST", trust_host()).set("TCTI", host.wire.tcti());
        let dir = sandbox.dir();
        let shell = RefCell::new(Shell::boot(sandbox, PRELUDE));
        let machine = Self { host, shell, dir };
        // The shell is up when it answers.
        assert!(machine.script("test -d /var/log/journal/$(cat /etc/machine-id)").ends_with("job 0\n"));
        machine
    }

    #[track_caller]
    fn script(&self, script: &str) -> String {
        self.shell.borrow_mut().run(script)
    }

    /// `trust ARGS`.
    #[track_caller]
    fn run(&self, args: &str) -> Ran {
        let script = format!("cd /sandbox; $TRUST {args} --tcti $TCTI --wait 1 >/sandbox/out 2>/sandbox/err");
        let said = self.script(&script);
        let status = said.trim_end().rsplit(' ').next().and_then(|status| status.parse().ok());
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap();
        Ran { status: status.unwrap_or_else(|| panic!("{args}: {said}")), out: read("out"), err: read("err") }
    }

    #[track_caller]
    fn ok(&self, args: &str) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{args}: {ran:?}");
        ran.out
    }

    /// What it complains of when it ends with this status.
    #[track_caller]
    fn fails(&self, args: &str, status: i32) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, status, "{args}: {ran:?}");
        ran.err
    }

    /// What `trust fss status --json` says, whatever that is; with the words for what is wrong.
    #[track_caller]
    fn status(&self) -> (Value, Vec<String>) {
        let ran = self.run("fss status --json");
        let shown: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        let names = shown["findings"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        let names: Vec<_> = names.collect();
        assert_eq!(ran.status, if names.is_empty() { 0 } else { 14 }, "{ran:?}");
        (shown, names)
    }

    /// The words for what is wrong.
    #[track_caller]
    fn wrong(&self) -> Vec<String> {
        self.status().1
    }

    fn sealing_key(&self) -> PathBuf {
        self.dir.join("log/journal").join(MACHINE).join("fss")
    }

    /// SHA-256 of the modulus in the sealing key, as the file has it: without our code.
    fn fingerprint(&self) -> String {
        let file = fs::read(self.sealing_key()).unwrap();
        assert_eq!(file[..8], *b"KSHHRHLP");
        let bytes = usize::from(u16::from_le_bytes([file[72], file[73]])) / 8;
        hex(&harness::sha256(&[&file[90..90 + bytes]]))
    }

    /// The verification key of a generation, by the policy of PCR 7.
    #[track_caller]
    fn key(&self, generation: u32) -> String {
        self.ok(&format!("nv read {:#x} --pcr 7", 0x0150_0051 + generation))
    }

    /// The power goes at the n-th command that changes what the TPM keeps: before it, or after.
    fn cut(&self, at: usize, is_before: bool) {
        let (mut sent, mut answered) = (0, 0);
        let switch = self.host.tpm.power();
        self.host.wire.on_command(move |command| {
            sent += usize::from(CHANGES.contains(&command.code()));
            if is_before && CHANGES.contains(&command.code()) && sent == at + 1 {
                switch.off();
                return Action::Close;
            }
            Action::Forward
        });
        let switch = self.host.tpm.power();
        self.host.wire.on_response(move |command, response| {
            answered += usize::from(CHANGES.contains(&command.code()));
            if !is_before && CHANGES.contains(&command.code()) && answered == at + 1 {
                switch.off();
                return Action::Close;
            }
            Action::Reply(response.0)
        });
    }

    /// How many commands that change what the TPM keeps are on record since the last time.
    fn changes(&self) -> usize {
        self.host.wire.take().iter().filter(|exchange| CHANGES.contains(&exchange.command.code())).count()
    }
}

#[test]
fn keys_are_made_kept_and_replaced() {
    let machine = Machine::new();
    let why = machine.fails("fss status", 11);
    assert!(why.contains("the TPM holds no verification key; make keys: `trust fss setup`"), "{why}");
    machine.fails("fss rotate", 11);
    let ran = machine.run("fss setup --interval 10s");
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("is for PCR 7 as it is now"), "it says so aloud: {ran:?}");
    assert!(ran.out.contains(&format!("generation 0, fingerprint {}", machine.fingerprint())), "{ran:?}");
    let (shown, wrong) = machine.status();
    assert_eq!(wrong, [""; 0]);
    let generation = &shown["generations"][0];
    for (name, expected) in [
        ("generation", Value::from(0)),
        ("state", "locked".into()),
        ("machine_id", MACHINE.into()),
        ("interval_usec", 10_000_000.into()),
        ("fingerprint", machine.fingerprint().into()),
        ("policy_holds", true.into()),
        ("counter", shown["counter"].clone()),
    ] {
        assert_eq!(generation[name], expected, "{name}: {shown}");
    }
    assert_eq!(shown["sealing_key"]["generation"], 0);
    // It is the form that journalctl takes, and its times are those of the file.
    let first = machine.key(0);
    let (seed, times) = first.split_once('/').unwrap();
    assert_eq!((seed.len(), seed.matches('-').count()), (27, 3));
    let (start, interval) = times.split_once('-').unwrap();
    let number = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
    assert_eq!(Value::from(number(start) * number(interval)), generation["start_usec"]);
    // Written once: not even the owner writes it again.
    machine.fails("nv write 0x1500051 --force --raw /etc/machine-id", 12);
    machine.fails("nv write 0x1500071 --force --raw /etc/machine-id", 12);
    machine.fails("nv remove 0x1500051", 12);
    let why = machine.fails("fss setup", 2);
    assert!(why.contains("the TPM holds a verification key already; have new keys made beside it"), "{why}");
    // Beside it a second one, and the copy that is asked for is the one in the TPM.
    let printed = machine.ok("fss rotate --print");
    assert_eq!(printed.trim_end(), machine.key(1));
    assert_eq!(machine.key(0), first);
    let (shown, wrong) = machine.status();
    assert_eq!(wrong, [""; 0]);
    assert_eq!(shown["generations"][1]["counter"], shown["counter"]);
    assert_eq!(shown["generations"][1]["counter"].as_u64(), shown["generations"][0]["counter"].as_u64().map(|c| c + 1));
    assert_eq!(shown["generations"][1]["interval_usec"], 900_000_000, "journalctl's own");
    assert_eq!(shown["sealing_key"]["generation"], 1);
    let text = machine.ok("fss status");
    for line in ["generation    0, locked", "  since       20", ", a key every 15 min", "sealing key   of generation 1"]
    {
        assert!(text.contains(line), "{text}");
    }
    // The list of indices knows what they are for.
    assert!(machine.ok("nv list").contains("Trust, for sealed journals"));
    // A restart changes nothing.
    machine.host.tpm.reboot();
    assert_eq!(machine.wrong(), [""; 0]);
    // With the policy not fulfilled, neither the tools' owner nor we get it.
    machine.host.tpm.raw().extend(7, &[1; 32]);
    let (shown, wrong) = machine.status();
    assert_eq!((wrong, &shown["generations"][0]["policy_holds"]), (vec![], &false.into()));
    machine.fails("nv read 0x1500051 --pcr 7", 12);
    machine.host.tpm.tools().fails("nvread", &["0x1500051", "-C", "o"]);
}

#[test]
fn a_key_that_was_made_without_the_tpm_is_not_replaced_by_accident() {
    let machine = Machine::new();
    assert!(machine.script("journalctl --setup-keys --quiet >/dev/null").ends_with("job 0\n"));
    let before = machine.fingerprint();
    let why = machine.fails("fss setup", 2);
    assert!(why.contains("/fss is there, and its verification key is not in the TPM; keep its verification"), "{why}");
    assert_eq!(machine.fingerprint(), before);
    machine.ok("fss setup --replace");
    assert_ne!(machine.fingerprint(), before);
    assert_eq!(machine.wrong(), [""; 0]);
    // Without a directory there is nothing to seal.
    machine.script("rm -r /sandbox/log/journal");
    let why = machine.fails("fss rotate", 2);
    assert!(why.contains("the journal of this machine is not kept in /var/log/journal"), "{why}");
    assert_eq!(machine.wrong(), ["nothing_sealed"]);
    // Nor is a PIN of any use.
    let why = machine.fails("fss rotate --pin", 2);
    assert!(why.contains("leave --pin out"), "{why}");
}

/// Wherever the power is cut, a run again comes to a good end, and in between nothing is passed off as sound.
#[test]
fn a_power_cut_leaves_what_the_next_run_completes() {
    let machine = Machine::new();
    for command in ["setup", "rotate"] {
        machine.host.tpm.reboot();
        machine.host.tpm.off();
        let before: State = machine.host.tpm.state();
        let file = fs::read(machine.sealing_key()).ok();
        let restore = || {
            machine.host.tpm.restore(&before);
            machine.host.tpm.boot();
            match &file {
                Some(file) => fs::write(machine.sealing_key(), file).unwrap(),
                None => drop(fs::remove_file(machine.sealing_key())),
            }
        };
        restore();
        let first = (command == "rotate").then(|| machine.key(0));
        machine.host.wire.take();
        machine.ok(&format!("fss {command}"));
        let total = machine.changes();
        assert!(total >= 7, "{command}: {total}");
        for (at, is_before) in (0..total).flat_map(|at| [(at, true), (at, false)]) {
            let what = format!("{command}, cut at {at} of {total}, before it: {is_before}");
            restore();
            let old = machine.sealing_key().exists().then(|| machine.fingerprint());
            machine.cut(at, is_before);
            let ran = machine.run(&format!("fss {command}"));
            assert_ne!(ran.status, 0, "{what}: {ran:?}");
            machine.host.wire.be_honest();
            machine.host.tpm.boot();
            let new = machine.sealing_key().exists().then(|| machine.fingerprint());
            let status = machine.run("fss status --json");
            let (is_first, is_last) = ((at, is_before) == (0, true), (at, is_before) == (total - 1, false));
            match status.status {
                11 => assert!(is_first && command == "setup" && new.is_none(), "{what}"),
                0 => assert!(is_first || is_last, "{what}: {status:?}"),
                14 => {
                    // A sealing key without its verification key is not passed over.
                    let of: Value = serde_json::from_str(&status.out).unwrap();
                    let known = !of["sealing_key"]["generation"].is_null();
                    let said = status.out.contains("sealing_key_unknown") || status.out.contains("writable");
                    assert!(new == old || known || said, "{what}: {status:?}");
                }
                _ => panic!("{what}: {status:?}"),
            }
            if is_last && command == "setup" {
                machine.fails("fss setup", 2);
            } else {
                machine.ok(&format!("fss {command}"));
            }
            assert_eq!(machine.wrong(), [""; 0], "{what}");
            let (shown, _) = machine.status();
            let newest = shown["generations"].as_array().unwrap().last().unwrap();
            assert_eq!(newest["fingerprint"], machine.fingerprint(), "{what}");
            if let Some(first) = &first {
                assert_eq!(&machine.key(0), first, "{what}");
            }
            assert_eq!(machine.host.tpm.failed_attempts(), 0, "{what}");
        }
        restore();
        if command == "setup" {
            machine.ok("fss setup");
        }
    }
}

/// What whoever owns the TPM, or the disk, does to the keys is named.
#[test]
fn what_was_replaced_removed_or_counted_is_named() {
    let machine = Machine::new();
    let tools = machine.host.tpm.tools();
    let copy = machine.dir.join("fss");
    machine.ok("fss setup");
    fs::copy(machine.sealing_key(), &copy).unwrap();
    machine.ok("fss rotate");
    machine.host.tpm.reboot();
    machine.host.tpm.off();
    let (before, file) = (machine.host.tpm.state(), fs::read(machine.sealing_key()).unwrap());
    let restore = || {
        machine.host.tpm.restore(&before);
        machine.host.tpm.boot();
        fs::write(machine.sealing_key(), &file).unwrap();
    };
    restore();
    // The disk.
    fs::copy(&copy, machine.sealing_key()).unwrap();
    assert_eq!(machine.wrong(), ["sealing_key_old"]);
    machine.script("journalctl --setup-keys --force --quiet >/dev/null");
    assert_eq!(machine.wrong(), ["sealing_key_unknown"]);
    fs::write(machine.sealing_key(), "KSHHRHLP and something else").unwrap();
    let why = machine.fails("fss status", 14);
    assert!(why.contains("is not a sealing key of journald's; have new keys made: `trust fss rotate`"), "{why}");
    machine.ok("fss rotate");
    assert_eq!(machine.wrong(), [""; 0]);
    // The TPM.
    restore();
    tools.ok("nvincrement", &["0x1500050", "-C", "o"]);
    assert_eq!(machine.wrong(), ["not_accounted_for"]);
    machine.ok("fss rotate");
    assert_eq!(machine.wrong(), ["not_accounted_for"], "and it stays so");
    restore();
    tools.ok("nvundefine", &["0x1500052", "-C", "o"]);
    tools.ok("nvundefine", &["0x1500072", "-C", "o"]);
    assert_eq!(machine.wrong(), ["not_accounted_for", "sealing_key_unknown"]);
    restore();
    tools.ok("nvundefine", &["0x1500051", "-C", "o"]);
    tools.ok("nvundefine", &["0x1500071", "-C", "o"]);
    assert_eq!(machine.wrong(), ["generation_missing"]);
    restore();
    // Defined anew by somebody who has nothing but the owner's rights, of the same form, but not locked.
    tools.ok("nvundefine", &["0x1500051", "-C", "o"]);
    tools.ok("nvdefine", &["0x1500051", "-C", "o", "-s", "102", "-a", "ownerwrite|ownerread|writedefine|no_da"]);
    fs::write(tools.dir().join("in"), [7; 102]).unwrap();
    tools.ok("nvwrite", &["0x1500051", "-C", "o", "-i", "in"]);
    assert_eq!(machine.wrong(), ["writable"]);
    tools.ok("nvwritelock", &["0x1500051", "-C", "o"]);
    assert_eq!(machine.wrong(), ["readable", "key_replaced"]);
    restore();
    // A counter that is none, and one that starts anew.
    tools.ok("nvundefine", &["0x1500050", "-C", "o"]);
    assert_eq!(machine.wrong(), ["counter_missing"]);
    tools.ok("nvdefine", &["0x1500050", "-C", "o", "-s", "8", "-a", "ownerwrite|authread|no_da"]);
    assert_eq!(machine.wrong(), ["counter_is_none"]);
    let why = machine.fails("fss rotate", 12);
    assert!(why.contains("is not a counter") && why.contains("trust nv remove --force 0x1500050"), "{why}");
    machine.ok("nv remove --force 0x1500050");
    tools.ok("nvdefine", &["0x1500050", "-C", "o", "-a", "nt=counter|ownerwrite|authread|no_da"]);
    tools.ok("nvincrement", &["0x1500050", "-C", "o"]);
    assert_eq!(machine.wrong(), ["not_accounted_for"], "a TPM starts no counter below what any has come to");
}

/// An index that is there already, readable by all: no key is written into it.
#[test]
fn no_key_goes_into_an_index_of_an_attackers() {
    let machine = Machine::new();
    let tools = machine.host.tpm.tools();
    let attributes = "ownerwrite|ownerread|authread|writedefine|no_da";
    tools.ok("nvdefine", &["0x1500051", "-C", "o", "-s", "102", "-a", attributes]);
    machine.ok("fss setup");
    assert_eq!(machine.wrong(), [""; 0]);
    tools.fails("nvread", &["0x1500051", "-C", "o"]);
}

/// Nothing of a key is on the bus; nor in the arguments and variables of any process, on the terminal, or in a file.
#[test]
fn a_key_is_nowhere_but_in_the_tpm() {
    let machine = Machine::new();
    machine.host.wire.take();
    // Every process of the machine is looked at while it runs.
    let spy = "( while test -e /sandbox/spying; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done >/sandbox/seen 2>/dev/null ) &";
    machine.script(&format!("touch /sandbox/spying; {spy}"));
    machine.ok("fss setup");
    let said =
        fs::read_to_string(machine.dir.join("err")).unwrap() + &fs::read_to_string(machine.dir.join("out")).unwrap();
    machine.ok("fss rotate");
    machine.script("rm /sandbox/spying; sleep 0.2");
    let bytes = machine.host.wire.bytes();
    let seen = fs::read(machine.dir.join("seen")).unwrap();
    assert!(harness::find(&seen, b"--setup-keys").is_some(), "journalctl was seen at work");
    let mut search = SecretSearch::new();
    for generation in [0, 1] {
        let key = machine.key(generation);
        search.add("key", key.split('/').next().unwrap().as_bytes());
        search.add("seed", &harness::unhex(&key.split('/').next().unwrap().replace('-', "")));
    }
    assert_eq!(search.found(&bytes), [].into(), "percent of what crosses the wire in clear");
    assert_eq!(search.found(&seen), [].into(), "percent of what is in argv and environment");
    assert_eq!(search.found(said.as_bytes()), [].into(), "percent of what is printed");
    let mut files = Vec::new();
    for entry in harness::tree(&machine.dir) {
        let path = machine.dir.join(entry.rsplit_once(' ').unwrap().0);
        if path.is_file() && !["out", "err"].iter().any(|name| path.ends_with(name)) {
            files.extend(fs::read(path).unwrap());
        }
    }
    assert!(harness::find(&files, b"KSHHRHLP").is_some());
    assert_eq!(search.found(&files), [].into(), "percent of what is in files");
    // The same search finds it where it is printed.
    let printed = machine.ok("fss rotate --print");
    search.add("printed", printed.split('/').next().unwrap().as_bytes());
    assert!(search.found(printed.as_bytes()).contains_key("printed"));
}
