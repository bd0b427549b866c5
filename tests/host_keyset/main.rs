//! Keysets, projects and machines as `trust` makes them, looked at with the openssl command and the shell.

mod interruptions;

use harness::{Home, ROLES, hex, openssl, running_system, tree, trust_host, unhex};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use tempfile::TempDir;
use uuid_text::is_random_uuid;

/// A keyset that tests only look at.
fn sample() -> (&'static Home, PathBuf) {
    static HOME: OnceLock<Home> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let home = Home::new();
        let printed = home.ok(&["keyset", "add", "acme", "--org", "Acme Ltd", "--org", "Zoé & Söhne"]);
        assert_eq!(printed.trim_end(), home.keys().join("acme").to_str().unwrap());
        home.ok(&["sudi", "add", "acme", "default", "SN_0042"]);
        home
    });
    (home, home.keys().join("acme"))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `openssl x509 -text` without line breaks and indentation.
fn certificate(dir: &Path) -> String {
    let cert = dir.join("cert.pem");
    let options = ["-nameopt", "RFC2253,-esc_msb,utf8", "-certopt", "no_pubkey,no_sigdump"];
    let shown = openssl(&[&["x509", "-in", text(&cert), "-noout", "-text"][..], &options].concat());
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn verifies(ca: &Path, dir: &Path) -> bool {
    let (ca, cert) = (ca.join("cert.pem"), dir.join("cert.pem"));
    let verify = ["verify", "-x509_strict", "-no-CApath", "-CAfile", text(&ca), text(&cert)];
    Command::new("openssl").args(verify).output().unwrap().status.success()
}

/// The year of the end of a certificate's validity, and the rest of it.
fn not_after(dir: &Path) -> (i32, String) {
    let cert = dir.join("cert.pem");
    let printed = openssl(&["x509", "-in", text(&cert), "-noout", "-enddate"]);
    // notAfter=Dec 31 23:00:00 2099 GMT
    let words: Vec<_> = printed.trim_end().trim_start_matches("notAfter=").split_whitespace().collect();
    (words[3].parse().unwrap(), [words[0], words[1], words[2]].join(" "))
}

fn this_year() -> i32 {
    harness::run("date", &["-u", "+%Y"]).trim_end().parse().unwrap()
}

mod uuid_text {
    /// Whether it is a UUID of version 4 (RFC 9562) in lower case and nothing more.
    pub fn is_random_uuid(text: &str) -> bool {
        let shape: String = text.chars().map(|c| if matches!(c, '0'..='9' | 'a'..='f') { 'x' } else { c }).collect();
        shape == "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
            && text.as_bytes()[14] == b'4'
            && matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b')
    }
}

#[test]
fn a_keyset_has_its_files_with_their_modes_and_nothing_else() {
    let home = Home::with_keyset();
    let mut expected: BTreeSet<String> = [
        " 700",
        "manifest 700",
        "manifest/default 700",
        "manifest/default/cert.pem 640",
        "manifest/default/privkey.pem 600",
        "manifest/default/sudi 700",
        "manifest/default/uuid 640",
        "pcr7data 700",
        "pcr7data/policy-2 700",
        "pcr7data/policy-2/pubkeys 700",
        "pcr7data/policy-2/pubkeys/luks-k.pem 640",
        "pcr7data/policy-2/pubkeys/tpmpass-k.pem 640",
    ]
    .map(String::from)
    .into();
    for role in ROLES {
        expected.extend([format!("{role} 700"), format!("{role}/cert.pem 640"), format!("{role}/privkey.pem 600")]);
        if role.starts_with("ue") || role.starts_with("uk") {
            expected.insert(format!("{role}/guid 640"));
        }
    }
    // What its machines will measure, with the policies signed for it; and what the running system makes of production's.
    let computed = home.ok(&["compute-pcr7", "k"]);
    let mut values: Vec<_> = computed.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let production = values.iter().find(|(role, _)| *role == "uki-production").unwrap().1;
    let running = running_system(&unhex(production).try_into().unwrap()).map(|value| hex(&value));
    values.extend(running.iter().map(|value| ("system", value.as_str())));
    for (role, value) in values {
        let swapped: String = (0..64).map(|at| &value[at ^ 2..(at ^ 2) + 1]).collect();
        let dir = format!("pcr7data/policy-2/{}", &swapped[..2]);
        expected.insert(format!("{dir} 700"));
        let dir = format!("{dir}/{}", &swapped[2..]);
        expected.extend([format!("{dir} 700"), format!("{dir}/info.json 640")]);
        let files: &[&str] = match role {
            "uki-production" => &["pcr7.events", "tpm_luks.policy.signed"],
            "uki-tpm" => &["tpm_passwd.policy.signed"],
            "system" => &["tpm_system.policy.signed"],
            _ => &["pcr_limited.bin", "pcr_prod.bin", "pcr_tpm.bin"],
        };
        expected.extend(files.iter().map(|file| format!("{dir}/{file} 640")));
    }
    assert_eq!(tree(&home.keys().join("k")), expected);
    for dir in home.keys().ancestors().take_while(|dir| *dir != home.path()) {
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o7777, 0o700, "{}", dir.display());
    }
    assert_eq!(names(&home.keys()), ["k"]);
}

/// A process that opens a file before its mode is set keeps it open: files are created with their modes.
#[test]
fn files_are_created_with_their_modes() {
    let home = Home::new();
    let calls = home.path().join("calls");
    let script = "umask 0; exec strace -f -qq -o \"$0\" -e trace=/chmod,rename -e inject=/chmod:error=EPERM \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&calls).arg(trust_host());
    command.args(["keyset", "add", "k", "--key-type", "ec-p256"]);
    let output = command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let calls = fs::read_to_string(calls).unwrap();
    assert!(!calls.contains("chmod"), "a mode is set later: {complaint}{calls}");
    assert!(output.status.success() && calls.contains("rename"), "{complaint}{calls}");
    let others = |line: &&String| !line.ends_with(" 700") && !line.ends_with(" 640") && !line.ends_with(" 600");
    assert_eq!(tree(&home.keys().join("k")).iter().find(others), None);
}

#[test]
fn keys_are_sound_unique_and_match_their_certificates() {
    let (_, keyset) = sample();
    let mut keys = BTreeSet::new();
    for dir in ROLES.into_iter().chain(["manifest/default", "manifest/default/sudi/SN_0042"]) {
        let dir = keyset.join(dir);
        let (key, cert) = (dir.join("privkey.pem"), dir.join("cert.pem"));
        assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let checked = openssl(&["pkey", "-in", text(&key), "-check", "-noout", "-text_pub"]);
        assert!(checked.contains("Key is valid"), "{checked}");
        assert!(checked.contains("(2048 bit)") && checked.contains("65537"), "{checked}");
        let public = openssl(&["pkey", "-in", text(&key), "-pubout"]);
        assert_eq!(public, openssl(&["x509", "-in", text(&cert), "-noout", "-pubkey"]));
        assert!(keys.insert(public), "{}", dir.display());
    }
    let public = |role: &str| openssl(&["pkey", "-in", text(&keyset.join(role).join("privkey.pem")), "-pubout"]);
    let published = |name: &str| fs::read_to_string(keyset.join("pcr7data/policy-2/pubkeys").join(name)).unwrap();
    assert_eq!(published("luks-acme.pem"), public("tpmpol-luks"));
    assert_eq!(published("tpmpass-acme.pem"), public("tpmpol-admin"));
}

#[test]
fn every_certificate_verifies_against_its_own_authority_only() {
    let (_, keyset) = sample();
    let (manifest_ca, sudi_ca, pk) = (keyset.join("manifest-ca"), keyset.join("sudi-ca"), keyset.join("uefi-pk"));
    let (manifest, kek) = (keyset.join("manifest/default"), keyset.join("uefi-kek"));
    let sudi = manifest.join("sudi/SN_0042");
    for (ca, leaf) in [(&manifest_ca, &manifest), (&sudi_ca, &sudi), (&pk, &kek)] {
        assert!(verifies(ca, ca), "{}", ca.display());
        for other in [&manifest_ca, &sudi_ca, &pk] {
            assert_eq!(verifies(other, leaf), other == ca, "{} by {}", leaf.display(), other.display());
        }
    }
    let other = Home::with_keyset().keys().join("k");
    assert!(!verifies(&other.join("manifest-ca"), &manifest));
    assert!(!verifies(&other.join("sudi-ca"), &sudi));
}

#[test]
fn certificates_have_the_extensions_of_their_roles() {
    let (_, keyset) = sample();
    let year = this_year();
    let owner = "OU=Trust keyset acme,O=Zoé & Söhne,O=Acme Ltd";
    for (role, name, years) in
        [("manifest-ca", "Manifest CA", year + 25), ("sudi-ca", "SUDI CA", 2099), ("uefi-pk", "UEFI PK", year + 50)]
    {
        let shown = certificate(&keyset.join(role));
        assert!(shown.contains(&format!("Subject: CN={name},{owner} X509v3")), "{shown}");
        assert!(shown.contains(&format!("Issuer: CN={name},{owner} Validity")), "{shown}");
        assert!(shown.contains("Basic Constraints: critical CA:TRUE X509v3"), "{shown}");
        assert!(shown.contains("Key Usage: critical Digital Signature, Certificate Sign, CRL Sign X509v3"), "{shown}");
        assert_eq!(not_after(&keyset.join(role)).0, years);
    }
    let shown = certificate(&keyset.join("uefi-kek"));
    assert!(shown.contains(&format!("Issuer: CN=UEFI PK,{owner} Validity")), "{shown}");
    assert!(shown.contains(&format!("Subject: CN=UEFI KEK,{owner} X509v3")), "{shown}");
    for (role, name) in [
        ("uefi-db", "UEFI DB"),
        ("uki-production", "UKI Production"),
        ("uki-limited", "UKI Limited"),
        ("uki-tpm", "UKI TPM"),
        ("tpmpol-admin", "TPM Policy Admin"),
        ("tpmpol-luks", "TPM Policy LUKS"),
    ] {
        let shown = certificate(&keyset.join(role));
        assert!(shown.contains(&format!("Subject: CN={name},{owner} X509v3")), "{shown}");
        assert!(shown.contains(&format!("Issuer: CN={name},{owner} Validity")), "{shown}");
        assert!(
            shown.contains("Key Usage: critical Digital Signature X509v3 Extended Key Usage: Code Signing"),
            "{shown}"
        );
        assert!(!shown.contains("CA:TRUE"), "{shown}");
        assert_eq!(not_after(&keyset.join(role)).0, year + 25);
    }
}

#[test]
fn a_manifest_certificate_names_its_product() {
    let (_, keyset) = sample();
    let project = keyset.join("manifest/default");
    let product = fs::read_to_string(project.join("uuid")).unwrap();
    assert!(is_random_uuid(&product), "{product:?}");
    let shown = certificate(&project);
    assert!(shown.contains(&format!("Subject: CN=manifest PRODUCT:{product} X509v3")), "{shown}");
    assert!(shown.contains("Issuer: CN=Manifest CA,"), "{shown}");
    assert!(shown.contains("Key Usage: critical Digital Signature X509v3 Extended Key Usage: Code Signing"), "{shown}");
    assert_eq!(not_after(&project).0, this_year() + 20);
}

#[test]
fn a_machine_certificate_names_product_and_machine() {
    let (_, keyset) = sample();
    let product = fs::read_to_string(keyset.join("manifest/default/uuid")).unwrap();
    let machine = keyset.join("manifest/default/sudi/SN_0042");
    let shown = certificate(&machine);
    let subject = format!("Subject: CN=SN_0042,serialNumber=PID:{product} SN:SN_0042 X509v3");
    assert!(shown.contains(&subject), "{shown}");
    assert!(
        shown.contains("Key Usage: critical Digital Signature, Key Encipherment, Data Encipherment X509v3"),
        "{shown}"
    );
    assert!(
        shown.contains("Extended Key Usage: TLS Web Server Authentication, TLS Web Client Authentication"),
        "{shown}"
    );
    assert_eq!(not_after(&machine), (2099, "Dec 31 23:00:00".into()));
}

#[test]
fn guids_are_random_and_unique() {
    let (_, keyset) = sample();
    let owners = ROLES.iter().map(|role| keyset.join(role).join("guid")).filter(|path| path.exists());
    let guids: Vec<_> = owners.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(guids.iter().all(|guid| is_random_uuid(guid)), "{guids:?}");
    assert_eq!((guids.len(), BTreeSet::from_iter(&guids).len()), (6, 6));
}

#[test]
fn a_taken_name_is_refused_and_changes_nothing() {
    let (home, keyset) = sample();
    let before = fs::read(keyset.join("uefi-pk/privkey.pem")).unwrap();
    let complaint = home.refuses(&["keyset", "add", "acme"]);
    assert!(complaint.contains("it exists"), "{complaint}");
    assert_eq!(fs::read(keyset.join("uefi-pk/privkey.pem")).unwrap(), before);

    // A file, an empty directory and a link to nowhere are something too.
    let home = Home::new();
    fs::create_dir_all(home.keys().join("dir")).unwrap();
    fs::write(home.keys().join("file"), "").unwrap();
    symlink("nowhere", home.keys().join("link")).unwrap();
    for name in ["dir", "file", "link"] {
        home.refuses(&["keyset", "add", name]);
    }
    assert_eq!(names(&home.keys()), ["dir", "file", "link"]);
}

#[test]
fn names_that_are_paths_are_refused() {
    let home = Home::with_keyset();
    let before = tree(home.path());
    let long = "x".repeat(101);
    for name in ["", ".", "..", "../k2", "/tmp/k", "a/b", "a\\b", "a\"b", "a\nb", "a\tb", ".k", &long] {
        home.refuses(&["keyset", "add", name]);
        home.refuses(&["keyset", "add", "--", name]);
        home.refuses(&["project", "add", "k", name]);
        home.refuses(&["project", "add", name, "p"]);
        home.refuses(&["sudi", "add", "k", "default", name]);
        home.refuses(&["sudi", "add", "k", name]);
        home.refuses(&["sudi", "list", "k", name]);
    }
    home.refuses(&["sudi", "add", "k", "default", "--", "-rf"]);
    home.refuses(&["sudi", "add", "k", "default", &"x".repeat(65)]);
    home.refuses(&["sudi", "add", "k", "other"]);
    home.refuses(&["sudi", "add", "other", "default"]);
    assert_eq!(tree(home.path()), before);
}

#[test]
fn machines_and_projects_are_added_and_listed() {
    let home = Home::with_keyset();
    let project = home.ok(&["project", "add", "k", "pro ject"]);
    let project = Path::new(project.trim_end());
    assert_eq!(project, home.keys().join("k/manifest/pro ject"));
    assert!(verifies(&home.keys().join("k/manifest-ca"), project));
    assert_eq!(home.ok(&["project", "list", "k"]), "default\npro ject\n");
    home.refuses(&["project", "add", "k", "default"]);

    assert_eq!(home.ok(&["sudi", "list", "k", "pro ject"]), "");
    let machine = home.ok(&["sudi", "add", "k", "pro ject"]);
    let machine = Path::new(machine.trim_end());
    let serial = machine.file_name().unwrap().to_str().unwrap();
    assert!(is_random_uuid(serial), "{serial}");
    assert_eq!(machine, project.join("sudi").join(serial));
    assert!(verifies(&home.keys().join("k/sudi-ca"), machine));
    let product = fs::read_to_string(project.join("uuid")).unwrap();
    assert!(certificate(machine).contains(&format!("CN={serial},serialNumber=PID:{product} SN:{serial}")));

    let key = fs::read(machine.join("privkey.pem")).unwrap();
    let complaint = home.refuses(&["sudi", "add", "k", "pro ject", serial]);
    assert!(complaint.contains("it exists"), "{complaint}");
    assert_eq!(fs::read(machine.join("privkey.pem")).unwrap(), key);
    assert_eq!(home.ok(&["sudi", "list", "k", "pro ject"]), format!("{serial}\n"));
    assert_eq!(home.ok(&["keyset", "list"]), "k\n");
}

#[test]
fn machines_are_added_to_a_keyset_of_the_old_tool() {
    // The old tool wrote its files with other modes, keys in PKCS#1 once, and no sudi directory.
    let home = Home::with_keyset();
    let keyset = home.keys().join("k");
    fs::remove_dir(keyset.join("manifest/default/sudi")).unwrap();
    let key = keyset.join("sudi-ca/privkey.pem");
    let pkcs1 = openssl(&["pkey", "-in", text(&key), "-traditional"]);
    assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    fs::write(&key, pkcs1).unwrap();
    let uuid = keyset.join("manifest/default/uuid");
    fs::write(&uuid, fs::read_to_string(&uuid).unwrap() + "\n").unwrap();
    assert_eq!(home.ok(&["sudi", "list", "k", "default"]), "");
    let machine = home.ok(&["sudi", "add", "k", "default", "SN1"]);
    assert!(verifies(&keyset.join("sudi-ca"), Path::new(machine.trim_end())));
}

#[test]
fn an_authority_made_by_openssl_is_accepted() {
    let home = Home::with_keyset();
    let ca = home.keys().join("k/sudi-ca");
    let (key, cert) = (ca.join("privkey.pem"), ca.join("cert.pem"));
    // A subject in an unusual encoding and a subjectKeyIdentifier that is no hash of the key.
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:3072",
        "-nodes",
        "-subj",
        "/C=DE/O=Söhne/CN=Root",
        "-utf8",
        "-addext",
        "subjectKeyIdentifier=0102030405",
        "-addext",
        "authorityKeyIdentifier=none",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-keyout",
        text(&key),
        "-out",
        text(&cert),
        "-days",
        "3650",
    ]);
    let machine = home.ok(&["sudi", "add", "k", "default", "SN1"]);
    let machine = Path::new(machine.trim_end());
    assert!(verifies(&ca, machine));
    assert!(certificate(machine).contains("Authority Key Identifier: 01:02:03:04:05"));
}

#[test]
fn a_damaged_keyset_is_named_and_nothing_is_written() {
    let home = Home::with_keyset();
    let keyset = home.keys().join("k");
    let foreign = fs::read(keyset.join("uefi-pk/privkey.pem")).unwrap();
    let damages: [(&str, &[u8]); 7] = [
        ("sudi-ca/privkey.pem", b""),
        ("sudi-ca/privkey.pem", b"-----BEGIN PRIVATE KEY-----\nMIIE"),
        ("sudi-ca/privkey.pem", b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"),
        ("sudi-ca/privkey.pem", &foreign),
        ("sudi-ca/cert.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("manifest/default/uuid", b"no uuid"),
        ("manifest/default/uuid", &[b'0'; 2 << 20]),
    ];
    for (file, damage) in damages {
        let sound = fs::read(keyset.join(file)).unwrap();
        fs::write(keyset.join(file), damage).unwrap();
        let output = home.output(&["sudi", "add", "k", "default", "SN"]);
        fs::write(keyset.join(file), sound).unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(14), "{complaint}");
        assert!(complaint.contains(file.rsplit_once('/').unwrap().0), "{complaint}");
        assert!(!complaint.contains("MIIE"), "{complaint}");
    }
    assert_eq!(names(&keyset.join("manifest/default/sudi")), Vec::<String>::new());
    home.ok(&["sudi", "add", "k", "default", "SN"]);
}

#[test]
fn keysets_are_in_the_xdg_data_directory() {
    let home = Home::new();
    let data = TempDir::new().unwrap();
    let list = |home_dir: Option<&Path>, data_dir: Option<&Path>| {
        let mut command = home.command(&["keyset", "list"]);
        command.env_remove("HOME");
        command.envs(home_dir.map(|dir| ("HOME", dir))).envs(data_dir.map(|dir| ("XDG_DATA_HOME", dir)));
        command.output().unwrap()
    };
    fs::create_dir_all(home.keys().join("in home")).unwrap();
    fs::create_dir_all(data.path().join("machine/trust/keys/in data")).unwrap();
    let printed = |output: Output| String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed(list(Some(home.path()), Some(data.path()))), "in data\n");
    assert_eq!(printed(list(Some(home.path()), None)), "in home\n");
    // A relative path is to be ignored, and so is an empty one.
    assert_eq!(printed(list(Some(home.path()), Some(Path::new("data")))), "in home\n");
    assert_eq!(printed(list(Some(home.path()), Some(Path::new("")))), "in home\n");
    assert_eq!(list(None, None).status.code(), Some(2));
    assert_eq!(printed(list(None, Some(data.path()))), "in data\n");
}

#[test]
fn no_private_key_is_printed() {
    let home = Home::new();
    for args in [&["keyset", "add", "k"][..], &["sudi", "add", "k", "default", "s"]] {
        let output = home.output(args);
        assert!(output.status.success());
        for printed in [output.stdout, output.stderr] {
            assert!(printed.len() < 500, "{}", String::from_utf8_lossy(&printed));
            assert!(!String::from_utf8(printed).unwrap().contains("PRIVATE"));
        }
    }
}

#[test]
fn command_lines_of_the_old_tool_are_accepted() {
    let home = Home::new();
    let add =
        ["--debug", "keyset", "add", "--Org", "Acme", "--bootkit-version", "0.0.17", "--key-type", "ec-p256", "k"];
    home.ok(&add);
    home.ok(&["project", "add", "k", "p"]);
    home.ok(&["sudi", "add", "k", "p", "SN1"]);
    assert_eq!(home.ok(&["--debug", "sudi", "list", "k", "p"]), "SN1\n");
    let keyset = home.keys().join("k");
    let cert = keyset.join("manifest/p/cert.pem");
    assert_eq!(home.ok(&["keyset", "show", "--path", "k", "manifest:p", "cert.pem"]).trim_end(), text(&cert));
    let value = fs::read_to_string(&cert).unwrap();
    assert_eq!(home.ok(&["keyset", "show", "--value", "k", "manifest:p", "cert.pem"]), value);
    assert_eq!(home.ok(&["keyset", "show", "k", "manifest:p", "cert.pem"]), format!("{}\n{value}", text(&cert)));
}
