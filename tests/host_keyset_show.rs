//! What `trust keyset show`, `keyset export-public` and `new-uuid` print and write, compared with the files and the openssl command.

use harness::{Boot, Home, ROLES, assets, openssl, run, tree};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// With keyset `k`, machine `SN1` and signed policies.
fn home() -> (Home, PathBuf) {
    let home = Home::with_keyset();
    home.ok(&["sudi", "add", "k", "default", "SN1", "--key-type", "ec-p256"]);
    for boot in [Boot::Production, Boot::Limited, Boot::Tpm] {
        fs::write(home.path().join(boot.name()), boot.pcr7()).unwrap();
    }
    fs::remove_dir_all(home.keys().join("k/pcr7data")).unwrap();
    let values = ["--pcr7-tpm", "tpm", "--pcr7-production", "production", "--pcr7-limited", "limited"];
    home.ok(&[&["keyset", "pcr7data", "k", "--comment", "first\n\u{1b}[31mrelease"][..], &values].concat());
    let keyset = home.keys().join("k");
    (home, keyset)
}

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap()
}

/// Every regular file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    run("find", &[text(dir), "-type", "f"]).lines().map(PathBuf::from).collect()
}

/// A part of a private key that no certificate holds: of the private exponent, or all of an EC key.
fn secret(key: &Path) -> Vec<u8> {
    let der = decoded(&fs::read(key).unwrap());
    // PKCS#8 of RSA 2048: modulus and public exponent end before byte 303.
    let range = if der.len() > 1000 { 320..380 } else { 36..68 };
    der[range].to_vec()
}

/// What is between the lines of PEM; with several blocks, all of them together.
fn decoded(pem: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = String::from_utf8_lossy(pem).into_owned();
    let mut der = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let body: String = block.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
        file.as_file_mut().set_len(0).unwrap();
        fs::write(file.path(), body).unwrap();
        let output = std::process::Command::new("base64").arg("-d").arg(file.path()).output().unwrap();
        assert!(output.status.success());
        der.extend(output.stdout);
    }
    der
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The base64 of every private key below `dir`.
fn private_keys(dir: &Path) -> Vec<String> {
    let keys = files(dir).into_iter().filter(|path| path.ends_with("privkey.pem"));
    keys.map(|path| fs::read_to_string(path).unwrap().lines().nth(2).unwrap().to_owned()).collect()
}

#[test]
fn a_keyset_is_shown_as_a_tree_and_as_equal_json() {
    let (home, keyset) = home();
    let shown = home.ok(&["keyset", "show", "k"]);
    let found = json(&home.ok(&["keyset", "show", "k", "--json"]));
    assert_eq!((found["name"].as_str(), found["path"].as_str()), (Some("k"), keyset.to_str()));
    let keys = found["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["name"].as_str().unwrap()).collect::<Vec<_>>(), ROLES);
    for key in keys {
        let dir = keyset.join(key["name"].as_str().unwrap());
        let cert = dir.join("cert.pem");
        let end = openssl(&["x509", "-in", text(&cert), "-noout", "-enddate", "-dateopt", "iso_8601"]);
        let facts = &key["certificate"];
        let until = facts["not_after"].as_str().unwrap();
        assert_eq!(end.trim_end(), format!("notAfter={}", until.replace('T', " ")));
        let print = openssl(&["x509", "-in", text(&cert), "-noout", "-fingerprint", "-sha256"]).replace(':', "");
        assert_eq!(print.trim_end().split('=').nth(1).unwrap().to_lowercase(), facts["sha256"].as_str().unwrap());
        let subject = openssl(&["x509", "-in", text(&cert), "-noout", "-subject", "-nameopt", "RFC2253"]);
        assert_eq!(subject.trim_end(), format!("subject={}", facts["subject"].as_str().unwrap()));
        let serial = openssl(&["x509", "-in", text(&cert), "-noout", "-serial"]).to_lowercase();
        assert_eq!(serial.trim_end(), format!("serial={}", facts["serial_number"].as_str().unwrap()));
        assert_eq!(facts["key_type"], "rsa2048");
        assert_eq!(key["private_key"], "file");
        assert_eq!(key["guid"].as_str(), fs::read_to_string(dir.join("guid")).ok().as_deref());
        let line = shown.lines().find(|line| line.contains(&format!("── {} ", key["name"].as_str().unwrap()))).unwrap();
        for part in [facts["common_name"].as_str().unwrap(), "rsa2048", until.split('T').next().unwrap()] {
            assert!(line.contains(part), "{line}");
        }
    }
    let project = &found["projects"][0];
    assert_eq!((project["name"].as_str(), project["machines"].as_u64()), (Some("default"), Some(1)));
    assert_eq!(project["uuid"].as_str().unwrap(), fs::read_to_string(keyset.join("manifest/default/uuid")).unwrap());
    assert!(shown.contains("── default ") && shown.contains("1 machine\n"), "{shown}");
    let values = found["pcr7data"].as_array().unwrap();
    for (value, boot) in values.iter().zip([Boot::Production, Boot::Tpm, Boot::Limited]) {
        assert_eq!(value["kind"], boot.name());
        assert_eq!(value["pcr7"], harness::hex(&boot.pcr7()));
        assert!(shown.contains(&harness::hex(&boot.pcr7())), "{shown}");
    }
    assert_eq!(values[3..].iter().filter(|value| value["kind"] == "system").count(), 2, "{values:?}");
    assert_eq!(values.len(), 5);
    // What a comment could do to a terminal, it does not.
    assert!(!shown.contains('\u{1b}') && shown.contains("first\u{fffd}\u{fffd}[31mrelease"), "{shown}");
}

#[test]
fn one_key_is_shown_with_its_files() {
    let (home, keyset) = home();
    let machine = "manifest/default/sudi/SN1";
    for (key, dir) in [
        ("uefi-db", "uefi-db"),
        ("manifest/default", "manifest/default"),
        ("manifest:default", "manifest/default"),
        ("manifest/default/SN1", machine),
        (machine, machine),
        ("pcr7data", "pcr7data"),
        ("manifest", "manifest"),
    ] {
        let dir = keyset.join(dir);
        assert_eq!(home.ok(&["keyset", "show", "k", key, "--path"]).trim_end(), text(&dir));
        assert!(!home.ok(&["keyset", "show", "k", key]).is_empty());
        json(&home.ok(&["keyset", "show", "k", key, "--json"]));
        for (item, file) in [("cert", "cert.pem"), ("guid", "guid"), ("uuid", "uuid")] {
            let path = dir.join(file);
            if !path.exists() {
                home.refuses(&["keyset", "show", "k", key, item, "--path"]);
                home.refuses(&["keyset", "show", "k", key, item, "--value"]);
                continue;
            }
            let value = fs::read_to_string(&path).unwrap();
            for name in [item, file] {
                assert_eq!(home.ok(&["keyset", "show", "k", key, name, "--path"]).trim_end(), text(&path));
                assert_eq!(home.ok(&["keyset", "show", "k", key, name, "--value"]).trim_end(), value.trim_end());
                let both = home.ok(&["keyset", "show", "k", key, name]);
                assert_eq!(both.trim_end(), format!("{}\n{}", text(&path), value.trim_end()));
                let found = json(&home.ok(&["keyset", "show", "k", key, name, "--json"]));
                assert_eq!((found["path"].as_str(), found["value"].as_str()), (path.to_str(), Some(value.as_str())));
            }
        }
    }
    assert_eq!(home.ok(&["keyset", "show", "k", "--path"]).trim_end(), text(&keyset));
    let details = home.ok(&["keyset", "show", "k", "manifest/default/SN1"]);
    assert!(details.contains("CN=SN1") && details.contains("ec-p256"), "{details}");
    home.refuses(&["keyset", "show", "none"]);
    for key in ["", "uefi", "..", "uefi-db/..", "manifest/none", "manifest/..", "manifest/default/SN2", "/etc"] {
        home.refuses(&["keyset", "show", "k", key]);
        home.refuses(&["keyset", "show", "k", key, "cert", "--value"]);
    }
    for item in ["", "key", "../uefi-pk/cert.pem", "/etc/passwd"] {
        home.refuses(&["keyset", "show", "k", "uefi-db", item]);
    }
}

#[test]
fn no_private_key_is_shown() {
    let (home, keyset) = home();
    let keys = private_keys(&keyset);
    assert_eq!(keys.len(), 12);
    let mut printed = String::new();
    for key in ["uefi-db", "manifest/default", "manifest/default/SN1"] {
        let path = keyset.join(key.replace("default/SN1", "default/sudi/SN1")).join("privkey.pem");
        for item in ["privkey", "privkey.pem"] {
            let complaint = home.refuses(&["keyset", "show", "k", key, item, "--value"]);
            assert!(complaint.contains(text(&path)), "{complaint}");
            assert_eq!(home.ok(&["keyset", "show", "k", key, item, "--path"]).trim_end(), text(&path));
            printed += &complaint;
            for more in [&[][..], &["--json"]] {
                printed += &home.ok(&[&["keyset", "show", "k", key, item], more].concat());
            }
        }
        for more in [&[][..], &["--json"], &["--value"]] {
            printed += &home.ok(&[&["keyset", "show", "k", key], more].concat());
        }
    }
    printed += &home.ok(&["keyset", "show", "k"]);
    printed += &home.ok(&["keyset", "show", "k", "--json"]);
    assert!(printed.contains("BEGIN CERTIFICATE"));
    assert!(!printed.contains("PRIVATE") && !keys.iter().any(|key| printed.contains(key)), "{printed}");
}

#[test]
fn damage_does_not_hide_the_rest() {
    let (home, keyset) = home();
    fs::write(keyset.join("uefi-db/cert.pem"), "nonsense").unwrap();
    fs::remove_dir_all(keyset.join("uefi-pk")).unwrap();
    fs::remove_dir_all(keyset.join("manifest")).unwrap();
    fs::remove_file(keyset.join("uki-tpm/privkey.pem")).unwrap();
    for file in files(&keyset.join("pcr7data")).iter().filter(|file| file.ends_with("info.json")) {
        fs::write(file, "{").unwrap();
    }
    let shown = home.ok(&["keyset", "show", "k"]);
    assert_eq!(shown.matches("no certificate").count(), 2, "{shown}");
    assert_eq!(shown.matches("\n    ├── unknown").count() + shown.matches("\n    └── unknown").count(), 5, "{shown}");
    let found = json(&home.ok(&["keyset", "show", "k", "--json"]));
    assert!(found["keys"][4]["problem"].as_str().unwrap().contains("uefi-db/cert.pem"));
    assert_eq!(found["keys"][7]["private_key"], "absent");
    home.refuses(&["keyset", "show", "k", "uki-tpm", "privkey"]);
}

#[test]
fn an_exported_keyset_is_whole_and_holds_no_private_key() {
    let (home, keyset) = home();
    // A certificate may have company, which stays; and so do strange files.
    let cert = keyset.join("uefi-db/cert.pem");
    let key = fs::read_to_string(keyset.join("uefi-db/privkey.pem")).unwrap();
    let lone = fs::read_to_string(&cert).unwrap();
    fs::write(&cert, format!("{lone}{key}")).unwrap();
    fs::write(keyset.join("uefi-db/privkey.pem~"), &key).unwrap();
    fs::write(keyset.join("pcr7data/policy-2/pubkeys/privkey.txt"), &key).unwrap();
    let dir = home.path().join("public/k");
    assert_eq!(home.ok(&["keyset", "export-public", "k", "--output", text(&dir)]).trim_end(), text(&dir));
    assert_eq!(fs::read_to_string(dir.join("uefi-db/cert.pem")).unwrap(), lone);

    let keys: Vec<_> = files(&keyset).into_iter().filter(|path| path.ends_with("privkey.pem")).collect();
    assert_eq!(keys.len(), 12);
    let secrets: Vec<_> = keys.iter().map(|key| secret(key)).collect();
    for file in files(&dir) {
        let bytes = fs::read(&file).unwrap();
        assert!(!contains(&bytes, b"PRIVATE"), "{}", file.display());
        for secret in &secrets {
            assert!(!contains(&bytes, secret) && !contains(&decoded(&bytes), secret), "{}", file.display());
        }
    }
    // It would be found where it is.
    assert!(contains(&decoded(&fs::read(&cert).unwrap()), &secret(&keyset.join("uefi-db/privkey.pem"))));
    // Everything else is there, with the modes of a keyset.
    let private = |line: &String| line.contains("privkey") || line.contains("/sudi");
    let expected: BTreeSet<_> = tree(&keyset).into_iter().filter(|line| !private(line)).collect();
    assert_eq!(tree(&dir), expected);
    for file in files(&dir).iter().filter(|file| !file.ends_with("uefi-db/cert.pem")) {
        let original = keyset.join(file.strip_prefix(&dir).unwrap());
        assert_eq!(fs::read(file).unwrap(), fs::read(&original).unwrap(), "{}", original.display());
    }
    // The keyset itself is told to have keys where none belong.
    let complaints = String::from_utf8(home.output(&["keyset", "check", "k"]).stdout).unwrap();
    assert_eq!(complaints.lines().filter(|line| line.starts_with("error") && line.contains("private key")).count(), 3);
    // Where a keyset lies, it is one; and so it is where its path is given.
    for name in ["public/k", text(&dir), "./public/k/"] {
        assert!(home.ok(&["keyset", "check", name]).ends_with("k: no errors, no warnings\n"));
        assert!(home.ok(&["keyset", "show", name, "uefi-db", "cert", "--value"]) == lone);
        assert_eq!(home.ok(&["project", "list", name]), "default\n");
    }
    run("cp", &["-a", text(&dir), text(&home.keys().join("public"))]);
    assert!(home.ok(&["keyset", "check", "public"]).contains("no errors"));
    assert_eq!(home.output(&["sudi", "add", "public", "default"]).status.code(), Some(2));
}

/// A foreign keyset: files of the administrator's machine that its links lead to are not exported.
#[test]
fn an_export_follows_no_link_out_of_the_keyset() {
    let (home, keyset) = home();
    let secret = home.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("info.json"), "the owner's token").unwrap();
    let value = files(&keyset).into_iter().find(|path| path.ends_with("info.json")).unwrap();
    let value = value.parent().unwrap().strip_prefix(&keyset).unwrap().to_owned();
    let attacks = [
        ("a file", value.join("info.json"), secret.join("info.json")),
        ("a key under another name", value.join("pcr_prod.bin"), keyset.join("uefi-db/privkey.pem")),
        ("a directory", value.clone(), secret.clone()),
        ("all policies", "pcr7data".into(), secret.clone()),
        ("a certificate", "uefi-db/cert.pem".into(), secret.join("cert.pem")),
        ("a role", "uefi-kek".into(), secret.join("role")),
        ("a link within", value.join("info.json"), PathBuf::from("pcr_prod.bin")),
    ];
    fs::copy(keyset.join("uefi-db/cert.pem"), secret.join("cert.pem")).unwrap();
    run("cp", &["-a", text(&keyset.join("uefi-kek")), text(&secret.join("role"))]);
    run("cp", &["-a", text(&keyset.join("pcr7data/policy-2")), text(&secret)]);
    for (what, at, target) in attacks {
        let (place, saved) = (keyset.join(&at), home.path().join("saved"));
        fs::rename(&place, &saved).unwrap();
        symlink(&target, &place).unwrap();
        let output = home.output(&["keyset", "export-public", "k", "--output", "public"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(14), "{what} was exported: {said}");
        assert!(said.contains("a symbolic link leads there; put") && !home.path().join("public").exists(), "{said}");
        if at.starts_with("pcr7data") {
            let image = ["uki", "build", "k", "--kind", "limited", "--initrd", "x", "--output", "image.efi"];
            let output = home.output(&[&image[..], &["--kernel", text(&assets::Kernel::new().image)]].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(14), "{what} was put into an image: {said}");
            assert!(said.contains("a symbolic link leads there; put"), "{said}");
        }
        fs::remove_file(&place).unwrap();
        fs::rename(&saved, &place).unwrap();
    }
    // No link, but nothing to wait for either; and what a link leads to is not printed, if it is a key.
    fs::remove_file(keyset.join("uefi-db/cert.pem")).unwrap();
    run("mkfifo", &[text(&keyset.join("uefi-db/cert.pem"))]);
    let complaint = home.fails(&["keyset", "export-public", "k", "--output", "public"], 14);
    assert!(complaint.contains("not a regular file"), "{complaint}");
    fs::remove_file(keyset.join("uefi-db/cert.pem")).unwrap();
    symlink("privkey.pem", keyset.join("uefi-db/cert.pem")).unwrap();
    let complaint = home.fails(&["keyset", "show", "k", "uefi-db", "cert", "--value"], 2);
    assert!(complaint.contains("is not for terminals"), "{complaint}");
    // The keyset itself may lie where a link leads.
    symlink(home.keys().join("k"), home.path().join("link")).unwrap();
    fs::remove_file(keyset.join("uefi-db/cert.pem")).unwrap();
    fs::copy(secret.join("cert.pem"), keyset.join("uefi-db/cert.pem")).unwrap();
    home.ok(&["keyset", "export-public", "./link", "--output", "public"]);
}

#[test]
fn an_export_replaces_nothing_and_is_whole_or_absent() {
    let (home, keyset) = home();
    fs::create_dir(home.path().join("there")).unwrap();
    home.refuses(&["keyset", "export-public", "k", "--output", "there"]);
    home.refuses(&["keyset", "export-public", "none", "--output", "new"]);
    fs::remove_file(keyset.join("uki-tpm/guid")).unwrap();
    home.refuses(&["keyset", "export-public", "k", "--output", "new"]);
    fs::write(keyset.join("uki-tpm/guid"), "no guid").unwrap();
    home.fails(&["keyset", "export-public", "k", "--output", "new"], 14);
    for name in ["new", "there/x"] {
        assert!(!home.path().join(name).exists());
    }
    assert!(!run("ls", &["-A", text(home.path())]).contains(".new-"));
}

#[test]
fn a_directory_without_a_keyset_is_refused() {
    let home = Home::with_keyset();
    for name in ["/", "/tmp", "./", "../", "./nowhere", ".local/share/machine/trust/keys/", "/etc/passwd"] {
        for command in ["show", "check"] {
            home.refuses(&["keyset", command, name]);
        }
        home.refuses(&["project", "add", name, "p"]);
    }
}

#[test]
fn a_new_product_is_made_in_the_configuration_directory() {
    let home = Home::with_keyset();
    let printed = home.ok(&["new-uuid", "k"]);
    let dir = PathBuf::from(printed.trim_end());
    assert_eq!(dir.parent(), Some(home.path().join(".config/machine/trust/manifest").as_path()));
    let uuid = dir.file_name().unwrap().to_str().unwrap();
    assert_eq!(fs::read_to_string(dir.join("uuid")).unwrap(), uuid);
    let expected = [" 700", "cert.pem 640", "privkey.pem 600", "uuid 640"].map(String::from);
    assert_eq!(tree(&dir), BTreeSet::from(expected));
    let mode = fs::metadata(home.path().join(".config")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let (cert, key) = (dir.join("cert.pem"), dir.join("privkey.pem"));
    let ca = home.keys().join("k/manifest-ca/cert.pem");
    openssl(&["verify", "-x509_strict", "-no-CApath", "-CAfile", text(&ca), text(&cert)]);
    let subject = openssl(&["x509", "-in", text(&cert), "-noout", "-subject", "-nameopt", "RFC2253"]);
    assert_eq!(subject.trim_end(), format!("subject=CN=manifest PRODUCT:{uuid}"));
    let public = openssl(&["pkey", "-in", text(&key), "-pubout"]);
    assert_eq!(public, openssl(&["x509", "-in", text(&cert), "-noout", "-pubkey"]));

    let found = json(&home.ok(&["new-uuid", "k", "--json", "--key-type", "ec-p256"]));
    assert_ne!(found["uuid"], uuid);
    assert!(found["path"].as_str().unwrap().ends_with(found["uuid"].as_str().unwrap()));

    let elsewhere = home.path().join("elsewhere");
    let mut command = home.command(&["new-uuid", "k"]);
    let output = command.env("XDG_CONFIG_HOME", &elsewhere).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with(text(&elsewhere.join("machine/trust/manifest/"))), "{printed}");
    home.refuses(&["new-uuid", "none"]);
    home.refuses(&["new-uuid"]);
}
