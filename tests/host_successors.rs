//! What is signed for successors by kexec: what the running system has sealed opens in images of its keyset, for so many in a
//! row, and nothing else does; nothing that boots read opens there.

use harness::{Banks, Boot, Digest, Home, HostTpm, Tools, extend, hex, luks_policy, openssl, sha256};
use std::{fs, path::PathBuf, process::Command};
use trust::policy::pcr7data::{Pcr7Data, path_of};

const SECRET: &[u8] = b"correct horse battery staple";
const LOCK: &[u8] = b"atomix\n";
const SEPARATOR: &[u8] = b"os-separator";

/// A keyset `k` whose only policies are for the boots of the harness.
struct Owner(Home);

impl Owner {
    fn new() -> Self {
        let home = Home::with_keyset();
        for boot in [Boot::Production, Boot::Limited, Boot::Tpm] {
            fs::write(home.path().join(boot.name()), boot.pcr7()).unwrap();
        }
        fs::remove_dir_all(home.keys().join("k/pcr7data")).unwrap();
        Self(home)
    }

    fn sign(&self, [production, limited, tpm]: [&str; 3], more: &[&str]) {
        let values = ["--pcr7-production", production, "--pcr7-limited", limited, "--pcr7-tpm", tpm];
        self.0.ok(&[&["keyset", "pcr7data", "k"][..], &values, more].concat());
    }

    fn pcr7data(&self) -> PathBuf {
        self.0.keys().join("k/pcr7data")
    }

    fn entry(&self, pcr7: &Digest) -> PathBuf {
        self.pcr7data().join("policy-2").join(path_of(pcr7))
    }

    fn count(&self) -> usize {
        Pcr7Data::open(&self.pcr7data()).unwrap().values().len()
    }

    /// What `trust kexec` measures of an image that this key has signed.
    fn kexec(&self, role: &str) -> Vec<u8> {
        let cert = self.0.keys().join("k").join(role).join("cert.pem");
        let der = Command::new("openssl").args(["x509", "-outform", "der", "-in"]).arg(cert).output().unwrap().stdout;
        format!("kexec {}", hex(&sha256(&[&der]))).into_bytes()
    }

    /// What `keyset check` complains of.
    fn complaints(&self) -> String {
        let output = self.0.output(&["keyset", "check", "k"]);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

const OF_HARNESS: [&str; 3] = ["production", "limited", "tpm"];

fn after(boot: &Digest, events: &[&[u8]]) -> Digest {
    events.iter().fold(*boot, |value, event| extend(&value, &sha256(&[event])))
}

/// With the policy version in its index, a secret, and an index that a production boot reads.
fn machine(owner: &Owner) -> HostTpm {
    let machine = HostTpm::new(Banks::Sha256);
    machine.write("secret", SECRET);
    let tools = machine.tpm.tools();
    fs::copy(owner.pcr7data().join("policy-2/pubkeys/luks-k.pem"), tools.dir().join("key.pem")).unwrap();
    for (name, contents) in [("version", "0001"), ("system", "system"), ("passphrase", "open sesame")] {
        fs::write(tools.dir().join(name), contents).unwrap();
    }
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    tools.ok("startauthsession", &["-S", "s"]);
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
    tools.ok("policyauthorize", &["-S", "s", "-n", "key.name", "-L", "authorize"]);
    tools.flush();
    tools.ok("nvdefine", &["0x1500040", "-C", "o", "-s", "11", "-L", "authorize", "-a", "ownerwrite|policyread"]);
    tools.ok("nvwrite", &["0x1500040", "-C", "o", "-i", "passphrase"]);
    machine
}

fn boot(machine: &HostTpm, event: &Digest, more: &[&[u8]]) {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(event);
    for event in more {
        machine.tpm.extend_pcr7(&sha256(&[event]));
    }
}

/// Whether this TPM gives out what boots read, for what is signed for the running system with this PCR 7; the policy itself holds.
fn reads_like_a_boot(owner: &Owner, tools: &Tools, pcr7: &Digest, policy_ref: &str) -> bool {
    let file = |name: &str| tools.dir().join(name);
    let policy = luks_policy(pcr7, "0001");
    fs::copy(owner.entry(pcr7).join("tpm_system.policy.signed"), file("signature")).unwrap();
    fs::write(file("policy"), policy).unwrap();
    fs::write(file("message"), [&policy[..], b"system"].concat()).unwrap();
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
    let signed = ["-m", "message", "-s", "signature", "-f", "rsassa", "-t", "ticket"];
    tools.ok("verifysignature", &[&["-c", "key.ctx", "-g", "sha256"][..], &signed].concat());
    tools.flush();
    tools.ok("startauthsession", &["-S", "s", "--policy-session"]);
    tools.ok("policypcr", &["-S", "s", "-l", "sha256:7"]);
    tools.ok("policynv", &["-S", "s", "-C", "0x1500020", "-i", "version", "0x1500020", "eq"]);
    let authorize = ["-S", "s", "-i", "policy", "-n", "key.name", "-t", "ticket"];
    let read = if policy_ref.is_empty() {
        // A policyRef that was not signed.
        tools.output("policyauthorize", &authorize).status.success()
    } else {
        tools.ok("policyauthorize", &[&authorize[..], &["-q", policy_ref]].concat());
        tools.output("nvread", &["0x1500040", "-P", "session:s"]).status.success()
    };
    tools.flush();
    read
}

#[test]
fn what_the_running_system_has_sealed_opens_in_successors_of_its_keyset_and_in_no_others() {
    let owner = Owner::new();
    owner.sign(OF_HARNESS, &["--kexec", "2"]);
    let machine = machine(&owner);
    let pcr7data = owner.pcr7data().display().to_string();
    let unseal = ["unseal", "--pcr7data", &pcr7data, "sealed"];
    let production = Boot::Production.event();
    boot(&machine, &production, &[LOCK]);
    machine.ok(&["seal", "--system", "--pcr7data", &pcr7data, "-o", "sealed", "secret"]);

    let (own, limited) = (owner.kexec("uki-production"), owner.kexec("uki-limited"));
    let stranger = format!("kexec {}", "ab".repeat(32)).into_bytes();
    let own = own.as_slice();
    let opening = [
        &[LOCK, own][..],
        &[LOCK, own, LOCK],
        &[LOCK, SEPARATOR, own, LOCK, SEPARATOR],
        &[LOCK, own, SEPARATOR],
        &[LOCK, own, LOCK, own, LOCK],
        &[LOCK, SEPARATOR, own, LOCK, SEPARATOR, own],
        &[LOCK, own, own],
    ];
    for (number, more) in opening.into_iter().enumerate() {
        boot(&machine, &production, more);
        assert_eq!(machine.ok(&unseal), SECRET, "{}", more.len());
        let pcr7 = after(&Boot::Production.pcr7(), more);
        // Once with each.
        if let Some(policy_ref) = ["", "system"].get(number) {
            assert!(!reads_like_a_boot(&owner, machine.tpm.tools(), &pcr7, policy_ref), "{policy_ref}: {}", more.len());
        }
        // Nor is it a boot for the program that reads.
        assert!(Pcr7Data::open(&owner.pcr7data()).unwrap().find(&pcr7).is_err());
    }
    for (event, more) in [
        (production, &[LOCK, &stranger][..]),
        (production, &[LOCK, &stranger, LOCK]),
        (production, &[LOCK, &limited, LOCK]),
        (production, &[LOCK, own, LOCK, &stranger]),
        (production, &[LOCK, own, LOCK, own, LOCK, own]),
        // What comes before a prompt or a shell, in the first boot and in the next.
        (production, &[LOCK, LOCK, own]),
        (production, &[LOCK, own, LOCK, LOCK]),
        // What has read nothing has nothing to hand on.
        (production, &[own]),
        (Boot::Limited.event(), &[LOCK, own]),
        (Boot::Tpm.event(), &[LOCK, own]),
    ] {
        boot(&machine, &event, more);
        let why = machine.fails(&unseal, 12);
        assert!(why.contains("is for PCR 7 ="), "{why}");
    }
}

#[test]
fn successors_are_signed_for_when_that_is_asked_for_and_from_then_on() {
    let owner = Owner::new();
    owner.sign(OF_HARNESS, &[]);
    assert_eq!(owner.count(), 3 + 2);
    let own = owner.kexec("uki-production");
    let next = |boot: &Digest| owner.entry(&after(boot, &[LOCK, &own, LOCK])).join("info.json").exists();
    assert!(!next(&Boot::Production.pcr7()));

    owner.sign(OF_HARNESS, &["--kexec", "1"]);
    assert_eq!(owner.count(), 3 + 2 + 8);
    assert!(next(&Boot::Production.pcr7()) && !next(&Boot::Limited.pcr7()) && !next(&Boot::Tpm.pcr7()));
    assert!(owner.complaints().contains("no errors, no warnings"), "{}", owner.complaints());

    // Values that are added later get them as well, and what is there stays.
    let others = ["one", "two", "three"];
    for (name, byte) in others.iter().zip(1..) {
        fs::write(owner.0.path().join(name), [byte; 32]).unwrap();
    }
    owner.sign(others, &["--kexec", "0", "--policy-version", "0002"]);
    assert_eq!(owner.count(), 2 * (3 + 2 + 8));
    assert!(next(&[1; 32]));
    fs::remove_dir_all(owner.entry(&after(&[1; 32], &[LOCK, &own]))).unwrap();
    let complaints = owner.complaints();
    assert!(complaints.contains("has not all policies for successors by kexec"), "{complaints}");
    owner.sign(others, &["--policy-version", "0002"]);
    assert!(owner.complaints().contains("no errors, no warnings"), "{}", owner.complaints());

    // So does a renewed certificate, by which images are signed from now on; what is there stays.
    let role = owner.0.keys().join("k/uki-production");
    let [cert, key] = ["cert.pem", "privkey.pem"].map(|name| role.join(name).display().to_string());
    openssl(&["x509", "-in", &cert, "-key", &key, "-days", "1000", "-out", &cert]);
    let renewed = owner.kexec("uki-production");
    assert_ne!(renewed, own);
    assert!(owner.complaints().contains("has not all policies for successors by kexec"), "{}", owner.complaints());
    owner.sign(others, &["--policy-version", "0002"]);
    assert_eq!(owner.count(), 2 * (3 + 2 + 8 + 8));
    let of_renewed = |boot: &Digest| owner.entry(&after(boot, &[LOCK, &renewed, LOCK])).join("info.json").exists();
    assert!(of_renewed(&[1; 32]) && of_renewed(&Boot::Production.pcr7()) && next(&[1; 32]));

    // As many as is said, and no more.
    owner.sign(OF_HARNESS, &["--kexec", "4"]);
    assert_eq!(owner.count(), 2 * (3 + 2 + 8 + 8 + 3 * 32));
    owner.0.refuses(&["keyset", "pcr7data", "k", "--kexec", "5"]);
}
