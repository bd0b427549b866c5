//! What the TPM's owner delegates to the running system: two commands, to what is signed for it, and nothing else.

use harness::{
    Boot, Digest, Identity, Layout, Machine, SecretSearch, Swtpm, Tools, extend, hex, luks_policy,
    provision_with_tools, running_system, sha256, trust_host, unhex,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

/// The owner hierarchy's policy (TPM2_GetCapability, TPM_CAP_AUTH_POLICIES), in hex; nothing where it has none.
fn owners_policy(machine: &Machine) -> String {
    let ask = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 9, 0x40, 0, 0, 0x01, 0, 0, 0, 1];
    // Header, moreData, capability, count; handle and hash algorithm.
    let response = machine.tpm.raw().send(&ask).0;
    assert_eq!(response[19..23], [0x40, 0, 0, 0x01], "{}", hex(&response));
    if response[23..25] == [0, 0x10] { String::new() } else { hex(&response[25..]) }
}

/// Part 3, sections 23.16, 23.11 and 23.6: signed for the running system, and one of the two commands.
fn branches(signer: &[u8]) -> [Digest; 2] {
    let authorized = sha256(&[&sha256(&[&[0; 32], &0x16a_u32.to_be_bytes(), signer]), b"system"]);
    [0x131_u32, 0x12a].map(|command| sha256(&[&authorized, &0x16c_u32.to_be_bytes(), &command.to_be_bytes()]))
}

fn expected(signer: &[u8]) -> String {
    let [primary, space] = branches(signer);
    hex(&sha256(&[&[0; 32], &0x171_u32.to_be_bytes(), &primary, &space]))
}

/// The Name of the key tpmpol-luks, whose public half goes into the tools' directory, as a TPM tells it.
fn signer(machine: &Machine) -> Vec<u8> {
    let tools = machine.tpm.tools();
    let key = machine.keyset.pubkeys().join(format!("luks-{}.pem", machine.keyset.name()));
    fs::copy(key, tools.dir().join("key.pem")).unwrap();
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
    tools.flush();
    fs::read(tools.dir().join("key.name")).unwrap()
}

/// Asserts, in `session:s`, what is signed for this PCR 7 value and policyRef, and then one of the two commands.
fn assert_branch(machine: &Machine, tools: &Tools, pcr7: &Digest, command: &str) -> bool {
    let file = |name: &str| tools.dir().join(name);
    let policy = luks_policy(pcr7, "0001");
    let [primary, space] = branches(&fs::read(file("key.name")).unwrap());
    for (name, bytes) in [
        ("policy", &policy[..]),
        ("message", &[&policy[..], b"system"].concat()),
        ("system", b"system"),
        ("version", b"0001"),
        ("primary", &primary),
        ("space", &space),
    ] {
        fs::write(file(name), bytes).unwrap();
    }
    fs::copy(machine.keyset.entry(pcr7).join("tpm_system.policy.signed"), file("signature")).unwrap();
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
    let verify = ["-c", "key.ctx", "-g", "sha256", "-m", "message", "-s", "signature", "-f", "rsassa", "-t", "ticket"];
    tools.ok("verifysignature", &verify);
    tools.flush();
    tools.ok("startauthsession", &["-S", "s", "--policy-session"]);
    tools.ok("policypcr", &["-S", "s", "-l", "sha256:7"]);
    tools.ok("policynv", &["-S", "s", "-C", "0x1500020", "-i", "version", "0x1500020", "eq"]);
    let authorize = ["-S", "s", "-i", "policy", "-q", "system", "-n", "key.name", "-t", "ticket"];
    if !tools.output("policyauthorize", &authorize).status.success() {
        tools.flush();
        return false;
    }
    tools.ok("policycommandcode", &["-S", "s", command]);
    let either = tools.output("policyor", &["-S", "s", "-l", "sha256:primary,space"]);
    if !either.status.success() {
        tools.flush();
    }
    either.status.success()
}

/// `trust` in the running system of a provisioned machine, whose owner's password it does not know.
#[test]
fn the_running_system_keeps_secrets_in_the_tpm_without_the_owner() {
    let machine = Machine::provisioned();
    machine.keyset.sign_system("0001");
    let pcr7data = machine.keyset.pcr7data().display().to_string();
    let secret = machine.sandbox.dir().join("secret");
    fs::write(&secret, "kept by the running system").unwrap();
    let secret = secret.display().to_string();
    let trust = |args: &[&str]| {
        let mut command = Command::new(trust_host());
        command.args(args).args(["--tcti", &machine.tpm.tools().tcti(), "--wait", "1"]);
        if !args.contains(&"remove") {
            command.args(["--pcr7data", &pcr7data]);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let boot = |boot: Boot, locked: bool| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        if locked {
            machine.tpm.extend_pcr7(&sha256(&[b"atomix\n"]));
        }
    };
    boot(Boot::Production, true);
    let (status, index, said) = trust(&["nv", "define", "--system", "--write", &secret]);
    assert_eq!(status, Some(0), "{said}");
    let read = ["nv", "read", index.trim(), "--system"];
    assert_eq!(trust(&read).1, "kept by the running system");
    let (status, _, said) = trust(&["nv", "write", index.trim(), &secret, "--system"]);
    assert_eq!(status, Some(0), "{said}");
    // What is signed for another policy version defines nothing.
    machine.keyset.sign_system("0002");
    let (status, _, said) = trust(&["nv", "define", "--size", "4"]);
    assert!(status == Some(12) && said.contains("the TPM's policy version is \"0001\" and not \"0002\""), "{said}");
    assert!(said.contains("the keyset's newest pcr7data"), "{said}");
    machine.keyset.sign_system("0001");
    let (status, ..) = trust(&["nv", "define", "--size", "4"]);
    assert_eq!(status, Some(0));
    // It removes nothing, and what is no running system defines nothing: the owner's password is asked for.
    let remove = ["nv", "remove", index.trim()];
    let (status, _, said) = trust(&remove);
    assert!(status == Some(2) && said.contains("the password of the TPM's owner"), "{said}");
    for (kind, locked) in [(Boot::Production, false), (Boot::Limited, false), (Boot::Limited, true)] {
        boot(kind, locked);
        let (status, _, said) = trust(&["nv", "define", "--write", &secret]);
        assert!(status == Some(2) && said.contains("the password of the TPM's owner"), "{said}");
        assert_eq!(trust(&read).0, Some(12));
    }
}

/// Keys of applications: by the owner's policy, and where they are bound, by their own as well.
#[test]
fn the_running_system_derives_keys_without_the_owner_and_no_other_boot_does() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    let layout = Layout::default();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    machine.keyset.sign_system("0001");
    let pcr7data = machine.keyset.pcr7data().display().to_string();
    let wire = machine.tpm.tools().wire();
    let cache = tempfile::tempdir().unwrap();
    let trust = |args: &[&str]| {
        let mut command = Command::new(trust_host());
        command.env("XDG_CACHE_HOME", cache.path());
        command.args(["derive", "label=a", "--hex", "--pcr7data", &pcr7data]).args(args);
        command.args(["--tcti", &machine.tpm.tools().tcti(), "--wait", "1"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let boot = |boot: Boot, more: &[&[u8]]| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        for event in more {
            machine.tpm.extend_pcr7(&sha256(&[*event]));
        }
    };
    let (lock, separator): (&[u8], &[u8]) = (b"atomix\n", b"os-separator");
    let tools = machine.tpm.tools();
    let owner = ["-C", "o", "-P", &layout.admin_password];
    tools.ok("createprimary", &[&owner[..], &["-G", "ecc", "-c", "primary"]].concat());
    tools.ok("evictcontrol", &[&owner[..], &["-c", "primary", "0x81000001"]].concat());
    tools.flush();
    // Until the owner delegates.
    boot(Boot::Production, &[lock]);
    let (status, _, said) = trust(&[]);
    let why = "has a password, and delegates nothing to this running system";
    assert!(status == Some(12) && said.contains(why), "{said}");
    assert!(said.contains("trust admin delegate") && said.contains("--owner-password-file"), "{said}");
    machine.boot(Boot::Tpm, "trust admin delegate").ok();
    let mut keys = Vec::new();
    for more in [&[lock][..], &[lock, separator]] {
        boot(Boot::Production, more);
        let _ = fs::remove_dir_all(cache.path().join("trust"));
        // One of them is repeated, as the TPM wishes where an index is used that power cuts are counted for.
        // What the TPM has verified once, it need not verify again.
        for (args, commands) in [(&[][..], 16), (&[], 13), (&["--system"], 16)] {
            wire.take();
            let (status, key, said) = trust(args);
            assert_eq!((status, wire.record().len()), (Some(0), commands), "{said}");
            keys.push(key);
        }
        let mut search = SecretSearch::new();
        for key in &keys {
            search.add("key", &unhex(key.trim_end()));
        }
        assert_eq!(search.found(&wire.bytes()), [].into());
    }
    assert_eq!(keys[..3], keys[3..]);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
    // It believes no ticket but its own.
    let tickets = || fs::read_dir(cache.path().join("trust/tickets")).unwrap().map(|file| file.unwrap().path());
    for spoil in [
        |_: &mut Vec<u8>| (),
        |ticket: &mut Vec<u8>| *ticket.last_mut().unwrap() ^= 1,
        |ticket: &mut Vec<u8>| ticket.truncate(9),
    ] {
        for path in tickets() {
            let mut ticket = fs::read(&path).unwrap();
            spoil(&mut ticket);
            fs::write(path, ticket).unwrap();
        }
        let (status, key, said) = trust(&[]);
        assert_eq!((status, &key), (Some(0), &keys[0]), "{said}");
        wire.take();
        assert_eq!((trust(&[]).1, wire.record().len()), (keys[0].clone(), 13));
    }
    assert_eq!(tickets().count(), 1);
    // A unit keeps them in a directory of its own, for everyone.
    let unit = tempfile::tempdir().unwrap();
    let of_unit = || {
        let mut command = Command::new(trust_host());
        command.env("CACHE_DIRECTORY", unit.path()).env_remove("HOME").env_remove("XDG_CACHE_HOME");
        command.args(["derive", "label=a", "--hex", "--pcr7data", &pcr7data]);
        wire.take();
        let output = command.args(["--tcti", &machine.tpm.tools().tcti(), "--wait", "1"]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), keys[0]);
        wire.record().len()
    };
    assert_eq!([of_unit(), of_unit()], [16, 13]);
    let ticket = fs::read_dir(unit.path().join("tickets")).unwrap().next().unwrap().unwrap();
    assert_eq!(ticket.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    // Power cuts after it do not end in lockout.
    for _ in 0..5 {
        boot(Boot::Production, &[lock]);
        assert_eq!(trust(&["--system"]).1, keys[2]);
        machine.tpm.power_cut();
    }
    assert_eq!(machine.tpm.failed_attempts(), 0);
    for (kind, more) in [
        (Boot::Production, &[][..]),
        (Boot::Production, &[lock, lock]),
        (Boot::Limited, &[]),
        (Boot::Limited, &[lock]),
        (Boot::Tpm, &[lock]),
    ] {
        boot(kind, more);
        let (status, key, said) = trust(&[]);
        assert!(status == Some(12) && key.is_empty() && said.contains("the hierarchy has a password"), "{said}");
        let (status, key, said) = trust(&["--system"]);
        let why = "nothing is signed for this running system";
        assert!(status == Some(12) && key.is_empty() && said.contains(why), "{said}");
    }
    // The owner's password makes the same key, and does not open the bound one.
    fs::write(machine.sandbox.dir().join("password"), &layout.admin_password).unwrap();
    let password = machine.sandbox.dir().join("password").display().to_string();
    assert_eq!(trust(&["--owner-password-file", &password]).1, keys[0]);
    assert_eq!(trust(&["--owner-password-file", &password, "--system"]).0, Some(12));
    // Nor is it of use to the owner themselves, whatever they tell the TPM that it is.
    let signer = signer(&machine);
    let authorized = sha256(&[&sha256(&[&[0; 32], &0x16a_u32.to_be_bytes(), &signer]), b"system"]);
    let size_and_context = [&1_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), b"a"].concat();
    let uid = rustix::process::geteuid().as_raw().to_be_bytes();
    let message = [b"trust derived key 1\0label\0", &uid[..], &size_and_context].concat();
    for (name, bytes) in [("authorized", &authorized[..]), ("unique", b"\x05\0trust"), ("message", &message)] {
        fs::write(tools.dir().join(name), bytes).unwrap();
    }
    for more in ["", "|userwithauth"] {
        let attributes = format!("fixedtpm|fixedparent|sensitivedataorigin|noda|sign{more}");
        let template = ["-G", "hmac:sha256", "-u", "unique", "-L", "authorized", "-a", &attributes, "-c", "bound"];
        tools.ok("createprimary", &[&owner[..], &template].concat());
        let output = tools.output("hmac", &["-c", "bound", "--hex", "message"]);
        assert_eq!(output.status.success(), !more.is_empty());
        assert_ne!(String::from_utf8_lossy(&output.stdout), keys[2].trim_end(), "the owner has the bound key");
        tools.flush();
    }
    // Raised: nothing that was signed before holds.
    fs::write(tools.dir().join("version"), "0002").unwrap();
    tools.ok("nvwrite", &[&["0x1500020"], &owner[..], &["-i", "version"]].concat());
    boot(Boot::Production, &[lock]);
    for args in [&[][..], &["--system"]] {
        let (status, key, said) = trust(args);
        assert!(
            status == Some(12) && key.is_empty() && said.contains("policy version is \"0002\" and not \"0001\""),
            "{said}"
        );
    }
}

#[test]
fn the_running_system_can_make_keys_and_indices_and_remove_nothing() {
    let machine = Machine::provisioned();
    machine.keyset.sign_system("0001");
    let tools = machine.tpm.tools();
    assert_eq!(owners_policy(&machine), expected(&signer(&machine)), "the owner delegates something else");
    for separated in [false, true] {
        machine.boot(Boot::Production, "trust setup").ok();
        let [locked, further] = running_system(&Boot::Production.pcr7());
        assert_eq!(machine.tpm.pcr("sha256", 7), hex(&locked));
        if separated {
            fs::write(tools.dir().join("event"), "os-separator").unwrap();
            tools.ok("pcrevent", &["7", "event"]);
        }
        let pcr7 = if separated { further } else { locked };
        assert_eq!(machine.tpm.pcr("sha256", 7), hex(&pcr7));

        assert!(assert_branch(&machine, tools, &pcr7, "TPM2_CC_CreatePrimary"));
        tools.ok("createprimary", &["-C", "o", "-P", "session:s", "-G", "ecc", "-c", "primary.ctx"]);
        tools.flush();
        let index = if separated { "0x1500061" } else { "0x1500060" };
        assert!(assert_branch(&machine, tools, &pcr7, "TPM2_CC_NV_DefineSpace"));
        let define = [index, "-C", "o", "-P", "session:s", "-s", "8", "-a", "authread|authwrite|ownerwrite"];
        tools.ok("nvdefine", &define);
        tools.flush();

        // One command does not stand for the other, and neither for a third.
        assert!(assert_branch(&machine, tools, &pcr7, "TPM2_CC_NV_DefineSpace"));
        tools.fails("createprimary", &["-C", "o", "-P", "session:s", "-G", "ecc", "-c", "primary.ctx"]);
        tools.flush();
        for command in ["TPM2_CC_NV_UndefineSpace", "TPM2_CC_EvictControl", "TPM2_CC_NV_Write"] {
            assert!(!assert_branch(&machine, tools, &pcr7, command), "{command}");
        }
        for (command, tool, args) in [
            ("TPM2_CC_NV_DefineSpace", "nvundefine", &["0x1500040", "-C", "o", "-P", "session:s"][..]),
            ("TPM2_CC_NV_DefineSpace", "nvread", &["0x1500040", "-C", "o", "-P", "session:s"]),
            ("TPM2_CC_NV_DefineSpace", "nvwrite", &["0x1500020", "-C", "o", "-P", "session:s", "-i", "version"]),
            ("TPM2_CC_CreatePrimary", "evictcontrol", &["-C", "o", "-P", "session:s", "-c", "0x81000001"]),
        ] {
            assert!(assert_branch(&machine, tools, &pcr7, command));
            tools.fails(tool, args);
            tools.flush();
        }
        // Whoever locks again has nothing.
        fs::write(tools.dir().join("event"), b"atomix\n").unwrap();
        tools.ok("pcrevent", &["7", "event"]);
        assert!(!assert_branch(&machine, tools, &pcr7, "TPM2_CC_CreatePrimary"));
    }
    // And the machine is what it was.
    machine.boot(Boot::Production, "trust setup").ok();
}

/// A machine that another tool has provisioned, or that ours has before it did that.
#[test]
fn machines_provisioned_before_get_the_owners_policy_in_an_administration_boot() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout::default());
    let attempt = |boot| machine.boot(boot, "try status trust admin delegate\npublished");
    for boot in [Boot::Production, Boot::Limited] {
        let run = attempt(boot);
        run.refused(12);
        assert!(run.stderr.contains("signed with the key uki-tpm"), "{run:#?}");
        assert_eq!(owners_policy(&machine), "");
    }
    for _ in 0..2 {
        let run = attempt(Boot::Tpm);
        assert_eq!(run.status(), 0, "{run:#?}");
        assert_eq!(run.value("published"), "no");
        assert_eq!(owners_policy(&machine), expected(&signer(&machine)));
        let locked = extend(&Boot::Tpm.pcr7(), &sha256(&[b"atomix\n"]));
        assert_eq!(machine.tpm.pcr("sha256", 7), hex(&locked), "PCR 7 is not locked");
    }
    machine.boot(Boot::Production, "trust setup").ok();
}
