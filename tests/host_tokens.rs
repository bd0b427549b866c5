//! Private keys in tokens: SoftHSM2 holds them, `trust` uses them, openssl judges.

use harness::{Home, Token, assets, openssl, tree};
use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An administrator with a token.
struct Fixture {
    home: Home,
    token: Token,
}

impl Fixture {
    fn new() -> Self {
        Self { home: Home::new(), token: Token::new() }
    }

    fn with_keyset() -> Self {
        Self { home: Home::with_keyset(), token: Token::new() }
    }

    /// Without a terminal to ask on.
    fn command(&self, args: &[&str]) -> Command {
        let inner = self.home.command(args);
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(inner.get_program()).args(inner.get_args()).current_dir(self.home.path());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (name, value) = self.token.environment();
        command.env(name, value).stdin(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complained of; nothing has changed.
    #[track_caller]
    fn fails(&self, args: &[&str], status: i32) -> String {
        let before = tree(self.home.path());
        let output = self.output(args);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {complaint}");
        assert!(output.stdout.is_empty() && !complaint.contains(Token::PIN), "{complaint}");
        assert_eq!(tree(self.home.path()), before);
        complaint
    }

    fn keyset(&self) -> PathBuf {
        self.home.keys().join("k")
    }

    /// A new key, in a file and in the token.
    fn key(&self, label: &str, id: &str, options: &[&str]) -> PathBuf {
        let file = self.home.path().join(format!("{label}.pem"));
        openssl(&[&["genpkey", "-quiet", "-out", text(&file)], options].concat());
        self.token.import(&file, label, id);
        file
    }
}

const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const EC: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn public_of(key: &Path) -> String {
    openssl(&["pkey", "-in", text(key), "-pubout"])
}

fn certified(dir: &Path) -> String {
    openssl(&["x509", "-in", text(&dir.join("cert.pem")), "-noout", "-pubkey"])
}

fn verifies(ca: &Path, dir: &Path) {
    let (ca, cert) = (ca.join("cert.pem"), dir.join("cert.pem"));
    openssl(&["verify", "-x509_strict", "-no-CApath", "-CAfile", text(&ca), text(&cert)]);
}

/// The signed policies below a directory, by name.
fn policies(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in tree(dir) {
        let (name, _) = entry.rsplit_once(' ').unwrap();
        if name.ends_with(".policy.signed") {
            found.push((name.to_owned(), fs::read(dir.join(name)).unwrap()));
        }
    }
    found
}

/// Three different values in files, and the command that signs policies for them.
fn pcr7data(home: &Home) -> Vec<String> {
    let mut args: Vec<String> = ["keyset", "pcr7data", "k"].map(String::from).into();
    for (kind, byte) in [("tpm", 1), ("prod", 2), ("limited", 3)] {
        let file = home.path().join(kind);
        fs::write(&file, [byte; 32]).unwrap();
        args.extend([format!("--pcr7-{kind}"), text(&file).to_owned()]);
    }
    args
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn a_keyset_is_made_with_keys_that_never_leave_their_token() {
    let fixture = Fixture::new();
    let roles = ["uefi-pk", "uefi-db", "uki-production", "tpmpol-admin", "tpmpol-luks", "manifest-ca", "sudi-ca"];
    let mut args: Vec<String> = ["keyset", "add", "k"].map(String::from).into();
    for (number, role) in roles.iter().enumerate() {
        let options = if role.ends_with("-ca") { EC } else { RSA };
        fixture.key(role, &format!("{number:02x}"), &options);
        args.extend(["--key".into(), format!("{role}={}", fixture.token.uri(role))]);
    }
    fixture.ok(&strs(&args));
    let keyset = fixture.keyset();
    for role in roles {
        let file = fs::read_to_string(keyset.join(role).join("privkey.pem")).unwrap();
        assert!(file.starts_with("-----BEGIN PKCS#11 PROVIDER URI-----\n"), "{file}");
        assert_eq!(
            certified(&keyset.join(role)),
            public_of(&fixture.home.path().join(format!("{role}.pem"))),
            "{role}"
        );
    }
    assert!(fs::read_to_string(keyset.join("uki-limited/privkey.pem")).unwrap().contains("BEGIN PRIVATE KEY"));

    // Everything that signs works as with files.
    fixture.ok(&["project", "add", "k", "other"]);
    fixture.ok(&["sudi", "add", "k", "other", "SN"]);
    fixture.ok(&strs(&pcr7data(&fixture.home)));
    verifies(&keyset.join("manifest-ca"), &keyset.join("manifest/default"));
    verifies(&keyset.join("manifest-ca"), &keyset.join("manifest/other"));
    verifies(&keyset.join("sudi-ca"), &keyset.join("manifest/other/sudi/SN"));
    verifies(&keyset.join("uefi-pk"), &keyset.join("uefi-kek"));
    for role in ["uefi-pk", "uefi-db", "uki-production", "manifest-ca"] {
        verifies(&keyset.join(role), &keyset.join(role));
    }
    let key = fs::read_to_string(keyset.join("manifest/other/sudi/SN/privkey.pem")).unwrap();
    assert!(key.contains("BEGIN PRIVATE KEY"), "what is made is a file: {key}");
    let shown = openssl(&["asn1parse", "-in", text(&keyset.join("uefi-db/privkey.pem"))]);
    assert!(shown.contains("VISIBLESTRING     :PKCS#11 Provider URI v1.0"), "{shown}");
    // What reaches the token is named, as a file may name it.
    let uri = fixture.token.uri("uefi-db").replace(&format!("module-path={}", Token::module()), "module-name=softhsm2");
    assert!(shown.contains(&format!("UTF8STRING        :{uri}")), "{shown}");
    assert!(!fixture.ok(&["keyset", "check", "k"]).contains("library"));
}

/// A file that names a token, with whatever URI.
fn provider_file(uri: &str) -> String {
    // SEQUENCE, VisibleString, UTF8String, with lengths of up to two bytes.
    let member = |tag: u8, value: &[u8]| {
        let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, high, low], value].concat()
    };
    let short = |tag: u8, value: &[u8]| match value.len() {
        len @ 0..=127 => [&[tag, len as u8], value].concat(),
        len @ 128..=255 => [&[tag, 0x81, len as u8], value].concat(),
        _ => member(tag, value),
    };
    let members = [short(0x1a, b"PKCS#11 Provider URI v1.0"), short(0x0c, uri.as_bytes())].concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), short(0x30, &members)).unwrap();
    let body = openssl(&["base64", "-in", text(file.path())]);
    format!("-----BEGIN PKCS#11 PROVIDER URI-----\n{body}-----END PKCS#11 PROVIDER URI-----\n")
}

/// A keyset is data: a foreign one runs no library of its author's on the administrator's machine.
#[test]
fn a_keyset_runs_no_library_of_its_own() {
    let fixture = Fixture::with_keyset();
    let keyset = fixture.keyset();
    // One that would do: that it works shows that it ran.
    let library = fixture.home.path().join("softhsm2.so");
    fs::copy(Token::module(), &library).unwrap();
    let (pin, directory) = (fixture.token.pin_file(), fixture.home.path());
    let uri = |query: &str| format!("pkcs11:token=Fleet;object=key?{query}&pin-source={}", pin.display());
    let image = assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let role = |name: &str| keyset.join(name);
    let (db, cert) = (role("uefi-db/privkey.pem"), role("uefi-db/cert.pem"));
    let sign = ["sign", "efi", text(&image), "--key", text(&db), "--cert", text(&cert), "--output", "signed.efi"];
    let pcr7data = pcr7data(&fixture.home);
    let commands: [(&str, &[&str]); 6] = [
        ("uefi-db", &sign),
        ("sudi-ca", &["sudi", "add", "k", "default", "SN"]),
        ("uefi-pk", &["enroll", "auth", "k", "--output", "enrolled"]),
        ("tpmpol-luks", &strs(&pcr7data)),
        ("tpmpol-admin", &strs(&pcr7data)),
        ("manifest-ca", &["project", "add", "k", "other"]),
    ];
    for (name, command) in commands {
        let file = role(name).join("privkey.pem");
        let own = fs::read(&file).unwrap();
        let token = Token::new();
        token.import(&file, "key", "01");
        for query in [
            format!("module-path={}", library.display()),
            format!("module-path={}", directory.display()) + "&module-name=softhsm2",
            format!("module-name={}/softhsm2", directory.display()),
            "module-name=..".into(),
            "module-path=softhsm2.so".into(),
        ] {
            fs::write(&file, provider_file(&uri(&query))).unwrap();
            let fixture = Fixture { home: fixture.home.copy(), token: Token::new() };
            let before = tree(fixture.home.path());
            let output = fixture.command(command).env(token.environment().0, token.environment().1).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{name} ran a library of the keyset's: {query}: {said}");
            assert!(said.contains("module-") && said.contains("trust keyset use-key KEYSET ROLE"), "{said}");
            assert_eq!(tree(fixture.home.path()), before, "{name}: {query}");
            let checked = String::from_utf8(fixture.output(&["keyset", "check", "k"]).stdout).unwrap();
            let line = checked.lines().find(|line| line.contains(&format!("{name}/privkey.pem"))).unwrap();
            assert!(line.starts_with("error") && line.contains("names a library"), "{checked}");
            assert!(line.contains(&format!("trust keyset use-key k {name} ")), "{checked}");
        }
        fs::write(&file, own).unwrap();
    }
}

/// Keysets from before, in which use-key wrote the path of a module of the system.
#[test]
fn the_path_of_a_system_module_is_accepted_with_a_warning() {
    let fixture = Fixture::with_keyset();
    let file = fixture.keyset().join("sudi-ca/privkey.pem");
    fixture.token.import(&file, "ca", "01");
    fs::write(&file, provider_file(&fixture.token.uri("ca"))).unwrap();
    fixture.ok(&["sudi", "add", "k", "default", "SN"]);
    verifies(&fixture.keyset().join("sudi-ca"), &fixture.keyset().join("manifest/default/sudi/SN"));
    let checked = fixture.ok(&["keyset", "check", "k"]);
    let line = checked.lines().find(|line| line.contains("sudi-ca/privkey.pem")).unwrap();
    assert!(line.starts_with("warning") && line.contains("says by its path which library"), "{checked}");
    // The remedy, as it stands there.
    let remedy = line.split_once("trust ").unwrap().1;
    let words: Vec<_> = remedy.split(' ').map(|word| word.trim_matches('\'')).collect();
    fixture.ok(&words);
    assert!(!fixture.ok(&["keyset", "check", "k"]).contains("library"));
    fixture.ok(&["sudi", "add", "k", "default", "SN2"]);
}

#[test]
fn a_library_named_on_the_command_line_runs_but_goes_into_no_file() {
    let fixture = Fixture::with_keyset();
    let file = fixture.keyset().join("uefi-db/privkey.pem");
    fixture.token.import(&file, "db", "01");
    let library = fixture.home.path().join("vendor.so");
    fs::copy(Token::module(), &library).unwrap();
    let uri = fixture.token.uri("db").replace(Token::module(), text(&library));
    let (image, cert) =
        (assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"), fixture.keyset().join("uefi-db/cert.pem"));
    let output = fixture.home.path().join("signed.efi");
    fixture.ok(&["sign", "efi", text(&image), "--key", &uri, "--cert", text(&cert), "--output", text(&output)]);
    let choice = format!("uefi-db={uri}");
    for command in [&["keyset", "use-key", "k", "uefi-db", &uri][..], &["keyset", "add", "k2", "--key", &choice]] {
        let complaint = fixture.fails(command, 2);
        assert!(complaint.contains("a file may not say which library is to run; install the module"), "{complaint}");
    }
}

#[test]
fn signatures_equal_those_of_the_same_key_in_a_file() {
    let mut fixture = Fixture::with_keyset();
    // One token without RSA mechanisms that hash: then it is told the hash.
    for token in [Token::new(), Token::without("CKM_SHA256_RSA_PKCS,CKM_SHA384_RSA_PKCS")] {
        fixture.token = token;
        let with_files = fixture.home.copy();
        let with_token = Fixture { home: fixture.home.copy(), token: Token::new() };
        let with_token = Fixture { token: std::mem::take(&mut fixture.token), ..with_token };
        for (number, role) in ["tpmpol-luks", "tpmpol-admin", "uefi-db", "uki-production"].into_iter().enumerate() {
            let file = with_token.keyset().join(role).join("privkey.pem");
            with_token.token.import(&file, role, &format!("{number:02x}"));
            let printed = with_token.ok(&["keyset", "use-key", "k", role, &with_token.token.uri(role)]);
            assert_eq!(printed.trim_end(), text(&file));
        }
        with_files.ok(&strs(&pcr7data(&with_files)));
        with_token.ok(&strs(&pcr7data(&with_token.home)));
        let signed = policies(&with_token.keyset());
        assert!(signed.len() >= 2);
        assert_eq!(signed, policies(&with_files.keys().join("k")));

        let image = assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
        let (cert, output) = (with_files.keys().join("k/uefi-db/cert.pem"), with_files.path().join("signed.efi"));
        let key = with_files.keys().join("k/uefi-db/privkey.pem");
        let sign = |key: &str, output: &Path| {
            ["sign", "efi", text(&image), "--key", key, "--cert", text(&cert), "--output", text(output)]
                .map(String::from)
        };
        with_files.ok(&strs(&sign(text(&key), &output)));
        let by_uri = with_token.home.path().join("by-uri.efi");
        with_token.ok(&strs(&sign(&with_token.token.uri("uefi-db"), &by_uri)));
        // The file that names the token serves as well.
        let by_file = with_token.home.path().join("by-file.efi");
        with_token.ok(&strs(&sign(text(&with_token.keyset().join("uefi-db/privkey.pem")), &by_file)));
        for signed in [&by_uri, &by_file] {
            harness::run("sbverify", &["--cert", text(&cert), text(signed)]);
            assert!(fs::read(signed).unwrap() == fs::read(&output).unwrap(), "{}", signed.display());
        }
    }
}

#[test]
fn a_key_restricted_to_hashes_signs() {
    let fixture = Fixture::with_keyset();
    let file = fixture.keyset().join("tpmpol-luks/privkey.pem");
    let der = fixture.home.path().join("key.der");
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", text(&file), "-outform", "DER", "-out", text(&der)]);
    let object = ["--write-object", text(&der), "--type", "privkey", "--label", "luks", "--id", "01", "--usage-sign"];
    fixture.token.tool(&[&object[..], &["--allowed-mechanisms", "RSA-PKCS"]].concat());
    fixture.ok(&["keyset", "use-key", "k", "tpmpol-luks", &fixture.token.uri("luks")]);
    fixture.ok(&strs(&pcr7data(&fixture.home)));
}

#[test]
fn a_key_moves_into_a_token_and_its_file_is_overwritten() {
    let fixture = Fixture::with_keyset();
    let file = fixture.keyset().join("uefi-pk/privkey.pem");
    fixture.token.import(&file, "pk", "01");
    let before = tree(&fixture.keyset());
    let mut old = File::open(&file).unwrap();
    fixture.ok(&["keyset", "use-key", "k", "uefi-pk", &fixture.token.uri("pk")]);
    assert_eq!(tree(&fixture.keyset()), before, "names and modes stay");
    let mut left = Vec::new();
    old.rewind().unwrap();
    old.read_to_end(&mut left).unwrap();
    assert!(left.len() > 1000 && left.iter().all(|byte| *byte == 0));
    // Again, with another way to say the same.
    let again = format!("pkcs11:id=%01?module-name=softhsm2&pin-source={}", fixture.token.pin_file().display());
    fixture.ok(&["keyset", "use-key", "k", "uefi-pk", &again]);
    let shown = openssl(&["asn1parse", "-in", text(&file)]);
    assert!(shown.contains(&again), "{shown}");
}

#[test]
fn a_key_file_with_two_links_is_not_overwritten() {
    let fixture = Fixture::with_keyset();
    let (file, backup) = (fixture.keyset().join("uefi-db/privkey.pem"), fixture.home.path().join("backup.pem"));
    fixture.token.import(&file, "db", "01");
    fs::hard_link(&file, &backup).unwrap();
    let output = fixture.output(&["keyset", "use-key", "k", "uefi-db", &fixture.token.uri("db")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("has another name"), "{said}");
    assert_eq!(public_of(&backup), certified(&fixture.keyset().join("uefi-db")));
}

#[test]
fn a_key_that_does_not_match_the_certificate_is_refused() {
    let fixture = Fixture::with_keyset();
    fixture.key("rsa", "01", &RSA);
    fixture.key("ec", "02", &EC);
    let before = fs::read(fixture.keyset().join("uefi-db/privkey.pem")).unwrap();
    for key in ["rsa", "ec"] {
        let complaint = fixture.fails(&["keyset", "use-key", "k", "uefi-db", &fixture.token.uri(key)], 2);
        assert!(complaint.contains("it does not match the certificate; import the key"), "{complaint}");
    }
    let complaint = fixture.fails(&["keyset", "use-key", "k", "uefi-dbx", &fixture.token.uri("rsa")], 2);
    assert!(complaint.contains("no such role; give one of manifest-ca, "), "{complaint}");
    assert_eq!(fs::read(fixture.keyset().join("uefi-db/privkey.pem")).unwrap(), before);
    let link = fixture.keyset().join("uefi-db/privkey.pem");
    fixture.token.import(&link, "db", "03");
    let elsewhere = fixture.home.path().join("elsewhere.pem");
    fs::rename(&link, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    fixture.fails(&["keyset", "use-key", "k", "uefi-db", &fixture.token.uri("db")], 15);
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

/// A private key alone, as some tokens keep it.
fn import_private(fixture: &Fixture, key: &Path, label: &str) {
    let der = fixture.home.path().join("private.der");
    openssl(&["pkey", "-in", text(key), "-outform", "DER", "-out", text(&der)]);
    fixture.token.tool(&[
        "--write-object",
        text(&der),
        "--type",
        "privkey",
        "--label",
        label,
        "--id",
        "aa",
        "--usage-sign",
    ]);
}

#[test]
fn a_token_without_the_public_key_needs_the_certificate() {
    let fixture = Fixture::new();
    fixture.ok(&["keyset", "add", "k", "--key-type", "ec-p256"]);
    let ca = fixture.keyset().join("sudi-ca");
    import_private(&fixture, &ca.join("privkey.pem"), "ca");
    let choice = format!("sudi-ca={}", fixture.token.uri("ca"));
    let complaint = fixture.fails(&["keyset", "add", "k2", "--key", &choice], 2);
    assert!(complaint.contains("cannot find its public key: the token has none"), "{complaint}");
    fixture.ok(&["keyset", "use-key", "k", "sudi-ca", &fixture.token.uri("ca")]);
    fixture.ok(&["sudi", "add", "k", "default", "SN"]);
    verifies(&ca, &fixture.keyset().join("manifest/default/sudi/SN"));

    // With the certificate in the token, nothing is missing.
    let der = fixture.home.path().join("cert.der");
    openssl(&["x509", "-in", text(&ca.join("cert.pem")), "-outform", "DER", "-out", text(&der)]);
    fixture.token.tool(&["--write-object", text(&der), "--type", "cert", "--label", "ca", "--id", "aa"]);
    fixture.ok(&["keyset", "add", "k2", "--key", &choice]);
    assert_eq!(certified(&fixture.home.keys().join("k2/sudi-ca")), certified(&ca));
}

#[test]
fn a_signature_made_with_another_key_is_refused() {
    let fixture = Fixture::with_keyset();
    let [mine, other] = ["mine", "other"].map(|name| fixture.home.path().join(name));
    for key in [&mine, &other] {
        openssl(&[&["genpkey", "-quiet", "-out", text(key)], &EC[..]].concat());
    }
    import_private(&fixture, &mine, "ca");
    let der = fixture.home.path().join("public.der");
    openssl(&["pkey", "-in", text(&other), "-pubout", "-outform", "DER", "-out", text(&der)]);
    fixture.token.tool(&["--write-object", text(&der), "--type", "pubkey", "--label", "ca", "--id", "aa"]);
    let choice = format!("sudi-ca={}", fixture.token.uri("ca"));
    let complaint = fixture.fails(&["keyset", "add", "k2", "--key", &choice], 14);
    assert!(complaint.contains("its signature is not one of its public key"), "{complaint}");
}

#[test]
fn errors_of_tokens_name_their_remedy() {
    let fixture = Fixture::with_keyset();
    let file = fixture.keyset().join("uefi-db/privkey.pem");
    fixture.token.import(&file, "db", "01");
    fixture.key("db2", "02", &RSA);
    let module = Token::module();
    let pin = format!("module-path={module}&pin-value={}", Token::PIN);
    let source = format!("module-path={module}&pin-source={}", fixture.token.pin_file().display());
    let wrong = fixture.home.path().join("wrong-pin");
    fs::write(&wrong, "0000000").unwrap();
    let empty = fixture.home.path().join("empty-pin");
    fs::write(&empty, "\n").unwrap();
    for (uri, why) in [
        (
            format!("pkcs11:token=Fleet;object=none?{pin}"),
            "the token has object \"db\" id %01, object \"db2\" id %02; check object",
        ),
        (
            format!("pkcs11:token=Fleet?{source}"),
            "several match: object \"db\" id %01, object \"db2\" id %02; add object=",
        ),
        (format!("pkcs11:token=Float;object=db?{pin}"), "there is token \"Fleet\" serial"),
        (format!("pkcs11:slot-id=1;object=db?{pin}"), "there is token \"Fleet\" serial"),
        (format!("pkcs11:library-version=9.9;object=db?{pin}"), "; check the library"),
        (format!("pkcs11:object=db;type=cert?{pin}"), "its type is not private; write type=private"),
        (
            format!("pkcs11:object=db?module-path={module}&pin-source={}", wrong.display()),
            "the PIN is wrong; check it before",
        ),
        (format!("pkcs11:object=db?module-path={module}&pin-value=1"), "the PIN"),
        (format!("pkcs11:object=db?module-path={module}&pin-source={}", empty.display()), "the PIN is empty"),
        (format!("pkcs11:object=db?module-path={module}&pin-source=/none"), "cannot read /none"),
        (format!("pkcs11:object=db?module-path={module}"), "there is no terminal"),
        ("pkcs11:object=db?module-path=/none.so".into(), "cannot load /none.so"),
        ("pkcs11:object=db?module-path=none.so".into(), "its module-path is not absolute"),
        ("pkcs11:object=db?module-path=/etc/passwd".into(), "cannot load /etc/passwd"),
        ("pkcs11:object=db?module-path=/usr/lib/os-release".into(), "cannot load /usr/lib/os-release"),
        ("pkcs11:object=db?module-name=no-such-module".into(), "there is no no-such-module.so; install it"),
        (format!("pkcs11:objekt=db?{pin}"), "not known here: \"objekt\""),
        ("http://db".into(), "it does not begin with pkcs11:"),
    ] {
        let complaint = fixture.fails(&["keyset", "use-key", "k", "uefi-db", &uri], 2);
        assert!(complaint.contains(why), "{uri}: {complaint}");
    }
    // Two tokens: the PIN of one is not for the other.
    fixture.token.add_token("Fleet 2");
    let complaint = fixture.fails(&["keyset", "use-key", "k", "uefi-db", &format!("pkcs11:object=db?{source}")], 2);
    assert!(complaint.contains("several match: token \"Fleet"), "{complaint}");
    assert!(complaint.contains("token \"Fleet 2\"") && complaint.contains("add token=LABEL"), "{complaint}");
    fixture.ok(&["keyset", "use-key", "k", "uefi-db", &format!("pkcs11:token=Fleet;object=db?{source}")]);

    // The token is gone, or its key: the keyset says so when it needs it.
    fs::remove_file(fixture.token.environment().1).unwrap();
    let image = assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let (cert, output) = (fixture.keyset().join("uefi-db/cert.pem"), fixture.home.path().join("signed.efi"));
    let sign = ["sign", "efi", text(&image), "--key", text(&file), "--cert", text(&cert), "--output", text(&output)];
    let complaint = String::from_utf8(fixture.output(&sign).stderr).unwrap();
    assert!(complaint.contains("uefi-db/privkey.pem") && complaint.contains("PKCS#11 module"), "{complaint}");
}

#[test]
fn keys_that_a_role_cannot_use_are_refused_before_anything_is_made() {
    let fixture = Fixture::new();
    fixture.key("ec", "01", &EC);
    fixture.key("large", "02", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]);
    let choice = |role: &str, key: &str| format!("{role}={}", fixture.token.uri(key));
    for (role, key, why) in [
        ("uefi-db", "ec", "sign with uefi-db: the key is EC P-256 with 256 bits; use an RSA key"),
        ("tpmpol-luks", "ec", "sign with tpmpol-luks: the key is EC P-256"),
        (
            "tpmpol-admin",
            "large",
            "sign with tpmpol-admin: the key is RSA with 3072 bits; use an RSA key with 2048 bits",
        ),
        ("uki", "large", "there is no such role"),
    ] {
        let complaint = fixture.fails(&["keyset", "add", "k", "--key", &choice(role, key)], 2);
        assert!(complaint.contains(why), "{complaint}");
    }
    let twice = choice("uefi-db", "large");
    let complaint = fixture.fails(&["keyset", "add", "k", "--key", &twice, "--key", &twice], 2);
    assert!(complaint.contains("uefi-db stands there twice"), "{complaint}");
    let complaint = fixture.fails(&["keyset", "add", "k", "--key", "uefi-db"], 2);
    assert!(complaint.contains("it has no `=`"), "{complaint}");
}

#[test]
fn a_key_in_a_file_is_accepted() {
    let fixture = Fixture::new();
    let file = fixture.key("key", "01", &RSA);
    fixture.ok(&["keyset", "add", "k", "--key", &format!("uki-tpm={}", text(&file))]);
    assert_eq!(public_of(&fixture.keyset().join("uki-tpm/privkey.pem")), public_of(&file));
    assert_eq!(certified(&fixture.keyset().join("uki-tpm")), public_of(&file));
}

#[test]
fn the_pin_is_asked_for_once() {
    let fixture = Fixture::new();
    for (role, id) in [("uefi-db", "01"), ("tpmpol-luks", "02")] {
        fixture.key(role, id, &RSA);
    }
    let uri = |object: &str| format!("pkcs11:token=Fleet;object={object}?module-path={}", Token::module());
    let trust = format!(
        "exec '{}' keyset add k --key 'uefi-db={}' --key 'tpmpol-luks={}'",
        harness::trust_host().display(),
        uri("uefi-db"),
        uri("tpmpol-luks")
    );
    let (variable, value) = fixture.token.environment();
    let mut command = Command::new("script");
    command.env("HOME", fixture.home.path()).env_remove("XDG_DATA_HOME").env(variable, value);
    let shown = harness::at_terminal(command, &trust, "PIN of token \"Fleet\": ", Token::PIN);
    assert_eq!(shown.matches("PIN of token").count(), 1, "{shown}");
    assert!(!shown.contains(Token::PIN), "{shown}");
    verifies(&fixture.keyset().join("uefi-db"), &fixture.keyset().join("uefi-db"));
}
