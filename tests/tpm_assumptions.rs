//! What the project assumes of a TPM, on a bare software TPM and apart from the code under test.

use harness::{
    Banks, Boot, Identity, Keyset, Layout, Swtpm, Tools, hex, luks_policy, pcr_policy, provision_with_tools,
    satisfy_policy,
};
use std::fs;

const POLICY_VERSION_NAME: &str = "000b9a2a448f2272a89720c1f37eef785dea317a40ef975bb78de155234f60c66a1a";

/// PCR 7 = sha256 as a session that reads it.
const PCR_7: &str = "sha256:7";

fn provisioned(layout: &Layout) -> (Swtpm, Keyset, Identity) {
    let (tpm, keyset, identity) = (Swtpm::new(), Keyset::new("assumptions"), Identity::ec("P-256"));
    provision_with_tools(&tpm, &keyset, &identity, layout);
    tpm.reboot();
    (tpm, keyset, identity)
}

fn policy_session(tools: &Tools, trial: bool) {
    fs::write(tools.dir().join("version"), "0001").expect("writable");
    let kind = (!trial).then_some("--policy-session");
    tools.ok("startauthsession", &[&["-S", "s.ctx"][..], kind.as_slice()].concat());
    tools.ok("policypcr", &["-S", "s.ctx", "-l", PCR_7]);
    tools.ok("policynv", &["-S", "s.ctx", "-C", "0x1500020", "-i", "version", "-L", "luks.policy", "0x1500020", "eq"]);
}

#[test]
fn an_event_extends_every_bank_with_its_own_hash_of_the_data() {
    let tpm = Swtpm::with_banks(Banks::Three);
    fs::write(tpm.tools().dir().join("event"), "atomix\n").expect("writable");
    tpm.tools().ok("pcrevent", &["7", "event"]);
    // openssl's opinion of hash(zeros || hash("atomix\n")).
    for (bank, size) in [("sha1", 20), ("sha256", 32), ("sha384", 48)] {
        let script =
            format!("(head -c {size} /dev/zero; printf 'atomix\\n' | openssl {bank} -binary) | openssl {bank} -r");
        let expected = harness::run("sh", &["-c", &script]);
        assert_eq!(tpm.pcr(bank, 7), expected.split(' ').next().expect("a digest"), "{bank}");
    }
}

#[test]
fn the_old_tools_lock_hashes_the_same_bytes() {
    let digest = hex(&harness::sha256(&[b"atomix\n"]));
    assert_eq!(digest, "b7135cbb321a66fa848b07288bd008b89bd5b7496c4569c5e1a4efd5f7c8e0a7");
}

#[test]
fn the_policy_version_has_the_name_that_every_policy_depends_on() {
    let (tpm, ..) = provisioned(&Layout::default());
    let public = tpm.tools().ok("nvreadpublic", &["0x1500020"]);
    assert!(public.to_lowercase().contains(POLICY_VERSION_NAME), "{public}");
    assert!(public.to_lowercase().contains("0x20060002") || public.contains("0x2000620"), "{public}");
}

#[test]
fn policy_digests_are_those_of_trial_sessions() {
    let (tpm, ..) = provisioned(&Layout::default());
    let tools = tpm.tools();
    tpm.extend_pcr7(&Boot::Production.event());
    assert_eq!(tpm.pcr("sha256", 7), hex(&Boot::Production.pcr7()));
    tools.ok("startauthsession", &["-S", "p.ctx"]);
    tools.ok("policypcr", &["-S", "p.ctx", "-l", PCR_7, "-L", "pcr.policy"]);
    tools.ok("flushcontext", &["p.ctx"]);
    policy_session(tools, true);
    let digest = |name| hex(&fs::read(tools.dir().join(name)).expect("written"));
    assert_eq!(digest("pcr.policy"), hex(&pcr_policy(&Boot::Production.pcr7())));
    assert_eq!(digest("luks.policy"), hex(&luks_policy(&Boot::Production.pcr7(), "0001")));
}

/// The exponent enters the Name as it is written: 65537 and "the default, 0" are two keys with two policies.
#[test]
fn a_policy_key_is_loaded_with_its_exponent_spelled_out() {
    let (tpm, keyset) = (Swtpm::new(), Keyset::new("assumptions"));
    let public = keyset.pubkeys().join("luks-assumptions.pem");
    tpm.tools()
        .ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", public.to_str().expect("text"), "-c", "k", "-n", "name"]);
    let modulus = harness::openssl(&["rsa", "-pubin", "-in", public.to_str().expect("text"), "-noout", "-modulus"]);
    let modulus = modulus.trim().strip_prefix("Modulus=").expect("openssl says so").to_lowercase();
    let name = |exponent: &str| {
        // TPMT_PUBLIC: RSA, SHA-256, attributes, no policy, symmetric NULL, scheme NULL, bits, exponent, modulus.
        let public = format!("0001000b00060040000000100010{}{exponent}{}{modulus}", "0800", "0100");
        let script = format!("printf {public} | xxd -r -p | openssl sha256 -r");
        let script = if std::path::Path::new("/usr/bin/xxd").exists() {
            script
        } else {
            format!("perl -e 'print pack(q(H*), q({public}))' | openssl sha256 -r")
        };
        format!("000b{}", harness::run("sh", &["-c", &script]).split(' ').next().expect("a digest"))
    };
    let actual = hex(&fs::read(tpm.tools().dir().join("name")).expect("written"));
    assert_eq!(actual, name("00010001"));
    assert_ne!(actual, name("00000000"));
}

#[test]
fn a_satisfied_policy_ends_when_pcr_7_changes() {
    let (tpm, keyset, identity) = provisioned(&Layout::default());
    let tools = tpm.tools();
    tpm.extend_pcr7(&Boot::Production.event());
    satisfy_policy(tools, &keyset, Boot::Production, "luks");
    let size = fs::metadata(identity.cert()).expect("a file").len().to_string();
    let read = ["0x1500021", "-C", "0x1500021", "-P", "session:s.ctx", "-s", &size, "-o", "cert"];
    tools.ok("nvread", &read);
    assert_eq!(fs::read(tools.dir().join("cert")).expect("read"), fs::read(identity.cert()).expect("made"));

    tools.ok("flushcontext", &["s.ctx"]);
    satisfy_policy(tools, &keyset, Boot::Production, "luks");
    tools.ok("pcrextend", &[&format!("7:sha256={}", hex(&harness::sha256(&[b"atomix\n"])))]);
    let complaint = tools.fails("nvread", &read);
    assert!(complaint.contains("0x128") || complaint.contains("PCR have changed"), "{complaint}");
}

/// The lockout counter after a boot that did `what` and ended in a power cut.
fn failed_tries_after(what: impl Fn(&Tools)) -> u32 {
    let (tpm, ..) = provisioned(&Layout::default());
    assert_eq!(tpm.tools().property("properties-variable", "TPM2_PT_LOCKOUT_COUNTER"), 0);
    what(tpm.tools());
    tpm.power_cut();
    tpm.tools().property("properties-variable", "TPM2_PT_LOCKOUT_COUNTER")
}

/// The policy version's index is subject to dictionary attack protection, because its
/// Name, attributes and all, is fixed. A TPM counts a power cut as a failed try when such
/// an authorization was used since it started (part 1, section 19.8.6): so does every
/// boot that ends without an orderly shutdown.
#[test]
fn a_power_cut_after_reading_the_policy_version_counts_as_a_failed_attempt() {
    let policy = |tools: &Tools| policy_session(tools, false);
    let read = |tools: &Tools| drop(tools.ok("nvread", &["0x1500020", "-C", "0x1500020", "-s", "4"]));
    let shutdown = |tools: &Tools| drop(tools.ok("shutdown", &["-c"]));
    let extend = |tools: &Tools| drop(tools.ok("pcrextend", &[&format!("10:sha256={}", "11".repeat(32))]));
    assert_eq!(failed_tries_after(|_| ()), 0, "nothing read");
    assert_eq!(failed_tries_after(read), 1, "TPM2_NV_Read");
    assert_eq!(failed_tries_after(policy), 1, "TPM2_PolicyNV");
    // Told to expect the end of its power, the TPM has nothing to suspect, whatever it is asked to do then.
    let warned = |tools: &Tools| {
        policy(tools);
        shutdown(tools);
        extend(tools);
    };
    assert_eq!(failed_tries_after(warned), 0, "TPM2_PolicyNV, TPM2_Shutdown, TPM2_PCR_Extend");
}

/// Three such power cuts, and the next boot is locked out, unless the limit was raised.
#[test]
fn power_cuts_lock_a_tpm_out_that_keeps_its_first_limit() {
    let (tpm, ..) = provisioned(&Layout::default());
    let read = ["0x1500020", "-C", "0x1500020", "-s", "4"];
    let limit = tpm.tools().property("properties-variable", "TPM2_PT_MAX_AUTH_FAIL");
    for _ in 0..limit {
        tpm.tools().ok("nvread", &read);
        tpm.power_cut();
    }
    let complaint = tpm.tools().fails("nvread", &read);
    assert!(complaint.contains("0x921"), "{complaint}");

    let password = Layout::default().admin_password;
    tpm.tools().ok("dictionarylockout", &["-c", "-p", &password]);
    tpm.tools().ok("dictionarylockout", &["-s", "-n", "1000", "-t", "1", "-l", "1", "-p", &password]);
    for _ in 0..=limit {
        tpm.tools().ok("nvread", &read);
        tpm.power_cut();
    }
    tpm.tools().ok("nvread", &read);
}
