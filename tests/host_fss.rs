//! `trust fss`: journald's verification key in the TPM, made with the real journalctl. A power cut leaves what the next run
//! completes; whoever replaces a key is found out; nothing of a key is on the bus, in argv, in a file or in a log.

use base64ct::{Base64, Encoding};
use harness::{
    Action, Banks, Boot, HostTpm, Sandbox, SecretSearch, Shell, State, cc, documentation, hex, sha256, trust_host,
};
use serde_json::Value;
use std::{cell::RefCell, fs, ops::Deref, path::PathBuf, time::Duration};
use trust::{
    error::{Error, Kind},
    host::fss::{self, GenerationKey, KeyPolicy},
    policy::{Assertion, Policy, statements::PolicyRecipe},
    tpm::{NvSpace, Tpm, unseal::Evidence},
};

/// A machine-id(5) of nobody's.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";
/// `journalctl --setup-keys` in a file system of its own: what it writes is below `/sandbox`.
const PRELUDE: &str = "
    mkdir -p /sandbox/log/journal/0123456789abcdef0123456789abcdef
    echo 0123456789abcdef0123456789abcdef >/sandbox/machine-id
    PATH=/sandbox/bin:$PATH
    # The program wants to see this uid.
    setpriv --reuid 0 mount --bind /sandbox/log /var/log
    setpriv --reuid 0 mount --bind /sandbox/machine-id /etc/machine-id
";
/// The commands that change what a TPM keeps: increments, locks, and those of [`cc`].
const CHANGES: [u32; 5] = [cc::NV_DEFINE_SPACE, cc::NV_WRITE, cc::NV_UNDEFINE_SPACE, 0x134, 0x138];

/// A machine without anything but journals, in which `trust` runs.
struct Journals {
    shell: RefCell<Shell>,
    dir: PathBuf,
    /// What all commands are given.
    options: String,
}

/// The same with a TPM of nobody's.
struct Machine {
    host: HostTpm,
    journals: Journals,
}

impl Deref for Machine {
    type Target = Journals;

    fn deref(&self) -> &Journals {
        &self.journals
    }
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Journals {
    /// With this TPM.
    fn new(tcti: &str, options: &str) -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("TRUST", trust_host()).set("TPM2TOOLS_TCTI", tcti);
        let dir = sandbox.dir();
        let shell = RefCell::new(Shell::boot(sandbox, PRELUDE));
        let journals = Self { shell, dir, options: format!("--tcti {tcti} --wait 1 {options}") };
        // The shell is up when it answers.
        assert!(journals.script("test -d /var/log/journal/$(cat /etc/machine-id)").ends_with("job 0\n"));
        journals
    }

    #[track_caller]
    fn script(&self, script: &str) -> String {
        self.shell.borrow_mut().run(script)
    }

    /// `trust ARGS`.
    #[track_caller]
    fn run(&self, args: &str) -> Ran {
        let options = if args.starts_with("fss check-statement") { "" } else { &self.options };
        let script = format!("cd /sandbox; $TRUST {args} {options} >/sandbox/out 2>/sandbox/err");
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
        hex(&sha256(&[&file[90..90 + bytes]]))
    }

    /// The verification key of a generation, by the policy of PCR 7.
    #[track_caller]
    fn key(&self, generation: u32) -> String {
        self.ok(&format!("nv read {:#x} --pcr 7", 0x0150_0051 + generation))
    }
}

impl Machine {
    fn new() -> Self {
        let host = HostTpm::new(Banks::Sha256);
        Self { journals: Journals::new(&host.wire.tcti(), ""), host }
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

/// The policy of a key that PCR 7 opens with this value.
fn pcr7(value: &[u8; 32]) -> KeyPolicy {
    KeyPolicy {
        recipe: PolicyRecipe { policy: Policy::of([Assertion::pcr7(value)]), ..PolicyRecipe::default() },
        evidence: Evidence::default(),
    }
}

/// What whoever verifies gets by it.
fn keys(machine: &Machine, policy: KeyPolicy) -> Result<Vec<GenerationKey>, Error> {
    let address = machine.host.wire.tcti().parse().unwrap();
    let tpm = Tpm::connect(&address, Duration::from_secs(1), false).unwrap();
    let nobody = || panic!("nobody is asked for a password");
    fss::keys(&mut NvSpace::new(tpm, Box::new(nobody)), &[policy])
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
    // A key of its own for each, compared with what is said of it; what verifies gets them by its policy.
    let found = keys(&machine, pcr7(&[0; 32])).unwrap();
    assert_eq!((found.len(), found[0].record.number), (1, 0));
    assert_eq!(found[0].key.digest(), sha256(&[machine.key(0).as_bytes()]));
    let error = keys(&machine, pcr7(&[1; 32])).err().unwrap();
    assert!(error.kind() == Kind::Refused && error.why().contains("its policy is another one"), "{error}");
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
    assert_eq!(keys(&machine, pcr7(&[0; 32])).err().unwrap().kind(), Kind::Refused);
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
    // A machine without a name cannot be told from another.
    machine.script("echo >/sandbox/machine-id");
    let why = machine.fails("fss status", 15);
    assert!(why.contains("have one made: systemd-machine-id-setup"), "{why}");
    machine.script(&format!("echo {MACHINE} >/sandbox/machine-id"));
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

/// An index of the same form, policy and Name, with a key of an attacker's in it.
#[test]
fn a_key_that_is_not_the_one_of_its_record_is_not_given_out() {
    let machine = Machine::new();
    let tools = machine.host.tpm.tools();
    machine.ok("fss setup");
    let key = machine.key(0);
    let other = format!("{}{}", if key.starts_with('0') { '1' } else { '0' }, &key[1..]);
    tools.ok("nvundefine", &["0x1500051", "-C", "o"]);
    tools.ok("createpolicy", &["--policy-pcr", "-l", "sha256:7", "-L", "policy"]);
    let attributes = "policyread|ownerwrite|writedefine|no_da";
    tools.ok("nvdefine", &["0x1500051", "-C", "o", "-s", "102", "-a", attributes, "-L", "policy"]);
    let length = u16::try_from(other.len()).unwrap().to_be_bytes();
    let content = [b"TNV1", &length[..], &sha256(&[other.as_bytes()]), other.as_bytes()].concat();
    fs::write(tools.dir().join("in"), content).unwrap();
    tools.ok("nvwrite", &["0x1500051", "-C", "o", "-i", "in"]);
    tools.ok("nvwritelock", &["0x1500051", "-C", "o"]);
    assert_eq!(machine.key(0), other, "it opens as the other one did");
    assert_eq!(machine.wrong(), ["key_replaced"]);
    let error = keys(&machine, pcr7(&[0; 32])).err().unwrap();
    assert!(error.kind() == Kind::Corrupt && error.why().contains("it was replaced"), "{error}");
    assert!(error.to_string().contains("see what else is wrong: `trust fss status`"), "{error}");
}

/// Nothing of a key is on the bus; nor in the arguments and variables of any process, on the terminal, or in a file.
#[test]
fn a_key_is_nowhere_but_in_the_tpm() {
    let machine = Machine::new();
    machine.host.wire.take();
    // Every process of the machine is looked at while it runs: all the time, and right before and after there is a key.
    let look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>/sandbox/seen 2>/dev/null";
    let journalctl = format!("#!/bin/sh\n{look}\n/usr/bin/journalctl \"$@\"\nstatus=$?\n{look}\nexit $status\n");
    fs::create_dir(machine.dir.join("bin")).unwrap();
    fs::write(machine.dir.join("bin/journalctl"), journalctl).unwrap();
    let spy = format!(
        "chmod +x /sandbox/bin/journalctl; touch /sandbox/spying; ( while test -e /sandbox/spying; do {look}; done ) &"
    );
    machine.script(&spy);
    machine.ok("fss setup");
    let said =
        fs::read_to_string(machine.dir.join("err")).unwrap() + &fs::read_to_string(machine.dir.join("out")).unwrap();
    machine.ok("fss rotate");
    machine.script("rm /sandbox/spying");
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

/// The keyset's rights on a machine that Trust has provisioned: no owner's password, and the key survives an update.
#[test]
fn on_a_machine_of_a_keyset_the_running_system_does_it_all_and_no_other_boot() {
    let machine = harness::Machine::provisioned();
    machine.keyset.sign_system("0001");
    let boot = |boot: Boot, is_locked: bool| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        if is_locked {
            machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
        }
    };
    boot(Boot::Production, true);
    let options = format!("--pcr7data {}", machine.keyset.pcr7data().display());
    let journals = Journals::new(&machine.tpm.tools().tcti(), &options);
    let ran = journals.run("fss setup");
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("is for the running system of this keyset's machines"), "{ran:?}");
    assert_eq!(journals.wrong(), [""; 0]);
    journals.ok("fss rotate");
    let key = journals.ok("nv read 0x1500052 --system");
    assert_eq!(key.len(), key.trim_end().len());
    journals.ok("fss certify -o statement");
    journals.ok("fss check-statement statement");
    // It replaces nothing: not even as the owner delegates.
    let why = journals.fails("nv write 0x1500051 --system --force /etc/machine-id", 12);
    assert!(why.contains("locked"), "{why}");
    // Where the power failed in between, no failed attempt was counted.
    machine.tpm.power_cut();
    assert_eq!(machine.tpm.failed_attempts(), 0);
    for (kind, is_locked) in
        [(Boot::Production, false), (Boot::Limited, false), (Boot::Limited, true), (Boot::Tpm, true)]
    {
        boot(kind, is_locked);
        journals.fails("nv read 0x1500052 --system", 12);
        let (shown, wrong) = journals.status();
        assert_eq!((wrong, &shown["generations"][1]["policy_holds"]), (vec![], &false.into()), "{kind:?} {is_locked}");
        // The owner would be asked.
        journals.fails("fss rotate", 2);
        assert_eq!(journals.status().1, [""; 0]);
    }
    boot(Boot::Production, true);
    assert_eq!(journals.ok("nv read 0x1500052 --system"), key);
}

/// What tpm2-tools verify, and what a week later shows.
#[test]
fn a_statement_tells_elsewhere_what_was_replaced() {
    let machine = Machine::new();
    let tools = machine.host.tpm.tools();
    machine.fails("fss certify", 11);
    machine.ok("fss setup");
    machine.ok("fss certify --nonce 0123456789abcdef -o monday");
    let monday: Value = serde_json::from_slice(&fs::read(machine.dir.join("monday")).unwrap()).unwrap();
    let shown: Value =
        serde_json::from_str(&machine.ok("fss check-statement monday --nonce 0123456789ABCDEF --json")).unwrap();
    let status = machine.status().0;
    assert_eq!(shown["generations"][0]["fingerprint"], machine.fingerprint());
    assert_eq!((&shown["counter"], &shown["findings"]), (&status["counter"], &Value::Array(vec![])));
    // By other programs: the key is one that a TPM has restricted, the signatures are its, the content is what is in the index.
    let base64 = |value: &Value| Base64::decode_vec(value.as_str().unwrap()).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(tools.dir().join(name), bytes).unwrap();
    let key = base64(&monday["attestation_key"]);
    write("ak.pub", &[&u16::try_from(key.len()).unwrap().to_be_bytes()[..], &key].concat());
    let attributes = tools.ok("print", &["-t", "TPM2B_PUBLIC", "ak.pub"]);
    assert!(attributes.contains("restricted") && attributes.contains("fixedtpm"), "{attributes}");
    tools.ok("loadexternal", &["-C", "n", "-u", "ak.pub", "-c", "ak.ctx"]);
    let certified = monday["certified"].as_array().unwrap();
    assert_eq!(certified.len(), 2);
    for one in certified {
        write("attest", &base64(&one["attest"]));
        write("signature", &base64(&one["signature"]));
        let verify = ["-c", "ak.ctx", "-g", "sha256", "-m", "attest", "-s", "signature"];
        tools.ok("verifysignature", &verify);
        let mut other = base64(&one["attest"]);
        *other.last_mut().unwrap() ^= 1;
        write("attest", &other);
        tools.fails("verifysignature", &verify);
        tools.flush();
        tools.ok("loadexternal", &["-C", "n", "-u", "ak.pub", "-c", "ak.ctx"]);
    }
    tools.flush();
    let content = &base64(&certified[1]["attest"]);
    tools.ok("nvread", &["0x1500071", "-C", "0x1500071", "-o", "record"]);
    let record = fs::read(tools.dir().join("record")).unwrap();
    assert!(content.ends_with(&record));
    // No part of it can be altered, exchanged or left out.
    let ak = shown["attestation_key"].as_str().unwrap();
    machine.ok(&format!("fss check-statement monday --ak {ak}"));
    let says = |args: &str, word: &str| {
        let ran = machine.run(&format!("fss check-statement {args} --json"));
        assert_eq!(ran.status, 14, "{args}: {ran:?}");
        assert!(ran.out.contains(&format!("\"name\": \"{word}\"")), "{args}: {ran:?}");
    };
    says(&format!("monday --ak {}", ak.replace(&ak[10..12], "zz")), "other_attestation_key");
    says("monday --nonce 00", "other_nonce");
    machine.ok("fss certify --nonce 0123456789abcdef -o tuesday");
    machine.ok("fss check-statement tuesday --previous monday");
    let tuesday: Value = serde_json::from_slice(&fs::read(machine.dir.join("tuesday")).unwrap()).unwrap();
    let altered = |change: &dyn Fn(&mut Value), why: &str| {
        let mut statement = monday.clone();
        change(&mut statement);
        fs::write(machine.dir.join("altered"), statement.to_string()).unwrap();
        let ran = machine.run("fss check-statement altered");
        assert_eq!(ran.status, 14, "{why}: {ran:?}");
        assert!(ran.err.contains(why) || ran.out.contains(why), "{why}: {ran:?}");
    };
    altered(&|all| all["nonce"] = "00".into(), "is of another statement");
    altered(
        &|all| all["certified"][0]["attest"] = all["certified"][1]["attest"].clone(),
        "a signature is not its key's",
    );
    altered(&|all| all["certified"][0]["public"] = all["certified"][1]["public"].clone(), "or of another index");
    altered(&|all| all["certified"][0] = tuesday["certified"][0].clone(), "were not made in one go");
    altered(&|all| all["certified"] = Value::Array(vec![]), "nothing in it is signed");
    altered(&|all| drop(all["certified"].as_array_mut().unwrap().pop()), "can be written again");
    altered(&|all| drop(all["certified"].as_array_mut().unwrap().remove(0)), "the counter");
    altered(&|all| drop(all["keys"].as_array_mut().unwrap().pop()), "is not there");
    altered(&|all| all["format"] = 2.into(), "is not a statement on sealed journals");
    let mut free = key.clone();
    free[5] ^= 1;
    altered(&|all| all["attestation_key"] = Base64::encode_string(&free).into(), "not one that signs only");
    for nonsense in ["", "{}", "[]", "{\"format\": 1", &"[".repeat(5000)] {
        fs::write(machine.dir.join("altered"), nonsense).unwrap();
        machine.fails("fss check-statement altered", 14);
    }
    // Somebody with the owner's authorization replaces the key, and counts on as if nothing had been.
    let attack = |indices: &[&str]| {
        for index in indices {
            tools.ok("nvundefine", &[index, "-C", "o"]);
        }
        machine.ok("fss setup --replace");
        assert_eq!(machine.wrong(), [""; 0], "the machine itself sees nothing");
    };
    attack(&["0x1500051", "0x1500071"]);
    machine.ok("fss certify -o wednesday");
    machine.ok("fss check-statement wednesday");
    says("wednesday --previous monday", "key_replaced");
    let why = machine.fails("fss check-statement wednesday --previous monday", 14);
    assert!(why.contains("the key of generation 0 was replaced; find out who has done that"), "{why}");
    // An earlier one is not newer.
    machine.host.tpm.reboot();
    machine.ok("fss certify -o thursday");
    machine.ok("fss check-statement thursday --previous wednesday");
    says("wednesday --previous thursday", "older_statement");
    // Keys that are gone, and another TPM.
    machine.ok("fss rotate");
    machine.ok("fss certify -o friday");
    machine.ok("fss check-statement friday --previous thursday");
    tools.ok("nvundefine", &["0x1500052", "-C", "o"]);
    tools.ok("nvundefine", &["0x1500072", "-C", "o"]);
    machine.ok("fss certify -o saturday");
    says("saturday --previous friday", "generation_missing");
    tools.ok("clear", &[]);
    machine.ok("fss setup --replace");
    machine.ok("fss certify -o sunday");
    machine.ok("fss check-statement sunday");
    says("sunday --previous saturday", "attestation_key_changed");
}

/// What cannot be done is said before anything is changed.
#[test]
fn what_does_not_fit_changes_nothing() {
    let machine = Machine::new();
    let why = machine.fails("fss setup --interval nonsense", 15);
    assert!(why.contains("nonsense") && why.contains("do as it says"), "{why}");
    machine.ok("fss setup --interval 1min");
    let (before, shown) = (machine.fingerprint(), machine.status().0);
    let tools = machine.host.tpm.tools();
    let define = |index: u32, size: &str| tools.output("nvdefine", &[&format!("{index:#x}"), "-C", "o", "-s", size]);
    assert!(define(0x0182_0000, "110").status.success());
    let mut next = 0x0181_0000;
    for size in ["2048", "64", "1"] {
        while define(next, size).status.success() {
            next += 1;
        }
    }
    // There is room for the key now, and none for what is said of it.
    tools.ok("nvundefine", &["0x1820000", "-C", "o"]);
    machine.host.wire.take();
    let why = machine.fails("fss rotate", 15);
    assert!(why.contains("NV memory is full, and nothing was changed; remove what is not needed"), "{why}");
    let defined = machine.host.wire.counts().get(&cc::NV_DEFINE_SPACE).copied();
    assert_eq!(defined, Some(2), "the second one does not fit");
    assert_eq!((machine.fingerprint(), machine.status()), (before, (shown, vec![])));
    tools.ok("nvundefine", &["0x1810000", "-C", "o"]);
    machine.ok("fss rotate");
    assert_eq!(machine.wrong(), [""; 0]);
}

/// Whatever a TPM answers, there is a message and a status, and no statement that is not the TPM's.
#[test]
fn hostile_answers_do_no_harm() {
    let machine = Machine::new();
    machine.ok("fss setup");
    for command in ["fss status", "fss certify -o statement"] {
        machine.host.wire.take();
        machine.ok(command);
        let honest = machine.host.wire.take();
        for (at, exchange) in honest.iter().enumerate() {
            for harmed in exchange.response.clone().unwrap().harmed().into_iter().take(4) {
                let mut number = 0;
                machine.host.wire.on_response(move |_, response| {
                    number += 1;
                    Action::Reply(if number == at + 1 { harmed.0.clone() } else { response.0 })
                });
                let _ = fs::remove_file(machine.dir.join("statement"));
                let ran = machine.run(command);
                machine.host.wire.be_honest();
                machine.host.tpm.tools().flush();
                let known = [0, 2, 10, 11, 12, 13, 14, 15].contains(&ran.status);
                assert!(known && !ran.err.contains("internal error"), "{command}, response {at}: {ran:?}");
                if machine.dir.join("statement").exists() {
                    // What is signed is so; what was kept from us is said to be missing.
                    let ran = machine.run("fss check-statement statement");
                    let is_whole = ran.status == 0 && ran.out.contains(&machine.fingerprint());
                    assert!(is_whole || ran.status == 14, "{command}, response {at}: {ran:?}");
                }
            }
        }
    }
}

/// The characters of a terminal as a camera sees them, with black where a character is: two points above each other.
fn photograph(picture: &str) -> String {
    /// Points of the photograph for each of the picture, and around it.
    const SCALE: usize = 4;
    let lines: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
    let width = lines.iter().map(Vec::len).max().unwrap();
    // A terminal shows bright characters on a dark ground.
    let is_dark = |x: usize, y: usize| {
        let half = lines.get(y / 2).and_then(|line| line.get(x)).unwrap_or(&'█');
        !matches!((half, y % 2), ('█', _) | ('▀', 0) | ('▄', 1))
    };
    let inside = |x: usize| (x / SCALE).checked_sub(SCALE);
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(
        (width + 2 * SCALE) * SCALE,
        (lines.len() * 2 + 2 * SCALE) * SCALE,
        |x, y| inside(x).zip(inside(y)).is_some_and(|(x, y)| is_dark(x, y)),
    );
    let found = image.detect_grids();
    assert_eq!(found.len(), 1, "{picture}");
    found[0].decode().unwrap().1
}

/// A QR code of the terminal, and what it says: the key by which the files verify, and whose they are.
#[test]
fn the_offline_copy_can_be_photographed() {
    let machine = Machine::new();
    let picture = machine.ok("fss setup --qr");
    let address = photograph(&picture);
    let (key, id) = address.strip_prefix("fss://").and_then(|rest| rest.split_once("?machine=")).unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{address}");
    let printed = machine.ok("fss rotate --print");
    assert!(printed.lines().any(|line| line.len() == key.len() && line.contains('/')), "{printed}, {key}");
}

/// `docs/journals.md`, up to what is said of verifying: its commands print what it says; what is behind an ellipsis may differ.
#[test]
fn the_page_is_followed() {
    let machine = Machine::new();
    let page = documentation::read("docs/journals.md");
    let part = page.split("\n## Verify").next().unwrap();
    let steps = documentation::console(part);
    assert!(steps.len() > 7, "the search misses them");
    for (command, expected) in &steps {
        let command = command.strip_prefix("trust ").unwrap();
        let ran = machine.run(command);
        assert_eq!(ran.status, 0, "{command}: {ran:?}");
        // There is no journald to be told.
        let said = ran.err.lines().filter(|line| !line.contains("journalctl --rotate")).map(|line| format!("{line}\n"));
        let printed = said.collect::<String>() + &ran.out;
        match expected.split_once('…') {
            Some((start, _)) => assert!(printed.starts_with(start), "{command}: {printed}"),
            None => assert_eq!(printed, *expected, "{command}"),
        }
    }
}
