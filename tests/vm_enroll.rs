//! A real firmware takes what `trust enroll` makes, and measures what `trust compute-pcr7` and `trust predict` say of it.

use harness::{
    Home, hex,
    vm::{self, Initrd, Report, Vm},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How variables are written.
const PUT: &str = include_str!("data/efivars.sh");

/// In setup mode it enrolls; with Secure Boot on it tells what was measured; and once it is told to, it goes back.
const SCRIPT: &str = r#"
flag() { tail -c 1 "/sys/firmware/efi/efivars/$1-$GLOBAL" | od -An -tu1 | tr -d ' '; }
say setup_mode "$(flag SetupMode)"
say secure_boot "$(flag SecureBoot)"
say pcr7 "$(cat /sys/class/tpm/tpm0/pcr-sha256/7)"
say log "$(base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements)"
if [ "$(flag SetupMode)" = 1 ]; then
    put db.auth db $DATABASE 27
    put dbx.auth dbx $DATABASE 27
    put KEK.auth KEK $GLOBAL 27
    put PK.auth PK $GLOBAL 27
    put append-dbx.auth dbx $DATABASE 67
    put append-db.auth db $DATABASE 67
    # What is there is not added again.
    put append-db.auth db $DATABASE 67
    for bad in tampered foreign; do
        if put $bad.auth dbx $DATABASE 67; then exit 1; fi
    done
else
    put noPK.auth PK $GLOBAL 27
fi
"#;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An administrator, the files of `enroll auth`, and an image that enrolls them.
fn prepare(home: &Home) -> PathBuf {
    let file = |name: &str| home.path().join(name);
    home.ok(&["enroll", "auth", "k", "--output", "keys"]);
    let mut update = fs::read(file("keys/dbx.esl")).unwrap();
    update[44] ^= 1;
    fs::write(file("update.esl"), update).unwrap();
    let other = home.keys().join("k/sudi-ca/cert.pem");
    home.ok(&["enroll", "auth", "k", "--output", "update", "--append-dbx", "update.esl", "--append-db", text(&other)]);
    let mut tampered = fs::read(file("update/append-dbx.auth")).unwrap();
    *tampered.last_mut().unwrap() ^= 1;
    fs::write(file("keys/tampered.auth"), tampered).unwrap();
    home.ok(&["keyset", "add", "foreign"]);
    home.ok(&["enroll", "auth", "foreign", "--output", "theirs", "--append-dbx", "update.esl"]);
    fs::copy(file("theirs/append-dbx.auth"), file("keys/foreign.auth")).unwrap();
    for name in ["append-db.auth", "append-dbx.auth"] {
        fs::copy(file("update").join(name), file("keys").join(name)).unwrap();
    }

    let mut initrd = Initrd::new(&format!("{PUT}{SCRIPT}"));
    initrd.add_tree("keys", &file("keys")).program(Path::new("/usr/bin/chattr"));
    vm::ukify(&initrd.pack(), "console=tty0 console=ttyS0 quiet panic=-1", &file("unsigned.efi"));
    let [key, cert] = ["privkey.pem", "cert.pem"].map(|item| home.keys().join("k/uki-production").join(item));
    home.ok(&["sign", "efi", "unsigned.efi", "--key", text(&key), "--cert", text(&cert), "--output", "image.efi"]);
    file("image.efi")
}

/// The value that is predicted for production images.
fn predicted(home: &Home, args: &[&str]) -> String {
    let printed = home.ok(&[&["compute-pcr7", "k"], args].concat());
    printed.lines().next().unwrap().strip_prefix("uki-production: ").unwrap().to_owned()
}

fn pcr7(report: &Report) -> String {
    report.value("pcr7").to_lowercase()
}

/// From the log of one boot, and what has been done since, follows that of the next, event by event.
fn follows(home: &Home, before: &Report, after: &Report, args: &[&str]) {
    fs::write(home.path().join("before.log"), before.bytes("log")).unwrap();
    let printed = home.ok(&[&["predict", "--log", "before.log", "--json"], args].concat());
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["obstacles"], serde_json::json!([]), "{printed}");
    let [value] = &json["pcrs"][0]["values"].as_array().unwrap()[..] else { panic!("{printed}") };
    let data = |event: &serde_json::Value| event["data"].as_str().unwrap().to_owned();
    let predicted: Vec<_> = value["events"].as_array().unwrap().iter().map(data).collect();
    let logged = vm::event_log(&after.bytes("log"));
    let logged: Vec<_> = logged.iter().filter(|event| event.pcr == 7).map(|event| hex(&event.data)).collect();
    assert_eq!(predicted, logged, "{args:?}");
    assert_eq!(value["value"], pcr7(after), "{args:?}");
}

#[test]
fn ovmf_accepts_our_updates_and_variable_stores() {
    let home = Home::with_keyset();
    let vm = Vm::new(&vm::empty_variables());
    vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &prepare(&home))]);

    let setup = vm.boot();
    assert_eq!((setup.ok().value("setup_mode"), setup.value("secure_boot")), ("1", "0"));

    let other = home.keys().join("k/sudi-ca/cert.pem");
    let updates = ["--dbx", "keys/dbx.esl", "--dbx", "update/append-dbx.auth", "--db", text(&other)];
    let enrolled = vm.boot();
    assert_eq!((enrolled.ok().value("setup_mode"), enrolled.value("secure_boot")), ("0", "1"));
    assert_eq!(pcr7(&enrolled), predicted(&home, &updates));
    let keys = ["--pk", "keys/PK.auth", "--kek-append", "keys/KEK.auth", "--db-append", "keys/db.auth"];
    let appended = ["--db-append", "update/append-db.auth", "--dbx-append", "keys/dbx.auth"];
    let more = ["--dbx-append", "update/append-dbx.auth", "--secure-boot", "on", "--uki", "image.efi"];
    follows(&home, &setup, &enrolled, &[&keys[..], &appended, &more].concat());

    // It has taken the PK away. The store has been used, and holds more than a fresh one.
    let store = vm.variables();
    let enroll = ["enroll", "vars", "k", "--vars-in", text(&store), "--output", "store.fd", "--dbx", "/dev/null"];
    home.ok(&enroll);
    vm.set_variables(&home.path().join("store.fd"));
    let again = vm.boot();
    assert_eq!((again.ok().value("setup_mode"), again.value("secure_boot")), ("0", "1"));
    assert_eq!(pcr7(&again), predicted(&home, &["--dbx", "/dev/null"]));
    follows(&home, &enrolled, &again, &["--efivars", "store.fd"]);

    // Without a PK it is in setup mode, and the files can be enrolled once more.
    let removed = vm.boot();
    assert_eq!((removed.ok().value("setup_mode"), removed.value("secure_boot")), ("1", "0"));
    follows(&home, &again, &removed, &["--pk", "keys/noPK.auth"]);
}
