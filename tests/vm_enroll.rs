//! A real firmware takes what `trust enroll` makes, and measures what `trust compute-pcr7` says of it.

use harness::{
    Home,
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

    // It has taken the PK away. The store has been used, and holds more than a fresh one.
    let store = vm.variables();
    let enroll = ["enroll", "vars", "k", "--vars-in", text(&store), "--output", "store.fd", "--dbx", "/dev/null"];
    home.ok(&enroll);
    vm.set_variables(&home.path().join("store.fd"));
    let again = vm.boot();
    assert_eq!((again.ok().value("setup_mode"), again.value("secure_boot")), ("0", "1"));
    assert_eq!(pcr7(&again), predicted(&home, &["--dbx", "/dev/null"]));

    // Without a PK it is in setup mode, and the files can be enrolled once more.
    let removed = vm.boot();
    assert_eq!((removed.ok().value("setup_mode"), removed.value("secure_boot")), ("1", "0"));
}
