//! The private key `uki-production` is stolen, and docs/stolen-key.md says what to do: from then on it opens nothing, not in a
//! firmware either that is given its old keys again; and what was sealed for the running system stays.

use harness::{
    Identity,
    vm::{Chain, Deployment, Initrd, Report, Vm},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Asks for the secrets, and for what was sealed.
const SETUP: &str = "\
status=0
trust setup --on-lock-failure=exit || status=$?
say setup $status
say passphrases $(grep -c ' machine:luks: 40' /proc/keys)
[ ! -e /sealed ] || say sealed $(/usr/sbin/trust unseal --pcr7data /pcr7data /sealed)
";

/// Seals something for the running system.
const SEAL: &str = "\
echo kept | /usr/sbin/trust seal --system --pcr7data /pcr7data -o /tmp/sealed
say file $(base64 -w 0 /tmp/sealed)
";

/// How variables are written.
const PUT: &str = include_str!("data/efivars.sh");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn gets_the_passphrase(report: &Report) {
    assert_eq!((report.ok().value("setup"), report.value("passphrases")), ("0", "1"), "{}", report.console);
}

#[track_caller]
fn gets_everything(report: &Report) {
    gets_the_passphrase(report);
    assert_eq!(report.value("sealed"), "kept", "{}", report.console);
}

#[track_caller]
fn gets_nothing(report: &Report) {
    let told = ["setup", "passphrases", "sealed"].map(|name| report.ok().value(name));
    assert_eq!(told, ["12", "0", ""], "{}", report.console);
}

/// Takes the stolen key away from the keyset and gives it a new one. Returns the directory of the old one.
fn renew(deployment: &Deployment) -> PathBuf {
    let (keys, stolen) = (deployment.home().keys(), deployment.file("stolen"));
    deployment.trust(&["keyset", "add", "spare"]);
    fs::rename(keys.join("k/uki-production"), &stolen).unwrap();
    fs::rename(keys.join("spare/uki-production"), keys.join("k/uki-production")).unwrap();
    fs::remove_dir_all(keys.join("spare")).unwrap();
    deployment.trust(&["keyset", "pcr7data", "k", "--policy-version", "0002"]);
    deployment.trust(&["keyset", "check", "k"]);
    deployment.trust(&["enroll", "auth", "k", "--output", text(&deployment.file("keys"))]);
    stolen
}

#[test]
fn a_stolen_image_key_opens_nothing_once_replaced() {
    let deployment = Deployment::new();
    let old = deployment.variables(Chain::Direct, &[], "old.fd");
    let build = |name: &str, kind: &str, initrd: &Initrd, options: &[&str]| {
        let image = deployment.file(name);
        deployment.build(kind, initrd, options, &image);
        image
    };
    let identity = Identity::ec("P-256");
    let mut provision = Initrd::new("trust provision --on-lock-failure=exit /cert.pem /privkey.pem");
    provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
    let provision = build("provision.efi", "limited", &provision, &[]);

    let stolen = renew(&deployment);
    let key = ["privkey.pem", "cert.pem"].map(|item| stolen.join(item));
    let with_the_old_key = ["--key", text(&key[0]), "--cert", text(&key[1])];
    let mut running = Initrd::new(&format!("{SETUP}{SEAL}{PUT}put db.auth db $DATABASE 27"));
    running.add_tree("keys", &deployment.file("keys")).program(Path::new("/usr/bin/chattr")).host_program();
    let running = build("running.efi", "production", &running, &with_the_old_key);
    let raise = build("raise.efi", "tpm", &Initrd::new("trust raise --on-lock-failure=exit 0002"), &[]);

    let vm = Vm::new(&old);
    let boot = |image: &Path| {
        deployment.install(&vm, Chain::Direct, image);
        vm.boot()
    };
    boot(&provision).ok();
    let kept = vm.tpm();
    // The system as it runs on the machine takes the new db.
    let report = boot(&running);
    gets_the_passphrase(&report);
    let mut setup = Initrd::new(SETUP);
    setup.host_program().write("sealed", report.bytes("file"), 0o600);
    // With all the policies that have been signed since: they are no secret.
    let thief = build("thief.efi", "production", &setup, &with_the_old_key);
    let production = build("production.efi", "production", &setup, &[]);
    boot(&thief).refused("Access Denied");
    // The new image is not for TPMs of the old version, nor are those for it.
    gets_nothing(&boot(&production));
    let raised = boot(&raise);
    assert!(raised.ok().console.contains("the policy version is 0002"), "{}", raised.console);
    gets_everything(&boot(&production));

    // An attacker at the machine puts the old keys back: that alone would do, had the version not been raised.
    vm.set_variables(&old);
    let report = boot(&thief);
    gets_nothing(&report);
    assert!(report.console.contains("its policies have been withdrawn"), "{}", report.console);
    vm.set_tpm(&kept);
    gets_everything(&boot(&thief));
}
