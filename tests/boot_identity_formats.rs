//! Certificates and keys in their common forms: what is stored, byte for byte, and what is refused.

use harness::{Boot, Identity, Machine, Swtpm, openssl};
use std::fs;

/// Provisions, boots, and compares what is published with what was given.
#[track_caller]
fn carried(identity: Identity) {
    let machine = Machine::with(Swtpm::new(), identity);
    machine.provision();
    let script = "trust setup\ncmp /priv/factory/secure/server.crt $CERT\ncmp /priv/factory/secure/server.key $KEY";
    machine.boot(Boot::Production, script).ok();
}

/// `provision` says no before the TPM hears of it.
#[track_caller]
fn refused(identity: Identity) {
    let machine = Machine::with(Swtpm::new(), identity);
    let run = machine.boot(Boot::Limited, "try status trust provision $CERT $KEY\npublished");
    run.refused(2);
    let counts = machine.wire.counts();
    assert!(!counts.contains_key(&harness::cc::NV_DEFINE_SPACE), "{counts:x?}");
    machine.provision_with(&Identity::ec("P-256"));
}

#[test]
fn an_rsa_2048_key_is_accepted() {
    carried(Identity::rsa(2048));
}

#[test]
fn an_rsa_2048_key_in_pkcs1_is_accepted() {
    carried(Identity::rsa(2048).pkcs1());
}

#[test]
fn an_rsa_3072_key_is_accepted() {
    // Its PKCS#8 form has 2.4 kB, in as few bytes as PEM goes: more than one index of some TPMs.
    let identity = Identity::rsa(3072);
    let size = fs::metadata(identity.key()).expect("made").len();
    fits_or_names_the_limit(identity, size);
}

#[test]
fn an_rsa_4096_key_is_accepted() {
    let identity = Identity::rsa(4096);
    let size = fs::metadata(identity.key()).expect("made").len();
    fits_or_names_the_limit(identity, size);
}

/// What does not fit an NV index of this TPM is refused with a message that names the limit.
#[track_caller]
fn fits_or_names_the_limit(identity: Identity, size: u64) {
    let tpm = Swtpm::new();
    let limit = tpm.tools().property("properties-fixed", "TPM2_PT_NV_INDEX_MAX");
    drop(tpm);
    if size <= u64::from(limit) {
        return carried(identity);
    }
    let machine = Machine::with(Swtpm::new(), identity);
    let run = machine.boot(Boot::Limited, "try status trust provision $CERT $KEY\npublished");
    run.refused(2);
    assert!(
        run.stderr.contains(&limit.to_string()) && run.stderr.contains("RSA 2048, or an elliptic curve"),
        "{run:#?}"
    );
    assert!(!run.stderr.contains("3072"), "what does not fit is no advice: {run:#?}");
    machine.provision_with(&Identity::rsa(2048));
}

#[test]
fn a_p_256_key_is_accepted() {
    carried(Identity::ec("P-256"));
}

#[test]
fn a_p_256_key_in_sec1_with_parameters_is_accepted() {
    carried(Identity::ec("P-256").sec1("prime256v1"));
}

#[test]
fn a_p_384_key_is_accepted() {
    carried(Identity::ec("P-384"));
}

#[test]
fn lines_ending_in_cr_lf_are_accepted() {
    carried(Identity::ec("P-256").crlf());
}

#[test]
fn unusual_pem_layouts_are_accepted() {
    carried(Identity::ec("P-256").as_others_write());
}

#[test]
fn text_before_the_pem_is_accepted() {
    carried(Identity::ec("P-256").with_leading_text());
}

#[test]
fn a_certificate_chain_is_accepted() {
    carried(Identity::ec("P-256").with_chain(&Identity::ec("P-384")));
}

#[test]
fn a_missing_final_newline_is_accepted() {
    carried(Identity::rsa(2048).without_final_newline());
}

#[test]
fn an_encrypted_key_is_refused() {
    refused(Identity::ec("P-256").encrypted());
}

#[test]
fn an_encrypted_key_in_pkcs1_is_refused() {
    let identity = Identity::rsa(2048);
    let key = identity.key();
    let key = key.to_str().expect("text");
    openssl(&["rsa", "-aes128", "-passout", "pass:secret", "-in", key, "-traditional", "-out", key]);
    refused(identity);
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    refused(Identity::ec("P-256").with_key_of(&Identity::ec("P-256")));
    refused(Identity::rsa(2048).with_key_of(&Identity::rsa(2048)));
    refused(Identity::rsa(2048).with_key_of(&Identity::ec("P-256")));
}

#[test]
fn truncated_pem_is_refused() {
    refused(Identity::ec("P-256").truncated());
    refused(Identity::rsa(2048).truncated());
}

#[test]
fn unreadable_and_empty_files_are_refused() {
    let machine = Machine::new();
    for operands in ["/nowhere $KEY", "$CERT /nowhere", "/ $KEY", "$CERT /dev/zero", "/dev/null $KEY", "$KEY $CERT"] {
        let script = format!("try status trust provision {operands}\npublished");
        machine.boot(Boot::Limited, &script).refused(2);
    }
}
