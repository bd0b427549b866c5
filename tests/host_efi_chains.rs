//! Chains that lead to the certificate given, and those that only seem to. sbverify is asked too: where it is wrong,
//! a test says so, to know when that ends.

use harness::{Home, assets, openssl, run};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A key and its certificate, made by openssl.
struct Party {
    key: PathBuf,
    cert: PathBuf,
}

/// Authorities and signers, in a directory.
struct Fixture(Home);

const CA: &[&str] = &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
const SIGNER: &[&str] = &["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"];

impl Fixture {
    fn new() -> Self {
        Self(Home::new())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A party of this name, with these extensions, by itself or issued by another.
    fn party(&self, name: &str, extensions: &[&str], by: Option<&Party>) -> Party {
        self.party_named(name, &format!("/CN={name}"), extensions, by, &["-days", "30"])
    }

    fn party_named(&self, file: &str, subject: &str, extensions: &[&str], by: Option<&Party>, more: &[&str]) -> Party {
        let party = Party { key: self.file(&format!("{file}.key")), cert: self.file(&format!("{file}.pem")) };
        let (key, cert) = (text(&party.key), text(&party.cert));
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key]);
        let config = self.file("openssl.cnf");
        let lines: Vec<_> =
            ["[req]", "distinguished_name=dn", "[dn]", "[v3]"].iter().chain(extensions).copied().collect();
        fs::write(&config, lines.join("\n")).unwrap();
        let request = self.file(&format!("{file}.csr"));
        let config = text(&config);
        openssl(&["req", "-new", "-config", config, "-key", key, "-subj", subject, "-out", text(&request)]);
        let sign = ["x509", "-req", "-in", text(&request), "-out", cert, "-extfile", config, "-extensions", "v3"];
        let signer = match by {
            Some(issuer) => vec!["-CA", text(&issuer.cert), "-CAkey", text(&issuer.key), "-CAcreateserial"],
            None => vec!["-signkey", key],
        };
        openssl(&[&sign[..], &signer, more].concat());
        party
    }

    /// A program signed by `signer`, with these certificates along.
    fn signed(&self, signer: &Party, along: &[&Party]) -> PathBuf {
        let (chain, output) = (self.file("chain.pem"), self.file("signed.efi"));
        let certificates = std::iter::once(signer).chain(along.iter().copied());
        fs::write(&chain, certificates.map(|party| fs::read_to_string(&party.cert).unwrap()).collect::<String>())
            .unwrap();
        let stub = assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub");
        let (key, chain) = (text(&signer.key), text(&chain));
        self.0.ok(&["sign", "efi", text(&stub), "--key", key, "--cert", chain, "--output", text(&output)]);
        output
    }

    /// Exit status, and the reason or the notes.
    fn verify(&self, file: &Path, anchor: &Party) -> (i32, String) {
        let output = self.0.output(&["verify", "efi", "--json", text(file), "--cert", text(&anchor.cert)]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let reason = said["reason"].as_str().map_or_else(|| said["signatures"][0]["notes"].to_string(), str::to_owned);
        (output.status.code().unwrap(), reason)
    }

    #[track_caller]
    fn accepts(&self, file: &Path, anchor: &Party) -> String {
        let (status, notes) = self.verify(file, anchor);
        assert_eq!(status, 0, "{notes}");
        notes
    }

    #[track_caller]
    fn refuses(&self, file: &Path, anchor: &Party, because: &str) {
        let (status, reason) = self.verify(file, anchor);
        assert_eq!(status, 12, "{reason}");
        assert!(reason.contains(because), "{reason}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn sbverify_accepts(file: &Path, anchor: &Party) -> bool {
    let verify = Command::new("sbverify").args(["--cert", text(&anchor.cert), text(file)]).output().unwrap();
    verify.status.success()
}

#[test]
fn any_certificate_of_the_chain_is_accepted_as_anchor() {
    let fixture = Fixture::new();
    let root = fixture.party("root", CA, None);
    let middle = fixture.party("middle", CA, Some(&root));
    let lower = fixture.party("lower", CA, Some(&middle));
    let signer = fixture.party("signer", SIGNER, Some(&lower));
    let file = fixture.signed(&signer, &[&lower, &middle]);
    for anchor in [&root, &middle, &lower, &signer] {
        assert_eq!(fixture.accepts(&file, anchor), "[]");
    }
    run("sbverify", &["--cert", text(&root.cert), text(&file)]);
    let file = fixture.signed(&signer, &[&middle]);
    fixture.accepts(&file, &lower);
    fixture.refuses(&file, &root, "there is no certificate of CN=lower, which should have issued CN=signer");
    let file = fixture.signed(&signer, &[&lower]);
    fixture.refuses(&file, &root, "there is no certificate of CN=middle, which should have issued CN=lower");
}

/// The hole in sbverify 0.9.4: an embedded intermediate whose issuer is nowhere makes any certificate good.
#[test]
fn an_intermediate_without_its_issuer_is_refused() {
    let fixture = Fixture::new();
    let root = fixture.party("root", CA, None);
    let middle = fixture.party("middle", CA, Some(&root));
    let signer = fixture.party("signer", SIGNER, Some(&middle));
    let stranger = fixture.party("stranger", CA, None);
    let file = fixture.signed(&signer, &[&middle]);
    assert!(sbverify_accepts(&file, &stranger), "sbverify has learned: drop this line");
    fixture.refuses(&file, &stranger, "there is no certificate of CN=root, which should have issued CN=middle");
    fixture.accepts(&file, &root);
    // The whole of a chain that ends elsewhere is no better.
    let file = fixture.signed(&signer, &[&middle, &root]);
    fixture.refuses(&file, &stranger, "its chain ends at CN=root, which is not one of the certificates given");
}

#[test]
fn an_issuer_with_only_the_same_name_is_refused() {
    let fixture = Fixture::new();
    let root = fixture.party("root", CA, None);
    let signer = fixture.party("signer", SIGNER, Some(&root));
    let double = fixture.party_named("double", "/CN=root", CA, None, &["-days", "30"]);
    let file = fixture.signed(&signer, &[]);
    fixture.accepts(&file, &root);
    fixture.refuses(&file, &double, "has not issued CN=signer: it has not signed that");
    // Nor in the middle: an issuer that only claims to be issued by the right root.
    let false_middle = fixture.party_named("false-middle", "/CN=middle", CA, Some(&double), &["-days", "30"]);
    let leaf = fixture.party("leaf", SIGNER, Some(&false_middle));
    let file = fixture.signed(&leaf, &[&false_middle, &root]);
    fixture.refuses(&file, &root, "has not issued CN=middle: it has not signed that");
    // A twin of the signer, with the same names and serial number.
    let serial = openssl(&["x509", "-in", text(&signer.cert), "-noout", "-serial"]);
    let serial = format!("0x{}", serial.trim().trim_start_matches("serial="));
    let more = ["-days", "30", "-set_serial", serial.as_str()];
    let twin = fixture.party_named("twin", "/CN=signer", SIGNER, Some(&double), &more);
    let file = fixture.signed(&twin, &[&signer]);
    fixture.refuses(&file, &root, "");
    fixture.refuses(&file, &signer, "");
}

#[test]
fn certificates_issued_by_no_ca_are_refused() {
    let fixture = Fixture::new();
    let root = fixture.party("root", CA, None);
    for (name, extensions, why) in [
        ("signer-as-ca", SIGNER, "it is not a CA"),
        ("nothing", &["subjectKeyIdentifier=hash"][..], "it is not a CA"),
        (
            "other-usage",
            &["basicConstraints=critical,CA:TRUE", "keyUsage=digitalSignature"],
            "its key is not for signing",
        ),
        ("unknown", &[CA[0], CA[1], "1.2.3.4.5=critical,ASN1:NULL"], "critical extension of a kind that is not known"),
        ("constrained", &[CA[0], "nameConstraints=critical,permitted;dirName:dir\n[dir]\nCN=x"], "critical extension"),
    ] {
        let middle = fixture.party(name, extensions, Some(&root));
        let signer = fixture.party("signer", SIGNER, Some(&middle));
        let file = fixture.signed(&signer, &[&middle]);
        fixture.refuses(&file, &root, why);
        fixture.refuses(&file, &middle, why);
    }
    let signer = fixture.party("odd-signer", &["1.2.3.4.5=critical,ASN1:NULL"], Some(&root));
    fixture.refuses(&fixture.signed(&signer, &[]), &root, "critical extension");
}

#[test]
fn chains_beyond_the_path_length_are_refused() {
    let fixture = Fixture::new();
    let none_below = &["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign"];
    let root = fixture.party("root", none_below, None);
    let direct = fixture.party("direct", SIGNER, Some(&root));
    fixture.accepts(&fixture.signed(&direct, &[]), &root);
    let middle = fixture.party("middle", CA, Some(&root));
    let signer = fixture.party("signer", SIGNER, Some(&middle));
    let file = fixture.signed(&signer, &[&middle]);
    fixture.refuses(&file, &root, "more CAs between it and the signer than it allows");
    fixture.accepts(&file, &middle);
}

/// Firmware has no clock, so that what it started yesterday it starts today.
#[test]
fn expired_certificates_are_noted_and_accepted() {
    let fixture = Fixture::new();
    let root = fixture.party("root", CA, None);
    let past = ["-not_before", "20200101000000Z", "-not_after", "20210101000000Z"];
    let old = if openssl(&["version"]).starts_with("OpenSSL 3.0") { vec!["-days", "-1"] } else { past.to_vec() };
    let signer = fixture.party_named("signer", "/CN=signer", SIGNER, Some(&root), &old);
    let notes = fixture.accepts(&fixture.signed(&signer, &[]), &root);
    assert!(notes.contains("the certificate of CN=signer expired on 20"), "{notes}");
}

/// The same two certificates over and over: bounded work, and no loop.
#[test]
fn circular_chains_are_refused_in_bounded_time() {
    let fixture = Fixture::new();
    let first = fixture.party("first", CA, None);
    let second = fixture.party("second", CA, Some(&first));
    // The first once more, this time issued by the second: a circle.
    let again = Party { key: first.key.clone(), cert: fixture.file("again.pem") };
    let request = fixture.file("again.csr");
    let config = fixture.file("openssl.cnf");
    fs::write(&config, ["[req]", "distinguished_name=dn", "[dn]", "[v3]", CA[0], CA[1]].join("\n")).unwrap();
    let (request, config) = (text(&request), text(&config));
    openssl(&["req", "-new", "-config", config, "-key", text(&first.key), "-subj", "/CN=first", "-out", request]);
    let issuer = ["-CA", text(&second.cert), "-CAkey", text(&second.key), "-CAcreateserial", "-extfile", config];
    let files = ["x509", "-req", "-in", request, "-out", text(&again.cert), "-extensions", "v3", "-days", "30"];
    openssl(&[&files[..], &issuer].concat());
    let signer = fixture.party("signer", SIGNER, Some(&second));
    let file = fixture.signed(&signer, &[&second, &again]);
    fixture.accepts(&file, &first);
    fixture.accepts(&file, &again);
    let stranger = fixture.party("stranger", CA, None);
    fixture.refuses(&file, &stranger, "");
}
