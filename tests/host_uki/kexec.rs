//! What `trust kexec` would do. It is never let do it here: that is done in `vm_kexec`.

use crate::fixture::{CMDLINE, Fixture, kernel, text};
use harness::{Swtpm, assets, documentation, run, trust_host};
use serde_json::Value;
use std::{fs, process::Command};

/// An image as it is built by default, and a TPM.
fn fixture() -> (Fixture, Swtpm) {
    let fixture = Fixture::new();
    fixture.build("image.efi", &["--kind", "production", "--initrd", "initrd.img", "--cmdline", CMDLINE]);
    (fixture, Swtpm::new())
}

/// `trust kexec --dry-run ARGS`: status, what it printed, what it said.
fn dry_run(fixture: &Fixture, tpm: &Swtpm, args: &[&str]) -> (i32, String, String) {
    let output = fixture.0.output(&[&["kexec", "--dry-run", "--tcti", &tpm.tools().tcti()], args].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_kernel_in_an_image_is_signed_once_by_the_signer_of_the_image() {
    let (fixture, _) = fixture();
    let (bare, signed) = (fs::read(kernel()).unwrap(), fixture.write("linux", &fixture.section("image.efi", ".linux")));
    let cert = fixture.0.keys().join("k/uki-production/cert.pem");
    run("sbverify", &["--cert", text(&cert), text(&signed)]);
    let list = run("sbverify", &["--list", text(&signed)]);
    assert_eq!(list.lines().filter(|line| line.starts_with("signature ")).count(), 1, "{list}");
    // But for the signature it is the kernel that was given.
    let unsigned = fixture.path("unsigned");
    run("sbattach", &["--remove", text(&signed)]);
    fs::copy(&signed, &unsigned).unwrap();
    let (stripped, given) = (fs::read(&unsigned).unwrap(), fixture.write("given", &bare));
    let _ = Command::new("sbattach").args(["--remove", text(&given)]).output();
    let given = fs::read(given).unwrap();
    let differ = stripped.iter().zip(&given).filter(|(ours, theirs)| ours != theirs).count();
    // The checksum, and where the signatures are.
    assert!(differ <= 12, "{differ} bytes differ");
}

#[test]
fn what_would_be_measured_is_predicted_and_nothing_is_done() {
    let (fixture, tpm) = fixture();
    let before = tpm.pcr("sha256", 7);
    let (status, said, why) = dry_run(&fixture, &tpm, &["image.efi", "--keyset", "k", "--json"]);
    assert_eq!(status, 0, "{why}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["format"], &said["cmdline"], &said["loaded"]), (&1.into(), &CMDLINE.into(), &false.into()));
    let events: Vec<_> = said["measurements"].as_array().unwrap().iter().map(|event| event["pcr"].as_u64()).collect();
    assert_eq!((events[0], events.last().copied().flatten()), (Some(7), Some(12)));
    // PCR 11, which nothing has extended before, as systemd says it of these sections.
    let sections = [".linux", ".cmdline", ".initrd", ".uname", ".sbat"];
    let mut contents: Vec<_> = sections.map(|name| (name, fixture.section("image.efi", name))).into();
    if let Some(osrel) = assets_osrel(&fixture) {
        contents.push((".osrel", osrel));
    }
    let theirs = fixture.systemd_measure(&contents, &["sha256"]);
    let enter = theirs.iter().find(|(phase, ..)| phase == "enter-initrd").unwrap();
    let mut pcr11: [u8; 32] = harness::unhex(said["pcrs"]["sha256"]["11"].as_str().unwrap()).try_into().unwrap();
    pcr11 = harness::extend(&pcr11, &harness::sha256(&[b"enter-initrd"]));
    assert_eq!(enter.2, harness::hex(&pcr11));
    assert_eq!(tpm.pcr("sha256", 7), before);

    // The same for whoever names the certificate, and in words.
    let cert = fixture.0.keys().join("k/uki-production/cert.pem");
    let (status, words, why) = dry_run(&fixture, &tpm, &["image.efi", "--cert", text(&cert)]);
    assert!(status == 0 && words.contains("signed by CN=UKI Production"), "{words}{why}");
    assert!(words.contains(said["pcrs"]["sha256"]["7"].as_str().unwrap()), "{words}");
}

/// Of an image without one there is none to be measured.
fn assets_osrel(fixture: &Fixture) -> Option<Vec<u8>> {
    let listed = fixture.json(&["uki", "inspect", "image.efi"]);
    let is_osrel = |section: &Value| section["name"] == ".osrel";
    listed["sections"].as_array().unwrap().iter().any(is_osrel).then(|| fixture.section("image.efi", ".osrel"))
}

#[test]
fn images_that_this_machine_would_not_start_are_refused() {
    let (fixture, tpm) = fixture();
    let refused = |args: &[&str], status: i32, why: &str| {
        let (found, printed, said) = dry_run(&fixture, &tpm, args);
        assert!(found == status && printed.is_empty() && said.contains(why), "{args:?}: {found} {printed}{said}");
    };
    fixture.build("limited.efi", &["--kind", "limited", "--initrd", "initrd.img"]);
    refused(&["limited.efi", "--keyset", "k"], 12, "nobody has signed it who is trusted here");
    fixture.build("bare.efi", &["--kind", "production", "--initrd", "initrd.img", "--cmdline", "x", "--unsigned"]);
    refused(&["bare.efi", "--keyset", "k"], 12, "it bears no signature that is good for it");
    let mut bytes = fs::read(fixture.path("image.efi")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fixture.write("flipped.efi", &bytes);
    refused(&["flipped.efi", "--keyset", "k"], 12, "it bears no signature that is good for it");
    refused(&["image.efi", "--keyset", "k", "--profile", "1"], 2, "there is no profile 1");
    refused(&["initrd.img", "--keyset", "k"], 14, "use initrd.img");
    let (cert, key) = ("k/uki-production/cert.pem", "k/uki-production/privkey.pem");
    let [cert, key] = [cert, key].map(|name| text(&fixture.0.keys().join(name)).to_owned());
    let sign = |input: &str, output: &str| {
        fixture.0.ok(&["sign", "efi", input, "--key", &key, "--cert", &cert, "--output", output]);
    };
    sign(text(&kernel()), "kernel.efi");
    refused(&["kernel.efi", "--keyset", "k"], 2, "it is not made of systemd-stub");
    sign(text(&assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub")), "stub.efi");
    refused(&["stub.efi", "--keyset", "k"], 2, "it holds no kernel");
}

/// A variable like efivarfs has it, in a directory of its own.
fn variable(fixture: &Fixture, dir: &str, file: &str, contents: &[u8]) {
    fs::create_dir_all(fixture.path(dir)).unwrap();
    fixture.write(&format!("{dir}/{file}"), &[&[7, 0, 0, 0], contents].concat());
}

/// `EFI_SIGNATURE_LIST` with one entry: its type as it lies in memory.
fn signature_list(kind: &str, entry: &[u8]) -> Vec<u8> {
    let size = u32::try_from(16 + entry.len()).unwrap();
    let header = [(28 + size).to_le_bytes(), [0; 4], size.to_le_bytes()].concat();
    [&harness::unhex(kind)[..], &header, &[9; 16], entry].concat()
}

const DB: &str = "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const DBX: &str = "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const SBAT_LEVEL: &str = "SbatLevelRT-605dab50-e046-4300-abb6-3dd810dd8b23";

#[test]
fn what_the_firmware_revokes_is_refused_whoever_is_trusted() {
    let (fixture, tpm) = fixture();
    let der = |role: &str, what: &[&str]| {
        let cert = fixture.0.keys().join("k").join(role).join("cert.pem");
        Command::new("openssl").args(what).arg("-in").arg(cert).output().unwrap().stdout
    };
    let x509 = ["x509", "-outform", "der"];
    let (own, other) = (der("uki-production", &x509), der("uki-limited", &x509));
    // The first member of a certificate is what is signed of it.
    let hash_of = |bits: &str| {
        let file = fixture.write("own.der", &own);
        let signed = fixture.path("own.tbs");
        run(
            "openssl",
            &["asn1parse", "-inform", "der", "-strparse", "4", "-noout", "-in", text(&file), "-out", text(&signed)],
        );
        let printed = run("openssl", &["dgst", bits, "-r", text(&signed)]);
        harness::unhex(printed.split_whitespace().next().unwrap())
    };
    let no_time = [0; 16];
    let digest = fixture.json(&["kexec", "--dry-run", "image.efi", "--keyset", "k", "--tcti", &tpm.tools().tcti()]);
    let digest = harness::unhex(digest["digest"].as_str().unwrap());
    const X509: &str = "a159c0a5e494a74a87b5ab155c2bf072";
    const SHA256: &str = "2616c4c14c509240aca941f936934328";
    const X509_SHA256: &str = "92a4d23bc0967940b420fcf98ef103ed";
    const X509_SHA384: &str = "6e877670c280e64eaad228b349a6865b";
    let level = |generation: u32| format!("sbat,1,2024040900\nsystemd-stub,{generation}\n").into_bytes();
    let cases = [
        ("hash", DBX, signature_list(SHA256, &digest), Some("its hash is in dbx")),
        ("signer", DBX, signature_list(X509, &own), Some("a certificate that has signed it is in dbx")),
        (
            "sha256",
            DBX,
            signature_list(X509_SHA256, &[hash_of("-sha256"), no_time.into()].concat()),
            Some("the hash of a certificate"),
        ),
        (
            "sha384",
            DBX,
            signature_list(X509_SHA384, &[hash_of("-sha384"), no_time.into()].concat()),
            Some("the hash of a certificate"),
        ),
        ("level", SBAT_LEVEL, level(99), Some("the SBAT level asks for 99")),
        ("older", SBAT_LEVEL, level(1), None),
        ("others", DBX, [signature_list(X509, &other), signature_list(X509_SHA256, &[7; 48])].concat(), None),
    ];
    for (dir, name, contents, refused) in cases {
        variable(&fixture, dir, name, &contents);
        variable(&fixture, dir, DB, &signature_list(X509, &own));
        let cert = fixture.0.keys().join("k/uki-production/cert.pem");
        for whom in [&["--keyset", "k"][..], &["--cert", text(&cert)], &[]] {
            let (status, _, said) = dry_run(&fixture, &tpm, &[&["image.efi", "--efivars", dir], whom].concat());
            match refused {
                Some(why) => assert!(status == 12 && said.contains(why), "{dir} {whom:?}: {status} {said}"),
                None => assert_eq!(status, 0, "{dir} {whom:?}: {said}"),
            }
        }
    }
    variable(&fixture, "foreign", DB, &signature_list(X509, &other));
    let (status, _, said) = dry_run(&fixture, &tpm, &["image.efi", "--efivars", "foreign"]);
    assert!(status == 12 && said.contains("nobody has signed it who is trusted here"), "{said}");
}

#[test]
fn successors_are_predicted_elsewhere_one_after_the_other() {
    let (fixture, tpm) = fixture();
    let tools = tpm.tools();
    tools.ok("pcrextend", &[&format!("7:sha256={}", "5a".repeat(32))]);
    let here = |file: &str| {
        let pcrs = fixture.0.ok(&["pcr", "read", "--json", "--tcti", &tools.tcti()]);
        fixture.write(file, pcrs.as_bytes());
        fixture.json(&["kexec", "--dry-run", "image.efi", "--keyset", "k", "--tcti", &tools.tcti()])
    };
    let elsewhere = |file: &str| {
        let args =
            ["kexec", "--dry-run", "--json", "image.efi", "--keyset", "k", "--pcrs", file, "--tcti", "device:/none"];
        let said = fixture.0.ok(&args);
        fixture.write("next.json", said.as_bytes());
        serde_json::from_str::<Value>(&said).unwrap()
    };
    assert_eq!(here("pcrs.json"), elsewhere("pcrs.json"));
    // The one after it, once its kexec has been measured.
    let first = elsewhere("pcrs.json");
    let event = format!("kexec {}", first["signer_fingerprint"].as_str().unwrap());
    tools.ok("pcrextend", &[&format!("7:sha256={}", harness::hex(&harness::sha256(&[event.as_bytes()])))]);
    assert_eq!(first["pcrs"]["sha256"]["7"], tpm.pcr("sha256", 7).to_lowercase());
    assert_eq!(here("again.json")["pcrs"]["sha256"]["7"], elsewhere("next.json")["pcrs"]["sha256"]["7"]);
    fixture.0.refuses(&["kexec", "image.efi", "--keyset", "k", "--pcrs", "pcrs.json"]);
}

/// `docs/kexec.md`: its commands print what it says, up to an ellipsis.
#[test]
fn the_page_is_followed() {
    let (fixture, tpm) = fixture();
    let steps = documentation::console(&documentation::read("docs/kexec.md"));
    assert_eq!(steps.len(), 2, "the search misses them");
    let trust = format!("trust() {{ '{}' \"$@\" --tcti {}; }}\n", text(&trust_host()), tpm.tools().tcti());
    for (command, expected) in &steps {
        assert!(command.starts_with("trust kexec") && command.contains("--dry-run"), "{command}");
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{trust}{command}")]).current_dir(fixture.0.path()).env("HOME", fixture.0.path());
        let output = shell.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let start = expected.split('…').next().unwrap();
        assert!(output.status.success() && printed.starts_with(start), "{command}: {printed}");
    }
}

#[test]
fn nothing_is_handed_over_that_was_not_opened_for_it() {
    let (fixture, tpm) = fixture();
    let (status, said, why) = dry_run(&fixture, &tpm, &["--keyset", "k", "--with-disk", "image.efi"]);
    assert_eq!((status, &*said), (12, ""), "{why}");
    assert!(why.contains("no volume was opened in a way that it can be handed over"), "{why}");
    let (status, said, why) = dry_run(&fixture, &tpm, &["--keyset", "k", "image.efi"]);
    assert!(status == 0 && !said.contains("hands over"), "{said} {why}");
}
