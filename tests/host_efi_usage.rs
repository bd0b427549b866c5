//! `trust sign efi` and `trust verify efi` with what they cannot use: a word with the remedy, and nothing changed.

use harness::{Home, assets, openssl, run};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

/// Usage.
const USAGE: i32 = 2;
/// No program, or one that contradicts itself.
const CORRUPT: i32 = 14;
const SYSTEM: i32 = 15;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Fixture {
    home: Home,
    key: String,
    cert: String,
}

impl Fixture {
    fn new() -> Self {
        let home = Home::with_keyset();
        let dir = home.keys().join("k/uefi-db");
        let [key, cert] = ["privkey.pem", "cert.pem"].map(|name| text(&dir.join(name)).to_owned());
        fs::copy(assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub"), home.path().join("stub.efi")).unwrap();
        Self { home, key, cert }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.home.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.home.path().join(name)).unwrap()
    }

    fn sign_args<'a>(&'a self, file: &'a str, key: &'a str, cert: &'a str, output: &'a str) -> [&'a str; 9] {
        ["sign", "efi", file, "--key", key, "--cert", cert, "--output", output]
    }

    /// Signs into `out.efi`, which must fail and leave none.
    #[track_caller]
    fn sign_fails(&self, file: &str, key: &str, cert: &str, status: i32) -> String {
        let said = self.home.fails(&self.sign_args(file, key, cert, "out.efi"), status);
        assert!(!self.home.path().join("out.efi").exists());
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    #[track_caller]
    fn both_fail(&self, name: &str, status: i32) -> String {
        let said = self.home.fails(&["verify", "efi", name, "--cert", &self.cert], status);
        assert_eq!(said.lines().count(), 1, "{said}");
        self.sign_fails(name, &self.key, &self.cert, status)
    }
}

#[test]
fn files_other_than_pe_programs_are_refused() {
    let fixture = Fixture::new();
    let stub = fixture.read("stub.efi");
    for (name, bytes, why) in [
        ("three", &b"MZ\n"[..], "it ends before the DOS header does"),
        ("empty", b"", "it ends before the DOS header does"),
        ("text", &[b'x'; 4096], "it does not begin with MZ"),
        ("half", &stub[..stub.len() / 2], "beyond the end of the file"),
    ] {
        fixture.write(name, bytes);
        let said = fixture.both_fail(name, CORRUPT);
        assert!(said.contains(why), "{said}");
    }
    for name in ["absent.efi", "absent/dir.efi"] {
        assert!(fixture.both_fail(name, USAGE).contains("check the name"));
    }
    fixture.both_fail(".", SYSTEM);
}

#[test]
fn inconsistent_headers_are_refused() {
    let fixture = Fixture::new();
    let stub = fixture.read("stub.efi");
    let pe = u32::from_le_bytes(stub[0x3c..0x40].try_into().unwrap()) as usize;
    let sections = pe + 24 + 240;
    for (name, at, value, why) in [
        ("65535 sections", pe + 6, &[0xff, 0xff][..], "it ends within the section table"),
        ("no headers", pe + 24 + 60, &[0; 4], "SizeOfHeaders"),
        ("all headers", pe + 24 + 60, &[0xff; 4], "SizeOfHeaders"),
        ("overlap", sections + 40 + 20, &[0, 4, 0, 0], "sections overlap in the file"),
        ("beyond", sections + 20, &[0xff; 4], "beyond the end of the file"),
        ("a table in the headers", pe + 24 + 112 + 32, &[8, 0, 0, 0, 8, 0, 0, 0], "certificate table"),
        ("a table beyond", pe + 24 + 112 + 32, &[0, 8, 0, 0, 8, 0, 0, 0], "certificate table"),
    ] {
        let mut bytes = stub.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        fixture.write(name, &bytes);
        let said = fixture.both_fail(name, CORRUPT);
        assert!(said.contains(why), "{name}: {said}");
    }
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    fixture.write("more", &[fixture.read("signed.efi"), vec![1]].concat());
    assert!(fixture.both_fail("more", CORRUPT).contains("does not end where the file ends"));
}

/// As tools leave them that pad a file, or clear a signature in place. Firmware refuses such a program.
#[test]
fn empty_certificate_table_entries_are_repaired_by_signing_anew() {
    let fixture = Fixture::new();
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    let signed = fixture.read("signed.efi");
    let pe = u32::from_le_bytes(signed[0x3c..0x40].try_into().unwrap()) as usize;
    let (start, size) = (pe + 24 + 112 + 32, pe + 24 + 112 + 36);
    let number = |at: usize| u32::from_le_bytes(signed[at..at + 4].try_into().unwrap());
    let mut counted = [&signed[..], &[0; 16]].concat();
    counted[size..size + 4].copy_from_slice(&(number(size) + 16).to_le_bytes());
    let mut cleared = signed.clone();
    cleared[number(start) as usize..].fill(0);
    for (name, bytes, why) in [
        ("padded.efi", [&signed[..], &[0; 16]].concat(), "zeros follow its certificate table"),
        ("counted.efi", counted, "ends in zeros"),
        ("cleared.efi", cleared, "ends in zeros"),
    ] {
        fixture.write(name, &bytes);
        let output = fixture.home.output(&["verify", "efi", name, "--cert", &fixture.cert]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(12), "{name}: {said}");
        assert!(said.contains(why) && said.contains("`trust sign efi --replace` mends that"), "{name}: {said}");
        let said = fixture.sign_fails(name, &fixture.key, &fixture.cert, CORRUPT);
        assert!(said.contains(why) && said.contains("--replace"), "{said}");
        fixture
            .home
            .ok(&[&fixture.sign_args(name, &fixture.key, &fixture.cert, "mended.efi")[..], &["--replace"]].concat());
        assert!(fixture.read("mended.efi") == signed, "{name}");
    }
    // No length, and no table: not signed, and signed as it is.
    let mut nothing = signed[..number(start) as usize].to_vec();
    nothing[size..size + 4].fill(0);
    fixture.write("nothing.efi", &nothing);
    let output = fixture.home.output(&["verify", "efi", "nothing.efi", "--cert", &fixture.cert]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is not signed"));
    fixture.home.ok(&fixture.sign_args("nothing.efi", &fixture.key, &fixture.cert, "mended.efi"));
    assert!(fixture.read("mended.efi") == signed);
}

/// Firmware ignores it, and so do tools that change a file after signing.
#[test]
fn a_stale_checksum_is_noted_and_refused_when_that_is_asked_for() {
    let fixture = Fixture::new();
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    let mut bytes = fixture.read("signed.efi");
    let field = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize + 24 + 64;
    bytes[field] ^= 1;
    fixture.write("stale.efi", &bytes);
    let verify = ["verify", "efi", "stale.efi", "--cert", &fixture.cert];
    let said = fixture.home.ok(&verify);
    assert!(said.contains("accepted") && said.contains("note: its checksum is"), "{said}");
    let output = fixture.home.output(&[&verify[..], &["--strict", "--json"]].concat());
    assert_eq!(output.status.code(), Some(12));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["reason"].as_str().unwrap().contains("its checksum is"), "{said}");
    let said: serde_json::Value = serde_json::from_str(&fixture.home.ok(&[&verify[..], &["--json"]].concat())).unwrap();
    assert!(said["notes"][0].as_str().unwrap().contains("its checksum is"), "{said}");
    assert!(!fixture.home.ok(&["verify", "efi", "--strict", "signed.efi", "--cert", &fixture.cert]).contains("note"));
}

#[test]
fn one_unreadable_certificate_of_several_is_passed_over() {
    let fixture = Fixture::new();
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    fixture.write("broken.der", b"0\x82\0\x04abcd");
    let said = fixture.home.ok(&["verify", "efi", "signed.efi", "--cert", "broken.der", "--cert", &fixture.cert]);
    assert!(said.contains("note: certificate 1 of the 2 given is passed over"), "{said}");
    fixture.home.fails(&["verify", "efi", "signed.efi", "--cert", "broken.der"], CORRUPT);
    // What signs is ours: it has to be right.
    fixture.sign_fails("stub.efi", &fixture.key, "broken.der", CORRUPT);
}

/// sbsign skips a gap in its hash as firmware does; what is in it is not signed.
#[test]
fn gaps_that_are_not_zero_are_refused() {
    let fixture = Fixture::new();
    let mut bytes = fixture.read("stub.efi");
    let pe = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
    let second = pe + 24 + 240 + 40 + 20;
    // 16 bytes between the first section and the second.
    let at = u32::from_le_bytes(bytes[second..second + 4].try_into().unwrap());
    bytes[second..second + 4].copy_from_slice(&(at + 16).to_le_bytes());
    bytes.splice(at as usize..at as usize, [0; 16]);
    fixture.write("gap.efi", &bytes);
    fixture.home.ok(&fixture.sign_args("gap.efi", &fixture.key, &fixture.cert, "signed.efi"));
    let signed = fixture.home.path().join("signed.efi");
    fixture.home.ok(&["verify", "efi", "signed.efi", "--cert", &fixture.cert]);
    run("sbverify", &["--cert", &fixture.cert, text(&signed)]);

    run(
        "sbsign",
        &[
            "--key",
            &fixture.key,
            "--cert",
            &fixture.cert,
            "--output",
            text(&signed),
            text(&fixture.home.path().join("gap.efi")),
        ],
    );
    fixture.home.ok(&["verify", "efi", "signed.efi", "--cert", &fixture.cert]);
    let mut smuggled = fixture.read("signed.efi");
    smuggled[at as usize] = 1;
    fixture.write("smuggled.efi", &smuggled);
    run("sbverify", &["--cert", &fixture.cert, text(&fixture.home.path().join("smuggled.efi"))]);
    let output = fixture.home.output(&["verify", "efi", "smuggled.efi", "--cert", &fixture.cert]);
    assert_eq!(output.status.code(), Some(12));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("refused: firmware does not hash its bytes"), "{said}");
    fixture.sign_fails("smuggled.efi", &fixture.key, &fixture.cert, CORRUPT);
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let fixture = Fixture::new();
    let other = fixture.home.keys().join("k/uki-production");
    let other_key = text(&other.join("privkey.pem")).to_owned();
    let said = fixture.sign_fails("stub.efi", &other_key, &fixture.cert, USAGE);
    assert!(said.contains("the certificate is for another private key"), "{said}");
    fixture.sign_fails("stub.efi", "absent.pem", &fixture.cert, USAGE);
    fixture.sign_fails("stub.efi", &fixture.key, "absent.pem", USAGE);
    let said = fixture.sign_fails("stub.efi", &fixture.key, &fixture.key, CORRUPT);
    assert!(said.contains("there is no certificate in it") && !said.contains("PRIVATE"), "{said}");
    fixture.sign_fails("stub.efi", &fixture.cert, &fixture.cert, CORRUPT);
    let pem = fs::read_to_string(&fixture.cert).unwrap();
    for (name, bytes) in [
        ("truncated.pem", pem.as_bytes()[..pem.len() / 2].to_vec()),
        ("damaged.pem", pem.replacen("MII", "MIA", 1).into_bytes()),
        ("three.der", b"0\x82\x01".to_vec()),
        ("empty.pem", Vec::new()),
    ] {
        fixture.write(name, &bytes);
        fixture.sign_fails("stub.efi", &fixture.key, name, CORRUPT);
        fixture.home.fails(&["verify", "efi", "stub.efi", "--cert", name], CORRUPT);
    }
}

#[test]
fn certificates_in_der_and_in_bundles_are_read() {
    let fixture = Fixture::new();
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    let der = fixture.home.path().join("cert.der");
    openssl(&["x509", "-in", &fixture.cert, "-outform", "DER", "-out", text(&der)]);
    fixture.home.ok(&["verify", "efi", "signed.efi", "--cert", "cert.der"]);
    let read = |role: &str| fs::read_to_string(fixture.home.keys().join("k").join(role).join("cert.pem")).unwrap();
    fixture.write("bundle.pem", format!("some words\n{}{}", read("uki-tpm"), read("uefi-db")).as_bytes());
    fixture.home.ok(&["verify", "efi", "signed.efi", "--cert", "bundle.pem"]);
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, "cert.der", "again.efi"));
    assert_eq!(fixture.read("again.efi"), fixture.read("signed.efi"));
}

#[test]
fn unwritable_outputs_are_refused() {
    let fixture = Fixture::new();
    let signed_to = |output| fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, output);
    fixture.home.fails(&signed_to("absent/out.efi"), USAGE);
    fixture.home.fails(&signed_to("."), USAGE);
    let said = fixture.home.fails(&signed_to("/dev/null"), USAGE);
    assert!(said.contains("not a regular file"), "{said}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    // A disk that is full after the first kilobyte.
    let before = fixture.read("stub.efi");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(harness::trust_host());
    let output = command.args(signed_to("stub.efi")).current_dir(fixture.home.path()).env("HOME", fixture.home.path());
    assert_eq!(output.output().unwrap().status.code(), Some(SYSTEM));
    assert_eq!(fixture.read("stub.efi"), before);
    let unfinished = fs::read_dir(fixture.home.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".new-"));
    assert_eq!(unfinished.count(), 0);
}

#[test]
fn a_symbolic_link_and_the_file_mode_are_kept() {
    let fixture = Fixture::new();
    symlink("stub.efi", fixture.home.path().join("link.efi")).unwrap();
    fixture.home.ok(&fixture.sign_args("link.efi", &fixture.key, &fixture.cert, "link.efi"));
    assert!(fixture.home.path().join("link.efi").is_symlink());
    fixture.home.ok(&["verify", "efi", "stub.efi", "--cert", &fixture.cert]);
    let mode = fs::metadata(fixture.home.path().join("stub.efi")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// A signature within the unsigned part of another, as osslsigncode nests it, is not itself signed.
#[test]
fn nested_signatures_are_not_accepted() {
    let fixture = Fixture::new();
    let dir = fixture.home.keys().join("k/uki-production");
    let nested = dir.join("cert.pem");
    fixture.home.ok(&fixture.sign_args("stub.efi", &fixture.key, &fixture.cert, "signed.efi"));
    let path = |name: &str| text(&fixture.home.path().join(name)).to_owned();
    let keys = ["sign", "-nest", "-certs", text(&nested), "-key", text(&dir.join("privkey.pem"))].map(str::to_owned);
    let files = ["-in".to_owned(), path("signed.efi"), "-out".to_owned(), path("nested.efi")];
    run("osslsigncode", &keys.iter().chain(&files).map(String::as_str).collect::<Vec<_>>());
    fixture.home.ok(&["verify", "efi", "nested.efi", "--cert", &fixture.cert]);
    let output = fixture.home.output(&["verify", "efi", "nested.efi", "--cert", text(&nested)]);
    assert_eq!(output.status.code(), Some(12));
}
