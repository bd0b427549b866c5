//! What `trust enroll` makes, looked at with virt-fw-vars, efitools, sbsigntool and openssl.

use harness::{Home, assets, documentation, openssl, run, unhex};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const DATABASE: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
/// Non-volatile, for boot services and at runtime, signed with a time.
const AUTHENTICATED: u32 = 0x27;
const APPENDED: u32 = 0x67;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn empty_store() -> PathBuf {
    assets::path("usr/share/OVMF/OVMF_VARS_4M.fd")
}

/// `enroll vars k ARGS` of a store, and where the new one is.
fn enroll(home: &Home, store: &Path, args: &[&str]) -> PathBuf {
    let new = home.path().join("new.fd");
    let enroll = ["enroll", "vars", "k", "--vars-in", text(store), "--output", text(&new)];
    assert_eq!(home.ok(&[&enroll[..], args].concat()), "");
    new
}

/// The variables of a store as virt-fw-vars sees them, by name: GUID, attributes, time, contents in hex.
fn variables(store: &Path) -> BTreeMap<String, serde_json::Value> {
    let json = store.with_extension("json");
    let output = assets::program("virt-fw-vars").arg("-i").arg(store).arg("--output-json").arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parsed: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let variables = parsed["variables"].as_array().unwrap().iter();
    variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable.clone())).collect()
}

/// The same, but for the times.
fn timeless(store: &Path) -> BTreeMap<String, serde_json::Value> {
    let mut variables = variables(store);
    for variable in variables.values_mut() {
        variable.as_object_mut().unwrap().remove("time");
    }
    variables
}

/// A store with the keyset's keys as virt-fw-vars enrolls them.
fn enrolled_by_others(home: &Home, db: &[&str]) -> PathBuf {
    let keyset = home.keys().join("k");
    let new = home.path().join("theirs.fd");
    let mut command = assets::program("virt-fw-vars");
    command.arg("-i").arg(empty_store()).arg("-o").arg(&new);
    let mut add = |option: &str, role: &str| {
        let guid = fs::read_to_string(keyset.join(role).join("guid")).unwrap();
        command.args([option, guid.trim(), text(&keyset.join(role).join("cert.pem"))]);
    };
    add("--set-pk", "uefi-pk");
    add("--add-kek", "uefi-kek");
    for role in db {
        add("--add-db", role);
    }
    let output = command.arg("--sb").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    new
}

#[test]
fn a_store_equals_that_of_virt_fw_vars() {
    let home = Home::with_keyset();
    let all = ["uefi-db", "uki-production", "uki-limited", "uki-tpm"];
    for (chain, db) in [("direct", &all[..]), ("shim", &all[..1])] {
        let ours = enroll(&home, &empty_store(), &["--chain", chain]);
        assert_eq!(timeless(&ours), timeless(&enrolled_by_others(&home, db)), "{chain}");
        assert_eq!(fs::metadata(&ours).unwrap().len(), fs::metadata(empty_store()).unwrap().len());
    }
    // Direct is what is done unless one says otherwise, and every time the same.
    let direct = fs::read(enroll(&home, &empty_store(), &["--chain", "direct"])).unwrap();
    assert_eq!(fs::read(enroll(&home, &empty_store(), &[])).unwrap(), direct);
    // What comes behind the variables is not touched.
    let size = 0x40000;
    assert_eq!(direct[size..], fs::read(empty_store()).unwrap()[size..]);
}

/// As Debian ships the flash of ARM machines.
#[test]
fn blank_flash_becomes_a_store_that_virt_fw_vars_reads() {
    let home = Home::with_keyset();
    let blank = home.path().join("AAVMF_VARS.fd");
    fs::File::create(&blank).unwrap().set_len(64 << 20).unwrap();
    home.ok(&["enroll", "vars", "k", "--vars-in", text(&blank), "--output", "filled.fd"]);
    let ours = home.path().join("ours.fd");
    home.ok(&["enroll", "vars", "k", "--vars-in", text(&empty_store()), "--output", "ours.fd"]);
    assert_eq!(variables(&home.path().join("filled.fd")), variables(&ours));
    let other = home.path().join("other.fd");
    fs::File::create(&other).unwrap().set_len(1 << 20).unwrap();
    home.fails(&["enroll", "vars", "k", "--vars-in", text(&other), "--output", "none.fd"], 14);
}

#[test]
fn other_variables_stay_and_keys_are_replaced() {
    let home = Home::with_keyset();
    let used = home.path().join("used.fd");
    let mut command = assets::program("virt-fw-vars");
    command.arg("-i").arg(empty_store()).arg("-o").arg(&used);
    command.args(["--append-boot-filepath", "\\EFI\\other.efi", "--set-boot-uri", "http://localhost/other"]);
    command.args(["--enroll-generate", "another owner"]);
    assert!(command.output().unwrap().status.success());
    let before = timeless(&used);
    assert!(before.contains_key("Boot0000") && before.contains_key("db"), "{before:?}");

    let mut after = timeless(&enroll(&home, &used, &["--dbx", "/dev/null"]));
    let fresh = timeless(&enroll(&home, &empty_store(), &["--dbx", "/dev/null"]));
    assert!(!fresh.contains_key("dbx"));
    for (name, variable) in fresh {
        assert_eq!(after.remove(&name), Some(variable), "{name}");
    }
    for (name, variable) in after {
        assert_eq!(Some(&variable), before.get(&name), "{name}");
    }
    // In place, and again.
    let once = fs::read(enroll(&home, &used, &[])).unwrap();
    home.ok(&["enroll", "vars", "k", "--vars-in", "used.fd", "--output", "used.fd"]);
    assert_eq!(fs::read(&used).unwrap(), once);
    home.ok(&["enroll", "vars", "k", "--vars-in", "used.fd", "--output", "used.fd"]);
    assert_eq!(timeless(&used), timeless(&enroll(&home, &used, &[])));
}

#[test]
fn additional_db_and_dbx_entries_are_enrolled() {
    let home = Home::with_keyset();
    let pem = home.keys().join("k/sudi-ca/cert.pem");
    let der = home.path().join("other.der");
    openssl(&["x509", "-in", text(&pem), "-outform", "der", "-out", text(&der)]);
    let mut stores = Vec::new();
    for file in [&pem, &der] {
        stores.push(timeless(&enroll(&home, &empty_store(), &["--db", text(file)])));
    }
    let guid = fs::read_to_string(home.keys().join("k/uefi-db/guid")).unwrap();
    run("cert-to-efi-sig-list", &["-g", guid.trim(), text(&pem), text(&home.path().join("other.esl"))]);
    stores.push(timeless(&enroll(&home, &empty_store(), &["--db", "other.esl"])));
    let other: String = fs::read(home.path().join("other.esl")).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    for store in &stores {
        assert!(store["db"]["data"].as_str().unwrap().ends_with(&other));
        assert_eq!(store, &stores[0]);
    }
    assert_ne!(home.ok(&["compute-pcr7", "k", "--db", "other.esl"]), home.ok(&["compute-pcr7", "k"]));
    // What db has already is not there twice.
    let own = home.keys().join("k/uefi-db/cert.pem");
    let fresh = timeless(&enroll(&home, &empty_store(), &[]));
    assert_eq!(timeless(&enroll(&home, &empty_store(), &["--db", text(&own)])), fresh);
    fs::write(home.path().join("nothing"), "").unwrap();
    let into = ["--vars-in", text(&empty_store()), "--output", "refused.fd"].map(str::to_owned);
    let into: Vec<_> = into.iter().map(String::as_str).collect();
    home.refuses(&[&["enroll", "vars", "k", "--db", "nothing"], &into[..]].concat());
    home.fails(&[&["enroll", "vars", "k", "--db", text(&home.keys().join("k/uefi-db/guid"))], &into[..]].concat(), 14);
    assert!(!home.path().join("refused.fd").exists());
}

#[test]
fn malformed_stores_are_refused() {
    let home = Home::with_keyset();
    let sound = fs::read(enroll(&home, &empty_store(), &[])).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut store = sound.clone();
        store[at..at + bytes.len()].copy_from_slice(bytes);
        store
    };
    // The store's header is at 0x48, the first variable at 0x64.
    let cases: [(&str, Vec<u8>); 16] = [
        ("empty", Vec::new()),
        ("three bytes", b"MZ\0".to_vec()),
        ("erased", vec![0xff; sound.len()]),
        ("qcow2", [b"QFI\xfb", &[0; 0x1000][..]].concat()),
        ("cut off", sound[..sound.len() / 4].to_vec()),
        ("cut in the header", sound[..0x50].to_vec()),
        ("another kind of volume", with(0x10, &[0])),
        ("a volume beyond the end", with(0x20, &[0xff; 8])),
        ("a header beyond the end", with(0x30, &[0xff; 2])),
        ("no header", with(0x30, &[0; 2])),
        ("a wrong sum", with(0x32, &[0; 2])),
        ("another kind of store", with(0x48, &[0])),
        ("a store beyond the volume", with(0x58, &[0xff; 4])),
        ("a store that is not formatted", with(0x5c, &[0xff])),
        ("a name beyond the end", with(0x64 + 36, &[0xff; 4])),
        ("contents beyond the end", with(0x64 + 40, &[0xff, 0xff, 0xff, 0x7f])),
    ];
    let enroll = ["enroll", "vars", "k", "--vars-in", "bad.fd", "--output", "bad.fd"];
    for (name, bytes) in cases {
        fs::write(home.path().join("bad.fd"), &bytes).unwrap();
        let complaint = home.fails(&enroll, 14);
        assert!(complaint.contains("bad.fd") && complaint.contains("OVMF_VARS"), "{name}: {complaint}");
        assert_eq!(fs::read(home.path().join("bad.fd")).unwrap(), bytes, "{name}");
    }
    // Rubbish where flash should be erased.
    fs::write(home.path().join("bad.fd"), with(0x3ff00, b"rubbish")).unwrap();
    home.fails(&enroll, 14);
    home.refuses(&["enroll", "vars", "k", "--vars-in", "missing.fd", "--output", "bad.fd"]);
    home.fails(&["enroll", "vars", "k", "--vars-in", text(&empty_store()), "--output", "no/such/place.fd"], 2);
}

#[test]
fn a_full_store_is_refused() {
    let home = Home::with_keyset();
    // As many hashes as there is room for, more or less.
    let list = |count: u32| {
        let mut list =
            vec![0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28];
        list.extend([28 + 48 * count, 0, 48].iter().flat_map(|field| field.to_le_bytes()));
        list.extend((0..count).flat_map(|number| [[0; 44].to_vec(), number.to_le_bytes().to_vec()].concat()));
        list
    };
    fs::write(home.path().join("dbx"), list(5000)).unwrap();
    enroll(&home, &empty_store(), &["--dbx", "dbx"]);
    let kept = fs::read(home.path().join("new.fd")).unwrap();
    fs::write(home.path().join("dbx"), list(6000)).unwrap();
    let full = ["enroll", "vars", "k", "--vars-in", "new.fd", "--output", "new.fd", "--dbx", "dbx"];
    let complaint = home.refuses(&full);
    assert!(complaint.contains("bytes more than it has"), "{complaint}");
    assert_eq!(fs::read(home.path().join("new.fd")).unwrap(), kept);
}

/// `EFI_TIME` of a signed file as sign-efi-sig-list wants it said.
fn time_of(signed: &[u8]) -> String {
    let year = u16::from_le_bytes([signed[0], signed[1]]);
    let [month, day, hour, minute, second] = signed[2..7].try_into().unwrap();
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Signature and contents of a signed file.
fn parts(signed: &[u8]) -> (&[u8], &[u8]) {
    let length = u32::from_le_bytes(signed[16..20].try_into().unwrap()) as usize;
    (&signed[40..16 + length], &signed[16 + length..])
}

/// What the signature of a file for this variable is over (UEFI Specification, section 8.2.2).
fn message(name: &str, vendor: &str, attributes: u32, signed: &[u8]) -> Vec<u8> {
    let name: Vec<_> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let digits: Vec<_> = vendor.bytes().filter(|digit| *digit != b'-').collect();
    let byte = |at: usize| u8::from_str_radix(str::from_utf8(&digits[2 * at..2 * at + 2]).unwrap(), 16).unwrap();
    let guid = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte);
    [&name[..], &guid, &attributes.to_le_bytes(), &signed[..16], parts(signed).1].concat()
}

/// Whether openssl says that this is signed by one of the keyset's keys.
fn openssl_verifies(home: &Home, signer: &str, message: &[u8], signature: &[u8]) -> bool {
    // A bare SignedData, which openssl wants in a ContentInfo.
    let tlv =
        |tag: u8, value: &[u8]| [&[tag, 0x82][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat();
    let signed_data = [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2], &tlv(0xa0, signature)[..]].concat();
    fs::write(home.path().join("signature"), tlv(0x30, &signed_data)).unwrap();
    fs::write(home.path().join("message"), message).unwrap();
    let mut command = Command::new("openssl");
    command.args(["cms", "-verify", "-inform", "DER", "-in", "signature", "-content", "message", "-binary"]);
    command.args(["-partial_chain", "-purpose", "any", "-out", "/dev/null", "-CAfile"]);
    command.arg(home.keys().join("k").join(signer).join("cert.pem")).current_dir(home.path());
    command.output().unwrap().status.success()
}

#[test]
fn signature_lists_equal_those_of_efitools_and_sbsigntool() {
    let home = Home::with_keyset();
    for (chain, db) in
        [("direct", &["uefi-db", "uki-production", "uki-limited", "uki-tpm"][..]), ("shim", &["uefi-db"])]
    {
        assert_eq!(home.ok(&["enroll", "auth", "k", "--output", chain, "--chain", chain]).trim_end(), chain);
        for (name, roles) in [("PK", &["uefi-pk"][..]), ("KEK", &["uefi-kek"]), ("db", db)] {
            let (mut efitools, mut sbsigntool) = (Vec::new(), Vec::new());
            for role in roles {
                let dir = home.keys().join("k").join(role);
                let guid = fs::read_to_string(dir.join("guid")).unwrap();
                let [esl, der] = ["list", "der"].map(|name| home.path().join(name));
                run("cert-to-efi-sig-list", &["-g", guid.trim(), text(&dir.join("cert.pem")), text(&esl)]);
                efitools.extend(fs::read(&esl).unwrap());
                openssl(&["x509", "-in", text(&dir.join("cert.pem")), "-outform", "der", "-out", text(&der)]);
                run("sbsiglist", &["--owner", guid.trim(), "--type", "x509", "--output", text(&esl), text(&der)]);
                sbsigntool.extend(fs::read(&esl).unwrap());
            }
            let ours = fs::read(home.path().join(chain).join(format!("{name}.esl"))).unwrap();
            assert_eq!(ours, efitools, "{chain} {name}");
            assert_eq!(ours, sbsigntool, "{chain} {name}");
        }
    }
    assert!(!home.path().join("direct/vendor_db.esl").exists());
    let mut vendor = Vec::new();
    for role in ["uki-production", "uki-limited", "uki-tpm"] {
        let esl = home.path().join("list");
        // Without a GUID they have no owner.
        run("cert-to-efi-sig-list", &[text(&home.keys().join("k").join(role).join("cert.pem")), text(&esl)]);
        vendor.extend(fs::read(&esl).unwrap());
    }
    assert_eq!(fs::read(home.path().join("shim/vendor_db.esl")).unwrap(), vendor);
}

#[test]
fn signed_files_equal_those_of_efitools() {
    let home = Home::with_keyset();
    home.ok(&["enroll", "auth", "k", "--output", "keys"]);
    fs::copy(home.path().join("keys/dbx.esl"), home.path().join("update.esl")).unwrap();
    home.ok(&[
        "enroll",
        "auth",
        "k",
        "--output",
        "update",
        "--append-dbx",
        "update.esl",
        "--append-db",
        "keys/KEK.esl",
    ]);
    let cases = [
        ("keys/PK", "PK", GLOBAL, AUTHENTICATED, "uefi-pk"),
        ("keys/KEK", "KEK", GLOBAL, AUTHENTICATED, "uefi-pk"),
        ("keys/db", "db", DATABASE, AUTHENTICATED, "uefi-kek"),
        ("keys/dbx", "dbx", DATABASE, AUTHENTICATED, "uefi-kek"),
        ("update/append-db", "db", DATABASE, APPENDED, "uefi-kek"),
        ("update/append-dbx", "dbx", DATABASE, APPENDED, "uefi-kek"),
    ];
    for (file, name, vendor, attributes, signer) in cases {
        let signed = fs::read(home.path().join(file).with_extension("auth")).unwrap();
        let esl = home.path().join(file).with_extension("esl");
        assert_eq!(parts(&signed).1, fs::read(&esl).unwrap(), "{file}");
        let message = message(name, vendor, attributes, &signed);
        assert!(openssl_verifies(&home, signer, &message, parts(&signed).0), "{file}");
        assert!(!openssl_verifies(&home, "uefi-db", &message, parts(&signed).0), "{file}");
        assert!(!openssl_verifies(&home, signer, &[&message[..], &[0]].concat(), parts(&signed).0), "{file}");

        let dir = home.keys().join("k").join(signer);
        let theirs = home.path().join("theirs.auth");
        let mut command = Command::new("sign-efi-sig-list");
        command.args(if attributes == APPENDED { &["-a"][..] } else { &[] });
        command.args([
            "-t",
            &time_of(&signed),
            "-c",
            text(&dir.join("cert.pem")),
            "-k",
            text(&dir.join("privkey.pem")),
        ]);
        command.args([name, text(&esl), text(&theirs)]).env("TZ", "UTC");
        assert!(command.output().unwrap().status.success());
        assert_eq!(fs::read(theirs).unwrap(), signed, "{file}");
    }
    // What takes the PK away has to be newer than it.
    let [pk, no_pk] = ["keys/PK.auth", "keys/noPK.auth"].map(|file| fs::read(home.path().join(file)).unwrap());
    assert!(parts(&no_pk).1.is_empty() && time_of(&no_pk) > time_of(&pk));
    assert!(openssl_verifies(&home, "uefi-pk", &message("PK", GLOBAL, AUTHENTICATED, &no_pk), parts(&no_pk).0));
}

#[test]
fn updates_need_one_key_and_nothing_else() {
    let home = Home::with_keyset();
    let keyset = home.keys().join("k");
    for role in ["uefi-pk", "uefi-db"] {
        fs::remove_file(keyset.join(role).join("privkey.pem")).unwrap();
    }
    let certificate = keyset.join("sudi-ca/cert.pem");
    home.ok(&["enroll", "auth", "k", "--output", "update", "--append-db", text(&certificate)]);
    let names: Vec<_> = harness::tree(&home.path().join("update")).into_iter().collect();
    assert_eq!(names, [" 700", "append-db.auth 640", "append-db.esl 640"]);
    let output =
        run("sig-list-to-certs", &[text(&home.path().join("update/append-db.esl")), text(&home.path().join("got"))]);
    assert!(output.contains(fs::read_to_string(keyset.join("uefi-db/guid")).unwrap().trim()), "{output}");
    let der = home.path().join("got-0.der");
    let public = |args: &[&str]| openssl(&[&["x509", "-noout", "-pubkey", "-in"], args].concat());
    assert_eq!(public(&[text(&der), "-inform", "der"]), public(&[text(&certificate)]));

    // All or nothing.
    home.fails(&["enroll", "auth", "k", "--output", "keys"], 2);
    assert!(!home.path().join("keys").exists());
    let complaint = home.refuses(&["enroll", "auth", "k", "--output", "update", "--append-db", text(&certificate)]);
    assert!(complaint.contains("it exists"), "{complaint}");
    fs::write(home.path().join("text"), "no certificate").unwrap();
    home.fails(&["enroll", "auth", "k", "--output", "other", "--append-db", "text"], 14);
    home.refuses(&["enroll", "auth", "k", "--output", "other", "--append-dbx", "/dev/null"]);
    home.refuses(&["enroll", "auth", "k", "--output", "other", "--append-dbx", text(&certificate), "--chain", "shim"]);
    assert!(!home.path().join("other").exists());
    // Without dbx there is no file of it.
    let home = Home::with_keyset();
    home.ok(&["enroll", "auth", "k", "--output", "keys", "--dbx", "/dev/null"]);
    assert!(!home.path().join("keys/dbx.auth").exists() && home.path().join("keys/db.auth").exists());
}

#[test]
fn a_key_in_a_token_signs_updates() {
    let home = Home::with_keyset();
    let token = harness::Token::new();
    let key = home.keys().join("k/uefi-kek/privkey.pem");
    token.import(&key, "kek", "01");
    let run = |args: &[&str]| {
        let (name, value) = token.environment();
        let output = home.command(args).env(name, value).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    home.ok(&["enroll", "auth", "k", "--output", "keys"]);
    run(&["keyset", "use-key", "k", "uefi-kek", &token.uri("kek")]);
    assert!(!fs::read_to_string(&key).unwrap().contains("PRIVATE KEY"));
    run(&["enroll", "auth", "k", "--output", "update", "--append-dbx", "keys/dbx.esl"]);
    let signed = fs::read(home.path().join("update/append-dbx.auth")).unwrap();
    let message = message("dbx", DATABASE, APPENDED, &signed);
    assert!(openssl_verifies(&home, "uefi-kek", &message, parts(&signed).0));
}

/// The console of `docs/real-machine.md`, up to an ellipsis.
#[test]
fn the_page_of_the_real_machine_is_followed() {
    let home = Home::with_keyset();
    fs::rename(home.keys().join("k"), home.keys().join("acme")).unwrap();
    let steps = documentation::console(&documentation::read("docs/real-machine.md"));
    assert_eq!(steps.len(), 4);
    for (command, expected) in steps {
        let printed = home.types(&command);
        let start = expected.split('…').next().unwrap();
        assert!(printed.starts_with(start) && (expected.contains('…') || printed == expected), "{command}: {printed}");
    }
    assert!(home.path().join("keys/PK.auth").exists());
}

/// Every page is in the table of contents, and every link in the pages leads to a file and a heading.
#[test]
fn pages_are_listed_and_their_links_lead_somewhere() {
    let docs = harness::workspace().join("docs");
    let contents = documentation::read("docs/README.md");
    let mut links = 0;
    for entry in fs::read_dir(&docs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".md") {
            continue;
        }
        assert!(name == "README.md" || contents.contains(&format!("({name})")), "docs/README.md does not list {name}");
        let page = documentation::read(&format!("docs/{name}"));
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { docs.join(&name) } else { docs.join(file) };
            assert!(path.exists(), "docs/{name}: {link} leads to no file");
            let is_there = heading.is_empty() || headings(&path).any(|found| found == heading);
            assert!(is_there, "docs/{name}: {link} leads to no heading");
            links += 1;
        }
    }
    assert!(links > 50, "the search misses them: {links}");
}

/// The anchors of a page's headings, as forges make them.
fn headings(page: &Path) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(page).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase()))
        .collect();
    lines.into_iter().map(|line| {
        let kept = line.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    })
}

/// A firmware takes a signed variable only if it is later than the one it has.
#[test]
fn updates_are_later_than_what_a_new_store_has() {
    let home = Home::new();
    home.ok(&["keyset", "add", "k"]);
    let store = enroll(&home, &empty_store(), &[]);
    home.ok(&["enroll", "auth", "k", "--output", "keys"]);
    let time = |fields: &[u8]| (u16::from_le_bytes([fields[0], fields[1]]), fields[2..7].to_vec());
    let signed = fs::read(home.path().join("keys/db.auth")).unwrap();
    let stored = unhex(variables(&store)["db"]["time"].as_str().unwrap());
    assert!(time(&signed) > time(&stored), "{:?}, {:?}", time(&signed), time(&stored));
}
