//! PCR 7 as `trust` predicts it, held against what real firmware and shims measured, and against shims that lie.

use harness::{
    Digest, Home, Measured, extend, firmware_log, firmware_log_with_sha1, hex, luks_policy, openssl, pcr_policy,
    pe_image, sha256, unhex,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use trust::{
    host::{
        predict::shim::Shim,
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, GLOBAL, KEK, PK, SECURE_BOOT, Variable},
        },
    },
    measure::{event::EventType, explain::explain},
    policy::{boot_kind::BootKind, pcr7data::Pcr7Data},
};

/// What `trust compute-pcr7` was asked, and what was measured.
const MEASURED: [(&str, &str, &[&str]); 3] = [
    ("direct-production", "uki-production", &[]),
    ("direct-limited", "uki-limited", &["--chain", "direct"]),
    ("direct-no-dbx-production", "uki-production", &["--dbx", "/dev/null"]),
];
/// The same, with a shim.
const MEASURED_WITH_SHIM: [(&str, &str, &[&str]); 2] =
    [("shim-tpm", "uki-tpm", &[]), ("shim-no-dbx-production", "uki-production", &["--dbx", "/dev/null"])];
/// The level that shim 16.1 as Debian's source makes it sets by itself.
const SBAT_LEVEL: &[u8] = b"sbat,1,2024040900\nshim,4\ngrub,4\ngrub.peimage,2\n";

fn measured() -> PathBuf {
    harness::workspace().join("tests/data/measured")
}

/// A home with keyset `k`, whose certificates were enrolled when the logs were made.
fn home() -> Home {
    let home = Home::new();
    fs::create_dir_all(home.keys()).unwrap();
    harness::run("cp", &["-r", text(&measured().join("keyset")), text(&home.keys().join("k"))]);
    home
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The certificate of one of the keyset's keys in DER.
fn certificate(role: &str) -> Vec<u8> {
    let cert = measured().join("keyset").join(role).join("cert.pem");
    let output = std::process::Command::new("openssl")
        .args(["x509", "-outform", "der", "-in"])
        .arg(cert)
        .output()
        .expect("openssl is there");
    assert!(output.status.success());
    output.stdout
}

/// `compute-pcr7 k ARGS --json --explain` of one kind of image, as the logs have it: `TYPE DIGEST DATA`, then `PCR7 VALUE`.
fn predicted(home: &Home, role: &str, args: &[&str]) -> Vec<String> {
    let printed = home.ok(&[&["compute-pcr7", "k", "--json", "--explain"], args].concat());
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let mut lines: Vec<String> = Vec::new();
    for event in json["events"][role].as_array().unwrap() {
        let [kind, digest, data] = ["type", "digest", "data"].map(|key| event[key].as_str().unwrap());
        lines.push(format!("{kind} {digest} {data}"));
    }
    lines.push(format!("PCR7 {}", json[role].as_str().unwrap()));
    lines
}

fn expected(log: &str) -> Vec<String> {
    let log = fs::read_to_string(measured().join(format!("{log}.events"))).unwrap();
    log.lines().map(str::to_owned).collect()
}

/// The events of such lines.
fn events(lines: &[String]) -> Vec<Measured> {
    let kind = |name: &str| match name {
        "EV_SEPARATOR" => EventType::SEPARATOR.0,
        "EV_EFI_VARIABLE_DRIVER_CONFIG" => EventType::EFI_VARIABLE_DRIVER_CONFIG.0,
        "EV_EFI_VARIABLE_AUTHORITY" => EventType::EFI_VARIABLE_AUTHORITY.0,
        other => panic!("{other}"),
    };
    let fields = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() == 3);
    fields.map(|fields| (kind(fields[0]), unhex(fields[2]))).collect()
}

/// PCR 7 after events.
fn replayed(events: &[Measured]) -> String {
    hex(&events.iter().fold([0; 32], |pcr, (_, data)| extend(&pcr, &sha256(&[data]))))
}

/// The values for a machine with this log.
fn as_logged(home: &Home, log: &[u8], args: &[&str]) -> serde_json::Value {
    fs::write(home.path().join("log"), log).unwrap();
    serde_json::from_str(&home.ok(&[&["compute-pcr7", "k", "--log", "log", "--json"], args].concat())).unwrap()
}

/// One log of a machine is enough to know its other boots, with databases and quirks that nothing else tells.
#[test]
fn additional_firmware_events_are_taken_from_a_log() {
    let home = home();
    for (log, role, _) in MEASURED {
        let measured = events(&expected(log));
        for written in [firmware_log(&measured), firmware_log_with_sha1(&measured)] {
            assert_eq!(as_logged(&home, &written, &[])[role], replayed(&measured), "{log}");
        }
    }
    // Of an image of another kind.
    let production = firmware_log(&events(&expected("direct-production")));
    assert_eq!(as_logged(&home, &production, &[])["uki-limited"], replayed(&events(&expected("direct-limited"))));
    // Options go before what is logged.
    let value = as_logged(&home, &production, &["--dbx", "/dev/null"])["uki-production"].clone();
    assert_eq!(value, replayed(&events(&expected("direct-no-dbx-production"))));
}

#[test]
fn quirks_of_a_firmware_are_predicted_from_its_log() {
    let home = Home::with_keyset();
    let usual = events(&predicted(&home, "uki-production", &[]));
    let action = |text: &str| (EventType::EFI_ACTION.0, text.as_bytes().to_vec());
    let foreign = (EventType::EFI_VARIABLE_AUTHORITY.0, DB.data(b"owned by others!a driver of theirs"));
    let quirk = |change: &dyn Fn(&mut Vec<Measured>)| {
        let mut events = usual.clone();
        change(&mut events);
        events
    };
    let mode = |name| (EventType::EFI_VARIABLE_DRIVER_CONFIG.0, Variable { name, vendor: GLOBAL }.data(&[1]));
    for (what, real, doubt) in [
        ("DMA", quirk(&|events| events.insert(5, action("DMA Protection Disabled"))), "DMA is switched off"),
        ("modes", quirk(&|events| drop(events.splice(1..1, [mode("SetupMode"), mode("DeployedMode")]))), ""),
        ("dbt", quirk(&|events| events.insert(5, mode("dbt"))), ""),
        ("twice", quirk(&|events| events.push(events.last().unwrap().clone())), ""),
        ("before the separator", quirk(&|events| events.swap(5, 6)), ""),
    ] {
        let written = firmware_log(&real);
        assert_eq!(as_logged(&home, &written, &[])["uki-production"], replayed(&real), "{what}");
        let accept: &[&str] = if what == "DMA" { &["--accept", "dma"] } else { &[] };
        let signed = home.output(&[&["keyset", "pcr7data", "k", "--log", "log"], accept].concat());
        let said = String::from_utf8(signed.stderr).unwrap();
        assert!(
            signed.status.success() && said.contains(doubt) && said.contains("warning") != doubt.is_empty(),
            "{said}"
        );
        // Then that machine's production boots are known, and have nothing to explain.
        let data = Pcr7Data::open(&home.keys().join("k/pcr7data")).unwrap();
        let value: Digest = unhex(&replayed(&real)).try_into().unwrap();
        assert_eq!(data.find(&value).unwrap().info.kind, BootKind::Production.into(), "{what}");
        assert_eq!(explain(&written, &data.events()), "", "{what}");
    }

    // With other keys, another system, Secure Boot off: the firmware's own events around the keyset's.
    let factory = |events: &mut Vec<Measured>| {
        events[0].1 = SECURE_BOOT.data(&[0]);
        for (event, variable) in events[1..5].iter_mut().zip([PK, KEK, DB, DBX]) {
            event.1 = variable.data(b"");
        }
        events.insert(5, action("Something of the firmware's own"));
        events.truncate(7);
        events.push(foreign.clone());
        events.push((EventType::EFI_VARIABLE_AUTHORITY.0, DB.data(b"owned by others!a boot loader of theirs")));
    };
    let mut expected = usual.clone();
    expected.insert(5, action("Something of the firmware's own"));
    assert_eq!(as_logged(&home, &firmware_log(&quirk(&factory)), &[])["uki-production"], replayed(&expected));

    for (bytes, why) in [(&b""[..], "binary_bios_measurements"), (b"no log at all", "binary_bios_measurements")] {
        fs::write(home.path().join("log"), bytes).unwrap();
        assert!(home.fails(&["compute-pcr7", "k", "--log", "log"], 14).contains(why));
    }
    let lists = quirk(&|events| events[3].1 = DB.data(b"no signature list"));
    fs::write(home.path().join("log"), firmware_log(&lists)).unwrap();
    assert!(home.fails(&["compute-pcr7", "k", "--log", "log"], 14).contains("understand db in the event log"));
}

/// The section `.vendor_cert` with this allowed.
fn vendor_cert(allowed: &[u8]) -> Vec<u8> {
    let size = u32::try_from(allowed.len()).unwrap();
    let header: Vec<_> = [size, 0, 16, 16 + size].iter().flat_map(|field| field.to_le_bytes()).collect();
    [&header, allowed].concat()
}

/// The section `.sbatlevel`.
fn sbat_level(automatic: &[u8]) -> Vec<u8> {
    let latest = 9 + u32::try_from(automatic.len()).unwrap();
    let header: Vec<_> = [0, 8, latest].iter().flat_map(|field: &u32| field.to_le_bytes()).collect();
    [&header, automatic, b"\0sbat,1,2099010100\nshim,9\n\0"].concat()
}

/// Signature lists of the three keys of images, without owners.
fn vendor_db() -> Vec<u8> {
    const X509: [u8; 16] =
        [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];
    let list = |role| {
        let certificate = certificate(role);
        let size = u32::try_from(certificate.len()).unwrap();
        let sizes: Vec<_> = [44 + size, 0, 16 + size].iter().flat_map(|field| field.to_le_bytes()).collect();
        [&X509[..], &sizes, &[0; 16], &certificate].concat()
    };
    ["uki-production", "uki-limited", "uki-tpm"].map(list).concat()
}

fn ident(version: &str) -> Vec<u8> {
    format!("UEFI SHIM\n$Version: {version} $\n$BuildMachine: Linux x86_64 $\n").into_bytes()
}

fn shim(version: &str, vendor: &[u8], level: Option<&[u8]>) -> Vec<u8> {
    let (ident, vendor, level) = (ident(version), vendor_cert(vendor), level.map(sbat_level));
    let mut sections = vec![(".data.ident", ident.as_slice()), (".vendor_cert", &vendor)];
    sections.extend(level.as_deref().map(|level| (".sbatlevel", level)));
    pe_image(&sections)
}

#[test]
fn firmware_measures_what_was_predicted() {
    let home = home();
    for (log, role, args) in MEASURED {
        assert_eq!(predicted(&home, role, args), expected(log), "{log}");
    }
}

#[test]
fn a_shim_measures_what_was_predicted() {
    let home = home();
    let file = home.path().join("shim.efi");
    fs::write(&file, shim("16.1", &vendor_db(), Some(SBAT_LEVEL))).unwrap();
    for (log, role, args) in MEASURED_WITH_SHIM {
        assert_eq!(predicted(&home, role, &[&["--shim", text(&file)], args].concat()), expected(log), "{log}");
    }
}

#[test]
fn event_names_follow_the_version_of_shim() {
    let home = home();
    let events = |file: &[u8]| -> Vec<String> {
        fs::write(home.path().join("shim.efi"), file).unwrap();
        let printed = home.ok(&["compute-pcr7", "k", "--shim", "shim.efi", "--json", "--explain"]);
        let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let events = json["events"]["uki-tpm"].as_array().unwrap().iter().skip(6);
        events.map(|event| event["variable"].as_str().unwrap().to_owned()).collect()
    };
    let old = ["db", "SbatLevel", "MokListTrusted", "vendor_db"];
    assert_eq!(events(&shim("15.6", &vendor_db(), None)), old);
    assert_eq!(events(&shim("15.7", &vendor_db(), Some(b"sbat,1,2021030218\n"))), old);
    assert_eq!(events(&shim("15.8", &vendor_db(), Some(SBAT_LEVEL))), ["db", "SbatLevel", "vendor_db"]);
    assert_eq!(events(&shim("17", &vendor_db(), Some(SBAT_LEVEL))), ["db", "SbatLevel", "vendor_db"]);
    // The values of 15.6 are those of the boot kit.
    fs::write(home.path().join("shim.efi"), shim("15.6", &vendor_db(), None)).unwrap();
    let given = home.ok(&["compute-pcr7", "k", "--shim", "shim.efi"]);
    assert_eq!(home.ok(&["compute-pcr7", "k", "--chain", "shim"]), given);
    // A level that the machine has instead.
    fs::write(home.path().join("level"), b"sbat,1,2099010100\n").unwrap();
    let newer = home.ok(&["compute-pcr7", "k", "--shim", "shim.efi", "--sbat-level", "level"]);
    assert_ne!(newer, given);
    fs::write(home.path().join("level"), b"sbat,1,2021030218\n").unwrap();
    assert_eq!(home.ok(&["compute-pcr7", "k", "--shim", "shim.efi", "--sbat-level", "level"]), given);
}

#[test]
fn a_shim_with_other_keys_is_refused() {
    let home = home();
    let shim = harness::assets::path("usr/lib/shim/shimx64.efi");
    let complaint = home.refuses(&["compute-pcr7", "k", "--shim", text(&shim)]);
    assert!(complaint.contains("does not hold its certificate"), "{complaint}");
}

/// It is measured with everything else in db, and nothing is verified with it.
#[test]
fn a_certificate_that_cannot_be_read_does_not_hide_the_next_one() {
    let home = home();
    home.ok(&["keyset", "add", "other"]);
    let dir = home.keys().join("other/uefi-db");
    let [key, cert, der] = ["privkey.pem", "cert.pem", "cert.der"].map(|name| text(&dir.join(name)).to_owned());
    openssl(&["x509", "-in", &cert, "-outform", "DER", "-out", &der]);
    let lists = [b"0\x82\0\x04abcd".to_vec(), fs::read(&der).unwrap()];
    let lists = lists.map(|certificate| SignatureList::x509(uuid::Uuid::nil(), certificate));
    fs::write(home.path().join("db.esl"), signature_list::to_bytes(&lists).unwrap()).unwrap();
    fs::write(home.path().join("shim.efi"), shim("16.1", &vendor_db(), Some(SBAT_LEVEL))).unwrap();
    home.ok(&["sign", "efi", "shim.efi", "--key", &key, "--cert", &cert, "--output", "shim.efi"]);
    let compute = ["compute-pcr7", "k", "--shim", "shim.efi"];
    assert!(home.refuses(&compute).contains("none of its signatures leads to"));
    let output = home.output(&[&compute[..], &["--db", "db.esl"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("certificate 1 in db.esl cannot be read") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_shim_with_one_key_yields_one_value() {
    let home = home();
    let mut shim = fs::read(harness::assets::path("usr/lib/shim/shimx64.efi")).unwrap();
    // Debian's certificate makes room for a shorter one; what the shim denies may lie elsewhere.
    let at = shim.windows(12).position(|window| window == [0x30, 0x82, 3, 0x9e, 0x30, 0x82, 2, 0x86, 0xa0, 3, 2, 1]);
    let at = at.expect("Debian's certificate is in its shim");
    let certificate = certificate("uki-production");
    let length = u32::try_from(certificate.len()).unwrap();
    shim[at - 16..at - 12].copy_from_slice(&length.to_le_bytes());
    shim[at..at + certificate.len()].copy_from_slice(&certificate);
    fs::write(home.path().join("shim.efi"), shim).unwrap();
    // The other two are not started, and it says so.
    let complaint = home.refuses(&["compute-pcr7", "k", "--shim", "shim.efi"]);
    assert!(complaint.contains("uki-limited"), "{complaint}");
}

#[test]
fn a_dbx_in_any_form_yields_the_same_value() {
    let home = home();
    // The default, written down.
    let hash = "2616c4c14c509240aca941f9369343284c0000000000000030000000a3a8baa01d04a848bc87c36d121b5e3d\
                e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let esl: Vec<u8> =
        (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap()).collect();
    let write = |name: &str, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();
    write("dbx.esl", &esl);
    write("dbx.var", &[&[0x27, 0, 0, 0], &esl[..]].concat());
    let mut other = esl.clone();
    other[44] ^= 1;
    write("update.esl", &other);
    write("both.esl", &[esl.clone(), other.clone()].concat());
    let value = |args: &[&str]| home.ok(&[&["compute-pcr7", "k"], args].concat());
    let default = value(&[]);
    assert_eq!(value(&["--dbx", "dbx.esl"]), default);
    assert_eq!(value(&["--dbx", "dbx.var"]), default);
    let updated = value(&["--dbx", "dbx.esl", "--dbx", "update.esl"]);
    assert_ne!(updated, default);
    assert_eq!(value(&["--dbx", "both.esl"]), updated);
    // What is there already is not appended again.
    assert_eq!(value(&["--dbx", "both.esl", "--dbx", "update.esl", "--dbx", "dbx.var"]), updated);
    // Sizes that lie.
    for (name, bytes) in [("short", &esl[..75]), ("long", &[&esl[..], &[0]].concat()), ("text", b"dbx")] {
        write(name, bytes);
        let complaint = home.fails(&["compute-pcr7", "k", "--dbx", name], 14);
        assert!(complaint.contains(name) && complaint.contains("esl"), "{complaint}");
    }
    home.refuses(&["compute-pcr7", "k", "--dbx", "missing"]);
}

/// The files of a keyset's pcr7data with what they hold.
fn pcr7data(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = home.keys().join("k/pcr7data/policy-2");
    let files = harness::run("find", &[text(&dir), "-type", "f"]);
    files.lines().map(|file| (PathBuf::from(file), fs::read(file).unwrap())).collect()
}

/// Checks that pcr7data has entries for what `compute-pcr7 k ARGS` prints, and that their signatures are good.
fn has_signed(home: &Home, args: &[&str]) {
    let data = Pcr7Data::open(&home.keys().join("k/pcr7data")).unwrap();
    let printed = home.ok(&[&["compute-pcr7", "k"], args].concat());
    let value = |role: &str| -> Digest {
        let line = printed.lines().find(|line| line.starts_with(role)).unwrap();
        let hex = line.split_once(": ").unwrap().1;
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    };
    let [production, limited, tpm] = ["uki-production", "uki-limited", "uki-tpm"].map(value);
    let signed = [
        (production, BootKind::Production, BootKind::Production, "tpmpol-luks", luks_policy(&production, "0001")),
        (tpm, BootKind::Admin, BootKind::Admin, "tpmpol-admin", pcr_policy(&tpm)),
    ];
    for (value, kind, signer, key, policy) in signed {
        let entry = data.find(&value).unwrap();
        assert_eq!(entry.info.kind, kind.into());
        let write = |name: &str, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();
        write("signature", &entry.signature(signer.into()).unwrap());
        write("policy", &policy);
        let key = home.keys().join("k").join(key).join("privkey.pem");
        let [signature, policy] = ["signature", "policy"].map(|name| home.path().join(name));
        openssl(&["dgst", "-sha256", "-prverify", text(&key), "-signature", text(&signature), text(&policy)]);
    }
    assert_eq!(data.find(&limited).unwrap().info.kind, BootKind::Limited.into());
}

#[test]
fn a_new_keyset_has_policies_for_what_its_machines_will_measure() {
    has_signed(&Home::with_keyset(), &[]);
    let home = Home::new();
    home.ok(&["keyset", "add", "k", "--chain", "direct", "--chain", "shim"]);
    has_signed(&home, &["--chain", "direct"]);
    has_signed(&home, &["--chain", "shim"]);
    home.refuses(&["keyset", "add", "other", "--chain", "none"]);
}

#[test]
fn a_change_of_dbx_or_shim_is_prepared_beforehand() {
    let home = Home::with_keyset();
    let first = pcr7data(&home);
    home.ok(&["keyset", "pcr7data", "k", "--dbx", "/dev/null"]);
    has_signed(&home, &["--dbx", "/dev/null"]);
    home.ok(&["keyset", "pcr7data", "k", "--chain", "shim", "--comment", "the old shim"]);
    has_signed(&home, &["--chain", "shim"]);
    has_signed(&home, &[]);
    let all = pcr7data(&home);
    assert_eq!(first.iter().filter(|(path, bytes)| all.get(*path) != Some(*bytes)).count(), 0);
    // Each time two entries with a signature, one of them with events, one with three values, and two for the running
    // system; and their info.json.
    assert_eq!(all.len(), first.len() + 2 * 13);
    let comments: Vec<_> = all
        .iter()
        .filter(|(path, _)| path.ends_with("info.json"))
        .map(|(_, json)| serde_json::from_slice::<serde_json::Value>(json).unwrap()["comment"].clone())
        .collect();
    for comment in ["verified by the firmware", "verified by the firmware, dbx as given", "the old shim"] {
        assert_eq!(comments.iter().filter(|given| *given == comment).count(), 3, "{comments:?}");
    }
    // Once more is nothing new.
    home.ok(&["keyset", "pcr7data", "k"]);
    assert_eq!(pcr7data(&home).len(), all.len());
    // Values and what to compute them from.
    home.ok(&["compute-pcr7", "k", "--output", "."]);
    let files = ["--pcr7-production", "pcr_prod.bin", "--pcr7-limited", "pcr_limited.bin", "--pcr7-tpm", "pcr_tpm.bin"];
    home.ok(&[&["keyset", "pcr7data", "k"], &files[..]].concat());
    home.refuses(&[&["keyset", "pcr7data", "k", "--chain", "shim"], &files[..]].concat());
    home.refuses(&[&["keyset", "pcr7data", "k"], &files[..4]].concat());
}

#[test]
fn malformed_shims_are_refused() {
    let home = home();
    let db = vendor_db();
    let (ident, vendor, level) = (ident("16.1"), vendor_cert(&db), sbat_level(SBAT_LEVEL));
    let with = |ident: &[u8], vendor: &[u8], level: &[u8]| {
        pe_image(&[(".data.ident", ident), (".vendor_cert", vendor), (".sbatlevel", level)])
    };
    let lying = |at: usize, value: u32| {
        let mut lying = vendor.clone();
        lying[at..at + 4].copy_from_slice(&value.to_le_bytes());
        lying
    };
    let sound = with(&ident, &vendor, &level);
    let cases: [(&str, Vec<u8>); 15] = [
        ("empty", Vec::new()),
        ("three bytes", b"MZ\0".to_vec()),
        ("text", b"UEFI SHIM\n$Version: 16.1 $\n".to_vec()),
        ("cut off", sound[..sound.len() / 2].to_vec()),
        ("no version", with(b"UEFI SHIM", &vendor, &level)),
        ("no number", with(b"UEFI SHIM\n$Version: new $", &vendor, &level)),
        ("no certificates", pe_image(&[(".data.ident", &ident), (".sbatlevel", &level)])),
        ("no level", pe_image(&[(".data.ident", &ident), (".vendor_cert", &vendor)])),
        ("short table", with(&ident, &vendor[..15], &level)),
        ("size beyond the end", with(&ident, &lying(0, u32::MAX), &level)),
        ("offset beyond the end", with(&ident, &lying(8, u32::MAX), &level)),
        ("lists cut off", with(&ident, &lying(0, u32::try_from(db.len()).unwrap() - 1), &level)),
        ("a level of another format", with(&ident, &vendor, &[&[1], &level[1..]].concat())),
        ("a level beyond the end", with(&ident, &vendor, &[&level[..4], &[0xff; 8], &level[12..]].concat())),
        ("a level without an end", with(&ident, &vendor, &level[..20])),
    ];
    for (name, file) in cases {
        fs::write(home.path().join("shim.efi"), file).unwrap();
        let complaint = home.fails(&["compute-pcr7", "k", "--shim", "shim.efi"], 14);
        assert!(complaint.contains("shim.efi"), "{name}: {complaint}");
    }
    fs::write(home.path().join("shim.efi"), sound).unwrap();
    home.ok(&["compute-pcr7", "k", "--shim", "shim.efi"]);
    for version in ["15.5", "15", "0.9", "12.100"] {
        fs::write(home.path().join("shim.efi"), shim(version, &db, None)).unwrap();
        let complaint = home.refuses(&["compute-pcr7", "k", "--shim", "shim.efi"]);
        assert!(complaint.contains("15.6"), "{complaint}");
    }
}

#[test]
fn contradicting_options_and_incomplete_keysets_are_refused() {
    let home = home();
    fs::write(home.path().join("level"), b"sbat,1,2099010100\n").unwrap();
    home.refuses(&["compute-pcr7", "k", "--chain", "direct", "--sbat-level", "level"]);
    home.refuses(&["compute-pcr7", "k", "--chain", "both"]);
    home.refuses(&["compute-pcr7", "missing"]);
    let guid = home.keys().join("k/uki-limited/guid");
    let sound = fs::read(&guid).unwrap();
    fs::write(&guid, "no GUID").unwrap();
    let complaint = home.fails(&["compute-pcr7", "k"], 14);
    assert!(complaint.contains("uki-limited/guid"), "{complaint}");
    fs::remove_file(&guid).unwrap();
    let complaint = home.refuses(&["compute-pcr7", "k"]);
    assert!(complaint.contains("uki-limited/guid"), "{complaint}");
    // With a shim it is not needed.
    home.ok(&["compute-pcr7", "k", "--chain", "shim"]);
    fs::write(&guid, sound).unwrap();
    home.ok(&["compute-pcr7", "k"]);
}

#[test]
fn values_are_printed_as_json_and_explained() {
    let home = home();
    let printed = home.ok(&["compute-pcr7", "k", "--output", "some/where"]);
    for (name, file) in
        [("uki-production", "pcr_prod.bin"), ("uki-limited", "pcr_limited.bin"), ("uki-tpm", "pcr_tpm.bin")]
    {
        let value = fs::read(home.path().join("some/where").join(file)).unwrap();
        assert!(printed.contains(&format!("{name}: {}\n", harness::hex(&value))), "{name}");
    }
    let json: serde_json::Value = serde_json::from_str(&home.ok(&["compute-pcr7", "k", "--json"])).unwrap();
    let values: Vec<_> =
        json.as_object().unwrap().iter().map(|(name, value)| format!("{name}: {}", value.as_str().unwrap())).collect();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(values, lines);
    let explained = home.ok(&["compute-pcr7", "k", "--explain"]);
    for line in lines {
        assert!(explained.contains(line), "{explained}");
    }
    assert!(explained.contains("EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot, 53 bytes"), "{explained}");
}

#[test]
fn no_byte_of_a_shim_makes_it_panic() {
    let sound = shim("16.1", &vendor_db(), Some(SBAT_LEVEL));
    Shim::parse(&sound).unwrap();
    for at in 0..sound.len() {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = sound.clone();
            damaged[at] = value;
            let _ = Shim::parse(&damaged);
        }
    }
    for len in (0..sound.len()).step_by(7) {
        // The end of the last section's name is nothing that counts.
        assert!(Shim::parse(&sound[..len]).is_err() || len >= sound.len() - 1, "{len}");
    }
}
