//! `trust policy store` and `--nv-policy`: what is sealed once opens under every set of values that follows; a boot that a
//! set does not admit opens and writes nothing, nor does an index that somebody else has defined.

use harness::{
    Banks, Boot, Cut, HostTpm, Keyset, Measured, cc, extend, firmware_log, hex, pcr_policy, sha256, unhex, workspace,
};
use serde_json::Value;
use std::fs;
use trust::{
    host::uefi::signature_list::{self, SignatureList},
    measure::event::EventType,
};

const SECRET: &[u8] = b"correct horse battery staple";
const INDEX: &str = "0x01810000";
/// In every command: where the files are.
const FILES: [&str; 2] = ["--nv-policies", "policies"];

fn machine() -> HostTpm {
    let machine = HostTpm::new(Banks::Sha256);
    machine.keep_storage_root_key();
    machine.write("secret", SECRET);
    machine
}

fn store_with(machine: &HostTpm, args: &[&str]) -> Value {
    let args = [&["policy", "store", INDEX, "--json"][..], &FILES, args].concat();
    serde_json::from_slice(&machine.ok(&args)).unwrap()
}

/// Seals the secret with the policy in the index.
fn seal(machine: &HostTpm) {
    machine.ok(&[&["seal", "--nv-policy", INDEX, "-o", "sealed", "secret"][..], &FILES].concat());
}

fn unseal(machine: &HostTpm) -> Vec<u8> {
    machine.ok(&[&["unseal", "sealed"][..], &FILES].concat())
}

fn refused(machine: &HostTpm) -> String {
    machine.fails(&[&["unseal", "sealed"][..], &FILES].concat(), 12)
}

/// What the index holds, in hex.
fn held(machine: &HostTpm) -> String {
    hex(&machine.ok(&["nv", "read", "--raw", INDEX]))
}

/// The value of PCR 7 of the n-th boot that is predicted, in hex.
fn value(number: u32) -> String {
    hex(&extend(&[0; 32], &event(number)))
}

fn event(number: u32) -> [u8; 32] {
    sha256(&[&number.to_be_bytes()])
}

/// The n-th such boot.
fn boot(machine: &HostTpm, number: u32) {
    machine.tpm.reboot();
    machine.tpm.raw().extend(7, &event(number));
}

#[test]
fn what_is_sealed_once_opens_under_every_set_that_follows() {
    let machine = machine();
    boot(&machine, 0);
    let first = store_with(&machine, &["--pcr", "7,8"]);
    assert_eq!((&first["changed"], &first["not_now"]), (&true.into(), &Value::Array(vec![])));
    seal(&machine);
    let sealed = machine.read("sealed");
    assert_eq!(unseal(&machine), SECRET);
    // The next boot is predicted, then the one after that.
    for number in 1..4 {
        let stored = store_with(&machine, &["--pcr", "7,8", "--pcr", &format!("7={}", value(number))]);
        assert_eq!(stored["pcrs"]["sha256"]["7"], serde_json::json!([value(number - 1), value(number)]));
        assert_eq!(held(&machine), format!("000b{}", stored["policy"].as_str().unwrap()));
        assert_eq!(unseal(&machine), SECRET, "{number}: before the update");
        boot(&machine, number);
        assert_eq!(unseal(&machine), SECRET, "{number}: after it");
    }
    assert_eq!(machine.read("sealed"), sealed);
    // The same again changes nothing, and is said.
    let before = machine.wire.counts().get(&cc::NV_WRITE).copied();
    let args = ["--pcr", &format!("7={},{}", value(2), "8"), "--pcr", "7"];
    assert_eq!(store_with(&machine, &args)["changed"], false);
    assert_eq!(machine.wire.counts().get(&cc::NV_WRITE).copied(), before);
    // A boot of two sets before is not admitted any more.
    boot(&machine, 0);
    let why = refused(&machine);
    assert!(why.contains("index 0x1810000 does not admit this boot: PCR sha256:7 is") && why.contains(" or "), "{why}");
    let text = String::from_utf8(machine.ok(&[&["policy", "show", "sealed"][..], &FILES].concat())).unwrap();
    assert!(text.contains("the policy in NV index 0x1810000: does not hold: index"), "{text}");
}

/// Today's values are in every set, unless it is said to be the last of this boot.
#[test]
fn a_set_without_today_s_values_takes_the_word_final() {
    let machine = machine();
    boot(&machine, 0);
    let next = format!("7={}", value(1));
    let stored = store_with(&machine, &["--pcr", &next]);
    assert_eq!(stored["pcrs"]["sha256"]["7"], serde_json::json!([value(1), value(0)]));
    seal(&machine);
    assert_eq!(unseal(&machine), SECRET);
    let stored = store_with(&machine, &["--pcr", &next, "--final"]);
    assert_eq!(
        (&stored["pcrs"]["sha256"]["7"], &stored["not_now"][0]),
        (&[value(1)].to_vec().into(), &"sha256:7".into())
    );
    let why = refused(&machine);
    assert!(why.contains("PCR sha256:7 is"), "{why}");
    boot(&machine, 1);
    assert_eq!(unseal(&machine), SECRET);
}

#[test]
fn a_boot_that_is_not_admitted_writes_nothing() {
    let machine = machine();
    boot(&machine, 0);
    store_with(&machine, &["--pcr", "7"]);
    seal(&machine);
    let (before, file) = (held(&machine), machine.read("policies/0x01810000.json"));
    boot(&machine, 9);
    machine.wire.take();
    let why = machine.fails(&[&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat(), 12);
    assert!(why.contains("does not admit this boot: PCR sha256:7 is"), "{why}");
    assert!(why.contains("boot what it admits"), "{why}");
    assert_eq!(machine.wire.counts().get(&cc::NV_WRITE), None);
    // Nor by other programs: not as the owner, whose password is empty, nor by the index' password, which is as well.
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("forged"), [0; 34]).unwrap();
    tools.fails("nvwrite", &["-C", "o", INDEX, "-i", "forged"]);
    tools.fails("nvwrite", &["-C", INDEX, INDEX, "-i", "forged"]);
    tools.flush();
    // Nor is it another one when it is removed, and defined again as it was: nobody there can write it.
    let public = tools.ok("nvreadpublic", &[INDEX]);
    let policy = public.lines().find_map(|line| line.trim().strip_prefix("authorization policy: ")).unwrap();
    fs::write(tools.dir().join("policy"), unhex(policy)).unwrap();
    assert_eq!((held(&machine), machine.read("policies/0x01810000.json")), (before, file));
    tools.ok("nvundefine", &["-C", "o", INDEX]);
    let again = ["-C", "o", "-s", "34", "-a", "authread|policywrite|no_da", "-L", "policy", INDEX];
    tools.ok("nvdefine", &again);
    tools.fails("nvwrite", &["-C", "o", INDEX, "-i", "forged"]);
    tools.fails("nvwrite", &["-C", INDEX, INDEX, "-i", "forged"]);
    tools.flush();
    let why = refused(&machine);
    assert!(why.contains("has never been written"), "{why}");
    let why = machine.fails(&[&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat(), 12);
    assert!(why.contains("it is not the one that its file is of"), "{why}");
}

/// With what an attacker could write on the bus: a signature that was seen once is of no use again.
#[test]
fn a_signature_is_for_one_session() {
    let machine = machine();
    boot(&machine, 0);
    store_with(&machine, &["--pcr", "7"]);
    machine.wire.take();
    let args = ["--pcr", "7", "--pcr", &format!("7={}", value(1))];
    store_with(&machine, &args);
    let seen = machine.wire.take();
    let signed: Vec<_> = seen.iter().filter(|exchange| exchange.command.code() == 0x160).collect();
    assert_eq!(signed.len(), 1);
    // Its nonceTPM is not empty: header, two handles, no sessions.
    let nonce = &signed[0].command.bytes[18..20];
    assert_eq!(nonce, [0, 32], "{:?}", signed[0].command);
    // Replayed into a session of the attacker's, whose nonce is another one.
    let session = machine.tpm.raw().send(&unhex(&start_policy_session()));
    let handle = &session.0[10..14];
    let loaded = seen.iter().find(|exchange| exchange.command.code() == 0x167).unwrap();
    let key = machine.tpm.raw().send(&loaded.command.bytes);
    let mut replayed = signed[0].command.bytes.clone();
    replayed[10..14].copy_from_slice(&key.0[10..14]);
    replayed[14..18].copy_from_slice(handle);
    assert_ne!(machine.tpm.raw().send(&replayed).code(), 0);
}

/// `TPM2_StartAuthSession`: neither salted nor bound, a policy session with SHA-256.
fn start_policy_session() -> String {
    let body = ["40000007", "40000007", "0010", &"11".repeat(16), "0000", "01", "0010", "000b"].concat();
    format!("8001{:08x}00000176{body}", 10 + body.len() / 2)
}

#[test]
fn any_number_of_values_of_several_pcrs_are_one_policy() {
    let machine = machine();
    boot(&machine, 0);
    for count in [2, 8, 9, 64, 65, 100] {
        let values: Vec<_> = (1..count).map(|number| format!("7={}", value(number))).collect();
        let mut args = vec!["--pcr", "0,7,8", "--pcr"];
        let other = format!("4={}", value(1));
        args.extend([other.as_str(), "--pcr", "4"]);
        for value in &values {
            args.extend(["--pcr", value]);
        }
        let stored = store_with(&machine, &args);
        assert_eq!(stored["pcrs"]["sha256"]["7"].as_array().unwrap().len(), count as usize);
        if count == 2 {
            seal(&machine);
        }
        assert_eq!(unseal(&machine), SECRET, "{count}: now");
        for number in [1, count / 2, count - 1] {
            boot(&machine, number);
            assert_eq!(unseal(&machine), SECRET, "{count}: {number}");
        }
        machine.tpm.raw().extend(4, &event(1));
        assert_eq!(unseal(&machine), SECRET, "{count}: the other value of PCR 4");
        machine.tpm.raw().extend(4, &event(1));
        let why = refused(&machine);
        assert!(why.contains("PCR sha256:4 is") && !why.contains("sha256:7"), "{why}");
        boot(&machine, count);
        let why = refused(&machine);
        assert!(why.contains("PCR sha256:7 is"), "{why}");
        assert!(count < 5 || why.contains(&format!("or {} others", count - 4)), "{why}");
        boot(&machine, 0);
    }
    let many: Vec<_> = (0..513).map(|number| format!("7={}", value(number))).collect();
    let args: Vec<_> = many.iter().flat_map(|value| ["--pcr", value]).collect();
    let why = machine.fails(&[&["policy", "store", INDEX][..], &FILES, &args].concat(), 2);
    assert!(why.contains("more than 512 values of a PCR"), "{why}");
}

/// An index that an attacker has defined, or a file that an attacker has changed, is sealed with by nobody.
#[test]
fn an_index_of_somebody_else_is_neither_written_nor_sealed_with() {
    let machine = machine();
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("content"), [&[0, 0xb][..], &[7; 32]].concat()).unwrap();
    let define = || {
        let attributes = "authread|authwrite|ownerwrite|no_da";
        tools.ok("nvdefine", &["-C", "o", "-s", "34", "-a", attributes, INDEX]);
        tools.ok("nvwrite", &["-C", INDEX, INDEX, "-i", "content"]);
        tools.flush();
    };
    let store = [&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat();
    let seal_with = [&["seal", "--nv-policy", INDEX, "-o", "forged", "secret"][..], &FILES].concat();
    // It was there first.
    define();
    let why = machine.fails(&store, 12);
    assert!(
        why.contains("it is there already, and no file here is of it") && why.contains("choose another index"),
        "{why}"
    );
    let why = machine.fails(&seal_with, 2);
    assert!(why.contains("policies/0x01810000.json is not there") && why.contains("trust policy store"), "{why}");
    // What is said helps: another index, or that one removed.
    machine.ok(&[&["policy", "store", "0x01810001", "--pcr", "7"][..], &FILES].concat());
    machine.ok(&["nv", "remove", INDEX]);
    machine.ok(&store);
    seal(&machine);
    // It took the place of ours.
    machine.ok(&["nv", "remove", INDEX]);
    define();
    for (args, status) in [(&seal_with, 12), (&store, 12)] {
        let why = machine.fails(args, status);
        assert!(why.contains("not the one that"), "{why}");
    }
    assert!(!machine.file("forged").exists());
    let why = refused(&machine);
    assert!(why.contains("index 0x1810000 is not the one that was meant"), "{why}");
    // Ours is gone, and with it what was sealed.
    machine.ok(&["nv", "remove", INDEX]);
    let why = machine.fails(&store, 12);
    assert!(why.contains("what was sealed with it is lost"), "{why}");
    fs::remove_file(machine.file("policies/0x01810000.json")).unwrap();
    machine.ok(&store);
    seal(&machine);
    assert_eq!(unseal(&machine), SECRET);
    // The file names other values: nothing opens, and nobody is asked to believe it.
    let file = String::from_utf8(machine.read("policies/0x01810000.json")).unwrap();
    machine.write("policies/0x01810000.json", file.replace(&"00".repeat(32), &"11".repeat(32)));
    let why = refused(&machine);
    assert!(why.contains("another policy than its file has"), "{why}");
    let why = machine.fails(&seal_with, 12);
    assert!(why.contains("another policy than its file has"), "{why}");
    machine.write("policies/0x01810000.json", file.replace("\"format\": 1", "\"format\": 2"));
    let why = machine.fails(&store, 14);
    assert!(why.contains("its format is 2") && why.contains("restore it from a backup"), "{why}");
    machine.write("policies/0x01810000.json", &file);
    assert_eq!(unseal(&machine), SECRET);
}

/// tpm2-tools come to the same policy, and open the same object.
#[test]
fn tpm2_tools_open_the_same_object() {
    let machine = machine();
    boot(&machine, 0);
    store_with(&machine, &["--pcr", "7", "--pcr", &format!("7={}", value(1))]);
    let tools = machine.tpm.tools();
    let path = |name: &str| tools.dir().join(name).display().to_string();
    let (public, private) = (path("pub"), path("priv"));
    let pair = ["seal", "--nv-policy", INDEX, "-u", &public, "-r", &private, "secret"];
    machine.ok(&[&pair[..], &FILES].concat());
    let pair = ["unseal", "--nv-policy", INDEX, "-u", &public, "-r", &private];
    assert_eq!(machine.ok(&[&pair[..], &FILES].concat()), SECRET);
    for (name, number) in [("first", 0), ("second", 1)] {
        fs::write(tools.dir().join(name), pcr_policy(&unhex(&value(number)).try_into().unwrap())).unwrap();
    }
    for number in [0, 1] {
        boot(&machine, number);
        tools.ok("load", &["-C", "0x81000001", "-u", "pub", "-r", "priv", "-c", "object"]);
        tools.ok("flushcontext", &["-t"]);
        tools.ok("startauthsession", &["--policy-session", "-S", "s"]);
        tools.ok("policypcr", &["-S", "s", "-l", "sha256:7"]);
        tools.ok("policyor", &["-S", "s", "sha256:first,second"]);
        tools.ok("policyauthorizenv", &["-S", "s", "-C", INDEX, INDEX]);
        let opened = tools.output("unseal", &["-c", "object", "-p", "session:s"]);
        assert_eq!(opened.stdout, SECRET, "{}", String::from_utf8_lossy(&opened.stderr));
        tools.flush();
    }
}

/// The owner's password is the way out when nothing that is admitted boots any more; without one, the owner is anybody.
#[test]
fn an_owner_with_a_password_writes_it_and_one_without_does_not() {
    let machine = machine();
    boot(&machine, 0);
    machine.tpm.tools().ok("changeauth", &["-c", "o", "owner-4711"]);
    machine.write("owner", "owner-4711\n");
    let by_owner = ["--owner-password-file", "owner", "--pcr", "7"];
    store_with(&machine, &by_owner);
    seal(&machine);
    boot(&machine, 9);
    let store = [&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat();
    let why = machine.fails(&store, 12);
    assert!(why.contains("does not admit this boot") && why.contains("--owner-password-file FILE"), "{why}");
    store_with(&machine, &by_owner);
    assert_eq!(unseal(&machine), SECRET);
    // Admitted now, and the password is not needed.
    store_with(&machine, &["--pcr", "7", "--pcr", &format!("7={}", value(1))]);
    boot(&machine, 1);
    assert_eq!(unseal(&machine), SECRET);
}

/// Where the index was defined for it, what is signed for the running system writes it.
#[test]
fn the_running_system_writes_what_does_not_admit_it() {
    let keyset = Keyset::new("k");
    keyset.sign_system("0001");
    let machine = machine();
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    fs::write(tools.dir().join("version"), "0001").unwrap();
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    let running = |event: u8| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
        machine.tpm.raw().extend(9, &[event; 32]);
    };
    let pcr7data = keyset.pcr7data().display().to_string();
    let store = ["--pcr", "9", "--pcr7data", &pcr7data];
    running(1);
    store_with(&machine, &[&store[..], &["--system"]].concat());
    seal(&machine);
    running(2);
    assert!(refused(&machine).contains("PCR sha256:9 is"));
    store_with(&machine, &store);
    assert_eq!(unseal(&machine), SECRET);
    // No other boot does: not one that has locked PCR 7 once more.
    running(3);
    machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
    let args = [&["policy", "store", INDEX][..], &FILES, &store].concat();
    let why = machine.fails(&args, 12);
    assert!(why.contains("does not admit this boot"), "{why}");
}

/// Runs `args` once whole, then cut off before and after each of its commands, from the same state each time; `check` is
/// told what each cut was, and whether the command claims to be done, when the machine is on again in boot 0.
fn cut_off_anywhere(machine: &HostTpm, args: &[&str], check: impl Fn(&str, bool)) {
    machine.tpm.reboot();
    machine.tpm.off();
    let before = machine.tpm.state();
    let file = machine.file("policies/0x01810000.json");
    let was = fs::read(&file).ok();
    let start = || {
        machine.tpm.restore(&before);
        match &was {
            Some(was) => fs::write(&file, was).unwrap(),
            None => drop(fs::remove_file(&file)),
        }
        machine.tpm.boot();
        machine.tpm.raw().extend(7, &event(0));
    };
    start();
    machine.wire.take();
    machine.ok(args);
    let count = machine.wire.take().len();
    assert!(count > 10, "{count}");
    for (at, when) in (0..count).flat_map(|at| [(at, Cut::Before), (at, Cut::After)]) {
        machine.tpm.off();
        start();
        machine.wire.cut_power(&machine.tpm.power(), at, when, |_| true);
        let output = machine.output(args);
        machine.wire.be_honest();
        machine.tpm.power_cut();
        machine.tpm.raw().extend(7, &event(0));
        check(&format!("cut {when:?} command {at} of {count}"), output.status.success());
    }
}

#[test]
fn a_power_cut_leaves_the_old_set_or_the_new_one() {
    let machine = machine();
    boot(&machine, 0);
    let next = |number| format!("7={}", value(number));
    store_with(&machine, &["--pcr", "7", "--pcr", &next(1)]);
    seal(&machine);
    let old = held(&machine);
    let new = next(2);
    let store = [&["policy", "store", INDEX, "--pcr", "7", "--pcr", &new][..], &FILES].concat();
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    cut_off_anywhere(&machine, &store, |what, is_done| {
        assert_eq!(unseal(&machine), SECRET, "{what}");
        let is_new = held(&machine) != old;
        assert!(is_new || !is_done, "{what}");
        seen.borrow_mut().insert(is_new);
        // The next boot opens where the set that is there admits it.
        boot(&machine, if is_new { 2 } else { 1 });
        assert_eq!(unseal(&machine), SECRET, "{what}");
        boot(&machine, 0);
        machine.ok(&store);
        assert!(is_new || held(&machine) != old, "{what}");
        boot(&machine, 2);
        assert_eq!(unseal(&machine), SECRET, "{what}");
    });
    assert_eq!(seen.into_inner().len(), 2, "both were seen");
}

#[test]
fn an_index_that_was_begun_is_completed() {
    let machine = machine();
    boot(&machine, 0);
    let store = [&["policy", "store", INDEX, "--pcr", "7"][..], &FILES].concat();
    cut_off_anywhere(&machine, &store, |what, is_done| {
        assert!(!is_done || held(&machine).starts_with("000b"), "{what}");
        machine.ok(&store);
        seal(&machine);
        assert_eq!(unseal(&machine), SECRET, "{what}");
    });
}

/// `docs/policies-in-the-tpm.md`, word by word.
#[test]
fn the_page_is_followed() {
    let machine = machine();
    assert!(machine.follow("docs/policies-in-the-tpm.md") > 15, "the search misses them");
}

/// The events of PCR 7 of a boot that real firmware has measured.
fn measured(name: &str) -> Vec<Measured> {
    let text = fs::read_to_string(workspace().join(format!("tests/data/measured/{name}.events"))).unwrap();
    let events = text.lines().filter_map(|line| {
        let [kind, _, data] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let kind = match kind {
            "EV_SEPARATOR" => EventType::SEPARATOR,
            "EV_EFI_VARIABLE_DRIVER_CONFIG" => EventType::EFI_VARIABLE_DRIVER_CONFIG,
            "EV_EFI_VARIABLE_AUTHORITY" => EventType::EFI_VARIABLE_AUTHORITY,
            other => panic!("{other}"),
        };
        Some((kind.0, unhex(data)))
    });
    events.collect()
}

/// An update of dbx: predicted from the log of the boot before it, stored, and opened in the boot after it.
#[test]
fn a_predicted_update_is_opened_as_real_firmware_measures_it() {
    let machine = machine();
    let boot = |events: &[Measured]| {
        machine.tpm.reboot();
        events.iter().for_each(|(_, data)| machine.tpm.raw().extend(7, &sha256(&[data])));
    };
    let (before, after) = (measured("direct-no-dbx-production"), measured("direct-production"));
    // The hash of nothing, by the owner that OVMF's tools give it.
    let owner = "a0baa8a3-041d-48a8-bc87-c36d121b5e3d".parse().unwrap();
    let update = signature_list::to_bytes(&[SignatureList::sha256(owner, &[sha256(&[])])]).unwrap();
    machine.write("dbx.esl", update);
    machine.write("log", firmware_log(&before));
    boot(&before);
    let predict = ["predict", "--log", "log", "--dbx-append", "dbx.esl", "--to-nv", INDEX];
    let text = String::from_utf8(machine.ok(&[&predict[..], &FILES].concat())).unwrap();
    assert!(text.contains("PCR sha256:7: 2 values, the one of now is among them"), "{text}");
    seal(&machine);
    assert_eq!(unseal(&machine), SECRET);
    boot(&after);
    assert_eq!(unseal(&machine), SECRET);
    // From there, and without an update, it admits that boot alone.
    machine.write("log", firmware_log(&after));
    let predict = ["predict", "--log", "log", "--to-nv", INDEX, "--json"];
    let stored: Value = serde_json::from_slice(&machine.ok(&[&predict[..], &FILES].concat())).unwrap();
    assert_eq!(stored["pcrs"]["sha256"]["7"], serde_json::json!([machine.tpm.pcr("sha256", 7).to_lowercase()]));
    boot(&before);
    assert!(refused(&machine).contains("PCR sha256:7 is"));
    // What is not known is not stored.
    let predict = ["predict", "--log", "log", "--pcr", "23", "--to-nv", INDEX];
    let why = machine.fails(&[&predict[..], &FILES].concat(), 12);
    assert!(why.contains("what PCR 23 will be is not known") && why.contains("leave that PCR out"), "{why}");
}
