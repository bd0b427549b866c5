//! `trust sudi certify-tpm` and `pin-tpm`: an authority vouches for storage root keys, in a form that others can check.

use harness::{Home, Swtpm, openssl};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The public area of a storage root key, as other tools make and write it.
fn storage_root_key(home: &Home) -> (PathBuf, String) {
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    let file = home.path().join("srk.pub");
    tools.ok("createprimary", &["-C", "o", "-g", "sha256", "-G", "ecc", "-c", "srk.ctx"]);
    tools.ok("evictcontrol", &["-C", "o", "-c", "srk.ctx", "0x81000001"]);
    let printed = tools.ok("readpublic", &["-c", "0x81000001", "-o", text(&file)]);
    let name = printed.lines().find_map(|line| line.strip_prefix("name: ")).expect("a Name");
    (file, name.trim().to_owned())
}

#[test]
fn openssl_verifies_the_authoritys_signature() {
    let on_a_curve = Home::new();
    on_a_curve.ok(&["keyset", "add", "k", "--key-type", "ec-p256"]);
    for home in [Home::with_keyset(), on_a_curve] {
        let (public, name) = storage_root_key(&home);
        assert_eq!(home.ok(&["sudi", "certify-tpm", "k", text(&public), "-o", "trust.srk.cred"]).trim(), name);
        let again = home.ok(&["sudi", "certify-tpm", "k", text(&public), "--output", "trust.srk.cred", "--json"]);
        let json: Value = serde_json::from_str(&again).expect("JSON");
        assert_eq!((json["name"].as_str(), json["path"].as_str()), (Some(&name[..]), Some("trust.srk.cred")));
        // By its Name, as the console of a machine shows it.
        assert_eq!(home.ok(&["sudi", "certify-tpm", "k", &name, "--output", "trust.srk.cred"]).trim(), name);
        let [line, key, signature] = ["line", "ca.pub", "trust.srk.cred"].map(|name| home.path().join(name));
        fs::write(&line, format!("storage root key {name}\n")).expect("a writable directory");
        let ca = home.keys().join("k/sudi-ca/cert.pem");
        openssl(&["x509", "-in", text(&ca), "-pubkey", "-noout", "-out", text(&key)]);
        openssl(&["dgst", "-sha256", "-verify", text(&key), "-signature", text(&signature), text(&line)]);
    }
}

#[test]
fn anything_but_a_storage_root_key_is_not_signed() {
    let home = Home::with_keyset();
    let (public, _) = storage_root_key(&home);
    let genuine = fs::read(&public).expect("it is there");
    // Exportable, unrestricted, an SHA-1 key, one that signs, something behind it, less than all of it.
    let altered = |at: usize, byte: u8| {
        let mut other = genuine.clone();
        other[at] = byte;
        other
    };
    let wrong = [
        altered(9, 0x60),
        altered(7, 0x02),
        altered(5, 0x04),
        altered(7, 0x07),
        [&genuine[..], b"\0"].concat(),
        genuine[..genuine.len() - 1].to_vec(),
        Vec::new(),
        b"-----BEGIN PUBLIC KEY-----".to_vec(),
    ];
    for wrong in wrong {
        fs::write(&public, &wrong).expect("a writable directory");
        let complaint = home.refuses(&["sudi", "certify-tpm", "k", text(&public), "-o", "trust.srk.cred"]);
        assert!(complaint.contains("ECC P-256 storage key"), "{complaint}");
        assert!(!home.path().join("trust.srk.cred").exists());
    }
}

#[test]
fn pin_tpm_makes_a_keyset_require_signatures() {
    let home = Home::with_keyset();
    let shown = || home.ok(&["keyset", "show", "k"]).contains("asks sudi-ca about TPMs");
    assert!(!shown());
    let printed = home.ok(&["sudi", "pin-tpm", "k"]);
    let path = Path::new(printed.trim());
    assert_eq!(path, home.keys().join("k/pcr7data/policy-2/authorities/k.pem"));
    let authority = fs::read(home.keys().join("k/sudi-ca/cert.pem")).expect("it is there");
    assert_eq!(fs::read(path).expect("it is there"), authority);
    assert!(shown());
    home.ok(&["keyset", "check", "k"]);
    // A build pipeline gets it with the rest.
    home.ok(&["keyset", "export-public", "k", "--output", "public"]);
    assert_eq!(fs::read(home.path().join("public/pcr7data/policy-2/authorities/k.pem")).expect("exported"), authority);
    // Another authority's: found, since no machine would boot.
    fs::copy(home.keys().join("k/manifest-ca/cert.pem"), path).expect("a writable directory");
    let findings = home.output(&["keyset", "check", "k"]);
    assert!(String::from_utf8_lossy(&findings.stdout).contains("is not the certificate of sudi-ca"), "{findings:?}");
    home.ok(&["sudi", "pin-tpm", "k"]);
    home.ok(&["keyset", "check", "k"]);
    for _ in 0..2 {
        home.ok(&["sudi", "pin-tpm", "--off", "k"]);
        assert!(!shown() && !path.exists());
    }
}
