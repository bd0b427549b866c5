//! An attacker who had the TPM before its owner, or in its owner's place: what they left is not taken for the
//! owner's work, and gives them nothing afterwards.

use harness::{
    Boot, Identity, Layout, Machine, Response, Run, Swtpm, extend, hex, provision_with_tools, read_with_tools, sha256,
};
use std::fs;

const PROVISION: &str = r#"provision "$CERT" "$KEY""#;
/// Of the attacker, for the owner hierarchy.
const THEIRS: &str = "the attacker's";
const INDICES: [u32; 8] =
    [0x0150_0002, 0x0150_0001, 0x0150_0020, 0x0150_0021, 0x0150_0022, 0x0150_0023, 0x0150_0030, 0x0150_0040];
const PROOF: u32 = 0x0150_0023;
const PASSPHRASE: u32 = 0x0150_0040;
const WRITTEN: u32 = 1 << 29;
const AUTHREAD: u32 = 1 << 18;

fn new_machine() -> Machine {
    Machine::with(Swtpm::new(), Identity::ec("P-256"))
}

fn attempt(machine: &Machine, (boot, command): (Boot, &str)) -> Run {
    machine.boot(boot, &format!("try status trust {command}\npublished"))
}

/// Refused with status 12, in these words, with PCR 7 locked.
#[track_caller]
fn refused(machine: &Machine, run: &Run, boot: Boot, words: &str) {
    run.refused(12);
    assert!(run.stderr.contains(words), "{words:?} is not said: {run:#?}");
    assert!(run.stderr.contains("clear the TPM in the firmware setup, which destroys what it holds"), "{run:#?}");
    let locked = hex(&extend(&boot.pcr7(), &sha256(&[b"atomix\n"])));
    assert_eq!(machine.tpm.pcr("sha256", 7), locked, "PCR 7 is not locked: {run:#?}");
}

/// The password of the owner, as an administrator reads it.
fn admin_password(machine: &Machine) -> String {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Tpm.event());
    let password = read_with_tools(&machine.tpm, &machine.keyset, Boot::Tpm, "admin", "0x1500001");
    String::from_utf8(password).expect("characters")
}

/// What a TPM tells of an index: `TPMS_NV_PUBLIC`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Area(Vec<u8>);

impl Area {
    fn of(machine: &Machine, index: u32) -> Self {
        let command = [&[0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x69][..], &index.to_be_bytes()].concat();
        let Response(answer) = machine.tpm.raw().send(&command);
        let size = usize::from(u16::from_be_bytes([answer[10], answer[11]]));
        Self(answer[12..12 + size].to_vec())
    }

    fn index(&self) -> String {
        format!("0x{}", hex(&self.0[..4]))
    }

    fn attributes(&self) -> u32 {
        u32::from_be_bytes(self.0[6..10].try_into().expect("four bytes"))
    }

    fn with_attributes(&self, attributes: u32) -> Self {
        Self([&self.0[..6], &attributes.to_be_bytes(), &self.0[10..]].concat())
    }

    fn with_policy(&self, policy: &[u8]) -> Self {
        let size = u16::try_from(policy.len()).expect("short");
        Self([&self.0[..10], &size.to_be_bytes(), policy, &self.0[self.0.len() - 2..]].concat())
    }

    fn with_size(&self, size: usize) -> Self {
        let size = u16::try_from(size).expect("small");
        Self([&self.0[..self.0.len() - 2], &size.to_be_bytes()].concat())
    }

    /// Defines it, and writes that to it, as the owner.
    fn make(&self, machine: &Machine, owner: &str, contents: &[u8]) {
        let area = self.with_attributes(self.attributes() & !WRITTEN).0;
        let number = |size: usize| u16::try_from(size).expect("short").to_be_bytes();
        let password = [&[0x40, 0, 0, 9, 0, 0, 0][..], &number(owner.len()), owner.as_bytes()].concat();
        let rest =
            [&[0x40, 0, 0, 1, 0, 0][..], &number(password.len()), &password, &[0, 0], &number(area.len()), &area]
                .concat();
        let size = u32::try_from(rest.len() + 10).expect("short").to_be_bytes();
        let command = [&[0x80, 2][..], &size, &[0, 0, 1, 0x2a], &rest].concat();
        let response = machine.tpm.raw().send(&command);
        assert!(response.ok(), "TPM2_NV_DefineSpace: {self:x?}: {response:?}");
        if contents.is_empty() {
            return;
        }
        let tools = machine.tpm.tools();
        fs::write(tools.dir().join("contents"), contents).expect("a writable directory");
        tools.ok("nvwrite", &[&self.index(), "-C", "o", "-P", owner, "-i", "contents"]);
    }

    /// The same, in the place of what is there.
    fn replace(&self, machine: &Machine, owner: &str, contents: &[u8]) {
        machine.tpm.tools().ok("nvundefine", &[&self.index(), "-C", "o", "-P", owner]);
        self.make(machine, owner, contents);
    }
}

fn read_as_owner(machine: &Machine, index: u32, owner: &str) -> Vec<u8> {
    let tools = machine.tpm.tools();
    tools.ok("nvread", &[&format!("{index:#x}"), "-C", "o", "-P", owner, "-o", "contents"]);
    fs::read(tools.dir().join("contents")).expect("tpm2_nvread wrote it")
}

/// Makes a primary key as the storage root key is made, and keeps it in its place.
fn keep_key(machine: &Machine, hierarchy: &str) -> String {
    let tools = machine.tpm.tools();
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    let make = ["-C", hierarchy, "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", attributes, "-c", "srk.ctx"];
    tools.ok("createprimary", &make);
    tools.ok("evictcontrol", &["-C", "o", "-c", "srk.ctx", "0x81000001"]);
    tools.flush();
    let public = tools.ok("readpublic", &["-c", "0x81000001"]);
    let name = public.lines().find_map(|line| line.strip_prefix("name: ")).expect("a key has a name");
    name.to_owned()
}

/// The attacker knows what is public of the machine, policies and certificate, and what the TPM shows to all.
#[test]
fn a_tpm_prepared_by_an_attacker_is_refused() {
    let machine = new_machine();
    let certificate = sha256(&[&fs::read(machine.identity.cert()).expect("made")]);
    let new = machine.tpm.state();
    machine.provision();
    let areas = INDICES.map(|index| Area::of(&machine, index));
    let proof = read_as_owner(&machine, PROOF, &admin_password(&machine));
    assert!(proof.starts_with(&certificate));
    let name = machine.tpm.tools().ok("readpublic", &["-c", "0x81000001"]);

    // Cleared, and laid out to the last bit as it was, with the proof of its former life.
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    keep_key(&machine, "o");
    assert_ne!(machine.tpm.tools().ok("readpublic", &["-c", "0x81000001"]), name);
    for area in &areas {
        let contents = match area.index().as_str() {
            "0x01500002" => b"00000003".to_vec(),
            "0x01500020" => b"0001".to_vec(),
            "0x01500023" => proof.clone(),
            _ => vec![b'x'; usize::from(u16::from_be_bytes([area.0[area.0.len() - 2], area.0[area.0.len() - 1]]))],
        };
        area.make(&machine, "", &contents);
    }
    machine.tpm.tools().ok("changeauth", &["-c", "owner", THEIRS]);
    assert_eq!(INDICES.map(|index| Area::of(&machine, index)), areas, "it is not the same layout");
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    refused(&machine, &run, Boot::Limited, "it was not provisioned as it is now with the machine's private key");

    // The old tool's layout, and the digest of the certificate, alone or with what an attacker can make.
    for rest in [&b""[..], &[0; 32], &sha256(&[&certificate])] {
        machine.tpm.restore(&new);
        machine.tpm.boot();
        let layout = Layout { srk: true, admin_password: THEIRS.into(), ..Layout::default() };
        provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
        areas[5].with_size(32 + rest.len()).make(&machine, THEIRS, &[&certificate, rest].concat());
        let run = attempt(&machine, (Boot::Limited, PROVISION));
        refused(
            &machine,
            &run,
            Boot::Limited,
            if rest.is_empty() { "no proof of how it was written" } else { "another" },
        );
    }
}

/// Changes by an owner who did not provision the machine are found as well; and no size makes it panic.
#[test]
fn a_wrong_proof_of_provisioning_is_refused() {
    let machine = new_machine();
    machine.provision();
    let owner = admin_password(&machine);
    let (area, genuine) = (Area::of(&machine, PROOF), read_as_owner(&machine, PROOF, &owner));
    let flipped = |at: usize| {
        let mut flipped = genuine.clone();
        flipped[at] ^= 1;
        flipped
    };
    let longer = [&genuine[..], &[0; 2000]].concat();
    let mut wrong: Vec<Vec<u8>> = [0, 31, 32, 63].map(flipped).to_vec();
    wrong.extend([1, 31, 32, 33, 63, 65, 2000].map(|size| longer[..size].to_vec()));
    for contents in wrong {
        area.with_size(contents.len()).replace(&machine, &owner, &contents);
        let run = attempt(&machine, (Boot::Limited, PROVISION));
        refused(&machine, &run, Boot::Limited, "");
    }
    area.replace(&machine, &owner, &[]);
    refused(&machine, &attempt(&machine, (Boot::Limited, PROVISION)), Boot::Limited, "another program");
    area.replace(&machine, &owner, &genuine);
    assert_eq!(attempt(&machine, (Boot::Limited, PROVISION)).status(), 0);

    // The same key in another form is the same key.
    let key = machine.identity.key();
    let pkcs8 = fs::read(&key).expect("made");
    harness::run("openssl", &["ec", "-in", key.to_str().expect("text"), "-out", key.to_str().expect("text")]);
    assert_ne!(fs::read(&key).expect("made"), pkcs8);
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    assert_eq!(run.status(), 0, "{run:#?}");
    fs::write(&key, pkcs8).expect("writable");

    // An index in a form that the owner's work has not.
    let area = Area::of(&machine, PASSPHRASE);
    area.with_size(41).replace(&machine, &owner, &[b'x'; 41]);
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    refused(&machine, &run, Boot::Limited, "it was not provisioned as it is now with the machine's private key");
    area.with_attributes(area.attributes() | AUTHREAD).replace(&machine, &owner, &[b'x'; 40]);
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    refused(&machine, &run, Boot::Limited, "another owner");
}

/// A new passphrase is written to no index that can be read in another way, nor is anything read from one.
#[test]
fn indices_with_other_attributes_are_refused() {
    let machine = new_machine();
    machine.provision();
    let owner = admin_password(&machine);
    let provisioned = machine.tpm.state();
    let others: [(Boot, &str, u32, &[u32]); 7] = [
        // PPWRITE, AUTHWRITE, WRITE_STCLEAR, PPREAD, AUTHREAD; without POLICYREAD.
        (Boot::Production, "preinit", PASSPHRASE, &[1, 1 << 2, 1 << 14, 1 << 16, AUTHREAD, 1 << 19]),
        (Boot::Production, "setup", PASSPHRASE, &[AUTHREAD, 1 << 3]),
        (Boot::Production, "setup", 0x0150_0021, &[AUTHREAD]),
        (Boot::Production, "setup", 0x0150_0022, &[AUTHREAD, 1 << 3]),
        (Boot::Production, "setup", 0x0150_0002, &[1 << 2]),
        (Boot::Tpm, "raise 0002", 0x0150_0001, &[AUTHREAD]),
        // NO_DA, which changes the Name of this one.
        (Boot::Tpm, "raise 0002", 0x0150_0020, &[1 << 2, 1 << 25]),
    ];
    let fails = |boot: Boot, command: &str, area: &Area, index: u32| {
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        let contents = read_as_owner(&machine, index, &owner);
        area.replace(&machine, &owner, &contents);
        let run = attempt(&machine, (boot, command));
        refused(&machine, &run, boot, "the TPM has another owner");
        assert_eq!(read_as_owner(&machine, index, &owner), contents, "{command} has written to {area:x?}");
    };
    for (boot, command, index, flips) in others {
        machine.tpm.restore(&provisioned);
        machine.tpm.boot();
        let area = Area::of(&machine, index);
        for flip in flips {
            fails(boot, command, &area.with_attributes(area.attributes() ^ flip), index);
        }
        if ![0x0150_0002, 0x0150_0020].contains(&index) {
            fails(boot, command, &area.with_policy(&[7; 32]), index);
        }
    }
    // As it was, it is as good as ever.
    machine.tpm.restore(&provisioned);
    machine.tpm.boot();
    let (area, contents) = (Area::of(&machine, PASSPHRASE), read_as_owner(&machine, PASSPHRASE, &owner));
    area.replace(&machine, &owner, &contents);
    assert_eq!(attempt(&machine, (Boot::Production, "preinit")).status(), 0);
}

/// A password does not replace a hierarchy's policy: both give its rights.
#[test]
fn hierarchy_policies_of_an_attacker_are_removed() {
    let machine = new_machine();
    let tools = machine.tpm.tools();
    let code = |command: &str| {
        let name = format!("{command}.policy");
        tools.ok("startauthsession", &["-S", "trial.ctx"]);
        tools.ok("policycommandcode", &["-S", "trial.ctx", "-L", &name, command]);
        tools.ok("flushcontext", &["trial.ctx"]);
        name
    };
    let satisfied = |command: &str| {
        tools.ok("startauthsession", &["-S", "s.ctx", "--policy-session"]);
        tools.ok("policycommandcode", &["-S", "s.ctx", command]);
    };
    let rights: [(&str, &str, &str, &[&str]); 3] = [
        ("o", "TPM2_CC_NV_Read", "nvread", &["0x1500040", "-C", "o", "-P", "session:s.ctx"]),
        ("e", "TPM2_CC_CreatePrimary", "createprimary", &["-C", "e", "-P", "session:s.ctx", "-c", "key.ctx"]),
        ("l", "TPM2_CC_DictionaryAttackLockReset", "dictionarylockout", &["-c", "-p", "session:s.ctx"]),
    ];
    for (hierarchy, command, _, _) in rights {
        let policy = code(command);
        tools.ok("setprimarypolicy", &["-C", hierarchy, "-L", &policy, "-g", "sha256"]);
    }
    // They are good for that.
    satisfied("TPM2_CC_DictionaryAttackLockReset");
    tools.ok("dictionarylockout", &["-c", "-p", "session:s.ctx"]);
    tools.flush();
    machine.provision();
    machine.boot(Boot::Production, "trust setup").ok();
    for (_, command, tool, args) in rights {
        satisfied(command);
        let complaint = tools.fails(tool, args);
        assert!(!complaint.is_empty(), "{tool} says nothing");
        tools.flush();
    }
}

/// A key of the endorsement hierarchy is still the same when the TPM has been cleared: who has put one in the place of the
/// storage root key could own a cleared TPM that an authority vouches for.
#[test]
fn a_storage_root_key_that_outlives_a_clear_is_refused() {
    let machine = new_machine();
    let before = keep_key(&machine, "e");
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    assert_eq!(keep_key(&machine, "e"), before, "it does not outlive it");
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    refused(&machine, &run, Boot::Limited, "is not a primary key of its owner");
    // The remedy works.
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    machine.provision();
    machine.boot(Boot::Production, "trust setup").ok();
    assert_ne!(machine.tpm.tools().ok("readpublic", &["-c", "0x81000001"]), before);
}

/// Indices in the way, locked for ever or of the firmware's making.
#[test]
fn indices_left_by_an_attacker_are_replaced() {
    let machine = new_machine();
    let tools = machine.tpm.tools();
    for index in ["0x1500002", "0x1500023", "0x1500040"] {
        let attributes = "ownerread|ownerwrite|authread|authwrite|writedefine|write_stclear";
        tools.ok("nvdefine", &[index, "-C", "o", "-s", "8", "-a", attributes, "-p", THEIRS]);
        fs::write(tools.dir().join("contents"), b"00000003").expect("a writable directory");
        tools.ok("nvwrite", &[index, "-C", "o", "-i", "contents"]);
        tools.ok("nvwritelock", &[index, "-C", "o"]);
    }
    // Clear disabled, which the firmware may do all the same.
    tools.ok("clearcontrol", &["-C", "l", "s"]);
    machine.provision();
    machine.boot(Boot::Production, "trust setup").ok();
    assert_eq!(attempt(&machine, (Boot::Limited, PROVISION)).status(), 0);

    let machine = new_machine();
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500040", "-C", "p", "-s", "40", "-a", "ppread|ppwrite|authread|platformcreate"]);
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    run.refused(12);
    assert!(run.stderr.contains("the platform has made 0x1500040: it is the firmware's"), "{run:#?}");
    // A clear does not remove it; the remedy does.
    tools.ok("clear", &["-c", "p"]);
    attempt(&machine, (Boot::Limited, PROVISION)).refused(12);
    tools.ok("nvundefine", &["0x1500040", "-C", "p"]);
    machine.provision();

    // One that its owner may not even read, where a password stands in the way of starting over.
    let machine = new_machine();
    let tools = machine.tpm.tools();
    tools.ok("nvdefine", &["0x1500001", "-C", "o", "-s", "32", "-a", "authread|authwrite", "-p", THEIRS]);
    fs::write(tools.dir().join("contents"), [0; 32]).expect("a writable directory");
    tools.ok("nvwrite", &["0x1500001", "-C", "0x1500001", "-P", THEIRS, "-i", "contents"]);
    tools.ok("changeauth", &["-c", "e", THEIRS]);
    let run = attempt(&machine, (Boot::Limited, PROVISION));
    run.refused(12);
    assert!(run.stderr.contains("the index gives the owner no access"), "{run:#?}");
    tools.ok("clear", &["-c", "p"]);
    machine.provision();
}
