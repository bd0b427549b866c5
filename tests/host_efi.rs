//! Programs signed and verified, beside sbsign, osslsigncode and pesign, and with what Debian has signed.

use harness::{Home, assets, openssl, run};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What Debian has signed with its own authority.
const BY_DEBIAN: [&str; 5] = [
    "usr/libexec/fwupd/efi/fwupdx64.efi.signed",
    "usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
];
/// What Microsoft has signed for Debian, twice.
const SHIM: &str = "usr/lib/shim/shimx64.efi.signed";
/// Unsigned programs.
const UNSIGNED: [&str; 6] = [
    "usr/lib/shim/shimx64.efi",
    "usr/lib/shim/fbx64.efi",
    "usr/lib/shim/mmx64.efi",
    "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
    "usr/lib/systemd/boot/efi/addonx64.efi.stub",
];
/// Small, and in need of no padding.
const STUB: &str = "usr/lib/systemd/boot/efi/addonx64.efi.stub";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `trust verify efi --json` says, with its exit status.
fn verify(home: &Home, file: &Path, anchors: &[&Path]) -> (i32, serde_json::Value) {
    let mut args = vec!["verify", "efi", "--json", text(file)];
    args.extend(anchors.iter().flat_map(|anchor| ["--cert", text(anchor)]));
    let output = home.output(&args);
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), said)
}

#[track_caller]
fn accepted(home: &Home, file: &Path, anchors: &[&Path]) -> serde_json::Value {
    let (status, said) = verify(home, file, anchors);
    assert_eq!((status, &said["accepted"]), (0, &true.into()), "{}: {said:#}", file.display());
    said
}

#[track_caller]
fn refused(home: &Home, file: &Path, anchors: &[&Path]) -> String {
    let (status, said) = verify(home, file, anchors);
    assert_eq!((status, &said["accepted"]), (12, &false.into()), "{}: {said:#}", file.display());
    said["reason"].as_str().unwrap().to_owned()
}

/// A signer: a key of a keyset, or one made by openssl.
struct Signer {
    key: PathBuf,
    cert: PathBuf,
}

impl Signer {
    fn of_keyset(home: &Home, role: &str) -> Self {
        let dir = home.keys().join("k").join(role);
        Self { key: dir.join("privkey.pem"), cert: dir.join("cert.pem") }
    }

    fn of_openssl(home: &Home, algorithm: &[&str]) -> Self {
        let name = algorithm.join("-").replace(':', "-");
        let signer = Self { key: home.path().join(name.clone() + ".key"), cert: home.path().join(name + ".pem") };
        let args =
            ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=signer", "-addext", "extendedKeyUsage=codeSigning"];
        let files = ["-keyout", text(&signer.key), "-out", text(&signer.cert)];
        openssl(&[&args[..], &files, &["-newkey"], algorithm].concat());
        signer
    }
}

fn sign(home: &Home, file: &Path, by: &Signer, output: &Path, more: &[&str]) {
    let args = ["sign", "efi", text(file), "--key", text(&by.key), "--cert", text(&by.cert), "--output", text(output)];
    home.ok(&[&args, more].concat());
}

fn with_one() -> (Home, Signer) {
    let home = Home::with_keyset();
    let signer = Signer::of_keyset(&home, "uefi-db");
    (home, signer)
}

fn with_two() -> (Home, Signer, Signer) {
    let (home, one) = with_one();
    let two = Signer::of_keyset(&home, "uki-production");
    (home, one, two)
}

/// Debian's authority, as shim carries it.
fn debian_ca(home: &Home) -> PathBuf {
    let shim = fs::read(assets::path("usr/lib/shim/shimx64.efi")).unwrap();
    let found = shim.windows(4).enumerate().find_map(|(at, start)| {
        let [0x30, 0x82, high, low] = *start else { return None };
        let der = shim.get(at..at + 4 + usize::from(u16::from_be_bytes([high, low])))?;
        let name = b"Debian Secure Boot CA";
        der[..der.len().min(200)].windows(name.len()).any(|part| part == name).then_some(der)
    });
    let path = home.path().join("debian.der");
    fs::write(&path, found.expect("shim holds Debian's certificate")).unwrap();
    assert!(openssl(&["x509", "-inform", "DER", "-in", text(&path), "-noout", "-subject"]).contains("Debian"));
    path
}

/// The certificates in a program's signature, each a file.
fn embedded(home: &Home, file: &Path, number: &str) -> Vec<PathBuf> {
    let signature = home.path().join("signature");
    run("sbattach", &["--detach", text(&signature), "--signum", number, text(file)]);
    let all = openssl(&["pkcs7", "-inform", "DER", "-in", text(&signature), "-print_certs"]);
    let each = all.split_inclusive("-----END CERTIFICATE-----").filter(|pem| pem.contains("BEGIN"));
    let files = each.enumerate().map(|(index, pem)| {
        let path = home.path().join(format!("embedded-{number}-{index}.pem"));
        fs::write(&path, pem).unwrap();
        path
    });
    files.collect()
}

fn subject(certificate: &Path) -> String {
    openssl(&["x509", "-in", text(certificate), "-noout", "-subject"])
}

#[test]
fn programs_of_debian_are_accepted_for_its_authority_only() {
    let (home, stranger) = with_one();
    let ca = debian_ca(&home);
    let kernel = assets::Kernel::new().image;
    let files: Vec<_> = BY_DEBIAN.iter().map(|name| assets::path(name)).chain([kernel]).collect();
    for file in &files {
        let said = accepted(&home, file, &[&ca]);
        assert_eq!(said["signatures"][0]["issuer"], "CN=Debian Secure Boot CA");
        assert_eq!(said["signatures"][0]["chain"].as_array().unwrap().len(), 2);
        accepted(&home, file, &[&stranger.cert, &ca]);
        let why = refused(&home, file, &[&stranger.cert]);
        assert!(why.contains("there is no certificate of CN=Debian Secure Boot CA"), "{why}");
        // The signer's own certificate may be trusted, and then no other.
        let signer = embedded(&home, file, "1").remove(0);
        accepted(&home, file, &[&signer]);
    }
    let (grub, systemd) = (embedded(&home, &files[2], "1").remove(0), &files[1]);
    refused(&home, systemd, &[&grub]);
    assert_eq!(refused(&home, &assets::path("usr/lib/shim/shimx64.efi"), &[&ca]), "it is not signed");
}

#[test]
fn programs_of_microsoft_are_accepted_for_either_authority() {
    let (home, stranger) = with_one();
    let shim = assets::path(SHIM);
    for (number, year) in [("1", "2011"), ("2", "2023")] {
        let certificates = embedded(&home, &shim, number);
        let ca = certificates.iter().find(|file| subject(file).contains(&format!("UEFI CA {year}\n"))).unwrap();
        let signer = certificates.iter().find(|file| !subject(file).contains(&format!("UEFI CA {year}\n"))).unwrap();
        for anchor in [ca, signer] {
            let said = accepted(&home, &shim, &[anchor]);
            let [this, other] = if number == "1" { [0, 1] } else { [1, 0] };
            assert_eq!(said["signatures"][this]["accepted"], true);
            assert_eq!(said["signatures"][other]["accepted"], false);
        }
    }
    let why = refused(&home, &shim, &[&stranger.cert, &debian_ca(&home)]);
    assert_eq!(why, "none of its 2 signatures is good for the certificates given");
}

/// What `osslsigncode verify` has computed over the file.
fn by_osslsigncode(file: &Path) -> String {
    let output = Command::new("osslsigncode").args(["verify", text(file)]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("Calculated message digest : "));
    line.unwrap_or_else(|| panic!("{said}")).trim().to_lowercase()
}

/// What pesign computes over a file, with the padding that signers add.
fn by_pesign(file: &Path) -> String {
    let said = run("pesign", &["--hash", "--padding", "--in", text(file)]);
    said.trim().strip_prefix("hash: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn digests_equal_those_of_pesign_and_osslsigncode() {
    let (home, signer) = with_one();
    let signed = home.path().join("signed.efi");
    let mut files: Vec<_> = BY_DEBIAN.iter().chain(&UNSIGNED).chain([&SHIM]).map(|name| assets::path(name)).collect();
    files.push(assets::bookworm("usr/lib/systemd/boot/efi/linuxx64.efi.stub"));
    files.push(assets::Kernel::new().image);
    for file in files {
        sign(&home, &file, &signer, &signed, &["--replace"]);
        let said = accepted(&home, &signed, &[&signer.cert]);
        let digest = said["signatures"][0]["digest"].as_str().unwrap();
        assert_eq!(digest, by_pesign(&file), "{}", file.display());
        assert_eq!(digest, by_osslsigncode(&signed), "{}", file.display());
        run("sbverify", &["--cert", text(&signer.cert), text(&signed)]);
        sign(&home, &file, &signer, &signed, &["--replace", "--digest", "sha384"]);
        let said = accepted(&home, &signed, &[&signer.cert]);
        assert_eq!(said["signatures"][0]["hash"], "sha384");
        assert_eq!(said["signatures"][0]["digest"].as_str().unwrap(), by_osslsigncode(&signed));
    }
}

#[test]
fn other_tools_verify_our_signatures() {
    let home = Home::with_keyset();
    let signed = home.path().join("signed.efi");
    let roles = ["uefi-db", "uki-production", "uki-limited", "uki-tpm"].map(|role| Signer::of_keyset(&home, role));
    let algorithms = [&["rsa:4096"][..], &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]];
    for signer in roles.into_iter().chain(algorithms.map(|algorithm| Signer::of_openssl(&home, algorithm))) {
        for name in [STUB, UNSIGNED[0]] {
            sign(&home, &assets::path(name), &signer, &signed, &[]);
            accepted(&home, &signed, &[&signer.cert]);
            run("sbverify", &["--cert", text(&signer.cert), text(&signed)]);
            let said = run("osslsigncode", &["verify", "-CAfile", text(&signer.cert), "-in", text(&signed)]);
            assert!(said.contains("Number of verified signatures: 1"), "{said}");
            assert!(!said.to_lowercase().contains("mismatch") && !said.to_lowercase().contains("invalid"), "{said}");
        }
    }
}

#[test]
fn signatures_of_other_tools_are_verified() {
    let (home, signer, stranger) = with_two();
    let (key, cert) = (&signer.key, &signer.cert);
    let signed = home.path().join("signed.efi");
    let keys = ["--key", text(key), "--cert", text(cert), "--output", text(&signed)];
    for name in [STUB, UNSIGNED[0]] {
        let file = assets::path(name);
        run("sbsign", &[&keys[..], &[text(&file)]].concat());
        accepted(&home, &signed, &[cert]);
        refused(&home, &signed, &[&stranger.cert]);
        for (hash, known) in [("sha256", true), ("sha384", true), ("sha1", false), ("sha512", false)] {
            let _ = fs::remove_file(&signed);
            let files = ["-in", text(&file), "-out", text(&signed)];
            let keys = ["sign", "-certs", text(cert), "-key", text(key), "-h", hash];
            run("osslsigncode", &[&keys[..], &files].concat());
            if known {
                accepted(&home, &signed, &[cert]);
                refused(&home, &signed, &[&stranger.cert]);
            } else {
                let why = refused(&home, &signed, &[cert]);
                assert!(why.contains(if hash == "sha1" { "SHA-1" } else { "neither SHA-256 nor SHA-384" }), "{why}");
            }
        }
    }
}

#[test]
fn signatures_are_added_to_existing_ones() {
    let (home, one, two) = with_two();
    let file = home.path().join("program.efi");
    fs::copy(assets::path(STUB), &file).unwrap();
    sign(&home, &file, &one, &file, &[]);
    let once = fs::read(&file).unwrap();
    sign(&home, &file, &one, &file, &[]);
    assert_eq!(fs::read(&file).unwrap(), once, "the same signature is not added again");
    sign(&home, &file, &two, &file, &["--digest", "sha384"]);
    for (index, signer) in [&one, &two].into_iter().enumerate() {
        let said = accepted(&home, &file, &[&signer.cert]);
        assert_eq!(said["signatures"].as_array().unwrap().len(), 2);
        assert_eq!(said["signatures"][index]["accepted"], true);
        assert_eq!(said["signatures"][1 - index]["accepted"], false);
    }
    assert!(run("sbverify", &["--list", text(&file)]).contains("signature 2"));
    sign(&home, &file, &one, &file, &["--replace"]);
    assert_eq!(fs::read(&file).unwrap(), once);
}

#[test]
fn signatures_reattached_with_sbattach_are_verified() {
    let (home, signer) = with_one();
    let (file, signature) = (home.path().join("program.efi"), home.path().join("signature"));
    for name in [STUB, UNSIGNED[0]] {
        let before = assets::path(name);
        sign(&home, &before, &signer, &file, &[]);
        run("sbattach", &["--detach", text(&signature), "--remove", text(&file)]);
        let (before, after) = (fs::read(before).unwrap(), fs::read(&file).unwrap());
        // All but the checksum, and the zeros that a signature needs before it.
        let sum = u32::from_le_bytes(before[0x3c..0x40].try_into().unwrap()) as usize + 24 + 64;
        assert_eq!(before[..sum], after[..sum]);
        assert_eq!(before[sum + 4..], after[sum + 4..before.len()]);
        assert!(after.len() < before.len() + 8 && after[before.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(refused(&home, &file, &[&signer.cert]), "it is not signed");
        run("sbattach", &["--attach", text(&signature), text(&file)]);
        accepted(&home, &file, &[&signer.cert]);
    }
}

/// A stub with sections of odd names and sizes, as `objcopy` adds them.
#[test]
fn unusual_sections_are_signed_and_verified() {
    let (home, signer) = with_one();
    let (file, data) = (home.path().join("program.efi"), home.path().join("data"));
    let mut image = assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let stub = fs::read(&image).unwrap();
    let base = trust::host::image::pe::Image::parse(&stub).unwrap().headers().image_base;
    for (index, (name, size)) in
        [(".osrel", 1), (".cmdline", 511), (".profile", 0), ("+odd/§", 4097)].iter().enumerate()
    {
        fs::write(&data, vec![b'x'; *size]).unwrap();
        let next = home.path().join(format!("{index}.efi"));
        let address = format!("{name}={:#x}", base + 0x10_0000 * (index as u64 + 1));
        let section = format!("{name}={}", text(&data));
        run("objcopy", &["--add-section", &section, "--change-section-vma", &address, text(&image), text(&next)]);
        image = next;
    }
    sign(&home, &image, &signer, &file, &[]);
    let said = accepted(&home, &file, &[&signer.cert]);
    assert_eq!(said["signatures"][0]["digest"].as_str().unwrap(), by_osslsigncode(&file));
    run("sbverify", &["--cert", text(&signer.cert), text(&file)]);
}

#[test]
fn a_uki_of_ukify_is_signed_and_verified() {
    let (home, signer) = with_one();
    let (uki, initrd) = (home.path().join("uki.efi"), home.path().join("initrd"));
    fs::write(&initrd, vec![0x5a; 100_001]).unwrap();
    let kernel = assets::Kernel::new();
    let stub = assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let mut ukify = assets::program("ukify");
    ukify.args(["build", "--linux", text(&kernel.image), "--initrd", text(&initrd), "--cmdline", "quiet splash"]);
    ukify.args(["--stub", text(&stub), "--os-release", "ID=test\n", "--output", text(&uki)]);
    assert!(ukify.output().unwrap().status.success());
    let digest = by_pesign(&uki);
    sign(&home, &uki, &signer, &uki, &[]);
    let said = accepted(&home, &uki, &[&signer.cert]);
    assert_eq!(said["signatures"][0]["digest"], digest.as_str());
    run("sbverify", &["--cert", text(&signer.cert), text(&uki)]);
}

#[test]
fn the_report_names_signer_and_digest_without_colours() {
    let (home, signer) = with_one();
    let file = home.path().join("program.efi");
    sign(&home, &assets::path(STUB), &signer, &file, &[]);
    let seen = home.ok(&["verify", "efi", "program.efi", "--cert", text(&signer.cert)]);
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..2], ["program.efi: accepted", "  signature 1 of 1: accepted"]);
    assert!(lines[2].starts_with("    signer   ") && lines[2].contains("UEFI DB"), "{seen}");
    assert!(lines.iter().any(|line| line.starts_with("    sha256   ")), "{seen}");
    assert!(!seen.contains('\x1b'), "no terminal, no colours");
}
