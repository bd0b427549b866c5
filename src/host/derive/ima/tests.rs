use super::*;
use crate::digest::hash;

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_ne_bytes()[..], bytes].concat()
}

/// A record as the kernel writes it.
fn entry(template: &str, fields: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> = fields.iter().flat_map(|field| part(field)).collect();
    [&10u32.to_ne_bytes()[..], &[0x77; SHA1], &part(template.as_bytes()), &part(&data)].concat()
}

fn digest_field(algorithm: &str, digest: &[u8]) -> Vec<u8> {
    [algorithm.as_bytes(), b":\0", digest].concat()
}

fn ng(algorithm: &str, digest: &[u8], name: &str) -> Vec<u8> {
    entry("ima-ng", &[&digest_field(algorithm, digest), &[name.as_bytes(), b"\0"].concat()])
}

/// A record of the first template, which has neither the length of its data nor that of its digest.
fn old(digest: &[u8; SHA1], name: &str) -> Vec<u8> {
    [&10u32.to_ne_bytes()[..], &[0x77; SHA1], &part(b"ima"), digest, &part(name.as_bytes())].concat()
}

fn boot() -> Vec<u8> {
    ng("sha256", &[9; 32], "boot_aggregate")
}

const CONTENT: &[u8] = b"\x7fELF and so on";

fn digest(bank: Bank) -> Vec<u8> {
    let mut context = bank.begin();
    context.update(CONTENT);
    context.finish().as_ref().to_vec()
}

fn vouched(list: &[u8]) -> std::result::Result<(), String> {
    vouch(|| Ok(list), |bank| Ok(digest(bank))).map_err(|e| e.to_string())
}

#[test]
fn a_content_is_found_in_every_template() {
    assert_eq!(digest(Bank::Sha256), hash(&[CONTENT]));
    for bank in Bank::ALL {
        let (field, v2) = (digest_field(bank.name(), &digest(bank)), format!("ima:{}", bank.name()));
        let v2 = digest_field(&v2, &digest(bank));
        let name = b"/usr/bin/a b\ncafe\0".as_slice();
        let signature = [3, 2, 4].repeat(40);
        for record in [
            entry("ima-ng", &[&field, name]),
            entry("ima-sig", &[&field, name, &signature]),
            entry("ima-sig", &[&field, name, b""]),
            entry("ima-ngv2", &[&v2, name]),
            entry("ima-sigv2", &[&v2, name, &signature]),
            entry("ima-modsig", &[&field, name, b"", &field, &signature]),
            entry("evm-sig", &[&field, name, &signature, b"security.ima", b"", b"", b"", b"", b"", b""]),
            entry("d-ng|n-ng|iuid", &[&field, name, &[0; 4]]),
            entry("d-ngv2|n-ng", &[&v2, name]),
        ] {
            assert_eq!(vouched(&[boot(), ng("sha256", &[1; 32], "/init"), record.clone()].concat()), Ok(()));
            assert_eq!(vouched(&[boot(), record].concat()), Ok(()));
        }
    }
    let sha1: [u8; SHA1] = digest(Bank::Sha1).try_into().unwrap();
    assert_eq!(vouched(&[old(&[9; SHA1], "boot_aggregate"), old(&sha1, "/usr/bin/x")].concat()), Ok(()));
}

#[test]
fn what_does_not_prove_the_content_is_not_taken_for_it() {
    let digest = digest(Bank::Sha256);
    let field = digest_field("sha256", &digest);
    let file = ng("sha256", &[1; 32], "/init");
    for record in [
        // A line break in a name forges a line of the other form of the list, at most.
        ng("sha256", &[1; 32], &format!("/x\n10 {} ima-ng sha256:{} /y", "7".repeat(40), crate::digest::hex(&digest))),
        // A buffer that has the content of the file.
        entry("ima-buf", &[&field, b"kexec-cmdline\0", CONTENT]),
        entry("d-ng|n-ng|buf", &[&field, b"kexec-cmdline\0", CONTENT]),
        // The descriptor of fs-verity has this digest, and not the content.
        entry("ima-ngv2", &[&digest_field("verity:sha256", &digest), b"/x\0"]),
        // The digest of the boot's PCRs.
        ng("sha256", &digest, "boot_aggregate"),
        // With another algorithm.
        ng("sha512", &digest, "/x"),
        ng("sm3", &digest, "/x"),
        // Cut off, and with more behind it.
        ng("sha256", &digest[..31], "/x"),
        ng("sha256", &[&digest[..], &[0]].concat(), "/x"),
        ng("sha256", &[0; 32], "/x"),
        old(&[0; SHA1], "/x"),
    ] {
        let refused = vouched(&[boot(), file.clone(), record].concat()).unwrap_err();
        assert!(refused.contains("IMA's list"), "{refused}");
    }
    let zeros = vouch(|| Ok(&*ng("sha256", &[0; 32], "/x").leak()), |_| Ok(vec![0; 32])).unwrap_err();
    assert!(zeros.to_string().contains("no file"), "{zeros}");
}

#[test]
fn what_is_missing_is_said() {
    let said = |list: &[u8]| vouched(list).unwrap_err();
    let rule = "measure func=BPRM_CHECK";
    assert!(said(b"").contains("IMA is off: its list is empty"));
    let audit_only = said(&boot());
    assert!(audit_only.contains("no `measure` rule") && audit_only.contains("`audit`") && audit_only.contains(rule));
    assert_eq!(said(&[boot(), entry("ima-buf", &[b"sha256:\0x", b"x\0", b""])].concat()), audit_only);
    assert_eq!(said(&old(&[9; SHA1], "boot_aggregate")), audit_only);
    let other = said(&[boot(), ng("sha256", &[1; 32], "/init")].concat());
    assert!(other.contains("IMA's list does not have it") && other.contains(rule), "{other}");
    let sm3 = said(&[boot(), ng("sm3", &[1; 32], "/init")].concat());
    assert!(sm3.contains("digests with sm3") && sm3.contains("ima_hash=sha256"), "{sm3}");
    let template = said(&[boot(), entry("a\x1b|n", &[b"x"])].concat());
    assert!(template.contains("the template a\u{fffd}|n") && template.contains("ima_template=ima-ng"), "{template}");
}

#[test]
fn another_algorithm_is_computed_only_where_the_list_has_it() {
    let asked = |list: &[u8]| {
        let mut asked = Vec::new();
        let outcome = vouch(
            || Ok(list),
            |bank| {
                asked.push(bank);
                Ok(digest(bank))
            },
        );
        (asked, outcome.is_ok())
    };
    let both = [ng("sha1", &[1; 20], "/a"), ng("sha512", &digest(Bank::Sha512), "/b")].concat();
    assert_eq!(asked(&both), (vec![Bank::Sha256, Bank::Sha1, Bank::Sha512], true));
    assert_eq!(asked(&[both, ng("sha256", &digest(Bank::Sha256), "/c")].concat()), (vec![Bank::Sha256], true));
    assert_eq!(asked(&ng("sha256", &[1; 32], "/a")), (vec![Bank::Sha256], false));
}

#[test]
fn hostile_lists_are_refused() {
    let whole = [
        boot(),
        ng("sha256", &digest(Bank::Sha256), "/usr/bin/x"),
        old(&[1; SHA1], "/y"),
        entry("ima-buf", &[b"sha256:\0x", b"x\0", &[1; 100]]),
    ];
    let ends: Vec<usize> = (0..=whole.len()).map(|n| whole[..n].concat().len()).collect();
    let whole = whole.concat();
    for end in (0..whole.len()).filter(|end| !ends.contains(end)) {
        let refused = vouched(&whole[..end]).unwrap_err();
        assert!(refused.contains("not in the form"), "cut at {end}: {refused}");
    }
    assert_eq!(vouched(&whole), Ok(()));
    // Lengths that nothing has: they are not asked of the memory.
    for at in (0..whole.len() - 4).filter(|at| !ends.contains(at)) {
        let mut list = whole.clone();
        list[at..at + 4].fill(0xff);
        let _ = vouched(&list);
    }
    for list in [
        entry("x".repeat(MAX_NAME + 1).as_str(), &[b""]),
        ng("sha256", &[1; MAX_DIGEST], "/x"),
        entry("ima-ng", &[b"sha256", b"/x\0"]),
        entry("ima-ng", &[b"sha256\0x", b"/x\0"]),
        entry("ima-ng", &[b"sha256:\0x"]),
    ] {
        assert!(vouched(&list).unwrap_err().contains("not in the form"));
    }
    // Longer than anything, and never in memory.
    let record = ng("sha256", &[1; 32], &"/x".repeat(1000));
    let many = io::repeat(0).take(0).chain(io::Cursor::new(record.repeat(1000)));
    assert!(ImaFindings::of(many, &[]).unwrap().has_files);
}
