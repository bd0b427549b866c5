//! Which images a machine starts and which get its secrets: one image with one key, on that machine alone.

mod dbx;
mod images;
mod initrd;
mod memory;
mod root;
mod tpm;
mod versions;

use harness::{
    Banks, Identity, State,
    vm::{Chain, Deployment, Initrd, Report, Vm},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Provisions the machine.
const PROVISION: &str = "trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n";
/// What is sealed for the running system.
const SEALED: &str = "the-running-systems";
/// Asks for the secrets, twice, and tells what came of it; asks for what is sealed before that, in between, and afterwards;
/// and whether the machine will open after an update of dbx.
const SETUP: &str = "\
try() { status=0; trust setup --on-lock-failure=exit || status=$?; say $1 $status; }
unseal() {
    status=0
    /usr/sbin/trust unseal --pcr7data /pcr7data /sealed >/tmp/unsealed || status=$?
    say $1 $status $(cat /tmp/unsealed)
}
unseal unsealed-before
try first
unseal unsealed
say passphrases $(grep -c ' machine:luks: 40' /proc/keys)
say files $(ls /priv/factory/secure 2>/dev/null | tr '\\n' ,)
say certificate $(sha256sum /priv/factory/secure/server.crt 2>/dev/null)
try second
unseal unsealed-last
say cmdline $(cat /proc/cmdline)
say extra $(find /.extra -type f 2>/dev/null | sort)
say foreign $(ls -d /foreign 2>/dev/null)
status=0
/usr/sbin/trust predict --dbx-append /update.esl --check --pcr7data /pcr7data >/dev/null || status=$?
say update $status
say log $(base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements)
";

/// How tpm2-tools read what is in the TPM.
const ASK: &str = include_str!("ask.sh");

/// `trust setup`: done, not provisioned, not allowed the secrets.
const DONE: &str = "0";
const NOT_PROVISIONED: &str = "11";
const REFUSED: &str = "12";

/// A keyset, its images, and the TPM of a machine that was provisioned.
struct Fixture {
    deployment: Deployment,
    identity: Identity,
    tpm: State,
    /// Sealed for its running system.
    sealed: String,
}

/// One for all tests: they only look at it.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let deployment = Deployment::new();
        for chain in [Chain::Direct, Chain::Shim] {
            let _ = deployment.variables(chain, &[], &format!("{chain:?}.fd"));
        }
        let identity = Identity::rsa(2048);
        let mut provision = Initrd::new(PROVISION);
        provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
        let image = deployment.file("provision.efi");
        deployment.build("limited", &provision, &[], &image);
        let vm = Vm::new(&deployment.file("Direct.fd"));
        vm.set_tpm(&State::new(Banks::Three));
        deployment.install(&vm, Chain::Direct, &image);
        vm.boot().ok();
        let tpm = vm.tpm();
        let sealed = deployment.seal(&tpm, SEALED);

        let setup = setup(&sealed);
        let options = ["keyset", "pcr7data", "k", "--chain", "direct", "--policy-version"];
        let sign = |version| drop(deployment.trust(&[&options[..], &[version]].concat()));
        sign("0002");
        deployment.build("production", &setup, &[], &deployment.file("newer.efi"));
        sign("0001");
        for kind in ["production", "limited"] {
            deployment.build(kind, &setup, &[], &deployment.file(&format!("{kind}.efi")));
        }
        deployment.build("production", &setup, &["--unsigned"], &deployment.file("unsigned.efi"));
        let stranger = Identity::rsa(2048);
        let keys =
            ["--key", stranger.key().to_str().unwrap(), "--cert", stranger.cert().to_str().unwrap()].map(str::to_owned);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        deployment.build("production", &setup, &keys, &deployment.file("strange.efi"));
        fs::copy(stranger.cert(), deployment.file("stranger.pem")).unwrap();
        Fixture { deployment, identity, tpm, sealed }
    })
}

impl Fixture {
    fn image(&self, name: &str) -> PathBuf {
        self.deployment.file(&format!("{name}.efi"))
    }

    /// The provisioned machine, switched off, with an image to boot.
    fn machine(&self, chain: Chain, image: &Path) -> Vm {
        let vm = Vm::new(&self.deployment.file(&format!("{chain:?}.fd")));
        vm.set_tpm(&self.tpm);
        self.deployment.install(&vm, chain, image);
        vm
    }
}

/// An initrd that asks for the secrets, and knows of an update of dbx.
fn setup(sealed: &str) -> Initrd {
    let mut setup = Initrd::new(SETUP);
    setup.host_program().write("sealed", sealed, 0o600).write("update.esl", dbx::update(), 0o644);
    setup
}

/// An initrd with tpm2-tools, and what [`ASK`] needs.
fn with_tools(script: &str) -> Initrd {
    let mut initrd = Initrd::new(&format!("{ASK}{script}"));
    initrd.program(Path::new("/usr/bin/tpm2"));
    // Not linked with but opened.
    initrd.program(Path::new("/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0"));
    initrd
}

/// The image started, but `trust setup` ended with this status, gave nothing, and left PCR 7 locked; and nothing of the running
/// system's is opened, where there is something.
#[track_caller]
fn gets_nothing(report: &Report, status: &str) {
    assert_eq!(report.ok().value("first"), status);
    for moment in ["unsealed-before", "unsealed", "unsealed-last"] {
        assert!([REFUSED, status].contains(&report.value(moment)), "{moment}: {report:?}");
    }
    assert_eq!(report.value("passphrases"), "0");
    assert_eq!(report.value("files"), "");
    assert_ne!(report.value("second"), DONE);
}

/// The refusal on the console says, of what this boot is.
#[track_caller]
fn explained(report: &Report, why: &str) {
    let refusals = report.console.lines().filter(|line| line.starts_with("trust: cannot "));
    let refusals: Vec<&str> = refusals.filter(|line| !line.starts_with("trust: cannot unseal")).collect();
    assert!(refusals.first().is_some_and(|first| first.contains(why)), "{why:?} is not in {refusals:#?}");
}

/// `trust setup` gave everything, once, and what is sealed for the running system is opened where PCR 7 has been locked once.
#[track_caller]
fn gets_the_secrets(report: &Report) {
    assert_eq!(report.ok().value("first"), DONE);
    let unsealed = ["unsealed-before", "unsealed", "unsealed-last"].map(|moment| report.value(moment));
    assert_eq!(unsealed, [REFUSED, &format!("{DONE} {SEALED}"), REFUSED], "{}", report.console);
    assert_eq!(report.value("passphrases"), "1");
    assert_eq!(report.value("files"), "manifestCA.pem,server.crt,server.key,");
    let sum = harness::hex(&harness::sha256(&[&fs::read(fixture().identity.cert()).unwrap()]));
    assert!(report.value("certificate").starts_with(&sum));
    assert_eq!(report.value("second"), REFUSED);
}
