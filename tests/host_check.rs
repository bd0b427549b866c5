//! `trust keyset check`: every damage is found, named and has a remedy; what is sound is left alone.

use harness::{Boot, Digest, Home, openssl, run, running_system};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// A keyset `k` with a machine `SN1` and signed policies; a copy of one that is made once.
fn home() -> (Home, PathBuf) {
    static MADE: OnceLock<Home> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let home = Home::with_keyset();
        home.ok(&["sudi", "add", "k", "default", "SN1"]);
        for boot in [Boot::Production, Boot::Limited, Boot::Tpm] {
            fs::write(home.path().join(boot.name()), boot.pcr7()).unwrap();
        }
        fs::remove_dir_all(home.keys().join("k/pcr7data")).unwrap();
        let values = ["--pcr7-tpm", "tpm", "--pcr7-production", "production", "--pcr7-limited", "limited"];
        home.ok(&[&["keyset", "pcr7data", "k"][..], &values].concat());
        home
    });
    let home = made.copy();
    let keyset = home.keys().join("k");
    (home, keyset)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The exit status and the findings: severity, path and what.
fn findings(home: &Home) -> (i32, Vec<[String; 3]>) {
    let output = home.output(&["keyset", "check", "k", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = report["findings"].as_array().unwrap().iter().map(|finding| {
        let part = |name: &str| finding[name].as_str().unwrap().to_owned();
        assert!(part("severity") == "note" || !part("remedy").is_empty(), "{finding}");
        [part("severity"), part("path"), part("what")]
    });
    let list: Vec<_> = list.collect();
    let count = |severity: &str| list.iter().filter(|finding| finding[0] == severity).count();
    assert_eq!(report["errors"], count("error"));
    assert_eq!(report["warnings"], count("warning"));
    let status = output.status.code().unwrap();
    assert_eq!(status, if count("error") > 0 { 14 } else { 0 }, "{list:?}");
    let ranks = ["error", "warning", "note"].map(String::from);
    assert!(list.is_sorted_by_key(|finding| ranks.iter().position(|rank| *rank == finding[0])), "{list:?}");
    (status, list)
}

/// There is one finding, and it is this.
#[track_caller]
fn one(home: &Home, severity: &str, path: &str, what: &str) {
    let (_, list) = findings(home);
    assert_eq!(list.len(), 1, "{list:#?}");
    assert!(list[0][0] == severity && list[0][1] == path && list[0][2].contains(what), "{list:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Signs a certificate in the keyset anew with openssl; `ca` is a directory, or nothing for itself.
fn certify(keyset: &Path, dir: &str, ca: Option<&str>, subject: &str, more: &[&str]) {
    let cert = keyset.join(dir).join("cert.pem");
    let key = keyset.join(dir).join("privkey.pem");
    let mut args = vec!["req", "-x509", "-utf8", "-key", text(&key), "-subj", subject, "-out", text(&cert)];
    let paths = ca.map(|ca| (keyset.join(ca).join("cert.pem"), keyset.join(ca).join("privkey.pem")));
    if let Some((ca, key)) = &paths {
        args.extend(["-CA", text(ca), "-CAkey", text(key)]);
    }
    openssl(&[&args[..], more].concat());
}

/// Signs a certificate with dates, which only `openssl ca` of older versions can.
fn certify_for(keyset: &Path, dir: &str, [from, until]: [&str; 2]) {
    let scratch = tempfile::TempDir::new().unwrap();
    let file = |name: &str, contents: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (index, request, key) = (file("index", ""), file("request", ""), keyset.join(dir).join("privkey.pem"));
    let config = format!(
        "[ca]\ndefault_ca=a\n[a]\ndatabase={index}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n\
        x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=critical,CA:FALSE\n\
        keyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n",
        scratch.path().display()
    );
    let config = file("config", &config);
    openssl(&["req", "-new", "-key", text(&key), "-subj", "/CN=db", "-out", &request]);
    let cert = keyset.join(dir).join("cert.pem");
    let sign = ["ca", "-batch", "-notext", "-selfsign", "-config", &config, "-keyfile", text(&key), "-in", &request];
    openssl(&[&sign[..], &["-startdate", from, "-enddate", until, "-out", text(&cert)]].concat());
}

const LEAF: [&str; 2] = ["-addext", "basicConstraints=critical,CA:FALSE"];

#[test]
fn a_sound_keyset_has_no_findings() {
    let (home, _) = home();
    assert_eq!(home.ok(&["keyset", "check", "k"]), "k: no errors, no warnings\n");
    assert_eq!(findings(&home), (0, vec![]));
}

#[test]
fn a_fresh_keyset_has_no_findings() {
    assert_eq!(findings(&Home::with_keyset()), (0, vec![]));
}

#[test]
fn a_keyset_without_pcr7data_is_an_error() {
    let (home, keyset) = home();
    fs::remove_dir_all(keyset.join("pcr7data")).unwrap();
    one(&home, "error", "pcr7data", "is missing");
    fs::create_dir(keyset.join("pcr7data")).unwrap();
    set_mode(&keyset.join("pcr7data"), 0o700);
    one(&home, "error", "pcr7data", "policy-N");
}

#[test]
fn missing_files_are_errors() {
    let (whole, keyset) = home();
    let files = run("find", &[text(&keyset), "-type", "f"]);
    for file in files.lines() {
        let path = Path::new(file).strip_prefix(&keyset).unwrap();
        let home = whole.copy();
        fs::remove_file(home.keys().join("k").join(path)).unwrap();
        let (status, list) = findings(&home);
        let is_of = |pcr7: &Digest| path.parent().unwrap().ends_with(trust::policy::pcr7data::path_of(pcr7));
        let limited = is_of(&Boot::Limited.pcr7());
        let system = running_system(&Boot::Production.pcr7()).iter().any(is_of);
        let expected = match path.file_name().unwrap().to_str().unwrap() {
            // It may be kept elsewhere.
            "privkey.pem" => 0,
            // Then there is no value, and naming it is an error.
            "info.json" if limited || system => 0,
            _ => 14,
        };
        assert_eq!(status, expected, "{path:?} {list:?}");
        let near = |finding: &[String; 3]| Path::new(&finding[1]).starts_with(path.parent().unwrap().parent().unwrap());
        assert!(list.iter().any(near), "{path:?}: {list:?}");
    }
    for dir in run("find", &[text(&keyset), "-mindepth", "1", "-type", "d"]).lines() {
        let path = Path::new(dir).strip_prefix(&keyset).unwrap();
        let home = whole.copy();
        fs::remove_dir_all(home.keys().join("k").join(path)).unwrap();
        // A machine, or all of them, or a project, may well be gone.
        let gone = path.starts_with("manifest/default");
        assert_eq!(findings(&home).1.is_empty(), gone, "{path:?}");
    }
}

#[test]
fn an_incomplete_keyset_is_checked_to_the_end() {
    let (home, keyset) = home();
    for dir in ["manifest-ca", "sudi-ca", "uefi-pk", "uefi-db", "tpmpol-luks"] {
        fs::remove_dir_all(keyset.join(dir)).unwrap();
    }
    fs::write(keyset.join("uki-tpm/cert.pem"), "").unwrap();
    set_mode(&keyset.join("tpmpol-admin/privkey.pem"), 0o644);
    let (status, list) = findings(&home);
    assert_eq!(status, 14);
    for (severity, path, what) in [
        ("error", "manifest-ca", "is missing: 1 certificate from it not compared with it"),
        ("error", "sudi-ca", "is missing: 1 certificate from it not compared with it"),
        ("error", "uefi-pk", "is missing: 1 certificate from it not compared with it"),
        ("error", "uefi-db", "is missing"),
        ("error", "tpmpol-luks", "is missing"),
        ("error", "uki-tpm/cert.pem", "cannot read a certificate"),
        ("error", "tpmpol-admin/privkey.pem", "mode 0644"),
    ] {
        let is_it = |finding: &&[String; 3]| finding[0] == severity && finding[1] == path && finding[2].contains(what);
        assert_eq!(list.iter().filter(is_it).count(), 1, "{path}: {what}: {list:#?}");
    }
    assert_eq!(list.len(), 7, "{list:#?}");
    // The text says the same, a line each, with remedies.
    let output = home.output(&["keyset", "check", "k"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().all(|line| line.contains("; ")), "{lines}");
    assert_eq!(lines.lines().count(), 7);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("7 errors, no warnings"), "{complaint}");
}

/// A hundred machines, and a cause that all of them share.
#[test]
fn one_cause_is_one_finding() {
    let (home, keyset) = home();
    home.ok(&["sudi", "add", "k", "default", "--count", "100"]);
    let sound = fs::read(keyset.join("sudi-ca/cert.pem")).unwrap();
    fs::remove_file(keyset.join("sudi-ca/cert.pem")).unwrap();
    one(&home, "error", "sudi-ca/cert.pem", "is missing: 101 certificates from it not compared with it");
    fs::write(keyset.join("sudi-ca/cert.pem"), "nonsense").unwrap();
    set_mode(&keyset.join("sudi-ca/cert.pem"), 0o640);
    one(&home, "error", "sudi-ca/cert.pem", ": 101 certificates from it not compared with it");
    // Another authority in its place, with its own key: what it has not signed is named once.
    fs::write(keyset.join("sudi-ca/cert.pem"), &sound).unwrap();
    let manifest = fs::read(keyset.join("manifest-ca/privkey.pem")).unwrap();
    let key = fs::read(keyset.join("sudi-ca/privkey.pem")).unwrap();
    fs::copy(keyset.join("manifest-ca/cert.pem"), keyset.join("sudi-ca/cert.pem")).unwrap();
    fs::write(keyset.join("sudi-ca/privkey.pem"), manifest).unwrap();
    let (_, list) = findings(&home);
    assert_eq!(list.len(), 2, "{list:#?}");
    let printed = home.output(&["keyset", "check", "k"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("was not signed by sudi-ca (and so 100 more); "), "{printed}");
    fs::write(keyset.join("sudi-ca/cert.pem"), sound).unwrap();
    fs::write(keyset.join("sudi-ca/privkey.pem"), key).unwrap();
    // A product that has another number now: the manifest's certificate, and the machines'.
    let uuid = fs::read(keyset.join("manifest/default/uuid")).unwrap();
    fs::write(keyset.join("manifest/default/uuid"), "11111111-2222-4333-8444-555555555555").unwrap();
    assert_eq!(findings(&home).1.len(), 2);
    let report: Value = serde_json::from_slice(&home.output(&["keyset", "check", "k", "--json"]).stdout).unwrap();
    assert_eq!(report["findings"][1]["also"].as_array().unwrap().len(), 100);
    fs::write(keyset.join("manifest/default/uuid"), uuid).unwrap();
    // And one public key that all values ask for.
    fs::remove_file(keyset.join("pcr7data/policy-2/pubkeys/luks-k.pem")).unwrap();
    let (_, list) = findings(&home);
    let missing = list.iter().filter(|finding| finding[1].ends_with("pubkeys/luks-k.pem"));
    assert_eq!(missing.count(), 1, "{list:#?}");
}

#[test]
fn a_misspelled_name_is_answered_with_the_nearest() {
    let (home, keyset) = home();
    let said = |name: &str| {
        let output = home.output(&["keyset", "check", name]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("K").contains("; use k if that is what you mean; `trust keyset list` shows all"), "{}", said("K"));
    let other = said("router");
    assert!(
        other.contains("; use one of those that `trust keyset list` shows, or create it with `trust keyset add"),
        "{other}"
    );
    assert_eq!(home.ok(&["keyset", "list"]).trim(), "k");
    fs::remove_dir_all(keyset).unwrap();
    let none = said("router");
    assert!(none.contains("; create it with `trust keyset add router`"), "{none}");
    home.ok(&["keyset", "add", "router"]);
    home.ok(&["keyset", "check", "router"]);
}

#[test]
fn files_accessible_to_others_are_errors() {
    let (home, keyset) = home();
    let key = keyset.join("uefi-pk/privkey.pem");
    for mode in [0o640, 0o604, 0o660, 0o601] {
        set_mode(&key, mode);
        one(&home, "error", "uefi-pk/privkey.pem", &format!("mode {mode:04o}"));
    }
    set_mode(&key, 0o400);
    assert_eq!(findings(&home), (0, vec![]));
    set_mode(&keyset.join("uefi-db/cert.pem"), 0o660);
    one(&home, "error", "uefi-db/cert.pem", "writable by others");
    set_mode(&keyset.join("uefi-db/cert.pem"), 0o644);
    one(&home, "warning", "uefi-db/cert.pem", "others can read it:");
    set_mode(&keyset.join("uefi-db"), 0o750);
    set_mode(&keyset, 0o755);
    one(&home, "warning", "", "others can read it, and 2 more");
    let remedy = home.ok(&["keyset", "check", "k"]);
    let remedy = remedy.lines().next().unwrap().rsplit_once("; ").unwrap().1;
    run("sh", &["-c", remedy]);
    assert_eq!(findings(&home), (0, vec![]));
    set_mode(&keyset.join("manifest/default/sudi"), 0o770);
    one(&home, "error", "manifest/default/sudi", "writable by others");
}

#[test]
fn files_of_another_owner_are_errors() {
    let (home, keyset) = home();
    run("chown", &["4711", text(&keyset.join("uki-tpm/cert.pem"))]);
    one(&home, "error", "uki-tpm/cert.pem", "uid 4711");
}

#[test]
fn unexpected_files_are_named() {
    let (home, keyset) = home();
    fs::write(keyset.join("notes"), "").unwrap();
    fs::create_dir_all(keyset.join(".git/objects")).unwrap();
    fs::create_dir(keyset.join("manifest/default/sudi/.new-1")).unwrap();
    fs::rename(keyset.join("uefi-db/guid"), keyset.join("uefi-db/id")).unwrap();
    symlink("id", keyset.join("uefi-db/guid")).unwrap();
    fs::copy(keyset.join("uefi-db/privkey.pem"), keyset.join("uefi-db/privkey.pem~")).unwrap();
    run("mkfifo", &[text(&keyset.join("pcr7data/pipe"))]);
    let (status, list) = findings(&home);
    let found: Vec<_> = list.iter().map(|finding| (finding[0].as_str(), finding[1].as_str())).collect();
    assert_eq!(status, 14);
    assert_eq!(
        found,
        [
            ("error", "uefi-db/privkey.pem~"),
            ("warning", ".git"),
            ("warning", "manifest/default/sudi/.new-1"),
            ("warning", "notes"),
            ("warning", "pcr7data/pipe"),
            ("warning", "uefi-db/guid"),
            ("warning", "uefi-db/id"),
        ],
        "{list:#?}"
    );
}

#[test]
fn control_characters_in_file_names_are_not_printed() {
    let (home, keyset) = home();
    fs::write(keyset.join("a\n\u{1b}[2Jerror"), "").unwrap();
    let printed = home.ok(&["keyset", "check", "k"]);
    assert!(!printed.contains('\u{1b}') && printed.lines().count() == 2, "{printed:?}");
}

#[test]
fn keys_that_do_not_match_their_certificates_are_errors() {
    let (home, keyset) = home();
    for dir in ["uefi-db", "manifest/default", "manifest/default/sudi/SN1"] {
        let key = keyset.join(dir).join("privkey.pem");
        let sound = fs::read(&key).unwrap();
        fs::copy(keyset.join("uefi-pk/privkey.pem"), &key).unwrap();
        one(&home, "error", text(&Path::new(dir).join("privkey.pem")), "not the key of the certificate");
        fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n").unwrap();
        one(&home, "error", text(&Path::new(dir).join("privkey.pem")), "");
        fs::write(&key, sound).unwrap();
    }
    assert_eq!(findings(&home), (0, vec![]));
}

#[test]
fn certificates_of_another_issuer_are_errors() {
    let (home, keyset) = home();
    // By a stranger with the same name.
    let product = fs::read_to_string(keyset.join("manifest/default/uuid")).unwrap();
    let subject = |dir: &str| {
        let cert = keyset.join(dir).join("cert.pem");
        let subject = openssl(&["x509", "-in", text(&cert), "-noout", "-subject", "-nameopt", "compat"]);
        subject.trim_end().trim_start_matches("subject=").to_owned()
    };
    let stranger = keyset.join("uefi-db");
    let authority = subject("manifest-ca");
    let sound = fs::read(stranger.join("cert.pem")).unwrap();
    certify(&keyset, "uefi-db", None, &authority, &["-days", "3650"]);
    let manifest = keyset.join("manifest/default/cert.pem");
    let good = fs::read(&manifest).unwrap();
    let usage =
        [&LEAF[..], &["-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=codeSigning"]].concat();
    let usage = [&usage[..], &["-days", "3650"]].concat();
    certify(&keyset, "manifest/default", Some("uefi-db"), &format!("/CN=manifest PRODUCT:{product}"), &usage);
    fs::write(stranger.join("cert.pem"), sound).unwrap();
    one(&home, "error", "manifest/default/cert.pem", "was not signed by manifest-ca");

    // With a broken signature.
    let broken = |path: &Path, der: &mut Vec<u8>| {
        *der.last_mut().unwrap() ^= 1;
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &*der).unwrap();
        openssl(&["x509", "-inform", "DER", "-in", text(file.path()), "-out", text(path)]);
    };
    fs::write(&manifest, &good).unwrap();
    for (dir, by) in [("manifest/default", "manifest-ca"), ("uefi-kek", "uefi-pk"), ("uki-tpm", "its own key")] {
        let cert = keyset.join(dir).join("cert.pem");
        let sound = fs::read(&cert).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        openssl(&["x509", "-in", text(&cert), "-outform", "DER", "-out", text(file.path())]);
        broken(&cert, &mut fs::read(file.path()).unwrap());
        one(&home, "error", text(&Path::new(dir).join("cert.pem")), &format!("was not signed by {by}"));
        fs::write(&cert, sound).unwrap();
    }
    assert_eq!(findings(&home), (0, vec![]));
}

#[test]
fn certificates_near_or_beyond_their_validity_are_named() {
    let (home, keyset) = home();
    let usage = ["-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=codeSigning"];
    let with = |dates: &[&str]| {
        certify(&keyset, "uefi-db", None, "/CN=db", &[&LEAF[..], &usage, dates].concat());
        findings(&home).1
    };
    let list = with(&["-days", "3650"]);
    assert!(list.is_empty(), "{list:?}");
    let list = with(&["-days", "89"]);
    assert!(list.len() == 1 && list[0][0] == "warning" && list[0][2].contains("expires soon"), "{list:?}");
    let list = with(&["-days", "91"]);
    assert!(list.is_empty(), "{list:?}");
    certify_for(&keyset, "uefi-db", ["20200101000000Z", "20210101000000Z"]);
    let list = findings(&home).1;
    assert!(list.len() == 1 && list[0][0] == "error" && list[0][2].contains("has expired"), "{list:?}");
    certify_for(&keyset, "uefi-db", ["20900101000000Z", "20910101000000Z"]);
    let list = findings(&home).1;
    assert!(list.len() == 1 && list[0][0] == "warning" && list[0][2].contains("not valid before"), "{list:?}");
}

#[test]
fn certificates_with_wrong_subjects_or_usages_are_named() {
    let (home, keyset) = home();
    let machine = "manifest/default/sudi/SN1";
    let product = fs::read_to_string(keyset.join("manifest/default/uuid")).unwrap();
    let name = format!("/serialNumber=PID:{product} SN:SN1/CN=SN1");
    let usage = "keyUsage=digitalSignature,keyEncipherment,dataEncipherment";
    let both = "extendedKeyUsage=serverAuth,clientAuth";
    let days = ["-days", "3650"];
    let with = |subject: &str, extensions: &[&str]| {
        let extensions: Vec<_> = extensions.iter().flat_map(|extension| ["-addext", extension]).collect();
        certify(&keyset, machine, Some("sudi-ca"), subject, &[&days[..], &extensions].concat());
        findings(&home).1
    };
    let leaf = "basicConstraints=critical,CA:FALSE";
    assert!(with(&name, &[leaf, usage, both]).is_empty());
    for (extensions, what) in [
        (&["basicConstraints=CA:TRUE", usage, both][..], "may issue certificates"),
        (&[leaf, "keyUsage=digitalSignature,keyEncipherment", both], "keyUsage lacks dataEncipherment"),
        (&[leaf, usage, "extendedKeyUsage=serverAuth"], "extendedKeyUsage lacks clientAuth"),
        (&[leaf, usage], "has no extendedKeyUsage"),
        (&[leaf, both], "has no keyUsage"),
    ] {
        let list = with(&name, extensions);
        assert!(list.len() == 1 && list[0][0] == "error" && list[0][2].contains(what), "{what}: {list:?}");
    }
    for subject in ["/CN=SN2".to_owned(), format!("/serialNumber=PID:{product} SN:SN2/CN=SN1"), "/CN=SN1".to_owned()] {
        let list = with(&subject, &[leaf, usage, both]);
        assert!(list.len() == 1 && list[0][0] == "error" && list[0][2].contains("another machine"), "{list:?}");
    }
    assert!(with(&name, &[leaf, usage, both]).is_empty());
    // An authority that may not issue is an error; a firmware does not mind.
    certify(&keyset, "uefi-db", None, "/CN=db", &["-days", "3650"]);
    one(&home, "warning", "uefi-db/cert.pem", "may issue certificates, which it need not");
}

#[test]
fn duplicate_and_malformed_guids_are_named() {
    let (home, keyset) = home();
    let guid = keyset.join("uefi-kek/guid");
    let sound = fs::read(&guid).unwrap();
    fs::copy(keyset.join("uefi-pk/guid"), &guid).unwrap();
    one(&home, "warning", "uefi-kek/guid", "the GUID of uefi-pk too");
    fs::write(&guid, "12345").unwrap();
    one(&home, "error", "uefi-kek/guid", "holds no GUID");
    fs::write(&guid, [&sound[..], b"\n"].concat()).unwrap();
    assert_eq!(findings(&home), (0, vec![]));
    fs::write(keyset.join("manifest/default/uuid"), "11111111-2222-4333-8444-555555555555").unwrap();
    let (_, list) = findings(&home);
    let paths: Vec<_> = list.iter().map(|finding| finding[1].as_str()).collect();
    assert_eq!(paths, ["manifest/default/cert.pem", "manifest/default/sudi/SN1/cert.pem"], "{list:?}");
}

#[test]
fn policies_of_the_running_system_are_there_and_of_the_boots_version() {
    let (home, keyset) = home();
    let entries = running_system(&Boot::Production.pcr7()).map(|pcr7| {
        let path = format!("pcr7data/policy-2/{}", trust::policy::pcr7data::path_of(&pcr7));
        (keyset.join(&path), path)
    });
    let [(locked, in_locked), (separated, in_separated)] = &entries;
    let signature = separated.join("tpm_system.policy.signed");
    fs::copy(locked.join("tpm_system.policy.signed"), &signature).unwrap();
    one(&home, "error", &format!("{in_separated}/tpm_system.policy.signed"), "not a signature of the policy");
    home.ok(&[
        "keyset",
        "pcr7data",
        "k",
        "--pcr7-tpm",
        "tpm",
        "--pcr7-production",
        "production",
        "--pcr7-limited",
        "limited",
    ]);
    assert_eq!(findings(&home), (0, vec![]));

    let info = locked.join("info.json");
    let sound = fs::read_to_string(&info).unwrap();
    fs::write(&info, sound.replace("\"0001\"", "\"0002\"")).unwrap();
    let (status, list) = findings(&home);
    assert_eq!((status, list.len()), (14, 2), "{list:?}");
    assert!(list.iter().any(|finding| finding[1] == format!("{in_locked}/info.json")), "{list:?}");
    fs::write(&info, sound.replace("system", "limited")).unwrap();
    assert!(findings(&home).1.iter().any(|finding| finding[2].contains("is what a production boot leaves")));

    fs::remove_dir_all(locked).unwrap();
    let (status, list) = findings(&home);
    let in_production = format!("pcr7data/policy-2/{}", trust::policy::pcr7data::path_of(&Boot::Production.pcr7()));
    assert_eq!((status, list.len()), (0, 1), "{list:?}");
    assert_eq!((list[0][0].as_str(), &list[0][1]), ("warning", &in_production), "{list:?}");
    home.ok(&[
        "keyset",
        "pcr7data",
        "k",
        "--pcr7-tpm",
        "tpm",
        "--pcr7-production",
        "production",
        "--pcr7-limited",
        "limited",
    ]);
    assert_eq!(findings(&home), (0, vec![]));
}

#[test]
fn policies_that_a_target_would_refuse_are_errors() {
    let (home, keyset) = home();
    let data = keyset.join("pcr7data/policy-2");
    let entry = |boot: Boot| {
        let path = trust::policy::pcr7data::path_of(&boot.pcr7());
        (data.join(&path), format!("pcr7data/policy-2/{path}"))
    };
    let with = |file: &Path, contents: &[u8]| {
        let sound = fs::read(file).unwrap();
        fs::write(file, contents).unwrap();
        let list = findings(&home).1;
        fs::write(file, sound).unwrap();
        list
    };
    let ((production, in_production), (tpm, in_tpm), (limited, in_limited)) =
        (entry(Boot::Production), entry(Boot::Tpm), entry(Boot::Limited));
    let luks = production.join("tpm_luks.policy.signed");
    let passwd = tpm.join("tpm_passwd.policy.signed");
    for (file, path, contents) in [
        (&luks, &in_production, fs::read(&passwd).unwrap()),
        (&passwd, &in_tpm, fs::read(&luks).unwrap()),
        (&luks, &in_production, Vec::new()),
        (&luks, &in_production, vec![0; 256]),
    ] {
        let list = with(file, &contents);
        assert!(list.len() == 1 && list[0][0] == "error" && list[0][1].starts_with(path.as_str()), "{list:?}");
        assert!(list[0][2].contains("not a signature of the policy of this PCR 7 value"), "{list:?}");
    }
    // The version is part of what is signed.
    let info = production.join("info.json");
    let other = fs::read_to_string(&info).unwrap().replace("\"0001\"", "\"0002\"");
    let list = with(&info, other.as_bytes());
    assert!(list.len() == 1 && list[0][2].contains("policy version 0002"), "{list:?}");
    for contents in ["", "{", "{\"key\":\"../k\",\"key_type\":\"production\"}"] {
        let list = with(&info, contents.as_bytes());
        assert!(list.iter().any(|finding| finding[1] == format!("{in_production}/info.json")), "{list:?}");
    }
    for (file, value, what) in [
        ("pcr_limited.bin", Boot::Tpm.pcr7(), "not the value of this entry"),
        ("pcr_tpm.bin", Boot::Production.pcr7(), "no entry of kind tpm"),
        ("pcr_prod.bin", [7; 32], "no entry of kind production"),
    ] {
        let list = with(&limited.join(file), &value);
        assert!(list.len() == 1 && list[0][1] == format!("{in_limited}/{file}"), "{list:?}");
        assert!(list[0][2].contains(what), "{list:?}");
    }
    let list = with(&limited.join("pcr_tpm.bin"), &[1; 31]);
    assert!(list.len() == 1 && list[0][2].contains("32 bytes"), "{list:?}");
    // A foreign public key.
    let foreign = openssl(&["x509", "-in", text(&keyset.join("uefi-db/cert.pem")), "-noout", "-pubkey"]);
    let list = with(&data.join("pubkeys/luks-k.pem"), foreign.as_bytes());
    let whats: Vec<_> = list.iter().map(|finding| finding[2].as_str()).collect();
    assert!(whats.iter().any(|what| what.contains("not the public key of tpmpol-luks")), "{list:?}");
    assert!(whats.iter().any(|what| what.contains("a TPM refuses it")), "{list:?}");
    // Unfinished.
    fs::remove_file(tpm.join("info.json")).unwrap();
    let (_, list) = findings(&home);
    assert!(list.iter().any(|finding| finding[0] == "warning" && finding[2].contains("not finished")), "{list:?}");
}

/// Each finding says what to do; done, the keyset is sound again.
#[test]
fn remedies_of_findings_help() {
    let (made, _) = home();
    let values = "trust keyset pcr7data k --pcr7-tpm tpm --pcr7-production production --pcr7-limited limited";
    let entry = format!("pcr7data/policy-2/{}", trust::policy::pcr7data::path_of(&Boot::Production.pcr7()));
    let limited = format!("pcr7data/policy-2/{}", trust::policy::pcr7data::path_of(&Boot::Limited.pcr7()));
    for (damage, remedy, follow) in [
        ("rm -r pcr7data", "or sign it anew: trust keyset pcr7data k", values),
        ("rm -r pcr7data/*", "or sign it anew: trust keyset pcr7data k", values),
        ("head --bytes 256 /dev/zero >$E/tpm_luks.policy.signed", "sign it again with `trust keyset pcr7data`", values),
        ("rm $E/info.json $L/info.json", "remove it, or add the value again with `trust keyset pcr7data`", values),
        ("cp $L/pcr_prod.bin $L/pcr_tpm.bin", "add the three values again with `trust keyset pcr7data`", values),
        ("rm pcr7data/policy-2/pubkeys/luks-k.pem", "writes it with the next values", values),
        ("rm -r pcr7data/policy-2/??", "add them with `trust keyset pcr7data k`", values),
        (
            "trust sudi pin-tpm k >/dev/null; cp uefi-db/cert.pem pcr7data/policy-2/authorities/k.pem",
            "`trust sudi pin-tpm k` puts that there",
            "trust sudi pin-tpm k",
        ),
        (
            "mv manifest/default/sudi/SN1 manifest/default/sudi/SN2",
            "remove the machine's directory, and add the machine again: trust sudi add",
            "rm -r $K/manifest/default/sudi/SN2; trust sudi add k default SN2",
        ),
        ("echo >notes", "move it elsewhere if you know it", "mv $K/notes ."),
        ("cp uefi-db/privkey.pem copy.pem", "remove it, or move it to where it is kept safe", "mv $K/copy.pem ."),
        ("mkdir manifest/default/sudi/.new-1", "remove it", "rm -r $K/manifest/default/sudi/.new-1"),
        ("mv uefi-db/guid g; ln -s $K/g uefi-db/guid", "put what it points to in its place", "mv $K/g $K/uefi-db/guid"),
        (
            "cp uefi-db/guid uefi-pk/guid",
            "give each its own, unless this is meant",
            "cat /proc/sys/kernel/random/uuid >$K/uefi-pk/guid",
        ),
    ] {
        let home = made.copy();
        let run = |script: &str| {
            let prepare = format!(
                "K={}; E=$K/{entry} L=$K/{limited}\ntrust() {{ \"$TRUST\" \"$@\"; }}",
                home.keys().join("k").display()
            );
            let mut command = std::process::Command::new("bash");
            command.args(["-euc", &format!("umask 077\n{prepare}\n{script}")]).current_dir(home.path());
            command.env("HOME", home.path()).env("TRUST", harness::trust_host()).env_remove("XDG_DATA_HOME");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{script}: {output:?}");
        };
        run(&format!("cd $K; {damage}"));
        let said = home.output(&["keyset", "check", "k"]);
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains(remedy), "{damage}: {said}");
        run(follow);
        let after = home.output(&["keyset", "check", "k"]);
        assert_eq!(String::from_utf8(after.stdout).unwrap(), "k: no errors, no warnings\n", "{damage}: {follow}");
    }
}

#[test]
fn without_private_keys_the_rest_is_checked() {
    let (home, keyset) = home();
    let machine = keyset.join("manifest/default/sudi/SN1/privkey.pem");
    fs::remove_file(machine).unwrap();
    one(&home, "note", "manifest/default/sudi", "1 machine without private key");
    fs::remove_file(keyset.join("uefi-pk/privkey.pem")).unwrap();
    let (status, list) = findings(&home);
    assert!(status == 0 && list.len() == 2, "{list:?}");
    assert_eq!(list[0][..2], ["warning".to_owned(), "uefi-pk/privkey.pem".to_owned()]);
    run("find", &[text(&keyset), "-name", "privkey.pem", "-delete"]);
    let (status, list) = findings(&home);
    assert!(status == 0 && list.len() == 2 && list.iter().all(|finding| finding[0] == "note"), "{list:?}");
    fs::copy(keyset.join("uki-production/cert.pem"), keyset.join("uki-limited/cert.pem")).unwrap();
    let (status, list) = findings(&home);
    assert!(status == 14 && list[0][2].contains("has the same key as uki-"), "{list:?}");
}

#[test]
fn keys_in_tokens_are_counted_and_not_opened() {
    let (home, keyset) = home();
    // Nothing that could be asked for a PIN is opened.
    let pem = |der: &str| format!("-----BEGIN PKCS#11 PROVIDER URI-----\n{der}\n-----END PKCS#11 PROVIDER URI-----\n");
    // `pkcs11:object=a`
    let uri = "MCwaGVBLQ1MjMTEgUHJvdmlkZXIgVVJJIHYxLjAMD3BrY3MxMTpvYmplY3Q9YQ==";
    fs::write(keyset.join("uefi-pk/privkey.pem"), pem("MEEaHFBLQ1MjMTE=")).unwrap();
    assert!(findings(&home).1.iter().any(|finding| finding[..2] == ["error", "uefi-pk/privkey.pem"]));
    fs::write(keyset.join("uefi-pk/privkey.pem"), pem(uri)).unwrap();
    one(&home, "note", "", "1 private key in tokens");
    let shown = home.ok(&["keyset", "show", "k"]);
    assert!(shown.lines().any(|line| line.contains("uefi-pk") && line.contains("in a token")), "{shown}");
}
