//! pcr7data as hostile, old, damaged or merely unusual directories have it.

use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;
use trust::{
    error::Kind,
    measure::pcr,
    policy::{
        boot_kind::BootKind,
        pcr7data::{Info, Pcr7Data, is_keyset_name, parse_info, path_of},
    },
};

const PCR7: [u8; 32] = [7; 32];

fn write(path: &Path, contents: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A directory whose `policy-2` has this info.json for [`PCR7`].
fn with_info(json: impl AsRef<[u8]>) -> TempDir {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("policy-2").join(path_of(&PCR7)).join("info.json"), json);
    dir
}

fn kind_of<T: std::fmt::Debug>(result: trust::error::Result<T>) -> Kind {
    result.unwrap_err().kind()
}

fn info(keyset: &str, kind: BootKind) -> Info {
    Info { keyset: keyset.into(), kind: kind.into(), policy_version: *b"0001" }
}

#[test]
fn info_written_by_the_old_tool_is_read() {
    let json = br#"{"key":"dev","key_type":"limited","est_date":"20220527","comment":"qemu"}
"#;
    assert_eq!(parse_info(json).unwrap(), info("dev", BootKind::Limited));
    let json = br#"{"key":"dev","key_type":"password","est_date":"20220527","comment":"qemu"}"#;
    assert_eq!(parse_info(json).unwrap(), info("dev", BootKind::Admin));
}

#[test]
fn info_with_any_order_spacing_and_other_members_is_read() {
    let json = br#"
    { "comment" : "", "schema": 3.5e-1, "values": [null, true, {"key": "other"}, "]}"], "nested": {"key_type": "tpm"},
      "key_type":
      "production", "key": "k" }  "#;
    assert_eq!(parse_info(json).unwrap(), info("k", BootKind::Production));
}

#[test]
fn info_with_escapes_in_a_name_is_corrupt() {
    let json = br#"{"key":"k","key_type":"tpm","est_date":"20220527","comment":"a \"b\" \\ \u00e9\ud83d\ude00\n\/"}"#;
    assert_eq!(parse_info(json).unwrap(), info("k", BootKind::Admin));
    // No name needs them: a file that has them there was not made by us.
    for json in [r#"{"key":"a\u002db","key_type":"tpm"}"#, r#"{"key":"k","key_type":"t\u0070m"}"#] {
        assert_eq!(kind_of(parse_info(json.as_bytes())), Kind::Corrupt, "{json}");
    }
}

#[test]
fn malformed_info_is_corrupt() {
    let bad: &[&[u8]] = &[
        b"",
        b"{}",
        b"null",
        b"[]",
        b"\"key\"",
        b"{\"key\":\"k\"}",
        b"{\"key_type\":\"tpm\"}",
        b"{\"key\":\"k\",\"key_type\":\"TPM\"}",
        b"{\"key\":\"k\",\"key_type\":7}",
        b"{\"key\":null,\"key_type\":\"tpm\"}",
        b"{\"key\":\"k\",\"key_type\":\"tpm\"",
        b"{\"key\":\"k\",\"key_type\":\"tpm\",}",
        b"{\"key\":\"k\",\"key_type\":\"tpm\"} x",
        b"{\"key\":\"k\",\"key\":\"l\",\"key_type\":\"tpm\"}",
        b"{\"key\":\"k\\ud800\",\"key_type\":\"tpm\"}",
        b"{\"key\":\"k\xff\",\"key_type\":\"tpm\"}",
        b"\xef\xbb\xbf{\"key\":\"k\",\"key_type\":\"tpm\"}",
        b"\0\0\0\0",
    ];
    for json in bad {
        assert_eq!(kind_of(parse_info(json)), Kind::Corrupt, "{}", String::from_utf8_lossy(json));
    }
    let deep = format!("{{\"x\":{}1{},\"key\":\"k\",\"key_type\":\"tpm\"}}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(kind_of(parse_info(deep.as_bytes())), Kind::Corrupt);
}

#[test]
fn keyset_names_that_are_paths_are_corrupt() {
    for name in
        ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\nb", "a\0b", ".hidden", "-rf", "a\"b", "a\u{85}b"]
    {
        assert!(!is_keyset_name(name), "{name:?}");
        for key in [name.to_owned(), escaped(name)] {
            let json = format!(r#"{{"key":"{key}","key_type":"tpm"}}"#);
            assert_eq!(kind_of(parse_info(json.as_bytes())), Kind::Corrupt, "{json}");
        }
    }
    assert!(!is_keyset_name(&"x".repeat(101)));
    assert!(is_keyset_name(&"x".repeat(100)));
    for name in ["snakeoil", "a b", "a.b", "caf\u{e9}", "{7d2f4904-e9a6-464b-a299-2fef7163c2f9}"] {
        assert!(is_keyset_name(name), "{name:?}");
    }
}

/// As JSON may write it: every character escaped.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[test]
fn the_path_swaps_the_bytes_of_every_pair() {
    let mut value = [0; 32];
    for (byte, i) in value.iter_mut().zip(0..) {
        *byte = i;
    }
    assert_eq!(path_of(&value), "01/0003020504070609080b0a0d0c0f0e111013121514171619181b1a1d1c1f1e");
}

#[test]
fn a_directory_without_policies_is_corrupt() {
    let dir = TempDir::new().unwrap();
    assert_eq!(kind_of(Pcr7Data::open(dir.path())), Kind::Corrupt);
    assert_eq!(kind_of(Pcr7Data::open(&dir.path().join("none"))), Kind::Corrupt);
    for name in ["policy-", "policy-x", "policy--1", "policy-99999999999", "Policy-2", "2"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    assert_eq!(kind_of(Pcr7Data::open(dir.path())), Kind::Corrupt);
}

#[test]
fn only_the_highest_version_is_read() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    assert_eq!(Pcr7Data::open(dir.path()).unwrap().find(&PCR7).unwrap().info, info("k", BootKind::Production));
    fs::create_dir(dir.path().join("policy-1")).unwrap();
    assert!(Pcr7Data::open(dir.path()).unwrap().find(&PCR7).is_ok());
    // 10 > 2, also where names are compared as text; and what it lacks is not looked for in older ones.
    fs::create_dir(dir.path().join("policy-10")).unwrap();
    assert_eq!(kind_of(Pcr7Data::open(dir.path()).unwrap().find(&PCR7)), Kind::Refused);
}

#[test]
fn other_spellings_of_a_version_are_ignored() {
    for name in ["policy-+3", "policy-003"] {
        let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
        fs::create_dir(dir.path().join(name)).unwrap();
        assert!(Pcr7Data::open(dir.path()).unwrap().find(&PCR7).is_ok(), "{name}");
    }
}

#[test]
fn a_file_named_like_a_policy_directory_is_ignored() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    fs::write(dir.path().join("policy-3"), "").unwrap();
    assert!(Pcr7Data::open(dir.path()).unwrap().find(&PCR7).is_ok());
}

#[test]
fn an_unknown_boot_is_refused_and_a_locked_one_named() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    let data = Pcr7Data::open(dir.path()).unwrap();
    let unknown = data.find(&[8; 32]).unwrap_err();
    assert_eq!(unknown.kind(), Kind::Refused);
    assert!(unknown.to_string().contains(&"08".repeat(32)), "{unknown}");
    let locked = data.find(&pcr::locked(&PCR7)).unwrap_err();
    assert_eq!(locked.kind(), Kind::Refused);
    assert!(locked.to_string().contains("already been locked"), "{locked}");
}

#[test]
fn the_running_system_is_no_boot_and_a_boot_is_not_the_running_system() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    let [locked, separated] = pcr::of_running_system(&PCR7);
    assert_eq!(locked, pcr::locked(&PCR7));
    for pcr7 in [locked, separated] {
        let json = r#"{"key":"k","key_type":"system","policy_version":"0003"}"#;
        write(&dir.path().join("policy-2").join(path_of(&pcr7)).join("info.json"), json);
    }
    let data = Pcr7Data::open(dir.path()).unwrap();
    let further = pcr::of_running_system(&separated);
    let separators = pcr::extend(&separated, &trust::digest::hash(&[pcr::OS_SEPARATOR]));
    for pcr7 in [locked, separated, further[0], further[1], separators] {
        let refused = data.find(&pcr7).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(refused.to_string().contains("already been locked"), "{refused}");
    }
    // Without its files it is corrupt, and so it was looked for.
    assert_eq!(kind_of(data.system(&locked)), Kind::Corrupt);
    assert_eq!(data.entry(&locked).unwrap().unwrap().info.policy_version, *b"0003");
    for (pcr7, why) in [(PCR7, "still that of a production boot"), (further[0], "for PCR 7 = ")] {
        let refused = data.system(&pcr7).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn unrelated_files_are_ignored() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    let policy = dir.path().join("policy-2");
    for name in ["zz", "0", "é", "07", "pubkeys", "+7", "++"] {
        fs::create_dir_all(policy.join(name).join("é".repeat(31))).unwrap();
        fs::create_dir_all(policy.join(name).join("+".repeat(62))).unwrap();
    }
    fs::write(policy.join("aa"), "a file").unwrap();
    symlink("loop", policy.join("bb")).unwrap();
    let data = Pcr7Data::open(dir.path()).unwrap();
    assert!(data.find(&PCR7).is_ok());
    assert_eq!(kind_of(data.find(&[8; 32])), Kind::Refused);
}

#[test]
fn an_entry_without_its_files_is_corrupt() {
    let dir = with_info(r#"{"key":"k","key_type":"production"}"#);
    let entry = Pcr7Data::open(dir.path()).unwrap().find(&PCR7).unwrap();
    for signer in [BootKind::Production, BootKind::Admin] {
        assert_eq!(kind_of(entry.signature(signer.into())), Kind::Corrupt);
        assert_eq!(kind_of(entry.public_key(signer.into())), Kind::Corrupt);
    }
    let policy = dir.path().join("policy-2");
    write(&policy.join("pubkeys/luks-k.pem"), "-----BEGIN PUBLIC KEY-----\n");
    assert_eq!(kind_of(entry.public_key(BootKind::Production.into())), Kind::Corrupt);
    write(&policy.join(path_of(&PCR7)).join("tpm_luks.policy.signed"), [9; 256]);
    assert_eq!(entry.signature(BootKind::Production.into()).unwrap(), [9; 256]);
    assert_eq!(kind_of(entry.signature(BootKind::Admin.into())), Kind::Corrupt);
}

#[test]
fn an_empty_entry_directory_is_ignored() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("policy-2").join(path_of(&PCR7))).unwrap();
    assert_eq!(kind_of(Pcr7Data::open(dir.path()).unwrap().find(&PCR7)), Kind::Refused);
}

#[test]
fn endless_and_oversized_files_are_corrupt() {
    let dir = with_info("");
    let data = Pcr7Data::open(dir.path()).unwrap();
    let json = dir.path().join("policy-2").join(path_of(&PCR7)).join("info.json");

    let padded = format!("{{\"key\":\"k\",\"key_type\":\"tpm\"}}{}", " ".repeat(64 * 1024));
    fs::write(&json, padded).unwrap();
    assert_eq!(kind_of(data.find(&PCR7)), Kind::Corrupt);

    fs::remove_file(&json).unwrap();
    symlink("/dev/zero", &json).unwrap();
    assert_eq!(kind_of(data.find(&PCR7)), Kind::Corrupt);

    fs::remove_file(&json).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &json, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(kind_of(data.find(&PCR7)), Kind::Corrupt);

    fs::remove_file(&json).unwrap();
    fs::create_dir(&json).unwrap();
    assert_eq!(kind_of(data.find(&PCR7)), Kind::Corrupt);
}

#[test]
fn a_policy_version_must_have_four_digits() {
    let of = |version: &str| {
        parse_info(format!(r#"{{"key":"a","key_type":"production","policy_version":{version}}}"#).as_bytes())
    };
    assert_eq!(of(r#""0042""#).unwrap().policy_version, *b"0042");
    for bad in [r#""""#, r#""1""#, r#""00001""#, r#""000x""#, r#""+001""#, "1", "[]"] {
        assert_eq!(of(bad).unwrap_err().kind(), Kind::Corrupt, "{bad}");
    }
}
