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

struct Desk {
    home: Home,
    key: String,
    cert: String,
}

impl Desk {
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
    let desk = Desk::new();
    let stub = desk.read("stub.efi");
    for (name, bytes, why) in [
        ("three", &b"MZ\n"[..], "it ends before the DOS header does"),
        ("empty", b"", "it ends before the DOS header does"),
        ("text", &[b'x'; 4096], "it does not begin with MZ"),
        ("half", &stub[..stub.len() / 2], "beyond the end of the file"),
    ] {
        desk.write(name, bytes);
        let said = desk.both_fail(name, CORRUPT);
        assert!(said.contains(why), "{said}");
    }
    for name in ["absent.efi", "absent/dir.efi"] {
        assert!(desk.both_fail(name, USAGE).contains("check the name"));
    }
    desk.both_fail(".", SYSTEM);
}

#[test]
fn inconsistent_headers_are_refused() {
    let desk = Desk::new();
    let stub = desk.read("stub.efi");
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
        desk.write(name, &bytes);
        let said = desk.both_fail(name, CORRUPT);
        assert!(said.contains(why), "{name}: {said}");
    }
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    desk.write("more", &[desk.read("signed.efi"), vec![1]].concat());
    assert!(desk.both_fail("more", CORRUPT).contains("does not end where the file ends"));
}

/// As tools leave them that pad a file, or clear a signature in place. Firmware refuses such a program.
#[test]
fn empty_certificate_table_entries_are_repaired_by_signing_anew() {
    let desk = Desk::new();
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    let signed = desk.read("signed.efi");
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
        desk.write(name, &bytes);
        let output = desk.home.output(&["verify", "efi", name, "--cert", &desk.cert]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(12), "{name}: {said}");
        assert!(said.contains(why) && said.contains("`trust sign efi --replace` mends that"), "{name}: {said}");
        let said = desk.sign_fails(name, &desk.key, &desk.cert, CORRUPT);
        assert!(said.contains(why) && said.contains("--replace"), "{said}");
        desk.home.ok(&[&desk.sign_args(name, &desk.key, &desk.cert, "mended.efi")[..], &["--replace"]].concat());
        assert!(desk.read("mended.efi") == signed, "{name}");
    }
    // No length, and no table: not signed, and signed as it is.
    let mut nothing = signed[..number(start) as usize].to_vec();
    nothing[size..size + 4].fill(0);
    desk.write("nothing.efi", &nothing);
    let output = desk.home.output(&["verify", "efi", "nothing.efi", "--cert", &desk.cert]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is not signed"));
    desk.home.ok(&desk.sign_args("nothing.efi", &desk.key, &desk.cert, "mended.efi"));
    assert!(desk.read("mended.efi") == signed);
}

/// Firmware does not look at it, and neither do signers who change a file afterwards.
#[test]
fn a_stale_checksum_is_noted_and_refused_when_that_is_asked_for() {
    let desk = Desk::new();
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    let mut bytes = desk.read("signed.efi");
    let field = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize + 24 + 64;
    bytes[field] ^= 1;
    desk.write("stale.efi", &bytes);
    let verify = ["verify", "efi", "stale.efi", "--cert", &desk.cert];
    let said = desk.home.ok(&verify);
    assert!(said.contains("accepted") && said.contains("note: its checksum is"), "{said}");
    let output = desk.home.output(&[&verify[..], &["--strict", "--json"]].concat());
    assert_eq!(output.status.code(), Some(12));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["reason"].as_str().unwrap().contains("its checksum is"), "{said}");
    let said: serde_json::Value = serde_json::from_str(&desk.home.ok(&[&verify[..], &["--json"]].concat())).unwrap();
    assert!(said["notes"][0].as_str().unwrap().contains("its checksum is"), "{said}");
    assert!(!desk.home.ok(&["verify", "efi", "--strict", "signed.efi", "--cert", &desk.cert]).contains("note"));
}

#[test]
fn one_unreadable_certificate_of_several_is_passed_over() {
    let desk = Desk::new();
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    desk.write("broken.der", b"0\x82\0\x04abcd");
    let said = desk.home.ok(&["verify", "efi", "signed.efi", "--cert", "broken.der", "--cert", &desk.cert]);
    assert!(said.contains("note: certificate 1 of the 2 given is passed over"), "{said}");
    desk.home.fails(&["verify", "efi", "signed.efi", "--cert", "broken.der"], CORRUPT);
    // What signs is ours: it has to be right.
    desk.sign_fails("stub.efi", &desk.key, "broken.der", CORRUPT);
}

/// sbsign hashes past a gap as firmware does; what is in it, nobody has signed.
#[test]
fn gaps_that_are_not_zero_are_refused() {
    let desk = Desk::new();
    let mut bytes = desk.read("stub.efi");
    let pe = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
    let second = pe + 24 + 240 + 40 + 20;
    // 16 bytes between the first section and the second.
    let at = u32::from_le_bytes(bytes[second..second + 4].try_into().unwrap());
    bytes[second..second + 4].copy_from_slice(&(at + 16).to_le_bytes());
    bytes.splice(at as usize..at as usize, [0; 16]);
    desk.write("gap.efi", &bytes);
    desk.home.ok(&desk.sign_args("gap.efi", &desk.key, &desk.cert, "signed.efi"));
    let signed = desk.home.path().join("signed.efi");
    desk.home.ok(&["verify", "efi", "signed.efi", "--cert", &desk.cert]);
    run("sbverify", &["--cert", &desk.cert, text(&signed)]);

    run(
        "sbsign",
        &["--key", &desk.key, "--cert", &desk.cert, "--output", text(&signed), text(&desk.home.path().join("gap.efi"))],
    );
    desk.home.ok(&["verify", "efi", "signed.efi", "--cert", &desk.cert]);
    let mut smuggled = desk.read("signed.efi");
    smuggled[at as usize] = 1;
    desk.write("smuggled.efi", &smuggled);
    run("sbverify", &["--cert", &desk.cert, text(&desk.home.path().join("smuggled.efi"))]);
    let output = desk.home.output(&["verify", "efi", "smuggled.efi", "--cert", &desk.cert]);
    assert_eq!(output.status.code(), Some(12));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("refused: firmware does not hash its bytes"), "{said}");
    desk.sign_fails("smuggled.efi", &desk.key, &desk.cert, CORRUPT);
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let desk = Desk::new();
    let other = desk.home.keys().join("k/uki-production");
    let other_key = text(&other.join("privkey.pem")).to_owned();
    let said = desk.sign_fails("stub.efi", &other_key, &desk.cert, USAGE);
    assert!(said.contains("the certificate is for another private key"), "{said}");
    desk.sign_fails("stub.efi", "absent.pem", &desk.cert, USAGE);
    desk.sign_fails("stub.efi", &desk.key, "absent.pem", USAGE);
    let said = desk.sign_fails("stub.efi", &desk.key, &desk.key, CORRUPT);
    assert!(said.contains("there is no certificate in it") && !said.contains("PRIVATE"), "{said}");
    desk.sign_fails("stub.efi", &desk.cert, &desk.cert, CORRUPT);
    let pem = fs::read_to_string(&desk.cert).unwrap();
    for (name, bytes) in [
        ("truncated.pem", pem.as_bytes()[..pem.len() / 2].to_vec()),
        ("damaged.pem", pem.replacen("MII", "MIA", 1).into_bytes()),
        ("three.der", b"0\x82\x01".to_vec()),
        ("empty.pem", Vec::new()),
    ] {
        desk.write(name, &bytes);
        desk.sign_fails("stub.efi", &desk.key, name, CORRUPT);
        desk.home.fails(&["verify", "efi", "stub.efi", "--cert", name], CORRUPT);
    }
}

#[test]
fn certificates_in_der_and_in_bundles_are_read() {
    let desk = Desk::new();
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    let der = desk.home.path().join("cert.der");
    openssl(&["x509", "-in", &desk.cert, "-outform", "DER", "-out", text(&der)]);
    desk.home.ok(&["verify", "efi", "signed.efi", "--cert", "cert.der"]);
    let read = |role: &str| fs::read_to_string(desk.home.keys().join("k").join(role).join("cert.pem")).unwrap();
    desk.write("bundle.pem", format!("some words\n{}{}", read("uki-tpm"), read("uefi-db")).as_bytes());
    desk.home.ok(&["verify", "efi", "signed.efi", "--cert", "bundle.pem"]);
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, "cert.der", "again.efi"));
    assert_eq!(desk.read("again.efi"), desk.read("signed.efi"));
}

#[test]
fn unwritable_outputs_are_refused() {
    let desk = Desk::new();
    let signed_to = |output| desk.sign_args("stub.efi", &desk.key, &desk.cert, output);
    desk.home.fails(&signed_to("absent/out.efi"), USAGE);
    desk.home.fails(&signed_to("."), USAGE);
    let said = desk.home.fails(&signed_to("/dev/null"), USAGE);
    assert!(said.contains("no regular file"), "{said}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    // A disk that is full after the first kilobyte.
    let before = desk.read("stub.efi");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(harness::trust_host());
    let output = command.args(signed_to("stub.efi")).current_dir(desk.home.path()).env("HOME", desk.home.path());
    assert_eq!(output.output().unwrap().status.code(), Some(SYSTEM));
    assert_eq!(desk.read("stub.efi"), before);
    let unfinished = fs::read_dir(desk.home.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".new-"));
    assert_eq!(unfinished.count(), 0);
}

#[test]
fn a_symbolic_link_and_the_file_mode_are_kept() {
    let desk = Desk::new();
    symlink("stub.efi", desk.home.path().join("link.efi")).unwrap();
    desk.home.ok(&desk.sign_args("link.efi", &desk.key, &desk.cert, "link.efi"));
    assert!(desk.home.path().join("link.efi").is_symlink());
    desk.home.ok(&["verify", "efi", "stub.efi", "--cert", &desk.cert]);
    let mode = fs::metadata(desk.home.path().join("stub.efi")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// A signature within the unsigned part of another, as osslsigncode nests it: nobody has vouched for it.
#[test]
fn nested_signatures_are_not_accepted() {
    let desk = Desk::new();
    let dir = desk.home.keys().join("k/uki-production");
    let nested = dir.join("cert.pem");
    desk.home.ok(&desk.sign_args("stub.efi", &desk.key, &desk.cert, "signed.efi"));
    let path = |name: &str| text(&desk.home.path().join(name)).to_owned();
    let keys = ["sign", "-nest", "-certs", text(&nested), "-key", text(&dir.join("privkey.pem"))].map(str::to_owned);
    let files = ["-in".to_owned(), path("signed.efi"), "-out".to_owned(), path("nested.efi")];
    run("osslsigncode", &keys.iter().chain(&files).map(String::as_str).collect::<Vec<_>>());
    desk.home.ok(&["verify", "efi", "nested.efi", "--cert", &desk.cert]);
    let output = desk.home.output(&["verify", "efi", "nested.efi", "--cert", text(&nested)]);
    assert_eq!(output.status.code(), Some(12));
}
