//! A keyset that the old tool published loads as it is, and the same values and signatures come out.

use harness::{Home, openssl};
use std::{fs, path::Path};
use trust::policy::{
    digest::Digest,
    pcr7data::{KeyType, Pcr7Data, path_of},
};

/// What the published pcr7data was made for, by the names of its directories.
const PUBLISHED: [(&str, KeyType, &str); 3] = [
    ("uki-production", KeyType::Production, "93/e53e6c1b9f538fbad1595bd17ea01b6ed6f9298d55c902996e49a15db7a8ad"),
    ("uki-limited", KeyType::Limited, "cf/ce5908c8d09b2f4d07d348cc00da835de08df914a44b4fefeafa8867f98cf3"),
    ("uki-tpm", KeyType::Tpm, "4d/25381df754d21a702fd046a837a59880185b41ec0157dc247e142a1661a0ee"),
];

fn published() -> std::path::PathBuf {
    harness::workspace().join("tests/data/published-keyset/snakeoil")
}

/// A home with the published keyset.
fn home() -> Home {
    let home = Home::new();
    fs::create_dir_all(home.keys()).unwrap();
    harness::run("cp", &["-r", text(&published()), text(&home.keys().join("snakeoil"))]);
    home
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn digest(hex: &str) -> Digest {
    let bytes: Vec<_> = (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// The three values that `computePCR7` prints, in its order.
fn computed(home: &Home) -> Vec<Digest> {
    let printed = home.ok(&["computePCR7", "snakeoil", "--chain", "shim"]);
    let lines: Vec<_> = printed.lines().map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), PUBLISHED.map(|(name, ..)| name));
    lines.iter().map(|(_, value)| digest(value)).collect()
}

#[test]
fn it_is_listed() {
    assert_eq!(home().ok(&["keyset", "list"]), "snakeoil\n");
}

#[test]
fn its_values_come_out_the_same() {
    for (value, (name, _, path)) in computed(&home()).iter().zip(PUBLISHED) {
        assert_eq!(path_of(value), path, "{name}");
    }
}

#[test]
fn its_policies_are_found_by_them() {
    let data = Pcr7Data::open(&published().join("pcr7data")).unwrap();
    for (value, (name, kind, _)) in computed(&home()).iter().zip(PUBLISHED) {
        let info = data.find(value).unwrap().info;
        assert_eq!((info.keyset.as_str(), info.key_type), ("snakeoil", kind), "{name}");
    }
}

#[test]
fn the_same_signature_is_made_again() {
    let home = home();
    let keyset = home.keys().join("snakeoil");
    // Of the two policy keys this one was not to be had; the old tool kept them in PKCS#1 once.
    let key = openssl(&["genrsa", "-traditional", "2048"]);
    fs::write(keyset.join("tpmpol-luks/privkey.pem"), key).unwrap();
    fs::remove_dir_all(keyset.join("pcr7data")).unwrap();
    home.ok(&["computePCR7", "snakeoil", "--chain", "shim", "--output", "values"]);
    let [production, limited, tpm] = ["pcr_prod.bin", "pcr_limited.bin", "pcr_tpm.bin"].map(|f| format!("values/{f}"));
    let values = ["--pcr7-prod", &production, "--pcr7-limited", &limited, "--pcr7-tpm", &tpm];
    home.ok(&[&["keyset", "pcr7data", "snakeoil"], &values[..]].concat());
    for (name, _, path) in PUBLISHED {
        assert!(keyset.join("pcr7data/policy-2").join(path).join("info.json").is_file(), "{name}");
    }
    let signature = |dir: &Path| {
        let (.., path) = PUBLISHED[2];
        fs::read(dir.join("pcr7data/policy-2").join(path).join("tpm_passwd.policy.signed")).unwrap()
    };
    assert_eq!(signature(&keyset), signature(&published()));
    let public = |dir: &Path| fs::read(dir.join("pcr7data/policy-2/pubkeys/tpmpass-snakeoil.pem")).unwrap();
    assert_eq!(public(&keyset), public(&published()));
}
