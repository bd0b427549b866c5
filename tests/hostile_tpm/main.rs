//! A TPM, or an attacker in its place, that does every kind of harm to every command: no hang, no panic, a message and a
//! status that say what happened; nothing published, or PCR 7 locked and proven before.
//!
//! `--nocapture` shows the matrix.

mod answer;
mod harm;
mod table;

use harm::{Answer, Deed, HARMS, Harm, Must, When};
use harness::{
    Boot, FUNCTIONS, Identity, Interposer, Keyset, Response, Sandbox, Shell, State, Swtpm, cc, extend, rc, sha256,
};
use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use trust::policy::{delegation, public_key::PolicyKey};

/// Machines at a time: most cells of the table wait for a silent TPM.
const AT_A_TIME: usize = 8;

/// Functions for the scripts: kind, same.
const KEY_TO_TPM: &str = include_str!("../data/key_to_tpm.sh");

/// `run COMMAND [OPTION…]` tells status and what is published; `secrets` whether that is the truth; `withdraw` ends it.
const SCRIPTS: &str = r#"
run() {
    local command=$1
    shift
    try status timeout --signal=KILL 60 env -i "$TRUST" $command --tcti "$TCTI" "$@"
    published
}
store="--pcr7data $PCR7DATA --on-lock-failure=exit"
is_published() { keyctl search @u user machine:luks >/dev/null 2>&1; }
identity() { cmp $SECURE/server.crt "$CERT" && cmp $SECURE/server.key "$KEY"; }
tell() { if "$@"; then echo true yes; else echo true no; fi; }
withdraw() { env -i "$TRUST" finish; }
"#;

/// One of the commands on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Setup,
    Preinit,
    Provision,
    Lock,
    Finish,
    Raise,
    Delegate,
}

impl Command {
    /// Which boot it belongs to.
    const fn boot(self) -> Boot {
        match self {
            Self::Provision => Boot::Limited,
            Self::Raise | Self::Delegate => Boot::Tpm,
            Self::Setup | Self::Preinit | Self::Lock | Self::Finish => Boot::Production,
        }
    }

    /// What runs it, with `--wait`, and looks at what it has published.
    fn script(self, wait: u32) -> String {
        match self {
            Self::Setup => format!(
                "run setup $store --wait {wait}
                same_passphrase() {{ secret machine:luks | cmp - /sandbox/passphrase; }}
                all() {{ same_passphrase && identity; }}
                if is_published; then tell all; fi; withdraw"
            ),
            Self::Preinit => format!(
                "run preinit $store --wait {wait}
                if is_published; then secret machine:luks >/sandbox/new; fi; withdraw"
            ),
            Self::Provision => format!("run provision $store --wait {wait} \"$CERT\" \"$KEY\""),
            Self::Lock => format!("run lock $store --wait {wait}"),
            // `setup` has a wire of its own. There is no resource manager that would take away what is left in the TPM.
            Self::Finish => format!(
                "env -i \"$TRUST\" setup --tcti \"$TOOLS\" $store
                run finish --key-to-tpm --wait {wait}
                export TPM2TOOLS_TCTI=$TOOLS
                tpm2_flushcontext -t
                bound() {{ [ \"$(kind)\" = bound ] && same $SECURE/server.key; }}
                if [ -e $SECURE/server.key ]; then tell bound; fi; withdraw"
            ),
            Self::Raise => format!(
                "run raise $store --wait {wait} 0002
                export TPM2TOOLS_TCTI=$TOOLS
                raised() {{ [ \"$(tpm2_nvread 0x1500020 -C 0x1500020)\" = 0002 ]; }}
                tell raised"
            ),
            Self::Delegate => format!("run 'admin delegate' $store --wait {wait}"),
        }
    }
}

/// What all machines have in common.
struct Fixture {
    keyset: Keyset,
    identity: Identity,
    /// A TPM as it comes from the factory, and one that has been provisioned.
    new: State,
    provisioned: State,
    /// One that another tool has provisioned, whose owner delegates nothing.
    without_delegation: State,
    passphrase: String,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let tpm = Swtpm::new();
        tpm.off();
        let new = tpm.state();
        let fixture = Fixture {
            keyset: Keyset::new("snakeoil"),
            identity: Identity::ec("P-256"),
            provisioned: new.clone(),
            without_delegation: new.clone(),
            new,
            passphrase: String::new(),
        };
        let mut machine = Machine::new(&fixture);
        machine.boot(&fixture.new, Command::Provision);
        machine.ok(&Command::Provision.script(10));
        machine.tpm.reboot();
        machine.tpm.off();
        let provisioned = machine.tpm.state();
        machine.boot(&provisioned, Command::Setup);
        let passphrase = machine.ok("run setup $store\nsecret machine:luks >/sandbox/passphrase; withdraw");
        assert_eq!(value(&passphrase, "status"), Some("0"), "{passphrase}");
        let passphrase = std::fs::read_to_string(machine.dir.join("passphrase")).expect("written");
        assert_eq!(passphrase.len(), 40);
        let tpm = Swtpm::new();
        harness::provision_with_tools(&tpm, &fixture.keyset, &fixture.identity, &harness::Layout::default());
        tpm.reboot();
        tpm.off();
        Fixture { provisioned, passphrase, without_delegation: tpm.state(), ..fixture }
    })
}

impl Fixture {
    /// The state of the TPM that a command is for.
    const fn state_for(&self, command: Command) -> &State {
        match command {
            Command::Provision => &self.new,
            Command::Delegate => &self.without_delegation,
            Command::Setup | Command::Preinit | Command::Lock | Command::Finish | Command::Raise => &self.provisioned,
        }
    }
}

/// A machine, on.
struct Machine {
    tpm: Swtpm,
    wire: Interposer,
    shell: Shell,
    dir: std::path::PathBuf,
}

/// What a script has said of `name`.
fn value<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

impl Machine {
    fn new(fixture: &Fixture) -> Self {
        let (tpm, mut sandbox) = (Swtpm::new(), Sandbox::new());
        let wire = Interposer::new(&tpm);
        sandbox.set("TRUST", harness::trust_initrd()).set("TCTI", wire.tcti()).set("TOOLS", tpm.tools().tcti());
        sandbox.set("PCR7DATA", fixture.keyset.pcr7data());
        sandbox.set("CERT", fixture.identity.cert()).set("KEY", fixture.identity.key());
        let dir = sandbox.dir();
        std::fs::write(dir.join("passphrase"), &fixture.passphrase).expect("a writable directory");
        let shell = Shell::boot(sandbox, &[FUNCTIONS, KEY_TO_TPM, SCRIPTS].join("\n"));
        Self { tpm, wire, shell, dir }
    }

    /// Starts the machine anew, with a TPM in this state, for a command.
    fn boot(&self, state: &State, command: Command) {
        self.tpm.restore(state);
        self.tpm.boot();
        self.tpm.raw().extend(7, &command.boot().event());
        self.wire.take();
    }

    /// Restarts it, for a command.
    fn reboot(&self, command: Command) {
        self.tpm.reboot();
        self.tpm.raw().extend(7, &command.boot().event());
    }

    /// Runs a script that must get to its end.
    #[track_caller]
    fn ok(&mut self, script: &str) -> String {
        let said = self.shell.run(script);
        assert!(said.ends_with("job 0\n"), "{script}: {said}");
        said
    }

    /// Whether PCR 7 is that of a boot which has been locked, once or twice.
    fn is_locked(&self, boot: Boot) -> bool {
        // TPM2_PCR_Read of sha256:7; the digest is at the end of what it answers.
        const READ: [u8; 20] = [0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0, 0];
        let answer = self.tpm.raw().send(&READ).0;
        let lock = |value: &harness::Digest| extend(value, &sha256(&[b"atomix\n"]));
        let once = lock(&boot.pcr7());
        [once, lock(&once)].iter().any(|locked| answer.ends_with(locked))
    }

    /// Runs a command that meets with a harm, and says what is wrong about how it ends.
    fn suffer(&mut self, command: Command, at: usize, harm: &'static Harm, record: &Arc<Vec<Answer>>) -> table::Cell {
        self.boot(fixture().state_for(command), command);
        harm.arm(&self.wire, at, record);
        let said = self.shell.run(&command.script(harm.wait));
        self.wire.be_honest();
        let status = value(&said, "status").and_then(|status| status.parse().ok()).unwrap_or(-1);
        let mut wrong = self.verdict(command, at, harm, record, status, &said);
        if wrong.is_none() && is_followed_up(command, at, harm, status) {
            wrong = self.follow_up(command, status).map(|wrong| format!("{wrong}\n{said}"));
        }
        table::Cell { status: Some(status), wrong }
    }

    fn verdict(
        &self,
        command: Command,
        at: usize,
        harm: &Harm,
        record: &[Answer],
        status: i32,
        said: &str,
    ) -> Option<String> {
        let wrong = |what: &str| Some(format!("{what}\n{said}"));
        if !said.ends_with("job 0\n") {
            return wrong("the script failed");
        }
        let messages: Vec<&str> = said.lines().filter(|line| line.starts_with("trust: ")).collect();
        let locks = command != Command::Finish;
        let is_locked = !locks || self.is_locked(command.boot());
        if status == 0 {
            if harm.must != Must::Succeed && !may_succeed(command, at, harm, record) {
                return wrong("it has been believed");
            }
            if !is_locked {
                return wrong("it succeeded, and PCR 7 is not locked");
            }
            let is_true = match command {
                Command::Setup | Command::Finish | Command::Raise => value(said, "true") == Some("yes"),
                Command::Preinit => value(said, "published").is_some_and(|where_| where_ != "no"),
                Command::Delegate => self.owners_policy() == expected_policy(),
                Command::Provision | Command::Lock => true,
            };
            return if is_true { None } else { wrong("it succeeded, and what it has published is not right") };
        }
        if !harm.may.contains(&status) {
            return wrong("it must not end so");
        }
        if value(said, "published") != Some("no") {
            return wrong("it failed, and something is published");
        }
        if messages.len() != 1 || !messages[0].starts_with("trust: cannot ") || messages[0].len() > 700 {
            return wrong("it does not say in one message what happened");
        }
        if status == 10 && matches!(harm.deed, Deed::SayFromNowOn(_)) && at > 0 && locks {
            return wrong("a TPM that had worked was taken for one that does not");
        }
        // From the first command on: then there is no TPM that could be locked.
        let never_was_one = status == 10 && at == 0 && matches!(harm.deed, Deed::SayFromNowOn(_));
        let nothing_to_lock = status == 16 || never_was_one;
        if !is_locked && !nothing_to_lock {
            return wrong("PCR 7 is not locked");
        }
        let policy = self.owners_policy();
        if command == Command::Delegate && !policy.is_empty() && policy != expected_policy() {
            return wrong("the owner's policy is neither the old one nor ours");
        }
        None
    }

    /// The owner hierarchy's policy; empty where it has none.
    fn owners_policy(&self) -> Vec<u8> {
        // TPM2_GetCapability of TPM_CAP_AUTH_POLICIES.
        const ASK: [u8; 22] = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 9, 0x40, 0, 0, 1, 0, 0, 0, 1];
        // Header, moreData, capability, count, handle, hash algorithm.
        self.tpm.raw().send(&ASK).0.get(25..).unwrap_or_default().to_vec()
    }

    /// What is wrong about the next boots, which are not attacked.
    fn follow_up(&mut self, command: Command, status: i32) -> Option<String> {
        if command == Command::Provision && status != 0 {
            self.reboot(Command::Provision);
            let said = self.shell.run(&Command::Provision.script(10));
            if value(&said, "status") != Some("0") {
                return Some(format!("it cannot be provisioned any more: {said}"));
            }
        }
        self.reboot(Command::Setup);
        let of_preinit = if command == Command::Preinit { "cmp - /sandbox/new" } else { "grep -qxE '.{40}'" };
        let said = self.shell.run(&format!(
            "run setup $store
            all() {{ secret machine:luks | {of_preinit} && identity; }}
            if is_published; then tell all; fi; withdraw"
        ));
        (value(&said, "true") != Some("yes")).then(|| format!("the next boot does not get what is right: {said}"))
    }
}

fn expected_policy() -> Vec<u8> {
    let keyset = &fixture().keyset;
    let pem = std::fs::read(keyset.pubkeys().join(format!("luks-{}.pem", keyset.name()))).expect("a public key");
    let key = PolicyKey::from_pem(&pem).expect("an RSA key");
    delegation::policy(key.name()).digest().to_vec()
}

/// Whether a command that meets with such a harm may have had success all the same.
fn may_succeed(command: Command, at: usize, harm: &Harm, record: &[Answer]) -> bool {
    let honest = &record[at];
    let lock = record.iter().position(|answer| answer.code == cc::PCR_EVENT).unwrap_or(record.len());
    // What spoils the lock alone is done once more; and what TPM2_Shutdown answers counts for nothing. `lock` has nothing
    // but the lock.
    let lock = if command == Command::Lock { 1 } else { lock };
    if at >= lock {
        return true;
    }
    // A TPM asks for the first use of what it counts failures of once more: where it is that which is replayed, the command
    // is only repeated.
    let before = record[..at].iter().rfind(|earlier| earlier.code == honest.code);
    if harm.name == "replay: same" && before.is_some_and(|before| Response(before.bytes.clone()).code() == rc::RETRY) {
        return true;
    }
    match (harm.must, harm.deed) {
        (Must::Refuse, _) => false,
        // Whatever is authenticated cannot be altered, or come from elsewhere.
        (_, Deed::Change(_) | Deed::Say(_)) => answer::Parts::of(honest).is_none_or(|parts| parts.session.is_none()),
        _ => true,
    }
}

/// Whether the next boots are looked at: where success is claimed, and after `provision`, wherever a connection ends,
/// which is to the TPM what all other harms are, and for a sample of these.
fn is_followed_up(command: Command, at: usize, harm: &Harm, status: i32) -> bool {
    let sample = (at + harm.name.len()).is_multiple_of(12);
    match command {
        Command::Preinit => status == 0 && (harm.must != Must::Succeed || sample),
        Command::Provision => {
            let is_close = matches!(harm.deed, Deed::Close(When::Before | When::After));
            is_close || sample || (status == 0 && harm.must != Must::Succeed)
        }
        Command::Setup | Command::Lock | Command::Finish | Command::Raise | Command::Delegate => false,
    }
}

/// What an honest TPM answers to a command.
fn record(command: Command) -> Vec<Answer> {
    let mut machine = Machine::new(fixture());
    machine.boot(fixture().state_for(command), command);
    let said = machine.ok(&command.script(10));
    assert_eq!(value(&said, "status"), Some("0"), "{said}");
    let exchanges = machine.wire.take().into_iter();
    let answer = |exchange: harness::Exchange| Answer {
        code: exchange.command.code(),
        bytes: exchange.response.expect("an honest TPM answers").0,
    };
    exchanges.map(answer).collect()
}

/// Does every harm to every command in turn.
fn matrix(command: Command) {
    let record = Arc::new(record(command));
    let nothing = table::Cell { status: None, wrong: None };
    let cells = Mutex::new(vec![vec![nothing; HARMS.len()]; record.len()]);
    let all = (0..record.len()).flat_map(|at| (0..HARMS.len()).map(move |harm| (at, harm)));
    let jobs: Vec<_> = all.filter(|(at, harm)| HARMS[*harm].applies(*at, &record)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let mut machine = Machine::new(fixture());
                while let Some((at, harm)) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let cell = machine.suffer(command, *at, &HARMS[*harm], &record);
                    cells.lock().expect("no panic")[*at][*harm] = cell;
                }
            });
        }
    });
    let cells = cells.into_inner().expect("no panic");
    let codes: Vec<u32> = record.iter().map(|answer| answer.code).collect();
    let table = table::table(&format!("{command:?}").to_lowercase(), &codes, &cells);
    println!("{table}\n{} cells", jobs.len());
    let mut failures = String::new();
    for (at, row) in cells.iter().enumerate() {
        for (cell, harm) in row.iter().zip(HARMS) {
            if let Some(wrong) = &cell.wrong {
                let _ = writeln!(failures, "\ncommand {at}, {}: {wrong}", harm.name);
            }
        }
    }
    assert!(failures.is_empty(), "cells in brackets are wrong:\n{failures}");
    let refusals = cells.iter().flatten().filter(|cell| cell.status.is_some_and(|status| status != 0)).count();
    // `lock` has few commands whose failure is not mended.
    assert!(refusals > jobs.len() / 4, "only {refusals} of {} harms were noticed", jobs.len());
}

#[test]
fn setup_withstands_a_hostile_tpm() {
    matrix(Command::Setup);
}

#[test]
fn preinit_withstands_a_hostile_tpm() {
    matrix(Command::Preinit);
}

#[test]
fn provision_withstands_a_hostile_tpm() {
    matrix(Command::Provision);
}

#[test]
fn lock_withstands_a_hostile_tpm() {
    matrix(Command::Lock);
}

#[test]
fn finish_withstands_a_hostile_tpm() {
    matrix(Command::Finish);
}

#[test]
fn raise_withstands_a_hostile_tpm() {
    matrix(Command::Raise);
}

#[test]
fn delegate_withstands_a_hostile_tpm() {
    matrix(Command::Delegate);
}
