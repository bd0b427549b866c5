//! Layout 3 is a format that others write and read: tpm2-tools alone on one side, this program on the other.

use harness::{
    AUTHORIZE, Boot, Identity, Layout, Machine, Swtpm, approach_policy, provision_with_tools, read_with_tools,
};
use std::fs;

#[test]
fn a_tpm_provisioned_with_tpm2_tools_gives_its_secrets() {
    for srk in [false, true] {
        let machine = Machine::with(Swtpm::new(), Identity::rsa(2048));
        let layout = Layout { srk, ..Layout::default() };
        provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
        let script = "trust setup\nsecret machine:luks >/sandbox/passphrase
            cmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";
        machine.boot(Boot::Production, script).ok();
        let passphrase = || fs::read_to_string(machine.sandbox.dir().join("passphrase")).expect("written");
        assert_eq!(passphrase(), layout.os_passphrase, "srk: {srk}");

        // A new one can be written over it, in the size that it was defined with.
        machine.boot(Boot::Production, "trust preinit\nsecret machine:luks >/sandbox/installed").ok();
        machine.boot(Boot::Production, script).ok();
        assert_eq!(passphrase(), fs::read_to_string(machine.sandbox.dir().join("installed")).expect("written"));
        assert_ne!(passphrase(), layout.os_passphrase);
    }
}

#[test]
fn a_tpm_provisioned_by_another_program_is_not_overwritten() {
    let machine = Machine::new();
    let layout = Layout::default();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    machine.boot(Boot::Limited, "try status trust provision $CERT $KEY\npublished").refused(12);
    assert_eq!(machine.attempt("setup").status(), 0);
}

#[test]
fn a_tpm_that_we_provisioned_gives_its_secrets_to_tpm2_tools() {
    let machine = Machine::provisioned();
    let read = |boot: Boot, key: &str, index: &str| {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        read_with_tools(&machine.tpm, &machine.keyset, boot, key, index)
    };
    let luks = |index| read(Boot::Production, "luks", index);
    assert_eq!(luks("0x1500021"), fs::read(machine.identity.cert()).expect("made"));
    assert_eq!(luks("0x1500022"), fs::read(machine.identity.key()).expect("made"));
    assert_eq!((luks("0x1500030").len(), luks("0x1500040").len()), (40, 40));
    let password = read(Boot::Tpm, "admin", "0x1500001");
    let password = String::from_utf8(password).expect("characters");
    assert_eq!(password.len(), 32);

    let tools = machine.tpm.tools();
    let owner = ["-C", "o", "-P", &password];
    assert_eq!(tools.ok("nvread", &[&["0x1500002", "-s", "8"], &owner[..]].concat()), "00000003");
    assert_eq!(tools.ok("nvread", &["0x1500002", "-C", "0x1500002", "-s", "8"]), "00000003");
    assert_eq!(tools.ok("nvread", &["0x1500020", "-C", "0x1500020", "-s", "4"]), "0001");
    // The password is that of all three hierarchies.
    tools.ok("dictionarylockout", &["-c", "-p", &password]);
    for hierarchy in ["owner", "endorsement", "lockout"] {
        tools.ok("changeauth", &["-c", hierarchy, "-p", &password, "another password"]);
    }
}

/// What `provision` defines, as layout 3 has it; NO_DA is the one addition.
#[test]
fn the_indices_have_the_attributes_of_the_layout() {
    let machine = Machine::provisioned();
    let public = machine.tpm.tools().ok("nvreadpublic", &[]);
    let attributes = |index: &str| {
        let section = public.split("0x15").find(|section| section.starts_with(index)).expect("the index is there");
        let line = section.split("attributes:").nth(1).and_then(|rest| rest.lines().nth(1)).expect("attributes");
        let mut names: Vec<String> = line.split(':').nth(1).expect("names").trim().split('|').map(Into::into).collect();
        names.retain(|name| name != "no_da" && name != "noda");
        names.sort();
        names.join("|")
    };
    for index in ["00001", "00021", "00022", "00030"] {
        assert_eq!(attributes(index), "ownerread|ownerwrite|policyread|written", "{index}");
    }
    assert_eq!(attributes("00040"), "ownerread|ownerwrite|policyread|policywrite|written");
    for index in ["00002", "00020"] {
        assert_eq!(attributes(index), "authread|ownerread|ownerwrite|written", "{index}");
    }
    let version = "000b9a2a448f2272a89720c1f37eef785dea317a40ef975bb78de155234f60c66a1a";
    assert!(public.to_lowercase().contains(version), "{public}");
}

/// After boot, as root, with tpm2-tools: the door is shut.
#[test]
fn after_setup_tpm2_tools_read_nothing() {
    let machine = Machine::provisioned();
    machine.boot(Boot::Production, "trust setup").ok();
    let tools = machine.tpm.tools();
    for index in ["0x1500001", "0x1500021", "0x1500022", "0x1500030", "0x1500040"] {
        tools.fails("nvread", &[index, "-C", index]);
        tools.fails("nvread", &[index, "-C", "o"]);
        tools.fails("nvread", &[index, "-C", index, "-P", "pcr:sha256:7"]);
    }
    // No session and no key of ours is left to be continued.
    for kind in ["handles-loaded-session", "handles-saved-session", "handles-transient"] {
        assert_eq!(tools.ok("getcap", &[kind]).trim(), "", "{kind}");
    }
    // A new session gets as far as the signed policy, which is for another PCR 7.
    approach_policy(tools, &machine.keyset, Boot::Production, "luks");
    tools.fails("policyauthorize", &AUTHORIZE);
    tools.fails("nvread", &["0x1500040", "-C", "0x1500040", "-P", "session:s.ctx"]);
}
