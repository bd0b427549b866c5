//! What the TPM keeps for the running system, in whole boots of a machine that was provisioned before owners delegated
//! anything: sealed in one of them, opened in others, and not by their initrds, nor by boots of another kind.
//!
//! The same in boots without Secure Boot, with other keys, of another version and in a shell: `vm_refusals`, `vm_stolen_key`,
//! `vm_disk`.
//!
//! Of the same kind is the verification key of sealed journals: the newest journald seals, and the next image verifies.

mod journals;

use harness::{
    Identity, Layout, State, Swtpm, provision_for,
    vm::{ATTEMPT, CMDLINE, Chain, Deployment, Initrd, Report, SIGNED, Vm},
    workspace,
};

/// What is sealed. One word, so that it is the last one of a line.
const SECRET: &str = "correct-horse-battery-staple";

/// The policies are left by `setup`; the owner has not delegated anything yet.
const FIRST: &str = r#"
attempt setup trust setup --on-lock-failure=exit --keep-policies
attempt finish trust finish
say policies $(grep -l '"system"' /run/trust/pcr7data/policy-2/*/*/info.json | wc -l)
$host seal --system -o /tmp/sealed /secret
say sealed $(base64 -w 0 /tmp/sealed)
attempt opened $host unseal /tmp/sealed
attempt foreign $host unseal /foreign
attempt defined $host nv define --system --write /secret
trust lock
attempt locked-again $host unseal --pcr7data /pcr7data /tmp/sealed
"#;

/// The policies are left by `finish`.
const UPDATED: &str = r#"
attempt before $host unseal --pcr7data /pcr7data /sealed
attempt setup trust setup --on-lock-failure=exit
attempt finish trust finish --keep-policies
attempt opened $host unseal /sealed
attempt defined $host nv define --system --write /secret
index=$(cat /tmp/output)
attempt read $host nv read "$index" --system
attempt removed $host nv remove "$index"
journal_begins
attempt fss-none $host fss status
attempt fss-setup $host fss setup --interval 10s
journald_begins
logged 'it was yesterday'
rotate
logged 'and later'
journald_ends
attempt fss-verify $host fss verify
attempt fss-status $host fss status
trust lock
attempt locked-again $host nv read "$index" --system --pcr7data /pcr7data
"#;

/// Another image verifies what the one before has sealed. Then an intruder with root alters an entry; and has everything
/// sealed anew, with keys of their own.
const RETURNED: &str = r#"
journal_begins
attempt fss-before $host fss verify --pcr7data /pcr7data
attempt setup trust setup --on-lock-failure=exit --keep-policies
attempt finish trust finish
attempt fss-verify $host fss verify
journald_begins
logged 'it is today'
attempt fss-said $host fss verify --journal
say fss-message $(journalctl --quiet --directory $journals --output cat MESSAGE_ID=72c1a64a386afa8beffe5735ddfd2434)
attempt fss-rotate $host fss rotate --interval 10s
logged 'under the next key'
journald_ends
attempt fss-verify-more $host fss verify

archived=$(grep -l 'it was yesterday' $journals/*)
deb sed -i 's/it was yesterday/it was neverxxxx/' "$archived"
attempt fss-altered $host fss verify
attempt fss-altered-status $host fss status

journalctl --setup-keys --force --interval=10s >/tmp/key 2>/dev/null
# A journald of this version spoils the first seal where it finds the number of a journal that is gone.
rm $journals/*.journal* /run/systemd/journal/*seqnum
journald_begins
logged 'it was never'
rotate
journald_ends
attempt fss-their-key $host fss verify --verify-key-file /tmp/key
attempt fss-replaced $host fss verify
attempt fss-replaced-status $host fss status
"#;

/// A boot that nothing of the running system's is for: of another kind, or without Secure Boot.
const OTHER: &str = r#"
journal_begins
attempt fss-verify $host fss verify --pcr7data /pcr7data
attempt fss-status $host fss status --pcr7data /pcr7data
"#;

/// Options of `initrd/busybox/init`: what this boot may open, before the one thing that it is for, and after that.
const DELEGATING: &str = r#"
TRUST_IMAGE=delegating
say() { echo "$*" >/dev/ttyS1; }
stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\n' >/dev/ttyS1
mkdir -p /tmp
attempt before $host unseal --pcr7data /pcr7data /sealed
reboot() {
    attempt after $host unseal --pcr7data /pcr7data /sealed
    say announced
    busybox poweroff -f
}
"#;

/// A new TPM as an older version has provisioned it: its owner has a password, and delegates nothing.
fn provisioned_before(deployment: &Deployment, identity: &Identity) -> State {
    let tpm = Swtpm::new();
    // All that the harness makes come from one manufacturer's state: this gives it a seed of its own.
    tpm.tools().ok("clear", &["-c", "p"]);
    let pubkeys = deployment.key("pcr7data", "policy-2/pubkeys");
    provision_for(&tpm, (&pubkeys, "k"), identity, &Layout { srk: true, ..Layout::default() });
    tpm.reboot();
    tpm.off();
    tpm.state()
}

/// `STATUS OUTPUT` of an attempt: refused for the PCRs, or the version, that the policy wants.
#[track_caller]
fn refused(report: &Report, attempt: &str) {
    assert_eq!(report.value(attempt), "12", "{attempt}: {report:#?}");
}

#[test]
fn the_running_system_keeps_a_secret_over_boots_and_updates() {
    let deployment = Deployment::new();
    let identity = Identity::ec("P-256");
    let [ours, other] = [(); 2].map(|()| provisioned_before(&deployment, &identity));
    let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
    vm.set_tpm(&ours);
    journals::disk(&vm);
    let boot = |kind: &str, initrd: &Initrd, options: &[&str]| {
        let image = deployment.file("image.efi");
        deployment.build(kind, initrd, options, &image);
        deployment.install(&vm, Chain::Direct, &image);
        vm.boot()
    };
    let initrd = |script: &str| {
        let mut initrd = Initrd::new(&format!("{ATTEMPT}{script}"));
        initrd.host_program().write("secret", SECRET, 0o600);
        initrd
    };
    let opened = format!("0 {SECRET}");

    // What the same keyset's other machine has sealed is of no use to this one.
    let mut first = initrd(FIRST);
    first.write("foreign", deployment.seal(&other, SECRET), 0o600);
    let report = boot("production", &first, &[]);
    // Two for each of the two chains that the keyset knows.
    assert_eq!((report.ok().value("setup"), report.value("finish"), report.value("policies")), ("0", "0", "4"));
    assert_eq!(report.value("opened"), opened);
    refused(&report, "foreign");
    assert!(report.console.contains("it was sealed under another key"), "{}", report.console);
    refused(&report, "defined");
    assert!(report.console.contains("delegates nothing to this running system"), "{}", report.console);
    refused(&report, "locked-again");
    let sealed = report.bytes("sealed");

    // A boot of administration: it opens nothing, but what the owner's password is for.
    let mut delegating = initrd("");
    delegating.add("init", &workspace().join("initrd/busybox/init"), 0o755).write("sealed", &sealed, 0o600);
    delegating.write("etc/trust/options", format!("{ATTEMPT}{DELEGATING}"), 0o644);
    let report = boot("tpm", &delegating, &["--cmdline", &format!("{CMDLINE} {SIGNED}")]);
    refused(report.ok(), "before");
    refused(&report, "after");

    // Another image.
    let with_journals = |script: &str| {
        let mut initrd = initrd(&format!("{}{script}", journals::FUNCTIONS));
        journals::add(&mut initrd);
        initrd
    };
    let mut updated = with_journals(UPDATED);
    updated.write("sealed", &sealed, 0o600);
    let report = boot("production", &updated, &[]);
    refused(report.ok(), "before");
    assert!(report.console.contains("PCR 7 is still that of a production boot"), "{}", report.console);
    assert_eq!((report.value("setup"), report.value("finish")), ("0", "0"));
    assert_eq!(report.value("opened"), opened);
    assert!(report.value("defined").starts_with("0 0x"), "{report:#?}");
    assert_eq!(report.value("read"), opened);
    assert_eq!(report.value("removed"), "2", "the owner's password is asked for");
    refused(&report, "locked-again");

    assert_eq!(report.value("fss-none"), "11", "there is no key yet");
    assert!(report.value("fss-setup").starts_with("0 generation 0, fingerprint "), "{report:#?}");
    for attempt in ["fss-verify", "fss-status"] {
        assert!(report.value(attempt).starts_with("0 "), "{attempt}: {report:#?}");
    }

    let report = boot("production", &with_journals(RETURNED), &[]);
    refused(report.ok(), "fss-before");
    for attempt in
        ["setup", "finish", "fss-verify", "fss-rotate", "fss-verify-more", "fss-altered-status", "fss-their-key"]
    {
        assert_eq!(report.value(attempt).split(' ').next(), Some("0"), "{attempt}: {report:#?}");
    }
    // While journald writes to it, which is told the result.
    assert!(report.value("fss-said").starts_with("0 "), "{report:#?}");
    assert_eq!(report.value("fss-message"), "the journal is as it was sealed");
    let wrong = |attempt: &str, why: &str| {
        let said = report.value(attempt);
        assert!(said.starts_with("14 ") && said.contains(why), "{attempt}: {said}");
    };
    wrong("fss-altered", "altered");
    wrong("fss-replaced", "another key made it");
    wrong("fss-replaced-status", "sealing key of no generation");

    let other_boot = with_journals(OTHER);
    let report = boot("limited", &other_boot, &[]);
    refused(report.ok(), "fss-verify");
    vm.set_variables(&deployment.without_secure_boot("vars.fd"));
    let report = boot("production", &other_boot, &[]);
    refused(report.ok(), "fss-verify");
    assert!(report.console.contains("its policy does not hold"), "{}", report.console);
}
