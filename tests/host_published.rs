//! A keyset that the old tool published loads as it is, and the same values and signatures come out.

use harness::{Home, openssl};
use std::{fs, path::Path};
use trust::{
    digest::Digest,
    policy::{
        boot_kind::BootKind,
        pcr7data::{Pcr7Data, path_of},
    },
};

/// What the published pcr7data was made for, by the names of its directories.
const PUBLISHED: [(&str, BootKind, &str); 3] = [
    ("uki-production", BootKind::Production, "93/e53e6c1b9f538fbad1595bd17ea01b6ed6f9298d55c902996e49a15db7a8ad"),
    ("uki-limited", BootKind::Limited, "cf/ce5908c8d09b2f4d07d348cc00da835de08df914a44b4fefeafa8867f98cf3"),
    ("uki-tpm", BootKind::Admin, "4d/25381df754d21a702fd046a837a59880185b41ec0157dc247e142a1661a0ee"),
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

/// The three values that `compute-pcr7` prints, in its order.
fn computed(home: &Home) -> Vec<Digest> {
    let printed = home.ok(&["compute-pcr7", "snakeoil", "--chain", "shim"]);
    let lines: Vec<_> = printed.lines().map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), PUBLISHED.map(|(name, ..)| name));
    lines.iter().map(|(_, value)| digest(value)).collect()
}

#[test]
fn the_published_keyset_is_listed() {
    assert_eq!(home().ok(&["keyset", "list"]), "snakeoil\n");
}

#[test]
fn the_published_keyset_is_shown_despite_other_files() {
    let home = home();
    // Requests for certificates, as the old tool left them.
    fs::write(home.keys().join("snakeoil/uki-tpm/csr"), "-----BEGIN CERTIFICATE REQUEST-----").unwrap();
    let shown = home.ok(&["keyset", "show", "snakeoil"]);
    for (name, _, path) in PUBLISHED {
        let value = computed(&home).into_iter().find(|value| path_of(value) == path).unwrap();
        assert!(shown.contains(name) && shown.contains(&harness::hex(&value)), "{shown}");
    }
    let guid = home.ok(&["keyset", "show", "snakeoil", "uki-tpm", "guid", "--value"]);
    assert_eq!(guid.trim(), "617e599e-4f07-47fa-9504-fe4ae1616c83");
    serde_json::from_str::<serde_json::Value>(&home.ok(&["keyset", "show", "snakeoil", "--json"])).unwrap();
}

#[test]
fn computed_values_equal_the_published_ones() {
    for (value, (name, _, path)) in computed(&home()).iter().zip(PUBLISHED) {
        assert_eq!(path_of(value), path, "{name}");
    }
}

#[test]
fn published_policies_are_found_by_computed_values() {
    let data = Pcr7Data::open(&published().join("pcr7data")).unwrap();
    for (value, (name, kind, _)) in computed(&home()).iter().zip(PUBLISHED) {
        let info = data.find(value).unwrap().info;
        assert_eq!((info.keyset.as_str(), info.kind), ("snakeoil", kind.into()), "{name}");
    }
}

#[test]
fn a_key_other_than_the_published_one_is_refused() {
    let home = home();
    let before = harness::tree(&home.keys());
    let key = openssl(&["genrsa", "2048"]);
    let path = home.keys().join("snakeoil/tpmpol-luks/privkey.pem");
    fs::write(&path, key).unwrap();
    let complaint = home.refuses(&["keyset", "pcr7data", "snakeoil", "--chain", "shim"]);
    assert!(complaint.contains("luks-snakeoil.pem is another key"), "{complaint}");
    fs::remove_file(path).unwrap();
    assert_eq!(harness::tree(&home.keys()), before);
}

#[test]
fn signing_again_gives_the_published_signature() {
    let home = home();
    let keyset = home.keys().join("snakeoil");
    // Of the two policy keys this one was not to be had; the old tool kept them in PKCS#1 once.
    let key = openssl(&["genrsa", "-traditional", "2048"]);
    fs::write(keyset.join("tpmpol-luks/privkey.pem"), key).unwrap();
    fs::remove_dir_all(keyset.join("pcr7data")).unwrap();
    home.ok(&["keyset", "pcr7data", "snakeoil", "--chain", "shim"]);
    for (name, _, path) in PUBLISHED {
        assert!(keyset.join("pcr7data/policy-2").join(path).join("info.json").is_file(), "{name}");
    }
    for file in ["pcr_prod.bin", "pcr_limited.bin", "pcr_tpm.bin"] {
        let file = Path::new("pcr7data/policy-2").join(PUBLISHED[1].2).join(file);
        assert_eq!(fs::read(keyset.join(&file)).unwrap(), fs::read(published().join(&file)).unwrap());
    }
    let signature = |dir: &Path| {
        let (.., path) = PUBLISHED[2];
        fs::read(dir.join("pcr7data/policy-2").join(path).join("tpm_passwd.policy.signed")).unwrap()
    };
    assert_eq!(signature(&keyset), signature(&published()));
    let public = |dir: &Path| fs::read(dir.join("pcr7data/policy-2/pubkeys/tpmpass-snakeoil.pem")).unwrap();
    assert_eq!(public(&keyset), public(&published()));
}
