//! The owner withdraws what was signed: the policy version, raised in a boot that is signed for the administration of TPMs.

use harness::{Boot, Identity, Layout, Machine, Run, Swtpm, cc, extend, hex, provision_with_tools, sha256};
use std::fs;

fn raise(machine: &Machine, boot: Boot, version: &str) -> Run {
    machine.wire.take();
    machine.boot(boot, &format!("try status trust raise {version}\npublished"))
}

/// Asserts that the door is shut after it.
#[track_caller]
fn locked(machine: &Machine, boot: Boot) {
    let value = extend(&boot.pcr7(), &sha256(&[b"atomix\n"]));
    assert_eq!(machine.tpm.pcr("sha256", 7), hex(&value), "PCR 7 is not locked");
}

/// What the TPM shows to every caller.
fn version(machine: &Machine) -> String {
    machine.tpm.tools().ok("nvread", &["0x1500020", "-C", "0x1500020"])
}

/// Whether the TPM was told to write.
fn has_written(machine: &Machine) -> bool {
    machine.wire.take().iter().any(|exchange| exchange.command.code() == cc::NV_WRITE)
}

/// A machine of ours, and one that another tool has provisioned, without a storage root key.
fn machines() -> [Machine; 2] {
    let theirs = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    provision_with_tools(&theirs.tpm, &theirs.keyset, &theirs.identity, &Layout::default());
    [Machine::provisioned(), theirs]
}

#[test]
fn policies_signed_for_an_older_version_are_refused() {
    for machine in machines() {
        assert_eq!(machine.attempt("setup").status(), 0);
        let run = raise(&machine, Boot::Tpm, "0002");
        assert_eq!(run.status(), 0, "{run:#?}");
        assert_eq!(run.value("published"), "no");
        assert!(run.stderr.contains("the policy version is 0002"), "{run:#?}");
        locked(&machine, Boot::Tpm);
        for command in ["setup", "preinit"] {
            let run = machine.attempt(command);
            run.refused(12);
            assert!(run.stderr.contains("its policies have been withdrawn"), "{run:#?}");
        }
        machine.keyset.sign_for_version("0002");
        assert_eq!(machine.attempt("setup").status(), 0);
        // Some boots later.
        let run = raise(&machine, Boot::Tpm, "0010");
        assert_eq!(run.status(), 0, "{run:#?}");
        assert_eq!(version(&machine), "0010");
        machine.attempt("setup").refused(12);
    }
}

#[test]
fn a_version_already_raised_is_not_written_again() {
    for machine in machines() {
        assert_eq!(raise(&machine, Boot::Tpm, "0002").status(), 0);
        assert!(has_written(&machine));
        let again = raise(&machine, Boot::Tpm, "0002");
        assert_eq!(again.status(), 0, "{again:#?}");
        assert!(again.stderr.contains("nothing was changed"), "{again:#?}");
        assert!(!has_written(&machine));
        for lower in ["0001", "0000"] {
            let run = raise(&machine, Boot::Tpm, lower);
            run.refused(12);
            assert!(run.stderr.contains("it is 0002 already"), "{run:#?}");
            assert!(!has_written(&machine));
            locked(&machine, Boot::Tpm);
        }
        assert_eq!(version(&machine), "0002");
        machine.attempt("setup").refused(12);
        machine.keyset.sign_for_version("0002");
        assert_eq!(machine.attempt("setup").status(), 0);
    }
}

#[test]
fn raise_is_refused_in_boots_not_signed_for_it() {
    for machine in machines() {
        for boot in [Boot::Production, Boot::Limited] {
            let run = raise(&machine, boot, "0002");
            run.refused(12);
            assert!(run.stderr.contains("uki-tpm"), "the message says which: {run:#?}");
            assert!(!has_written(&machine));
            locked(&machine, boot);
        }
        let run = machine.boot(Boot::Tpm, "trust lock\ntry status trust raise 0002\npublished");
        run.refused(12);
        assert!(run.stderr.contains("already been locked"), "{run:#?}");
        assert_eq!(version(&machine), "0001");
        assert_eq!(machine.attempt("setup").status(), 0);
    }
}

/// In the entry of a production boot lies what was signed for it; and a name is no signature.
#[test]
fn a_boot_with_the_entry_of_a_tpm_boot_is_refused() {
    let machine = Machine::provisioned();
    let (from, to) = (machine.keyset.entry(&Boot::Tpm.pcr7()), machine.keyset.entry(&Boot::Production.pcr7()));
    for name in ["info.json", "tpm_passwd.policy.signed"] {
        fs::copy(from.join(name), to.join(name)).expect("a writable directory");
    }
    raise(&machine, Boot::Production, "0002").refused(14);
    assert!(!has_written(&machine));
    locked(&machine, Boot::Production);
}

/// Whatever the owner has written there: it is not shown on a console.
#[test]
fn a_malformed_version_is_refused_and_not_printed() {
    let layout = Layout::default();
    let mut machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    let tools = machine.tpm.tools().tcti();
    machine.sandbox.set("TOOLS", tools);
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    fs::write(machine.tpm.tools().dir().join("version"), "9\x1b[m").expect("a writable directory");
    let owner = ["0x1500020", "-C", "o", "-P", &layout.admin_password, "-i", "version"];
    machine.tpm.tools().ok("nvwrite", &owner);
    let run = raise(&machine, Boot::Tpm, "0002");
    run.refused(14);
    assert!(run.stderr.contains("is not four digits") && !run.stderr.contains('\x1b'), "{run:#?}");
    assert!(!has_written(&machine));
    locked(&machine, Boot::Tpm);
    // The message says what to do, and that does it.
    let remedy = run.stderr.split("write it as the TPM's owner: ").nth(1).expect("a remedy").trim();
    let remedy = remedy.replace("PASSWORD", &layout.admin_password);
    machine.boot(Boot::Tpm, &format!("export TPM2TOOLS_TCTI=$TOOLS\n{remedy} >&2")).ok();
    assert_eq!(raise(&machine, Boot::Tpm, "0002").status(), 0);
}

#[test]
fn an_unprovisioned_tpm_is_refused_and_locked() {
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    raise(&machine, Boot::Tpm, "0002").refused(11);
    locked(&machine, Boot::Tpm);
}
