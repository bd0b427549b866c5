//! A policy that the TPM keeps, over an update of db and of the image: sealed once, opened by the boot that was predicted,
//! and not by one that was not.

use harness::{
    Identity,
    vm::{ATTEMPT, Chain, Deployment, Initrd, Report, Vm},
};
use std::{
    fs::{self, File},
    path::Path,
};

/// How variables are written.
const PUT: &str = include_str!("data/efivars.sh");
const SECRET: &str = "correct-horse-battery-staple";
const INDEX: &str = "0x01810001";

/// The first boot seals, has the next one admitted, and updates db; /dev/vdb keeps what it has made for those that follow.
const SCRIPT: &str = r#"
policies="--nv-policies /state/policies"
mkdir -p /state
if tar -x -C /state -f /dev/vdb sealed 2>/dev/null; then
    tar -x -C /state -f /dev/vdb
    attempt opened $host unseal $policies /state/sealed 2>/tmp/why
    say why $(cat /tmp/why)
    [ "$status" = 0 ] || attempt stored $host policy store $index --pcr 4,7,11 $policies
else
    . /sizes
    head -c $next /dev/vdc >/next.efi
    attempt stored $host policy store $index --pcr 4,7,11 $policies
    attempt sealed $host seal --nv-policy $index $policies -o /state/sealed /secret
    attempt predicted $host predict --uki /next.efi --db-append /keys/append-db.auth --pcr 4,7,11 --to-nv $index $policies
    put append-db.auth db $DATABASE 67
    tar -c -C /state -f /dev/vdb sealed policies
fi
"#;

/// `STATUS OUTPUT` of an attempt, without the status, which must be this.
#[track_caller]
fn ended<'r>(report: &'r Report, attempt: &str, status: &str) -> &'r str {
    let said = report.ok().value(attempt);
    let (found, output) = said.split_once(' ').unwrap_or((said, ""));
    assert_eq!(found, status, "{attempt}: {said}\n{}", report.console);
    output
}

#[test]
fn a_policy_in_the_tpm_follows_a_predicted_update_and_no_other() {
    let deployment = Deployment::new();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (vendor, keys) = (Identity::rsa(2048), deployment.file("keys"));
    let [key, cert] = [vendor.key(), vendor.cert()].map(|file| text(&file));
    deployment.trust(&["enroll", "auth", "k", "--output", &text(&keys), "--append-db", &cert]);

    let initrd = |version: &str, size: u64| {
        let mut initrd = Initrd::new(&format!("{ATTEMPT}{PUT}index={INDEX}\n{SCRIPT}"));
        initrd.host_program().program(Path::new("/usr/bin/chattr")).add_tree("keys", &keys);
        initrd.write("secret", SECRET, 0o600).write("version", version, 0o644);
        initrd.write("sizes", format!("next={size}\n"), 0o644);
        initrd
    };
    let [next, first] = ["next.efi", "first.efi"].map(|name| deployment.file(name));
    // Signed by whom db does not have yet.
    deployment.build("production", &initrd("2", 0), &["--key", &key, "--cert", &cert], &next);
    deployment.build("production", &initrd("1", fs::metadata(&next).unwrap().len()), &[], &first);

    let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
    File::create(vm.data_disk()).and_then(|disk| disk.set_len(1 << 20)).unwrap();
    vm.set_disks(&[&next]);
    let boot = |image| {
        deployment.install(&vm, Chain::Direct, image);
        vm.boot()
    };
    let sealed = boot(&first);
    for attempt in ["stored", "sealed", "predicted"] {
        ended(&sealed, attempt, "0");
    }
    let told = ended(&sealed, "predicted", "0");
    assert_eq!(told.matches("2 values, the one of now is among them").count(), 3, "{told}");

    // What was predicted opens.
    assert_eq!(ended(&boot(&next), "opened", "0"), SECRET);

    // The old image under the new db was not predicted: of what it measures, PCR 7 alone is another value. It admits itself
    // no more than it opens.
    let unplanned = boot(&first);
    ended(&unplanned, "opened", "12");
    let why = unplanned.value("why");
    assert!(
        why.contains("index 0x1810001 does not admit this boot: PCR sha256:7 is ") && why.contains(" or "),
        "{why}"
    );
    assert!(!why.contains("PCR sha256:4 is") && !why.contains("PCR sha256:11 is"), "{why}");
    ended(&unplanned, "stored", "12");
}
