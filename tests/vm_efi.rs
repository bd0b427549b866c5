//! OVMF starts what `trust verify efi` accepts, and does not start what it refuses; where the two differ, a test says so.

use harness::{
    Home, assets, openssl, run,
    vm::{self, Initrd, Outcome, Report, Vm},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Whose entries in db these are does not matter.
const OWNER: &str = "a0baa8a3-041d-48a8-bc87-c36d121b5e3d";

/// A machine's owner, whose keyset signs, and a program that says a word.
struct Fixture(Home);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Fixture {
    /// One for all tests: each writes files of its own.
    fn get() -> &'static Self {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(|| {
            let fixture = Self(Home::with_keyset());
            let initrd = Initrd::new("say started yes\n");
            vm::ukify(&initrd.pack(), "console=tty0 console=ttyS0 quiet panic=-1", &fixture.file("unsigned.efi"));
            fixture
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn item(&self, role: &str, item: &str) -> PathBuf {
        self.0.keys().join("k").join(role).join(item)
    }

    fn db(&self) -> PathBuf {
        self.item("uefi-db", "cert.pem")
    }

    fn sign_with(&self, key: &Path, cert: &Path, file: &Path, output: &Path, more: &[&str]) {
        let args = ["sign", "efi", text(file), "--key", text(key), "--cert", text(cert), "--output", text(output)];
        self.0.ok(&[&args, more].concat());
    }

    fn sign(&self, role: &str, file: &Path, output: &Path, more: &[&str]) {
        self.sign_with(&self.item(role, "privkey.pem"), &self.item(role, "cert.pem"), file, output, more);
    }

    /// Whether it is accepted here.
    fn accepts(&self, file: &Path, db: &Path) -> bool {
        self.0.output(&["verify", "efi", text(file), "--cert", text(db)]).status.success()
    }

    /// A boot with Secure Boot on and one certificate in db.
    fn boot(&self, file: &Path, db: &Path) -> Report {
        let store = self.file(&format!("{}.fd", file.file_name().unwrap().display()));
        let mut command = assets::program("virt-fw-vars");
        command.arg("--input").arg(vm::empty_variables()).arg("--output").arg(&store).arg("--sb");
        let [pk, kek] = ["uefi-pk", "uefi-kek"].map(|role| self.item(role, "cert.pem"));
        for (option, cert) in [("--set-pk", pk.as_path()), ("--add-kek", kek.as_path()), ("--add-db", db)] {
            command.args([option, OWNER, text(cert)]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let vm = Vm::new(&store);
        vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", file)]);
        vm.boot()
    }

    #[track_caller]
    fn both_accept(&self, file: &Path, db: &Path) {
        assert!(self.accepts(file, db));
        assert_eq!(self.boot(file, db).ok().value("started"), "yes");
    }

    #[track_caller]
    fn both_refuse(&self, file: &Path, db: &Path) {
        assert!(!self.accepts(file, db));
        let report = self.boot(file, db);
        assert_eq!(report.outcome, Outcome::Refused, "{}", report.console);
    }
}

#[test]
fn firmware_accepts_any_of_several_signatures_and_sha384() {
    let fixture = Fixture::get();
    let file = fixture.file("several.efi");
    fixture.sign("uki-tpm", &fixture.file("unsigned.efi"), &file, &[]);
    fixture.both_refuse(&file, &fixture.db());
    fixture.sign("uefi-db", &file, &file, &["--digest", "sha384"]);
    fixture.both_accept(&file, &fixture.db());
}

/// What follows the last section is signed as well, after padding.
#[test]
fn firmware_and_verify_cover_data_behind_the_last_section() {
    let fixture = Fixture::get();
    let (odd, file) = (fixture.file("odd"), fixture.file("odd.efi"));
    fs::write(&odd, [fs::read(fixture.file("unsigned.efi")).unwrap(), b"trail".to_vec()].concat()).unwrap();
    fixture.sign("uefi-db", &odd, &file, &[]);
    fixture.both_accept(&file, &fixture.db());
    let mut bytes = fs::read(&file).unwrap();
    let at = fs::read(&odd).unwrap().len();
    assert_eq!(&bytes[at - 5..=at], b"trail\0");
    bytes[at - 1] ^= 1;
    let changed = fixture.file("odd-changed.efi");
    fs::write(&changed, bytes).unwrap();
    fixture.both_refuse(&changed, &fixture.db());
}

#[test]
fn firmware_and_verify_agree_on_intermediates() {
    let fixture = Fixture::get();
    let config = "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n[leaf]\nkeyUsage=digitalSignature\n";
    fs::write(fixture.file("cnf"), config).unwrap();
    let config = fixture.file("cnf");
    let party = |name: &str, section: &str, by: Option<&str>| {
        let [key, cert] = ["key", "pem"].map(|end| fixture.file(&format!("{name}.{end}")));
        let subject = format!("/CN={name}");
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-config", text(&config)];
        let what = ["-subj", &subject, "-extensions", section, "-keyout", text(&key), "-out", text(&cert)];
        let by = by.map(|by| ["key", "pem"].map(|end| text(&fixture.file(&format!("{by}.{end}"))).to_owned()));
        let issuer = by.iter().flat_map(|[key, cert]| ["-CA", cert, "-CAkey", key]).collect::<Vec<_>>();
        openssl(&[&new[..], &what, &issuer].concat());
    };
    party("root", "ca", None);
    party("stranger", "ca", None);
    party("middle", "ca", Some("root"));
    party("leaf", "leaf", Some("middle"));
    let bundle = fixture.file("bundle.pem");
    let read = |name: &str| fs::read_to_string(fixture.file(name)).unwrap();
    fs::write(&bundle, read("leaf.pem") + &read("middle.pem")).unwrap();
    let file = fixture.file("leaf.efi");
    fixture.sign_with(&fixture.file("leaf.key"), &bundle, &fixture.file("unsigned.efi"), &file, &[]);
    for anchor in ["root.pem", "middle.pem"] {
        fixture.both_accept(&file, &fixture.file(anchor));
    }
    // With which sbverify 0.9.4 would accept any certificate.
    run("sbverify", &["--cert", text(&fixture.file("stranger.pem")), text(&file)]);
    fixture.both_refuse(&file, &fixture.file("stranger.pem"));
}

/// The premises of what is noted, and of what is refused: firmware does not look at the checksum, but wants the
/// certificate table to be full, and the file to end with it.
#[test]
fn firmware_ignores_checksums_and_refuses_a_padded_certificate_table() {
    let fixture = Fixture::get();
    let (unsigned, file) = (fixture.file("unsigned.efi"), fixture.file("table.efi"));
    fixture.sign("uefi-db", &unsigned, &file, &[]);
    let signed = fs::read(&file).unwrap();
    let image = trust::host::image::pe::Image::parse(&signed).unwrap();
    let (sum, entry) = (image.headers().check_sum_field(), image.headers().certificate_entry.clone().unwrap());
    let size = signed.len() - image.end();

    let (stale, counted, padded) = (fixture.file("stale.efi"), fixture.file("counted.efi"), fixture.file("padded.efi"));
    let mut bytes = signed.clone();
    bytes[sum.start] ^= 1;
    fs::write(&stale, bytes).unwrap();
    fixture.both_accept(&stale, &fixture.db());
    let mut bytes = [&signed[..], &[0; 16]].concat();
    fs::write(&padded, &bytes).unwrap();
    fixture.both_refuse(&padded, &fixture.db());
    bytes[entry.start + 4..entry.end].copy_from_slice(&(size as u32 + 16).to_le_bytes());
    fs::write(&counted, bytes).unwrap();
    fixture.both_refuse(&counted, &fixture.db());
}

/// The premise of two rules: how firmware counts past a gap, and that it does not look into it.
#[test]
fn firmware_accepts_changed_gaps_and_verify_refuses_them() {
    let fixture = Fixture::get();
    let mut bytes = fs::read(fixture.file("unsigned.efi")).unwrap();
    let image = trust::host::image::pe::Image::parse(&bytes).unwrap();
    let mut starts: Vec<_> = image.sections().iter().map(|s| s.raw.start).filter(|start| *start != 0).collect();
    starts.sort_unstable();
    let (gap, table, check_sum) = (starts[2], image.headers().section_table, image.headers().check_sum_field());
    // All sections from the third on move 4096 bytes away from the two before.
    for index in 0..image.sections().len() {
        let field = table + 40 * index + 20;
        let start = u32::from_le_bytes(bytes[field..field + 4].try_into().unwrap());
        if start as usize >= gap {
            bytes[field..field + 4].copy_from_slice(&(start + 4096).to_le_bytes());
        }
    }
    bytes.splice(gap..gap, [0; 4096]);
    let (unsigned, file) = (fixture.file("gap"), fixture.file("gap.efi"));
    fs::write(&unsigned, bytes).unwrap();
    fixture.sign("uefi-db", &unsigned, &file, &[]);
    fixture.both_accept(&file, &fixture.db());

    let smuggled = fixture.file("smuggled.efi");
    let mut bytes = fs::read(&file).unwrap();
    bytes[gap + 100] = 1;
    // The checksum is not signed either.
    bytes[check_sum].fill(0);
    fs::write(&smuggled, bytes).unwrap();
    assert!(!fixture.accepts(&smuggled, &fixture.db()));
    fixture.boot(&smuggled, &fixture.db()).ok();
}
