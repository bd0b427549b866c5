//! What commands and options were called before, here and in the tool before this one: scripts and images in the field say
//! it still. No help shows it.

use harness::{Home, trust_host};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// A command line in old names, and the same in those of today.
const OLD: [(&str, &str); 27] = [
    ("initkeyset --keysetname o --org O", "keyset add o --org O"),
    ("initkeyset --org O --keysetname=k", "keyset add k --org O"),
    ("--debug initkeyset --keyset-name k --Org O", "keyset add k --org O"),
    ("--passphrase-file x initkeyset --keysetname k --organization O", "--passphrase-file x keyset add k --org O"),
    ("initkeyset --keysetname k --bootkit-version 1", "keyset add k --bootkit-version 1"),
    ("initkeyset", "keyset add"),
    ("initkeyset --help", "keyset add --help"),
    ("new-uuid --keysetname k", "new-uuid k"),
    ("newuuid --keyset-name k", "new-uuid k"),
    ("newuuid --json k", "new-uuid k --json"),
    ("computePCR7 k", "compute-pcr7 k"),
    ("computePCR7 k --output out", "compute-pcr7 k -o out"),
    ("tpm-policy-gen --pcr7-tpm a --pcr7-production b", "policy digest --pcr7-tpm a --pcr7-production b"),
    (
        "tpm-policy-gen --pcr7-tpm a --pcr7-prod b --pv 0002",
        "policy digest --pcr7-tpm a --pcr7-production b --policy-version 0002",
    ),
    (
        "tpm-policy-gen --pcr7-tpm a --pcr7-prod b --pf passwd_policy.out --lf luks_policy.out",
        "policy digest --pcr7-tpm a --pcr7-production b -o .",
    ),
    (
        "tpm-policy-gen --pcr7-tpm a --pcr7-prod b --passwd-policy-file d/passwd_policy.out --luks-policy-file d/luks_policy.out",
        "policy digest --pcr7-tpm a --pcr7-production b --output d",
    ),
    (
        "keyset pcr7data k --pcr7-tpm a --pcr7-prod b --pcr7-limited c",
        "keyset pcr7data k --pcr7-tpm a --pcr7-production b --pcr7-limited c",
    ),
    (
        "keyset pcr7data k --pcr7-tpm a --pcr7-prod b --pcr7-limited c --passwdPolicy a --luksPolicy b",
        "keyset pcr7data k --pcr7-tpm a --pcr7-production b --pcr7-limited c --passwd-policy a --luks-policy b",
    ),
    ("keyset export-public k out", "keyset export-public k --output out"),
    ("enroll auth k out", "enroll auth k -o out"),
    ("enroll vars k --vars-in a --vars-out out", "enroll vars k --vars-in a --output out"),
    (
        "uki build --keyset none --kind limited --kernel a --initrd b --output c",
        "uki build none --kind limited --kernel a --initrd b -o c",
    ),
    (
        "uki build --kind limited --kernel a --keyset=k --initrd b --output c",
        "uki build k --kind limited --kernel a --initrd b -o c",
    ),
    ("initrd-setup --help", "setup --help"),
    ("preinstall --help", "preinit --help"),
    ("extend-pcr7 --help", "lock --help"),
    ("extend-pcr7 --frobnicate", "lock --frobnicate"),
];

/// The files below `dir`, but for times and what is random: with contents where they are digests.
fn files(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let names = harness::tree(dir).into_iter().map(|line| line.rsplit_once(' ').expect("a mode").0.to_owned());
    let content = |name: &str| name.ends_with(".out").then(|| fs::read(dir.join(name)).expect("a file"));
    // UUIDs and keys are others each time.
    names
        .filter(|name| !name.contains("manifest/") && !name.contains("/o/pcr7data/"))
        .map(|name| (name.clone(), content(&name)))
        .collect()
}

#[test]
fn old_names_do_the_same_as_new_ones() {
    let keyset = Home::with_keyset();
    for (name, byte) in [("a", 1), ("b", 2), ("c", 3)] {
        fs::write(keyset.path().join(name), [byte; 32]).expect("a file");
    }
    fs::create_dir(keyset.path().join("d")).expect("a directory");
    for (old, new) in OLD {
        let done = |line: &str| {
            let home = keyset.copy();
            let output = home.output(&line.split(' ').collect::<Vec<_>>());
            let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
            let told = told.map(|text| text.replace(home.path().to_str().expect("UTF-8"), "HOME"));
            // What is random and how long it took is no difference.
            let told = told.map(|text| if line.contains("uuid") { String::new() } else { text });
            (output.status.code(), told, files(home.path()))
        };
        let (was, is) = (done(old), done(new));
        assert_eq!(was, is, "{old}");
        let wrong = was.1.iter().any(|text| text.contains("unexpected argument"));
        assert!(!wrong, "{old}: {was:?}");
    }
}

#[test]
fn old_names_are_in_no_help() {
    let trust = |args: &[&str]| {
        let output = Command::new(trust_host()).args(args).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let mut shown = trust(&["--help"]);
    for command in [
        &["keyset", "add"][..],
        &["keyset", "pcr7data"],
        &["keyset", "export-public"],
        &["new-uuid"],
        &["compute-pcr7"],
        &["policy", "digest"],
        &["enroll", "vars"],
        &["enroll", "auth"],
        &["uki", "build"],
    ] {
        shown += &trust(&[command, &["--help"]].concat());
        shown += &trust(&[&["man"], command].concat()).replace("\\-", "-");
    }
    assert!(shown.contains("--policy-version"), "the search misses what is there");
    for old in [
        "initkeyset",
        "computePCR7",
        "tpm-policy-gen",
        "newuuid",
        "--keysetname",
        "--keyset-name",
        "--bootkit-version",
        "--passwdPolicy",
        "--luksPolicy",
        "--pcr7-prod ",
        "--vars-out",
        "--pf",
        "--lf",
        "--pv",
        "--luks-policy-file",
        "--Org",
        "--organization",
        "--debug",
        "--keyset ",
    ] {
        assert!(!shown.contains(old), "{old} is shown");
    }
}
