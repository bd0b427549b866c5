//! `trust predict`: what the next boot measures, whether the machine opens, what is signed for it; against pairs of logs that
//! real firmware has written, and against what the keyset's own computation says.

use harness::{Home, Measured, extend, firmware_log, hex, pe_image, run, sha256, unhex, workspace};
use serde_json::Value;
use std::fs;
use trust::{
    host::uefi::{
        signature_list::{self, SignatureData, SignatureList},
        variable::{DB, DBX, SECURE_BOOT, Variable},
    },
    measure::event::EventType,
};
use uuid::Uuid;

const CONFIG: u32 = EventType::EFI_VARIABLE_DRIVER_CONFIG.0;
const AUTHORITY: u32 = EventType::EFI_VARIABLE_AUTHORITY.0;
/// The hash of nothing, by the owner that OVMF's tools give it: what a fresh dbx holds.
const NOTHING: (&str, &str) =
    ("a0baa8a3-041d-48a8-bc87-c36d121b5e3d", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// The events that a firmware has measured, and the PCR 7 that its TPM had.
fn measured(name: &str) -> (Vec<Measured>, String) {
    let text = fs::read_to_string(workspace().join(format!("tests/data/measured/{name}.events"))).unwrap();
    let (mut events, mut pcr7) = (Vec::new(), String::new());
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["PCR7", value] => pcr7 = value.to_owned(),
            [kind, _, data] => events.push((kind_of(kind), unhex(data))),
            _ => panic!("{line}"),
        }
    }
    (events, pcr7)
}

fn kind_of(name: &str) -> u32 {
    match name {
        "EV_SEPARATOR" => EventType::SEPARATOR.0,
        "EV_EFI_VARIABLE_DRIVER_CONFIG" => CONFIG,
        "EV_EFI_VARIABLE_AUTHORITY" => AUTHORITY,
        other => panic!("{other}"),
    }
}

fn write(home: &Home, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(home.path().join(name), bytes).unwrap();
}

fn hashes(bytes: &[u8]) -> Vec<SignatureList> {
    let hashes: Vec<[u8; 32]> = bytes.iter().map(|byte| [*byte; 32]).collect();
    vec![SignatureList::sha256(Uuid::from_u128(7), &hashes)]
}

fn esl(lists: &[SignatureList]) -> Vec<u8> {
    signature_list::to_bytes(lists).unwrap()
}

/// The events of the boots of keyset `k`, as it computes them, and their values.
fn computed(home: &Home, args: &[&str]) -> Value {
    serde_json::from_str(&home.ok(&[&["compute-pcr7", "k", "--explain", "--json"], args].concat())).unwrap()
}

fn events(computed: &Value, role: &str) -> Vec<Measured> {
    let one = |event: &Value| (kind_of(event["type"].as_str().unwrap()), unhex(event["data"].as_str().unwrap()));
    computed["events"][role].as_array().unwrap().iter().map(one).collect()
}

/// A home with a keyset, and the log of a production boot of one of its machines.
fn with_log() -> Home {
    let home = Home::with_keyset();
    write(&home, "log", firmware_log(&events(&computed(&home, &[]), "uki-production")));
    home
}

fn predict(home: &Home, args: &[&str]) -> Value {
    serde_json::from_str(&home.ok(&[&["predict", "--log", "log", "--json"], args].concat())).unwrap()
}

/// The values of PCR 7 that are predicted.
fn pcr7(home: &Home, args: &[&str]) -> Vec<String> {
    let json = predict(home, args);
    let [pcr] = &json["pcrs"].as_array().unwrap()[..] else { panic!("{json}") };
    pcr["values"].as_array().unwrap().iter().map(|value| value["value"].as_str().unwrap().to_owned()).collect()
}

fn value(events: &[Measured]) -> String {
    hex(&events.iter().fold([0; 32], |pcr, (_, data)| extend(&pcr, &sha256(&[data]))))
}

#[test]
fn a_real_log_before_an_update_leads_to_the_log_after_it() {
    let home = Home::new();
    let nothing: [u8; 32] = unhex(NOTHING.1).try_into().unwrap();
    write(&home, "dbx.esl", esl(&[SignatureList::sha256(NOTHING.0.parse().unwrap(), &[nothing])]));
    write(&home, "none.esl", []);
    let (before, now) = measured("direct-no-dbx-production");
    let (after, then) = measured("direct-production");
    write(&home, "log", firmware_log(&before));
    assert_eq!(pcr7(&home, &[]), [now.as_str()]);
    let json = predict(&home, &["--dbx-append", "dbx.esl"]);
    let found = &json["pcrs"][0]["values"][0];
    assert_eq!((json["pcrs"][0]["now"].as_str(), found["value"].as_str()), (Some(now.as_str()), Some(then.as_str())));
    // Event by event.
    let found: Vec<_> =
        found["events"].as_array().unwrap().iter().map(|event| unhex(event["data"].as_str().unwrap())).collect();
    assert_eq!(found, after.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>());
    // With a shim, and the variables as they are once the update has been made.
    let (before, _) = measured("shim-no-dbx-production");
    write(&home, "log", firmware_log(&before));
    let appended = pcr7(&home, &["--dbx-append", "dbx.esl"]);
    let live = home.path().join("efivars");
    fs::create_dir(&live).unwrap();
    let attributes = [0x27, 0, 0, 0];
    for (_, data) in before.iter().filter(|(kind, _)| *kind == CONFIG) {
        let variable = trust::measure::variable::VariableData::parse(data).unwrap();
        let file = format!("{}-{}", variable.name, Uuid::from_bytes_le(*variable.vendor));
        fs::write(live.join(file), [&attributes[..], variable.contents].concat()).unwrap();
    }
    assert_eq!(pcr7(&home, &["--efivars", "efivars"]), [value(&before)]);
    let update = [&attributes[..], &fs::read(home.path().join("dbx.esl")).unwrap()].concat();
    fs::write(live.join("dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f"), update).unwrap();
    assert_eq!(pcr7(&home, &["--efivars", "efivars"]), appended);
    let why = predict(&home, &["--efivars", "efivars"])["pcrs"][0]["values"][0]["why"].clone();
    assert_eq!(why, serde_json::json!(["dbx has been changed since that boot"]));
    // What is there is not appended again.
    assert_eq!(pcr7(&home, &["--efivars", "efivars", "--dbx-append", "dbx.esl"]), appended);
}

/// The keyset's own computation, which tests hold against real firmware, knows nothing of logs.
#[test]
fn predictions_are_what_the_keyset_computes_for_such_machines() {
    let home = with_log();
    write(&home, "dbx.esl", esl(&hashes(&[1, 2])));
    write(
        &home,
        "db.esl",
        esl(&[SignatureList::x509(
            Uuid::from_u128(9),
            fs::read(workspace().join("tests/data/event-logs/README.md")).unwrap(),
        )]),
    );
    // What dbx holds by default comes first.
    let default = computed(&home, &[]);
    let is_dbx = |event: &&Measured| event.0 == CONFIG && event.1.starts_with(&DBX.data(&[])[..16]);
    let dbx = events(&default, "uki-production").iter().rfind(is_dbx).unwrap().1.clone();
    write(&home, "now.esl", trust::measure::variable::VariableData::parse(&dbx).unwrap().contents);
    let expected = computed(&home, &["--dbx", "now.esl", "--dbx", "dbx.esl"]);
    assert_eq!(pcr7(&home, &["--dbx-append", "dbx.esl"]), [expected["uki-production"].as_str().unwrap()]);
    // A signed update of the keyset's says what it is for, and is appended like any other.
    home.ok(&["enroll", "auth", "k", "--output", "signed", "--append-dbx", "dbx.esl"]);
    assert_eq!(
        pcr7(&home, &["--dbx-append", "signed/append-dbx.auth"]),
        [expected["uki-production"].as_str().unwrap()]
    );
    for (option, file, why) in [
        ("--db-append", "signed/append-dbx.auth", "its signature is for dbx; give a file of signature lists"),
        ("--kek-append", "dbx.esl", "it holds something else than certificates"),
        ("--db-append", "empty", "there is nothing in it"),
        ("--dbx-append", ".local/share/machine/trust/keys/k/uefi-db/cert.pem", "does not say who its owner is"),
    ] {
        write(&home, "empty", []);
        let complaint = home.refuses(&["predict", "--log", "log", option, file]);
        assert!(complaint.contains(why), "{complaint}");
    }
    let complaint = home.fails(&["predict", "--log", "log", "--dbx-append", "log"], 14);
    assert!(complaint.contains("EFI_SIGNATURE_LIST"), "{complaint}");
}

fn check(home: &Home, args: &[&str]) -> (i32, String) {
    let output = home.output(&[&["predict", "k", "--log", "log", "--check"], args].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_update_goes_first_through_a_check_and_signatures() {
    let home = with_log();
    write(&home, "dbx.esl", esl(&hashes(&[1, 2])));
    let update = ["--dbx-append", "dbx.esl"];
    let (status, words) = check(&home, &[]);
    assert_eq!((status, words.contains("the machine will open")), (0, true), "{words}");
    let (status, words) = check(&home, &update);
    let after = pcr7(&home, &update).remove(0);
    assert_eq!(status, 12, "{words}");
    let why = format!(
        "nothing is signed for production boots with PCR 7 = {after} (dbx is appended to); leave the update for now"
    );
    assert!(words.contains(&why), "{words}");
    // Signed for, it may be made; what was signed for today still is.
    home.ok(&[&["predict", "k", "--log", "log", "--sign"], &update[..]].concat());
    assert_eq!(check(&home, &update).0, 0);
    assert_eq!(check(&home, &[]).0, 0);
    home.ok(&["keyset", "check", "k"]);
    // All three kinds, with the events, as the keyset computes them.
    let now = computed(&home, &[]);
    let is_dbx = |event: &&Measured| event.0 == CONFIG && event.1.starts_with(&DBX.data(&[])[..16]);
    let dbx = events(&now, "uki-production").iter().rfind(is_dbx).unwrap().1.clone();
    write(&home, "now.esl", trust::measure::variable::VariableData::parse(&dbx).unwrap().contents);
    let then = computed(&home, &["--dbx", "now.esl", "--dbx", "dbx.esl"]);
    let data = home.keys().join("k/pcr7data");
    for (role, file) in [
        ("uki-production", "tpm_luks.policy.signed"),
        ("uki-tpm", "tpm_passwd.policy.signed"),
        ("uki-limited", "pcr_prod.bin"),
    ] {
        let value: [u8; 32] = unhex(then[role].as_str().unwrap()).try_into().unwrap();
        let entry = data.join("policy-2").join(trust::policy::pcr7data::path_of(&value));
        assert!(entry.join(file).is_file(), "{role}");
        let info = fs::read_to_string(entry.join("info.json")).unwrap();
        assert!(info.contains("behind an update: dbx appended to"), "{info}");
        assert_eq!(entry.join("pcr7.events").is_file(), role == "uki-production");
    }
    // From the log of another kind of boot the same follows.
    let other = Home::with_keyset();
    write(&other, "log", firmware_log(&events(&computed(&other, &[]), "uki-limited")));
    write(&other, "dbx.esl", esl(&hashes(&[1, 2])));
    other.ok(&[&["predict", "k", "--log", "log", "--sign"], &update[..]].concat());
    let tree = |home: &Home| {
        let mut names = harness::tree(&home.keys().join("k/pcr7data"));
        names.retain(|name| name.contains("info.json"));
        names
    };
    assert_eq!(tree(&other), tree(&home));
    // A signature that does not verify counts for nothing.
    let value: [u8; 32] = unhex(&after).try_into().unwrap();
    let signature = data.join("policy-2").join(trust::policy::pcr7data::path_of(&value)).join("tpm_luks.policy.signed");
    let mut bytes = fs::read(&signature).unwrap();
    bytes[9] ^= 1;
    fs::write(&signature, bytes).unwrap();
    assert_eq!(check(&home, &update).0, 12);
}

/// Nobody vouches for a log: only what may have rights in the end is signed.
#[test]
fn nothing_is_signed_for_boots_that_should_have_no_rights() {
    let home = Home::with_keyset();
    let good = events(&computed(&home, &[]), "uki-production");
    let sign = |events: &[Measured], args: &[&str], status: i32| {
        write(&home, "log", firmware_log(events));
        let before = harness::tree(&home.keys().join("k/pcr7data"));
        let output = home.output(&[&["predict", "k", "--log", "log", "--sign"], args].concat());
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}");
        assert_eq!(harness::tree(&home.keys().join("k/pcr7data")) == before, status != 0, "{words}");
        words
    };
    let changed = |at: usize, event: Measured| {
        let mut all = good.clone();
        all[at] = event;
        all
    };
    let with = |event: Measured| {
        let mut all = good.clone();
        all.insert(1, event);
        all
    };
    let action = |text: &str| (EventType::EFI_ACTION.0, text.as_bytes().to_vec());
    for (events, why) in [
        (changed(0, (CONFIG, SECURE_BOOT.data(&[0]))), "Secure Boot is switched off"),
        (good[1..].to_vec(), "Secure Boot is not on"),
    ] {
        let words = sign(&events, &[], 12);
        assert!(
            words.contains(why) && words.contains("boot the machine as it is to run, and give the log of that boot"),
            "{words}"
        );
        sign(&events, &["--accept", "dma", "--accept", "debugger", "--accept", "audit"], 12);
    }
    // What may be as its owner wants it, and nothing else than what is said.
    let audit = Variable { name: "AuditMode", vendor: SECURE_BOOT.vendor };
    for (event, why, fault, other) in [
        (action("DMA Protection Disabled"), "its protection against DMA is switched off", "dma", "debugger"),
        (action("UEFI Debug Mode"), "its debugger is switched on", "debugger", "audit"),
        ((CONFIG, audit.data(&[1])), "the firmware is in audit mode", "audit", "dma"),
    ] {
        let words = sign(&with(event.clone()), &["--accept", other], 12);
        let remedy = format!("then give the log of a boot after that; or accept it as it is: --accept {fault}");
        assert!(words.contains(why) && words.contains(&remedy), "{words}");
        sign(&with(event), &["--accept", fault], 0);
    }
    // A db that is described otherwise than it was measured.
    let mut forged = firmware_log(&good);
    let at = forged.windows(4).position(|window| window == b"d\0b\0").unwrap() + 4 + 60;
    forged[at] ^= 1;
    write(&home, "log", &forged);
    let output = home.output(&["predict", "k", "--log", "log", "--sign"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12));
    assert!(words.contains("db has measured something else than the log shows"), "{words}");
    // What is started in the end is signed by another key of db.
    let at = good.iter().position(|(kind, data)| *kind == CONFIG && data[32..36] == *b"d\0b\0").unwrap();
    let lists = trust::measure::variable::VariableData::parse(&good[at].1).unwrap().contents.to_vec();
    let first = signature_list::parse(&lists).unwrap()[0].signatures[0].to_bytes();
    let words = sign(&changed(good.len() - 1, (AUTHORITY, DB.data(&first))), &[], 2);
    assert!(
        words.contains("not of a boot of an image of this keyset; boot an image that the keyset has signed"),
        "{words}"
    );
    // A machine whose db has not all three.
    let entry = trust::measure::variable::VariableData::parse(&good.last().unwrap().1).unwrap().contents.to_vec();
    let alone = SignatureList::x509(Uuid::from_slice_le(&entry[..16]).unwrap(), entry[16..].to_vec());
    let words = sign(&changed(at, (CONFIG, DB.data(&esl(&[alone])))), &[], 2);
    assert!(
        words.contains("db does not hold the certificates of all three kinds")
            && words.contains("sign with `trust keyset pcr7data`"),
        "{words}"
    );
    // A boot loader, or a driver, that somebody else has signed: it could measure whatever comes behind it.
    let pem = fs::read(home.keys().join("k/sudi-ca/cert.pem")).unwrap();
    let theirs = SignatureList::x509(Uuid::from_u128(5), trust::host::pki::certificate::first_der(&pem).unwrap());
    let mut foreign = changed(at, (CONFIG, DB.data(&[lists.clone(), esl(std::slice::from_ref(&theirs))].concat())));
    foreign.insert(good.len() - 1, (AUTHORITY, DB.data(&theirs.signatures[0].to_bytes())));
    let words = sign(&foreign, &[], 12);
    assert!(words.contains("who is not of the keyset; if that is as it should be, accept the certificate"), "{words}");
    sign(&foreign, &["--accept", ".local/share/machine/trust/keys/k/sudi-ca/cert.pem"], 0);
    // `keyset pcr7data` obeys the same rule.
    let pcr7data = |args: &[&str]| {
        let output = home.output(&[&["keyset", "pcr7data", "k", "--log", "log"], args].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let cert = ".local/share/machine/trust/keys/k/sudi-ca/cert.pem";
    foreign.swap(good.len() - 1, good.len() - 2);
    foreign.insert(1, action("UEFI Debug Mode"));
    write(&home, "log", firmware_log(&foreign));
    for (args, why) in [
        (&[][..], "--accept debugger"),
        (&["--accept", cert], "--accept debugger"),
        (&["--accept", "debugger"], "who is not of the keyset"),
    ] {
        let (status, words) = pcr7data(args);
        assert!(status == Some(12) && words.contains(why), "signing ends with {status:?}: {words}");
    }
    assert_eq!(pcr7data(&["--accept", cert, "--accept", "debugger"]).0, Some(0));
    forged.extend(firmware_log(&[action("An action")]).split_off(65));
    let at = forged.len() - 1;
    forged[at] ^= 1;
    write(&home, "log", &forged);
    let (status, words) = pcr7data(&[]);
    assert!(status == Some(12) && words.contains("has measured something else than the log shows"), "{words}");
    // The remedy of before, and a good log.
    write(&home, "log", firmware_log(&good));
    assert_eq!(pcr7data(&[]).0, Some(0));
    let words = sign(&good, &["--secure-boot", "off"], 12);
    assert!(words.contains("Secure Boot is switched off"), "{words}");
    sign(&good, &["--value", &format!("sha256:7={}", "11".repeat(32))], 12);
    write(&home, "dbx.esl", esl(&hashes(&[3])));
    sign(&good, &["--dbx-append", "dbx.esl"], 0);
}

/// A dbx that holds what the machine starts keeps it from starting.
#[test]
fn an_update_that_forbids_what_is_started_is_an_obstacle() {
    let home = Home::with_keyset();
    let log = workspace().join("tests/data/event-logs/shim.bin");
    fs::copy(&log, home.path().join("log")).unwrap();
    let shown: Value = serde_json::from_str(&home.ok(&["eventlog", "show", "log", "--json"])).unwrap();
    let event = |number: usize| &shown["events"][number - 1];
    for number in [26, 32] {
        let digest: [u8; 32] = unhex(event(number)["digests"]["sha256"].as_str().unwrap()).try_into().unwrap();
        write(&home, "dbx.esl", esl(&[SignatureList::sha256(Uuid::nil(), &[digest])]));
        let obstacles = predict(&home, &["--dbx-append", "dbx.esl"])["obstacles"].clone();
        assert_eq!(obstacles.as_array().unwrap().len(), 1);
        assert!(obstacles[0].as_str().unwrap().ends_with("would not be started: its hash is in dbx"), "{obstacles}");
    }
    // The certificate of shim's signer.
    let data = unhex(event(25)["data"].as_str().unwrap());
    let entry = trust::measure::variable::VariableData::parse(&data).unwrap().contents.to_vec();
    write(&home, "dbx.esl", esl(&[SignatureList::x509(Uuid::nil(), entry[16..].to_vec())]));
    let output = home.output(&["predict", "k", "--log", "log", "--dbx-append", "dbx.esl", "--check"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12));
    assert!(
        words.contains("what the firmware starts would not be started: a certificate that has signed it is in dbx"),
        "{words}"
    );
    let words = home.output(&["predict", "k", "--log", "log", "--dbx-append", "dbx.esl", "--sign"]);
    let words = String::from_utf8(words.stderr).unwrap();
    assert!(words.contains("leave that update, or give one that lets the machine start"), "{words}");

    // The hash of what that certificate is signed over, as dbx has them: with a time, which may be one of zeros.
    let revoked = |certificate: &[u8], kind: &str, hash: &str, time: u8| {
        write(&home, "cert.der", certificate);
        let script = format!(
            "cd \"$0\" && openssl asn1parse -inform DER -in cert.der -strparse 4 -noout -out tbs && openssl {hash} -r tbs"
        );
        let digest = run("sh", &["-c", &script, home.path().to_str().unwrap()]);
        let data = [unhex(digest.split(' ').next().unwrap()), vec![time; 16]].concat();
        let signatures = vec![SignatureData { owner: Uuid::nil(), data: data.clone() }];
        esl(&[SignatureList { kind: kind.parse().unwrap(), header: Vec::new(), size: data.len(), signatures }])
    };
    const KINDS: [(&str, &str); 3] = [
        ("3bd2a492-96c0-4079-b420-fcf98ef103ed", "sha256"),
        ("7076876e-80c2-4ee6-aad2-28b349a6865b", "sha384"),
        ("446dbf63-2502-4cda-bcfa-2465d2b0fe9d", "sha512"),
    ];
    let why = "would not be started: the hash of a certificate that has signed it is in dbx";
    let obstacles = |dbx: Vec<u8>, args: &[&str]| {
        write(&home, "dbx.esl", dbx);
        predict(&home, &[&["--dbx-append", "dbx.esl"], args].concat())["obstacles"].to_string()
    };
    for (kind, hash) in KINDS {
        let told = obstacles(revoked(&entry[16..], kind, hash, 0), &[]);
        assert!(told.contains(&format!("what the firmware starts {why}")), "the obstacles of {hash} are {told}");
    }
    // shim does not look for those.
    let data = unhex(event(31)["data"].as_str().unwrap());
    let of_image = trust::measure::variable::VariableData::parse(&data).unwrap().contents[16..].to_vec();
    let (kind, hash) = KINDS[0];
    assert_eq!(obstacles(revoked(&of_image, kind, hash, 1), &[]), "[]");
    // Nor is a new image started, be it its signer that is revoked.
    write(&home, "log", firmware_log(&events(&computed(&home, &[]), "uki-production")));
    write(&home, "bare.efi", pe_image(&[(".text", b"a program")]));
    let [key, cert] = ["privkey.pem", "cert.pem"].map(|item| home.keys().join("k/uki-limited").join(item));
    let (key, pem) = (key.to_str().unwrap(), fs::read(&cert).unwrap());
    home.ok(&["sign", "efi", "bare.efi", "--key", key, "--cert", cert.to_str().unwrap(), "--output", "limited.efi"]);
    let limited = trust::host::pki::certificate::first_der(&pem).unwrap();
    let told = obstacles(revoked(&limited, kind, hash, 1), &["--uki", "limited.efi"]);
    assert!(told.contains(&format!("the new image {why}")), "{told}");
}

/// Another image, by another signer: what lets it through, its digest, its sections.
#[test]
fn another_image_moves_what_it_is_measured_into() {
    let home = with_log();
    let magic = b"#### LoaderInfo: systemd-stub 257.13-1 ####\0";
    let sections: [(&str, &[u8]); 4] =
        [(".sdmagic", magic), (".linux", b"a kernel"), (".cmdline", b"quiet"), (".osrel", b"ID=debian\n")];
    write(&home, "bare.efi", pe_image(&sections));
    for role in ["uki-production", "uki-limited", "sudi-ca"] {
        let [key, cert] = ["privkey.pem", "cert.pem"].map(|item| home.keys().join("k").join(role).join(item));
        let (key, cert, output) = (key.to_str().unwrap(), cert.to_str().unwrap(), format!("{role}.efi"));
        home.ok(&["sign", "efi", "bare.efi", "--key", key, "--cert", cert, "--output", &output]);
    }
    let expected = computed(&home, &[]);
    assert_eq!(pcr7(&home, &["--uki", "uki-production.efi"]), [expected["uki-production"].as_str().unwrap()]);
    assert_eq!(pcr7(&home, &["--uki", "uki-limited.efi"]), [expected["uki-limited"].as_str().unwrap()]);
    for image in ["bare.efi", "sudi-ca.efi"] {
        let obstacles = predict(&home, &["--uki", image])["obstacles"].clone();
        assert!(obstacles[0].as_str().unwrap().contains("nothing in db has signed it"), "{obstacles}");
    }
    assert_eq!(check(&home, &["--uki", "uki-production.efi"]).0, 0);
    // Its policies would be those of a limited boot.
    let (status, words) = check(&home, &["--uki", "uki-limited.efi"]);
    assert_eq!((status, words.contains("nothing is signed for production boots")), (12, true), "{words}");
    // The log of a real machine with PCRs 4 and 11.
    fs::copy(workspace().join("tests/data/event-logs/direct.bin"), home.path().join("log")).unwrap();
    let json = predict(&home, &["--uki", "uki-production.efi", "--pcr", "4,9,11,12"]);
    let of = |pcr: u64| json["pcrs"].as_array().unwrap().iter().find(|predicted| predicted["pcr"] == pcr).unwrap();
    let measured: Value = serde_json::from_str(&home.ok(&["uki", "measure", "uki-production.efi", "--json"])).unwrap();
    assert_eq!(of(4)["values"][0]["value"], measured["pcr4"][0]["hash"]);
    assert_eq!(of(11)["values"][0]["value"], measured["profiles"][0]["pcr11"][0]["hash"]);
    assert!(of(9)["unknown"].as_str().unwrap().contains("not known before it is started"));
    let text = home.ok(&["predict", "--log", "log", "--uki", "uki-production.efi", "--pcr", "3,4,11"]);
    for words in [
        "sha256:3   stays  ",
        "sha256:4   now    ",
        "event 26: another image is started: started: PciRoot",
        "and 5 more events",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

/// The image's digest in every bank: the log of a machine that has three of them.
#[test]
fn another_image_moves_pcr_4_in_every_bank() {
    let home = Home::with_keyset();
    let file = pe_image(&[(".text", b"a program")]);
    write(&home, "bare.efi", &file);
    // All of it but for the checksum and the certificate table's entry (PE Format, "Optional Header").
    let field = u32::from_le_bytes(file[0x3c..0x40].try_into().unwrap()) as usize + 24;
    let (sum, entry) = (field + 64, field + 112 + 4 * 8);
    write(&home, "covered", [&file[..sum], &file[sum + 4..entry], &file[entry + 8..]].concat());
    let log = workspace().join("tests/data/event-logs/gce-coreos.bin");
    let covered = home.path().join("covered");
    for bank in ["sha1", "sha256", "sha384"] {
        let args =
            ["predict", "--log", log.to_str().unwrap(), "--json", "--pcr", "4", "--bank", bank, "--uki", "bare.efi"];
        let json: Value = serde_json::from_str(&home.ok(&args)).unwrap();
        let pcr = &json["pcrs"][0];
        assert!(pcr["unknown"].is_null() && pcr["now"] != pcr["values"][0]["value"], "{bank}: {pcr}");
        let expected = run(&format!("{bank}sum"), &[covered.to_str().unwrap()]);
        let expected = expected.split(' ').next().unwrap();
        let events = pcr["values"][0]["events"].as_array().unwrap();
        assert!(events.iter().any(|event| event["digests"][bank] == expected), "{bank}: {pcr}");
    }
}

#[test]
fn what_systemd_adds_and_vendors_publish_is_told() {
    let home = with_log();
    let before = pcr7(&home, &[]).remove(0);
    let start: [u8; 32] = unhex(&before).try_into().unwrap();
    let after = hex(&extend(&start, &sha256(&[b"os-separator"])));
    assert_eq!(pcr7(&home, &["--os-separator"]), [after]);
    // Trust has read before that.
    assert_eq!(check(&home, &["--os-separator"]).0, 0);
    let published = "ab".repeat(32);
    let json = predict(&home, &["--value", &format!("sha256:0={published}"), "--pcr", "0,7"]);
    let value = &json["pcrs"][0]["values"][0];
    assert_eq!((value["value"].as_str(), value["published"].as_bool()), (Some(published.as_str()), Some(true)));
    let text = home.ok(&["predict", "--log", "log", "--value", &format!("0={published}")]);
    assert!(text.contains("as its vendor has published it: nothing is known of the events"), "{text}");
    for wrong in ["0", "0=now", "0=abcd", "0,1=now", "0=@file"] {
        let complaint = home.refuses(&["predict", "--log", "log", "--value", wrong]);
        assert!(complaint.contains("give one PCR and its value: sha256:0=HEX"), "{complaint}");
    }
    home.ok(&["predict", "--log", "log", "--value", &format!("sha256:0={published}")]);
}

#[test]
fn machines_that_cannot_be_read_are_refused_with_a_remedy() {
    let home = with_log();
    fs::create_dir(home.path().join("none")).unwrap();
    let complaint = home.refuses(&["predict", "--log", "log", "--efivars", "none"]);
    assert!(complaint.contains("neither PK nor KEK, db or dbx is in it; give a copy of the machine's"), "{complaint}");
    home.ok(&["predict", "--log", "log"]);
    home.refuses(&["predict", "--log", "log", "--sign"]);
    // A log that is cut off leads to nothing.
    let log = fs::read(home.path().join("log")).unwrap();
    write(&home, "log", &log[..log.len() - 1]);
    let json = predict(&home, &[]);
    assert!(json["pcrs"][0]["unknown"].as_str().unwrap().contains("cannot be understood from byte"), "{json}");
    let (status, words) = check(&home, &[]);
    assert_eq!(status, 12);
    assert!(words.contains("what PCR 7 will be is not known"), "{words}");
    let words = home.output(&["predict", "k", "--log", "log", "--sign"]);
    let words = String::from_utf8(words.stderr).unwrap();
    assert!(words.contains("boot once as it is to be and give that log"), "{words}");
    write(&home, "log", &log);
    home.ok(&["predict", "k", "--log", "log", "--sign"]);
    // Whatever stands in the log, there is an answer.
    for at in (0..log.len()).step_by(211) {
        let mut broken = log.clone();
        broken[at] ^= 0xff;
        write(&home, "log", &broken);
        predict(&home, &["--secure-boot", "off", "--pcr", "0,4,7,11"]);
    }
}

/// `docs/predictions.md`, word by word: its commands print what it says.
#[test]
fn the_page_is_followed() {
    let home = with_log();
    harness::run("cp", &["-a", home.keys().join("k").to_str().unwrap(), home.keys().join("acme").to_str().unwrap()]);
    // Its policies are by keys of that name.
    fs::remove_dir_all(home.keys().join("acme/pcr7data")).unwrap();
    home.ok(&["keyset", "pcr7data", "acme"]);
    fs::copy(workspace().join("tests/data/event-logs/shim.bin"), home.path().join("binary_bios_measurements")).unwrap();
    let shown: Value =
        serde_json::from_str(&home.ok(&["eventlog", "show", "binary_bios_measurements", "--json"])).unwrap();
    let digest = unhex(shown["events"][25]["digests"]["sha256"].as_str().unwrap()).try_into().unwrap();
    write(&home, "revocation.esl", esl(&[SignatureList::sha256(Uuid::from_u128(7), &[digest])]));
    write(&home, "dbx-update.esl", esl(&hashes(&[1, 2])));
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(harness::trust_host(), bin.join("trust")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let steps = harness::documentation::console(&harness::documentation::read("docs/predictions.md"));
    for (command, expected) in &steps {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(home.path());
        let output = shell.env("PATH", &path).env("HOME", home.path()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        match expected.split_once('…') {
            Some((start, _)) => assert!(printed.starts_with(start), "{command}: {printed}"),
            None => assert_eq!(printed, *expected, "{command}"),
        }
    }
    assert!(steps.len() >= 7, "the search misses them");
}
