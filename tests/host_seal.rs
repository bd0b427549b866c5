//! `trust seal` and `trust unseal`: a secret comes back where its policy holds and nowhere else, beside tpm2-tools; nothing
//! of it is on the bus, and nothing half done is left.

use harness::{Action, Banks, Boot, Digest, HostTpm, Keyset, SecretSearch, cc, extend, rc, running_system, sha256};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// As a person would choose it.
const SECRET: &[u8] = b"correct horse battery staple 4711 and then some";
const PIN: &str = "1234-5678-hello";

/// A TPM, a secret in the file `secret`, and PINs in `pin` and `wrong`.
fn machine(banks: Banks) -> HostTpm {
    let machine = HostTpm::new(banks);
    machine.write("secret", SECRET);
    machine.write("pin", format!("{PIN}\n"));
    machine.write("wrong", "0000\n");
    machine
}

fn shows(machine: &HostTpm, file: &str) -> Value {
    serde_json::from_slice(&machine.ok(&["policy", "show", "--json", file])).unwrap()
}

#[test]
fn secrets_of_any_size_come_back() {
    let machine = machine(Banks::Sha256);
    for size in [1, 127, 128, 129, 65_536, 65_537, 300_000] {
        let secret: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        machine.write("in", &secret);
        machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "in"]);
        assert_eq!(machine.ok(&["unseal", "sealed"]), secret, "{size}");
        machine.ok(&["unseal", "-o", "out", "sealed"]);
        assert_eq!(machine.read("out"), secret, "{size}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(machine.file("out")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    // From standard input to standard output.
    let mut child = machine.command(&["seal", "--pcr", "7"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(SECRET).unwrap();
    let sealed = child.wait_with_output().unwrap();
    let mut child = machine.command(&["unseal"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&sealed.stdout).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, SECRET);
    let why = machine.fails(&["seal", "--pcr", "7"], 2);
    assert!(why.contains("the input is empty"), "{why}");
}

#[test]
fn a_secret_is_refused_where_its_pcrs_have_moved_and_the_one_that_did_is_named() {
    let machine = machine(Banks::Three);
    machine.ok(&["seal", "--pcr", "sha1:2,3+7,14", "-o", "sealed", "secret"]);
    for _ in 0..4 {
        // The order of the banks is that of the policy: it was not, every other time.
        assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    }
    assert_eq!(shows(&machine, "sealed")["alternatives"][0]["holds"], true);
    machine.tpm.raw().extend(14, &[1; 32]);
    let why = machine.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("PCR sha256:14 is") && !why.contains("sha1:2") && !why.contains("sha256:7 is"), "{why}");
    assert!(why.contains("trust policy show FILE"), "{why}");
    let shown = shows(&machine, "sealed");
    assert_eq!(shown["alternatives"][0]["holds"], false);
    assert!(shown["alternatives"][0]["assertions"][0]["why"].as_str().unwrap().contains("sha256:14"));
    assert_eq!(shown["taken"], Value::Null);
    // The restart is the remedy.
    machine.tpm.reboot();
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
}

#[test]
fn values_are_given_predicted_or_those_of_the_lock() {
    let machine = machine(Banks::Sha256);
    let predicted = harness::hex(&harness::extend(&[0; 32], &[9; 32]));
    machine.ok(&["seal", "--pcr", &format!("9={predicted},8"), "-o", "sealed", "secret"]);
    machine.fails(&["unseal", "sealed"], 12);
    machine.tpm.raw().extend(9, &[9; 32]);
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    machine.write("value", harness::extend(&[0; 32], &[5; 32]));
    machine.ok(&["seal", "--pcr", "sha256:5=@value", "-o", "sealed", "secret"]);
    machine.tpm.raw().extend(5, &[5; 32]);
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    machine.ok(&["seal", "--pcr", "7=locked", "-o", "sealed", "secret"]);
    machine.fails(&["unseal", "sealed"], 12);
    machine.tpm.raw().extend(7, &harness::sha256(&[b"atomix\n"]));
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    machine.write("value", "short");
    for (pcr, why) in [
        ("7=@value", "has 5 and not 32 bytes"),
        ("7=00", "32 and not 1 bytes"),
        ("sha512:7", "the TPM has no sha512:7"),
        ("7=@none", "cannot read none"),
    ] {
        let complaint = machine.fails(&["seal", "--pcr", pcr, "secret"], 2);
        assert!(complaint.contains(why), "{complaint}");
    }
}

#[test]
fn of_alternatives_the_first_that_holds_is_taken_and_none_that_does_not() {
    let machine = machine(Banks::Sha256);
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1800001", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread|no_da"]);
    fs::write(tools.dir().join("content"), "0001").unwrap();
    tools.ok("nvwrite", &["0x1800001", "-C", "o", "-i", "content"]);
    let policy = ["--pcr", "9", "--or", "--pcr", "10", "--version", "0x1800001=0001", "--or", "--pin"];
    let seal =
        [&["seal", "--pin-file", "pin", "--description", "the key", "-o", "sealed", "secret"][..], &policy].concat();
    machine.ok(&seal);
    let shown = shows(&machine, "sealed");
    assert_eq!((&shown["taken"], &shown["pin"], &shown["description"]), (&1.into(), &true.into(), &"the key".into()));
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET, "no PIN is asked for");
    machine.tpm.raw().extend(9, &[1; 32]);
    assert_eq!(shows(&machine, "sealed")["taken"], 2);
    assert_eq!(machine.ok(&["unseal", "--pin-file", "pin", "sealed"]), SECRET);
    fs::write(tools.dir().join("content"), "0002").unwrap();
    tools.ok("nvwrite", &["0x1800001", "-C", "o", "-i", "content"]);
    let refused = shows(&machine, "sealed");
    let why = &refused["alternatives"][1]["assertions"][1]["why"];
    assert_eq!(why, "index 0x1800001 is \"0002\" and not \"0001\"", "{refused}");
    // The second does not hold: the third is tried then.
    assert_eq!(machine.ok(&["unseal", "--pin-file", "pin", "sealed"]), SECRET);
    let text = String::from_utf8(machine.ok(&["policy", "show", "sealed"])).unwrap();
    assert!(text.contains("alternative 3: PIN") && text.contains("the PIN is asked for"), "{text}");
    for (args, why) in [
        (&["--or", "--pin"][..], "neither of which may be empty"),
        (&["--pin", "--or"], "neither of which may be empty"),
        (&["--pcr", "7", "--pcr", "7"], "PCR sha256:7 is there twice"),
        (&["--version", "0x1800002=1"], "the TPM does not hold it"),
        (&["--version", "7=1"], "is not INDEX=VALUE"),
    ] {
        let output = machine.output(&[&["seal", "--pin-file", "pin", "secret"], args].concat());
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(why), "{complaint}");
    }
}

#[test]
fn a_wrong_pin_counts_and_ends_in_lockout() {
    let machine = machine(Banks::Sha256);
    machine.ok(&["seal", "--pcr", "7", "--pin", "--pin-file", "pin", "-o", "sealed", "secret"]);
    assert_eq!(machine.ok(&["unseal", "--pin-file", "pin", "sealed"]), SECRET);
    let why = machine.fails(&["unseal", "--pin-file", "wrong", "sealed"], 12);
    assert!(why.contains("the PIN is wrong: 1 of 3 wrong ones are counted"), "{why}");
    assert_eq!(machine.tpm.failed_attempts(), 1);
    // From a descriptor, and without one: there is no terminal here.
    let command = "exec \"$@\" 3<pin";
    let mut shell = std::process::Command::new("sh");
    let unseal = machine.command(&["unseal", "--pin-fd", "3", "sealed"]);
    shell.args(["-c", command, "sh"]).arg(unseal.get_program()).args(unseal.get_args());
    let output = shell.current_dir(machine.file("")).output().unwrap();
    assert_eq!(output.stdout, SECRET, "{}", String::from_utf8_lossy(&output.stderr));
    let why = machine.fails(&["unseal", "sealed"], 2);
    assert!(why.contains("there is no terminal") && why.contains("--pin-file FILE or --pin-fd NUMBER"), "{why}");
    // The policy's PCRs first: where they differ no PIN is tried, and none counted.
    for _ in 0..2 {
        machine.fails(&["unseal", "--pin-file", "wrong", "sealed"], 12);
    }
    let why = machine.fails(&["unseal", "--pin-file", "pin", "sealed"], 13);
    assert!(why.contains("lockout") && why.contains("one is forgotten every 1000 s"), "{why}");
    // Without a PIN it does not concern anyone.
    machine.ok(&["seal", "--pcr", "7", "-o", "other", "secret"]);
    assert_eq!(machine.ok(&["unseal", "other"]), SECRET);
}

/// What tpm2-tools sealed we unseal, and they what we sealed; under primary keys of their templates and of ours.
#[test]
fn tpm2_tools_and_trust_open_what_the_other_has_sealed() {
    let machine = machine(Banks::Sha256);
    let tools = machine.tpm.tools();
    fs::write(tools.dir().join("secret"), SECRET).unwrap();
    let path = |name: &str| tools.dir().join(name).display().to_string();
    for (algorithm, parent) in [("rsa", "owner:tools-rsa"), ("ecc", "owner:tools-ecc")] {
        let primary = || {
            tools.ok("createprimary", &["-C", "o", "-G", algorithm, "-c", "primary"]);
            tools.flush();
        };
        primary();
        tools.ok("createpolicy", &["--policy-pcr", "-l", "sha256:0,7", "-L", "policy"]);
        let attributes = "fixedtpm|fixedparent";
        let create = ["-C", "primary", "-L", "policy", "-i", "secret", "-u", "pub", "-r", "priv", "-a", attributes];
        tools.ok("create", &create);
        tools.flush();
        let (public, private) = (path("pub"), path("priv"));
        let unseal = ["unseal", "-u", &public, "-r", &private, "--pcr", "sha256:0,7"];
        // The templates are tried one after the other.
        assert_eq!(machine.ok(&unseal), SECRET, "{algorithm}");
        let why = machine.fails(&["unseal", "-u", &public, "-r", &private, "--pcr", "sha256:0,8"], 12);
        assert!(why.contains("its policy is not the one that is given"), "{why}");
        let why = machine.fails(&["unseal", "-u", &public, "-r", &private], 2);
        assert!(why.contains("--pcr sha256:0,7"), "{why}");
        let (public, private) = (path("our-pub"), path("our-priv"));
        machine.ok(&["seal", "--parent", parent, "--pcr", "sha256:0,7", "-u", &public, "-r", &private, "secret"]);
        primary();
        tools.ok("load", &["-C", "primary", "-u", "our-pub", "-r", "our-priv", "-c", "object"]);
        tools.flush();
        assert_eq!(tools.ok("unseal", &["-c", "object", "-p", "pcr:sha256:0,7"]).as_bytes(), SECRET);
        tools.flush();
    }
    // With a password and no policy, under a persistent key with a password of its own.
    tools.ok("createprimary", &["-C", "o", "-G", "ecc", "-p", "parent-password", "-c", "primary"]);
    tools.ok("evictcontrol", &["-C", "o", "-c", "primary", "0x81000007"]);
    tools.flush();
    let create = ["-C", "0x81000007", "-P", "parent-password", "-p", PIN, "-i", "secret", "-u", "pub", "-r", "priv"];
    tools.ok("create", &create);
    tools.flush();
    machine.write("parent", "parent-password\n");
    let (public, private) = (path("pub"), path("priv"));
    let unseal = ["unseal", "-u", &public, "-r", &private, "--parent", "0x81000007", "--pin-file", "pin"];
    machine.wire.take();
    assert_eq!(machine.ok(&[&unseal[..], &["--parent-password-file", "parent"]].concat()), SECRET);
    let mut search = SecretSearch::new();
    search.add("parent's password", b"parent-password").add("PIN", PIN.as_bytes()).add("secret", SECRET);
    assert_eq!(search.found(&machine.wire.bytes()), [].into(), "passwords do not cross the bus either");
    let why = machine.fails(&unseal, 12);
    assert!(why.contains("--parent-password-file FILE"), "{why}");
    let why = machine.fails(&["unseal", "-u", &public, "-r", &private, "--parent", "0x81000009"], 11);
    assert!(why.contains("the TPM has no key at 0x81000009") && why.contains("--parent owner"), "{why}");
}

#[test]
fn parents_are_made_with_the_passwords_of_their_hierarchies() {
    let machine = machine(Banks::Sha256);
    for parent in ["owner", "owner:rsa", "endorsement", "null"] {
        machine.ok(&["seal", "--parent", parent, "--pcr", "7", "-o", "sealed", "secret"]);
        assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET, "{parent}");
    }
    // The null hierarchy is another one after a restart.
    machine.tpm.reboot();
    let why = machine.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("it was sealed under another key"), "{why}");
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    machine.tpm.tools().ok("changeauth", &["-c", "o", "owner-password"]);
    let why = machine.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("--owner-password-file FILE"), "{why}");
    machine.write("owner", "owner-password\n");
    machine.wire.take();
    assert_eq!(machine.ok(&["unseal", "--owner-password-file", "owner", "sealed"]), SECRET);
    let mut search = SecretSearch::new();
    search.add("owner's password", b"owner-password");
    assert_eq!(search.found(&machine.wire.bytes()), [].into());
    // With the key that is there, no password is needed, and that is what is taken.
    machine.tpm.tools().ok("createprimary", &["-C", "o", "-P", "owner-password", "-G", "ecc", "-c", "primary"]);
    machine.tpm.tools().ok("evictcontrol", &["-C", "o", "-P", "owner-password", "-c", "primary", "0x81000001"]);
    machine.tpm.tools().flush();
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    assert_eq!(shows(&machine, "sealed")["parent"], "0x81000001");
}

#[test]
fn nothing_of_the_secret_is_on_the_bus_and_few_commands_are() {
    let machine = machine(Banks::Sha256);
    machine.keep_storage_root_key();
    // The first time the TPM tests its algorithms, and has a command sent again.
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    machine.wire.take();
    machine.ok(&["seal", "--pcr", "7", "--pin", "--pin-file", "pin", "-o", "sealed", "secret"]);
    let sealing = machine.wire.counts();
    let mut bytes = machine.wire.bytes();
    machine.wire.take();
    machine.ok(&["unseal", "--pin-file", "pin", "sealed"]);
    let unsealing = machine.wire.counts();
    bytes.extend(machine.wire.bytes());
    let mut search = SecretSearch::new();
    search.add("secret", SECRET).add("PIN", PIN.as_bytes());
    assert_eq!(search.found(&bytes), [].into());
    // PCR_Read, ReadPublic, StartAuthSession, Create; ReadPublic, Load, StartAuthSession, two assertions, Unseal, Flush.
    assert_eq!((sealing.values().sum(), unsealing.values().sum()), (4, 7), "{sealing:x?} {unsealing:x?}");
}

#[test]
fn damaged_files_are_refused_and_leave_no_output() {
    let machine = machine(Banks::Sha256);
    machine.write("big", vec![7; 200_000]);
    machine.ok(&["seal", "--pcr", "7", "-o", "small.sealed", "secret"]);
    machine.ok(&["seal", "--pcr", "7", "-o", "big.sealed", "big"]);
    let (small, big) = (machine.read("small.sealed"), machine.read("big.sealed"));
    let stream = big.len() - 200_000 - 4 * 16;
    let swapped = [
        &big[..stream],
        &big[stream + 65_552..stream + 2 * 65_552],
        &big[stream..stream + 65_552],
        &big[stream + 2 * 65_552..],
    ];
    let text = String::from_utf8(small.clone()).unwrap();
    let block = text.lines().find(|line| line.len() == 64 && !line.starts_with('#')).unwrap();
    for (name, bytes, why) in [
        ("empty", vec![], "no TSS2 PRIVATE KEY"),
        ("truncated", small[..small.len() - 40].to_vec(), "TSS2 PRIVATE KEY"),
        ("two blocks", [&small[..], &small].concat(), "not a stream"),
        ("other pcrs claimed", text.replace("7=00", "7=11").into_bytes(), ""),
        ("edited", text.replacen(block, &block.replace('A', "B"), 1).into_bytes(), "cannot"),
        ("stream cut off", big[..stream].to_vec(), "its end is missing"),
        ("stream and its mark cut off", big[..stream - 8].to_vec(), "only its key is there"),
        ("stream cut", big[..big.len() - 1].to_vec(), "its end is missing"),
        ("stream cut at a chunk", big[..stream + 2 * 65_552].to_vec(), "its end is missing"),
        ("stream reordered", swapped.concat(), "it has been altered"),
        ("stream of another", [&small[..], b"trust\0\x01\n", &big[stream..]].concat(), "not encrypted with it"),
        ("head altered", [b"# \n", &big[..]].concat(), "it has been altered"),
    ] {
        machine.write("damaged", bytes);
        let _ = fs::remove_file(machine.file("out"));
        let output = machine.output(&["unseal", "-o", "out", "damaged"]);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if name == "other pcrs claimed" {
            // The text above the block decides nothing.
            assert!(output.status.success(), "{complaint}");
            continue;
        }
        let status = output.status.code().unwrap_or(-1);
        assert!([12, 14].contains(&status) && complaint.contains(why), "{name}: {status} {complaint}");
        assert!(!machine.file("out").exists(), "{name}");
    }
    assert_eq!(
        fs::read_dir(machine.file(""))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count(),
        0
    );
    // Of another TPM.
    let other = self::machine(Banks::Sha256);
    other.tpm.tools().ok("clear", &["-c", "p"]);
    other.write("sealed", &small);
    let why = other.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("it was sealed under another key") && why.contains("on the machine that sealed it"), "{why}");
}

/// PCRs that change between the assertion and the access are asserted again; what keeps changing is refused.
#[test]
fn a_pcr_that_changes_meanwhile_is_asserted_again_or_refused() {
    let machine = machine(Banks::Sha256);
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    let raw = machine.tpm.raw();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    machine.wire.on_command(move |command| {
        // Another PCR, as IMA would extend it.
        if command.code() == cc::UNSEAL && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            raw.extend(10, &[1; 32]);
        }
        Action::Forward
    });
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    // PCR 7 itself: the door is shut in its face.
    let raw = machine.tpm.raw();
    let mut first = true;
    machine.wire.on_command(move |command| {
        if command.code() == cc::UNSEAL && std::mem::take(&mut first) {
            raw.extend(7, &[1; 32]);
        }
        Action::Forward
    });
    let why = machine.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("PCR sha256:7 is"), "{why}");
}

/// Whatever a TPM answers, there is a message and a status, and no output that is not the secret.
#[test]
fn hostile_answers_do_no_harm() {
    let machine = machine(Banks::Sha256);
    machine.ok(&["seal", "--pcr", "7", "--or", "--pcr", "8", "--pin", "--pin-file", "pin", "-o", "sealed", "secret"]);
    let seal = ["seal", "--pcr", "7", "-o", "new", "secret"];
    for args in [&["unseal", "sealed"][..], &seal, &["policy", "show", "sealed"]] {
        machine.wire.take();
        machine.ok(args);
        let honest = machine.wire.take();
        for (at, exchange) in honest.iter().enumerate() {
            for harmed in exchange.response.as_ref().unwrap().harmed() {
                let mut number = 0;
                machine.wire.on_response(move |_, response| {
                    number += 1;
                    Action::Reply(if number == at + 1 { harmed.0.clone() } else { response.0 })
                });
                let output = machine.output(args);
                let (status, complaint) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
                let known = [0, 2, 10, 11, 12, 13, 14, 15].contains(&status.unwrap_or(-1));
                assert!(known && !complaint.contains("internal error"), "{args:?}, {at}: {status:?} {complaint}");
                if args[0] == "unseal" {
                    assert!(output.stdout.is_empty() || output.stdout == SECRET, "{args:?}, {at}");
                }
                machine.wire.be_honest();
                machine.tpm.tools().flush();
            }
        }
    }
}

#[test]
fn a_tpm_without_a_free_session_is_explained() {
    let machine = machine(Banks::Sha256);
    machine.wire.on_response(|command, response| match command.code() {
        cc::START_AUTH_SESSION => Action::Reply(harness::Response::error(rc::SESSION_MEMORY).0),
        _ => Action::Reply(response.0),
    });
    let why = machine.fails(&["seal", "--pcr", "7", "secret"], 15);
    assert!(why.contains("use the kernel's resource manager, /dev/tpmrm0"), "{why}");
    machine.wire.be_honest();
    machine.tpm.tools().flush();
    // Two at once, without a resource manager: each needs a place for one object.
    machine.keep_storage_root_key();
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "secret"]);
    let two: Vec<_> = (0..2).map(|_| machine.command(&["unseal", "sealed"]).spawn().unwrap()).collect();
    for child in two {
        assert_eq!(child.wait_with_output().unwrap().stdout, SECRET);
    }
}

/// The rights of the running system: in every boot that is signed for production, once it has locked PCR 7, and nowhere else.
#[test]
fn the_running_system_opens_what_is_sealed_for_it_and_no_other_boot_does() {
    let keyset = Keyset::new("k");
    keyset.sign_system("0001");
    let machine = machine(Banks::Sha256);
    let tools = machine.tpm.tools();
    let version = |version: &str| {
        fs::write(tools.dir().join("version"), version).unwrap();
        tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    };
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    version("0001");
    let boot = |event: &Digest, more: &[&[u8]]| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(event);
        for event in more {
            machine.tpm.extend_pcr7(&sha256(&[*event]));
        }
    };
    let (lock, separator): (&[u8], &[u8]) = (b"atomix\n", b"os-separator");
    let pcr7data = keyset.pcr7data().display().to_string();
    let unseal = ["unseal", "--pcr7data", &pcr7data, "sealed"];
    let production = Boot::Production.event();
    boot(&production, &[lock]);
    machine.ok(&["seal", "--system", "--pcr7data", &pcr7data, "-o", "sealed", "secret"]);
    for more in [&[lock][..], &[lock, separator]] {
        boot(&production, more);
        assert_eq!(machine.ok(&unseal), SECRET);
        let shown = machine.ok(&["policy", "show", "--json", "--pcr7data", &pcr7data, "sealed"]);
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["taken"], 1, "{shown}");
    }
    // Power cuts after it do not end in lockout.
    for _ in 0..5 {
        boot(&production, &[lock]);
        assert_eq!(machine.ok(&unseal), SECRET);
        machine.tpm.power_cut();
    }
    assert_eq!(machine.tpm.failed_attempts(), 0);
    for (event, more, why) in [
        (production, &[][..], "PCR 7 is still that of a production boot, which has not locked it"),
        (production, &[separator, lock], "is for PCR 7 ="),
        (production, &[lock, lock], "is for PCR 7 ="),
        (Boot::Limited.event(), &[], "PCR 7 is still that of a limited boot"),
        (Boot::Limited.event(), &[lock], "is for PCR 7 ="),
        (Boot::Tpm.event(), &[lock], "is for PCR 7 ="),
        ([9; 32], &[lock], "is for PCR 7 ="),
    ] {
        boot(&event, more);
        let complaint = machine.fails(&unseal, 12);
        assert!(complaint.contains(why), "{complaint}");
    }
    boot(&production, &[lock]);
    // Without the directory, or with one of another keyset.
    let why = machine.fails(&["unseal", "sealed"], 12);
    assert!(why.contains("this system has none") && why.contains("trust policy show FILE"), "{why}");
    let other = Keyset::foreign("other");
    other.sign_system("0001");
    let why = machine.fails(&["unseal", "--pcr7data", &other.pcr7data().display().to_string(), "sealed"], 12);
    assert!(why.contains("nothing that the key"), "{why}");
    // Withdrawn.
    version("0002");
    let why = machine.fails(&unseal, 12);
    assert!(why.contains("the TPM's policy version is \"0002\" and not \"0001\""), "{why}");
}

/// The second place for a secret: the TPM's own memory.
#[test]
fn a_secret_is_sealed_into_the_memory_of_the_tpm() {
    let machine = machine(Banks::Sha256);
    let index = String::from_utf8(machine.ok(&["seal", "--pcr", "9", "--nv", "secret"])).unwrap();
    assert_eq!(machine.ok(&["unseal", "--pcr", "9", "--nv", index.trim()]), SECRET);
    machine.ok(&["seal", "--pin", "--pin-file", "pin", "--nv=0x1810077", "secret"]);
    machine.ok(&["unseal", "--pin", "--pin-file", "pin", "--nv", "0x1810077", "-o", "out"]);
    assert_eq!(machine.read("out"), SECRET);
    machine.tpm.raw().extend(9, &[1; 32]);
    machine.fails(&["unseal", "--pcr", &format!("9={}", "00".repeat(32)), "--nv", index.trim()], 12);
    machine.fails(&["seal", "--nv=0x1810077", "secret"], 2);
    machine.fails(&["seal", "--nv", "-o", "out", "secret"], 2);
}

/// A signature that is not the key's opens nothing, whatever directory it is in.
#[test]
fn a_forged_policy_of_the_running_system_opens_nothing() {
    let keyset = Keyset::new("k");
    keyset.sign_system("0001");
    let machine = machine(Banks::Sha256);
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    fs::write(tools.dir().join("version"), "0001").unwrap();
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    machine.tpm.extend_pcr7(&Boot::Production.event());
    let pcr7data = keyset.pcr7data().display().to_string();
    machine.ok(&["seal", "--system", "--pcr7data", &pcr7data, "-o", "sealed", "secret"]);
    // What the attacker boots has another value, for which the attacker has an entry, and the right key beside it.
    machine.tpm.extend_pcr7(&[6; 32]);
    let value = extend(&Boot::Production.pcr7(), &[6; 32]);
    let entry = keyset.entry(&value);
    fs::create_dir_all(&entry).unwrap();
    let [locked, _] = running_system(&Boot::Production.pcr7());
    for name in ["info.json", "tpm_system.policy.signed"] {
        fs::copy(keyset.entry(&locked).join(name), entry.join(name)).unwrap();
    }
    let why = machine.fails(&["unseal", "--pcr7data", &pcr7data, "sealed"], 14);
    assert!(why.contains("the signature is not the key's"), "{why}");
}

#[test]
fn mistakes_are_named_and_their_remedies_work() {
    let machine = machine(Banks::Sha256);
    let tools = machine.tpm.tools();
    machine.write("big", vec![1; 129]);
    let refused = |args: &[&str], status: i32, why: &str, remedy: &str| {
        let complaint = machine.fails(args, status);
        assert!(complaint.contains(why) && complaint.contains(remedy), "{args:?}: {complaint}");
    };
    let pair = ["seal", "--pcr", "7", "-u", "pub", "-r", "priv", "big"];
    refused(&pair, 2, "larger than 128 bytes", "leave -u and -r out");
    machine.ok(&["seal", "--pcr", "7", "-o", "sealed", "big"]);
    machine.write("pin", "x".repeat(33));
    let pin = ["seal", "--pin", "--pin-file", "pin", "-o", "sealed", "secret"];
    refused(&pin, 2, "longer than 32 bytes", "give 1 to 32 bytes");
    machine.write("pin", "");
    refused(&pin, 2, "it is empty", "give 1 to 32 bytes");
    machine.write("pin", "x".repeat(32));
    machine.ok(&pin);
    // A key that signs is no parent.
    tools.ok("createprimary", &["-C", "o", "-G", "ecc:ecdsa", "-a", SIGNS, "-c", "signer"]);
    tools.ok("evictcontrol", &["-C", "o", "-c", "signer", "0x81000009"]);
    tools.flush();
    let under = |parent| ["seal", "--parent", parent, "--pcr", "7", "-o", "sealed", "secret"];
    refused(&under("0x81000009"), 2, "no storage key", "--parent owner");
    machine.ok(&under("owner"));
    for (parent, why) in [("0x1500001", "is not a handle"), ("platform", "or owner"), ("owner:dsa", "no template")] {
        refused(&under(parent), 2, why, "");
    }
    let sealed = String::from_utf8(machine.read("sealed")).unwrap();
    machine.write("pub", &sealed);
    let unseal = ["unseal", "-u", "pub", "-r", "pub", "--pcr", "7"];
    refused(&unseal, 14, "not a file of tpm2-tools with one area", "that tpm2_create wrote");
    // An index that was never written has another Name then.
    tools.ok("nvdefine", &["0x1800001", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread|no_da"]);
    let version = ["seal", "--version", "0x1800001=hex:30303031", "-o", "sealed", "secret"];
    refused(&version, 11, "has never been written", "write it first");
    fs::write(tools.dir().join("content"), "0001").unwrap();
    tools.ok("nvwrite", &["0x1800001", "-C", "o", "-i", "content"]);
    machine.ok(&version);
    assert_eq!(machine.ok(&["unseal", "sealed"]), SECRET);
    // Whose running system?
    let keyset = Keyset::new("k");
    let pcr7data = keyset.pcr7data().display().to_string();
    fs::copy(keyset.pubkeys().join("luks-k.pem"), machine.file("key.pem")).unwrap();
    fs::copy(machine.file("key.pem"), keyset.pubkeys().join("luks-other.pem")).unwrap();
    let system = ["seal", "--system", "--pcr7data", &pcr7data, "-o", "sealed", "secret"];
    refused(&system, 2, "2 keysets are in", "--signed-by KEY:system");
    machine.ok(&["seal", "--signed-by", "key.pem:system", "-o", "sealed", "secret"]);
    refused(&["seal", "--system", "secret"], 2, "this system has none", "name the directory with --pcr7data");
    let both = ["seal", "--signed-by", "key.pem", "--signed-by", "key.pem:two", "secret"];
    refused(&both, 2, "only one of them can be part of one alternative", "put --or between them");
    machine.ok(&["seal", "--signed-by", "key.pem", "--or", "--signed-by", "key.pem:two", "-o", "sealed", "secret"]);
    refused(&["seal", "--signed-by", "secret", "secret"], 14, "no PUBLIC KEY", "");
}

/// A key that signs, for tpm2-tools.
const SIGNS: &str = "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth";

/// `docs/secrets.md`, word by word: its commands, ours and those of tpm2-tools, print what it says.
#[test]
fn the_page_is_followed() {
    let machine = HostTpm::new(Banks::Sha256);
    assert!(machine.follow("docs/secrets.md") > 25, "the search misses them");
}
