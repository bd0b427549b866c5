//! Private keys of all kinds, in files as other tools write them.

use harness::{Home, assets, openssl};
use std::{fs, path::Path};
use tempfile::TempDir;
use trust::{
    error::Kind,
    host::pki::key::{Hash, KeyType, PrivateKey},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A key made by openssl, and its public half as openssl sees it.
fn made(dir: &Path, options: &[&str]) -> (String, String) {
    let key = dir.join("key.pem");
    openssl(&[&["genpkey", "-quiet", "-out", text(&key)], options].concat());
    (fs::read_to_string(&key).unwrap(), openssl(&["pkey", "-in", text(&key), "-pubout"]))
}

const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const EC: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn openssl_takes_keys_of_every_kind_and_agrees_on_signatures() {
    let dir = TempDir::new().unwrap();
    let [pem, public, message, signature] = ["pem", "public", "message", "signature"].map(|name| dir.path().join(name));
    fs::write(&message, "message").unwrap();
    for (kind, size) in [
        (KeyType::Rsa2048, "(2048 bit"),
        (KeyType::Rsa3072, "(3072 bit"),
        (KeyType::Rsa4096, "(4096 bit"),
        (KeyType::EcP256, "prime256v1"),
    ] {
        let key = PrivateKey::generate(kind).unwrap();
        fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
        fs::write(&public, key.public().to_pem()).unwrap();
        let checked = openssl(&["pkey", "-in", text(&pem), "-check", "-noout", "-text_pub"]);
        assert!(checked.contains("Key is valid") && checked.contains(size), "{checked}");
        assert_eq!(openssl(&["pkey", "-in", text(&pem), "-pubout"]), key.public().to_pem());
        for (hash, option) in [(Hash::Sha256, "-sha256"), (Hash::Sha384, "-sha384")] {
            if kind != KeyType::EcP256 || hash == Hash::Sha256 {
                fs::write(&signature, key.sign(hash, b"message").unwrap()).unwrap();
                openssl(&["dgst", option, "-verify", text(&public), "-signature", text(&signature), text(&message)]);
            }
            openssl(&["dgst", option, "-sign", text(&pem), "-out", text(&signature), text(&message)]);
            assert!(key.public().verify(hash, b"message", &fs::read(&signature).unwrap()), "{kind:?} {hash:?}");
        }
        // What was written is read back.
        assert_eq!(PrivateKey::open(text(&pem)).unwrap().public(), key.public());
    }
    let refused = PrivateKey::generate(KeyType::EcP256).unwrap().sign(Hash::Sha384, b"").unwrap_err();
    assert_eq!(refused.kind(), Kind::Usage);
}

#[test]
fn older_formats_and_surrounding_text_are_read() {
    let dir = TempDir::new().unwrap();
    let (key, old) = (dir.path().join("key.pem"), dir.path().join("old.pem"));
    let (_, rsa) = made(dir.path(), &RSA);
    openssl(&["pkey", "-in", text(&key), "-traditional", "-out", text(&old)]);
    let pkcs1 = fs::read_to_string(&old).unwrap();
    assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(PrivateKey::from_bytes(pkcs1.as_bytes()).unwrap().public().to_pem(), rsa);

    let (_, ec) = made(dir.path(), &EC);
    openssl(&["pkey", "-in", text(&key), "-traditional", "-out", text(&old)]);
    let sec1 = fs::read_to_string(&old).unwrap();
    assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let parameters = openssl(&["ecparam", "-name", "prime256v1"]);
    let certificate = openssl(&["req", "-x509", "-key", text(&key), "-subj", "/CN=x"]);
    let all = format!("Bag Attributes\n    friendlyName: x\n{parameters}{certificate}{sec1}{certificate}");
    for file in [&sec1, &all, &all.replace('\n', "\r\n")] {
        assert_eq!(PrivateKey::from_bytes(file.as_bytes()).unwrap().public().to_pem(), ec);
    }
}

#[test]
fn unsupported_keys_are_refused_with_a_remedy() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("key.pem");
    let refused = |file: &str, kind: Kind, why: &str| {
        let error = PrivateKey::from_bytes(file.as_bytes()).map(|_| ()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(why), "{error}");
    };
    for options in [&RSA[..], &EC] {
        let (good, public) = made(dir.path(), options);
        let traditional = ["pkey", "-in", text(&key), "-traditional", "-aes128", "-passout", "pass:secret"];
        let traditional = openssl(&traditional);
        assert!(traditional.contains("Proc-Type: 4,ENCRYPTED"));
        refused(&traditional, Kind::Usage, "it is encrypted in an obsolete way; write it as PKCS#8");
        refused(&public, Kind::Corrupt, "\"PUBLIC KEY\" and no private key");
        for at in (0..good.len()).step_by(7) {
            assert_eq!(
                PrivateKey::from_bytes(&good.as_bytes()[..at]).map(|_| ()).unwrap_err().kind(),
                Kind::Corrupt,
                "{at}"
            );
        }
    }
    let (small, _) = made(dir.path(), &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    refused(&small, Kind::Usage, "less than 2048 bits");
    let (p384, _) = made(dir.path(), &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    refused(&p384, Kind::Usage, "its curve is 1.3.132.0.34 and not P-256");
    let (ed25519, _) = made(dir.path(), &["-algorithm", "ED25519"]);
    refused(&ed25519, Kind::Usage, "its algorithm is 1.3.101.112 and neither RSA nor EC");
    refused("", Kind::Corrupt, "neither PEM nor a key in DER");
    refused("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", Kind::Usage, "OPENSSH");
    let error = PrivateKey::open(text(&dir.path().join("none.pem"))).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error}");
}

/// In PEM as others write it, and in DER, each where a key or a certificate is asked for.
#[test]
fn every_reader_accepts_what_openssl_reads() {
    let home = Home::with_keyset();
    let path = |name: &str| home.path().join(name);
    for (options, old) in [(&RSA[..], "rsa"), (&EC, "ec")] {
        let (key, public) = made(home.path(), options);
        openssl(&["req", "-x509", "-key", text(&path("key.pem")), "-subj", "/CN=x", "-out", text(&path("cert.pem"))]);
        let certificate = fs::read_to_string(path("cert.pem")).unwrap();
        fs::write(path("both.pem"), harness::as_others_write(&format!("{certificate}{certificate}{key}"))).unwrap();
        openssl(&[
            "pkcs8",
            "-topk8",
            "-nocrypt",
            "-in",
            text(&path("key.pem")),
            "-outform",
            "der",
            "-out",
            text(&path("p8")),
        ]);
        openssl(&[old, "-in", text(&path("key.pem")), "-outform", "der", "-out", text(&path("key.der"))]);
        openssl(&[
            "pkey",
            "-in",
            text(&path("key.pem")),
            "-traditional",
            "-outform",
            "der",
            "-out",
            text(&path("old")),
        ]);
        openssl(&["x509", "-in", text(&path("cert.pem")), "-outform", "der", "-out", text(&path("cert.der"))]);
        for file in ["both.pem", "p8", "key.der", "old"] {
            assert_eq!(PrivateKey::open(text(&path(file))).unwrap().public().to_pem(), public, "{file}");
        }
        fs::copy(assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub"), path("stub.efi")).unwrap();
        for cert in ["both.pem", "cert.der", "cert.pem"] {
            for key in ["both.pem", "p8", "old"] {
                home.ok(&["sign", "efi", "stub.efi", "--key", key, "--cert", cert, "--output", "signed.efi"]);
                home.ok(&["verify", "efi", "signed.efi", "--cert", cert]);
            }
            home.ok(&["enroll", "auth", "k", "--output", &format!("{old}-{cert}"), "--db", cert]);
        }
    }
}

/// As OpenSSL encrypts keys, today and with other ciphers and hashes.
#[test]
fn an_encrypted_key_is_opened_with_its_passphrase() {
    let home = Home::with_keyset();
    let path = |name: &str| home.path().join(name);
    let (_, public) = made(home.path(), &RSA);
    let key = path("key.pem");
    let encrypt = |options: &[&str], name: &str| {
        let file = path(name);
        let fixed = ["pkcs8", "-topk8", "-in", text(&key), "-passout", "pass:s3cret", "-out", text(&file)];
        openssl(&[&fixed[..], options].concat())
    };
    openssl(&["req", "-x509", "-key", text(&key), "-subj", "/CN=x", "-out", text(&path("cert.pem"))]);
    fs::copy(assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub"), path("stub.efi")).unwrap();
    fs::write(path("right"), "s3cret\nand more\n").unwrap();
    fs::write(path("wrong"), "s3cre\n").unwrap();
    let sign = ["sign", "efi", "stub.efi", "--cert", "cert.pem", "--output", "signed.efi", "--key", "encrypted"];
    for options in [
        &[][..],
        &["-outform", "der"],
        &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"],
        &["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-iter", "100000"],
    ] {
        encrypt(options, "encrypted");
        home.ok(&[&sign[..], &["--passphrase-file", "right"]].concat());
        home.ok(&["verify", "efi", "signed.efi", "--cert", "cert.pem"]);
        let said = home.refuses(&[&sign[..], &["--passphrase-file", "wrong"]].concat());
        assert!(said.contains("the passphrase is wrong; write the right one into the file"), "{said}");
    }
    for options in [&["-v1", "PBE-SHA1-3DES"][..], &["-v2", "des3"], &["-scrypt"]] {
        encrypt(options, "foreign");
        let args = [&sign[..8], &["foreign", "--passphrase-file", "right"]].concat();
        let said = home.refuses(&args);
        // As its remedy says.
        let (_, remedy) = said.trim().split_once("openssl pkcs8 ").unwrap();
        let remedy = remedy.replace("-in FILE", "-in foreign").replace("-out NEW", "-out encrypted");
        let all: Vec<_> = remedy.split(' ').chain(["-passin", "pass:s3cret", "-passout", "pass:s3cret"]).collect();
        let status = std::process::Command::new("openssl").arg("pkcs8").args(all).current_dir(home.path()).status();
        assert!(status.unwrap().success());
        home.ok(&[&sign[..], &["--passphrase-file", "right"]].concat());
    }
    encrypt(&[], "encrypted");
    let said = home.refuses(&sign);
    assert!(said.contains("there is no terminal") && said.contains("--passphrase-file FILE"), "{said}");
    let mut command = std::process::Command::new("script");
    command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").current_dir(home.path());
    let line = format!("exec '{}' {}", harness::trust_host().display(), sign.join(" "));
    let shown = harness::at_terminal(command, &line, "Passphrase of encrypted: ", "s3cret");
    assert!(!shown.contains("s3cret"), "{shown}");

    // In a keyset it stays encrypted, and the passphrase is asked for once.
    home.ok(&["keyset", "add", "e", "--key", "uefi-db=encrypted", "--passphrase-file", "right"]);
    let kept = fs::read_to_string(home.keys().join("e/uefi-db/privkey.pem")).unwrap();
    assert!(kept.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{kept}");
    let kept = openssl(&[
        "pkey",
        "-in",
        text(&home.keys().join("e/uefi-db/privkey.pem")),
        "-passin",
        "pass:s3cret",
        "-pubout",
    ]);
    assert_eq!(kept, public);
    home.ok(&["keyset", "check", "e", "--passphrase-file", "right"]);
}

/// The keys of a keyset as openssl names them, with what was said while it was made.
fn keyset(kind: &str) -> (Home, Vec<(&'static str, String)>, String) {
    let home = Home::new();
    let output = home.output(&["keyset", "add", "k", "--key-type", kind]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    home.ok(&["sudi", "add", "k", "default", "SN"]);
    home.ok(&["project", "add", "k", "other"]);
    let keys = PLACES.map(|place| (place, key_of(&home.keys().join("k").join(place))));
    (home, keys.into(), said)
}

const PLACES: [&str; 13] = [
    "manifest-ca",
    "sudi-ca",
    "manifest/default",
    "manifest/other",
    "manifest/default/sudi/SN",
    "uefi-pk",
    "uefi-kek",
    "uefi-db",
    "uki-production",
    "uki-limited",
    "uki-tpm",
    "tpmpol-admin",
    "tpmpol-luks",
];

/// Its kind in openssl's words; its certificate is for it.
fn key_of(dir: &Path) -> String {
    let (key, cert) = (dir.join("privkey.pem"), dir.join("cert.pem"));
    let public = openssl(&["pkey", "-in", text(&key), "-pubout"]);
    assert_eq!(openssl(&["x509", "-in", text(&cert), "-noout", "-pubkey"]), public, "{}", dir.display());
    let shown = openssl(&["pkey", "-in", text(&key), "-noout", "-text_pub"]);
    shown.lines().next().unwrap().to_owned()
}

fn verifies(ca: &Path, dir: &Path) {
    let (ca, cert) = (ca.join("cert.pem"), dir.join("cert.pem"));
    openssl(&["verify", "-x509_strict", "-no-CApath", "-CAfile", text(&ca), text(&cert)]);
}

#[test]
fn the_requested_key_type_is_used_where_verifiers_support_it() {
    let (home, keys, said) = keyset("ec-p256");
    for (place, key) in keys {
        let free = place.starts_with("manifest") || place == "sudi-ca";
        assert_eq!(key, format!("Public-Key: ({} bit)", if free { 256 } else { 2048 }), "{place}");
    }
    assert!(said.contains("rsa2048 for uefi-pk, uefi-kek, uefi-db, uki-production, uki-limited, uki-tpm: "), "{said}");
    assert!(said.contains("rsa2048 for tpmpol-admin, tpmpol-luks: a TPM"), "{said}");
    let keyset = home.keys().join("k");
    let (sudi_ca, sudi) = (keyset.join("sudi-ca"), keyset.join("manifest/default/sudi/SN"));
    for dir in [&sudi_ca, &sudi] {
        verifies(&sudi_ca, dir);
        let shown = openssl(&["x509", "-in", text(&dir.join("cert.pem")), "-noout", "-text"]);
        assert!(shown.contains("Signature Algorithm: ecdsa-with-SHA256"), "{shown}");
    }
    for project in ["default", "other"] {
        verifies(&keyset.join("manifest-ca"), &keyset.join("manifest").join(project));
    }
    let usage = openssl(&["x509", "-in", text(&sudi.join("cert.pem")), "-noout", "-ext", "keyUsage"]);
    assert_eq!(usage.lines().nth(1).unwrap().trim(), "Digital Signature");
}

#[test]
fn larger_rsa_keys_are_used_where_verifiers_support_them() {
    let (home, keys, said) = keyset("rsa3072");
    for (place, key) in keys {
        let bits = if place.starts_with("tpmpol") { 2048 } else { 3072 };
        assert_eq!(key, format!("Public-Key: ({bits} bit)"), "{place}");
    }
    assert_eq!(said, "trust: rsa2048 for tpmpol-admin, tpmpol-luks: a TPM 2.0 need not know any other\n");
    verifies(&home.keys().join("k/uefi-pk"), &home.keys().join("k/uefi-kek"));
}

#[test]
fn unknown_key_types_are_refused_and_the_default_is_silent() {
    let home = Home::new();
    let complaint = home.refuses(&["keyset", "add", "k", "--key-type", "ed25519"]);
    assert!(complaint.contains("rsa2048, rsa3072, rsa4096, ec-p256"), "{complaint}");
    assert!(!home.keys().exists());
    let output = home.output(&["keyset", "add", "k", "--key-type", "rsa2048"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
