//! Signed policies as `trust` makes them: read back by the library, by openssl, and by a TPM.

use harness::{Boot, Digest, Swtpm, Tools, luks_policy, openssl, pcr_policy, running_system, trust_host};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;
use trust::{
    error::Kind,
    policy::{
        Policy,
        boot_kind::BootKind,
        pcr7data::{Pcr7Data, path_of},
    },
};

/// An administrator's home directory with keyset `k`, and the files of PCR 7 values.
struct Home(TempDir);

impl Home {
    /// A copy of one that is made once.
    fn new() -> Self {
        static MADE: OnceLock<Home> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let home = Self(TempDir::new().unwrap());
            home.ok(&["keyset", "add", "k"]);
            for boot in [Boot::Production, Boot::Limited, Boot::Tpm] {
                fs::write(home.file(boot.name()), boot.pcr7()).unwrap();
            }
            home
        });
        let home = Self(TempDir::new().unwrap());
        harness::run("cp", &["-a", text(&made.file(".")), text(home.0.path())]);
        home
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `trust ARGS`, in the home directory.
    fn output(&self, args: &[&str]) -> Output {
        let mut command = Command::new(trust_host());
        command.args(args).current_dir(self.0.path()).env("HOME", self.0.path()).env_remove("XDG_DATA_HOME");
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, args: &[&str]) {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `trust keyset pcr7data` for these files, and what follows them.
    fn pcr7data_args<'a>(production: &'a str, limited: &'a str, tpm: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let args =
            ["keyset", "pcr7data", "k", "--pcr7-tpm", tpm, "--pcr7-production", production, "--pcr7-limited", limited];
        [&args[..], more].concat()
    }

    fn add_all(&self) {
        self.ok(&Self::pcr7data_args("production", "limited", "tpm", &[]));
    }

    /// The exit status and the complaint.
    fn refuses(&self, args: &[&str]) -> (i32, String) {
        let before = contents(&self.pcr7data());
        let output = self.output(args);
        assert!(!output.status.success(), "{args:?}");
        assert_eq!(contents(&self.pcr7data()), before, "{args:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn keyset(&self) -> PathBuf {
        self.file(".local/share/machine/trust/keys/k")
    }

    fn pcr7data(&self) -> PathBuf {
        self.keyset().join("pcr7data")
    }

    fn entry(&self, pcr7: &Digest) -> PathBuf {
        self.pcr7data().join("policy-2").join(path_of(pcr7))
    }
}

/// The files below `dir` with what they hold, sorted.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether openssl takes this for a signature over the policy, and what follows it.
fn verifies(public: &Path, signature: &Path, policy: &[u8]) -> bool {
    let file = TempDir::new().unwrap();
    let policy_file = file.path().join("policy");
    fs::write(&policy_file, policy).unwrap();
    let args = ["dgst", "-sha256", "-verify", text(public), "-signature", text(signature), text(&policy_file)];
    Command::new("openssl").args(args).output().unwrap().status.success()
}

#[test]
fn entries_are_found_by_their_value_and_complete() {
    let home = Home::new();
    let today = || harness::run("date", &["-u", "+%Y%m%d"]).trim_end().to_owned();
    let before = today();
    home.ok(&Home::pcr7data_args("production", "limited", "tpm", &["--comment", "a \"b\" \\ é\n😀 [{["]));
    let data = Pcr7Data::open(&home.pcr7data()).unwrap();
    let days = [before, today()];
    for (boot, key_type, files) in [
        (Boot::Production, BootKind::Production, &["info.json", "tpm_luks.policy.signed"][..]),
        (Boot::Tpm, BootKind::Admin, &["info.json", "tpm_passwd.policy.signed"]),
        (Boot::Limited, BootKind::Limited, &["info.json", "pcr_limited.bin", "pcr_prod.bin", "pcr_tpm.bin"]),
    ] {
        let entry = data.find(&boot.pcr7()).unwrap();
        assert_eq!((entry.info.keyset.as_str(), entry.info.kind), ("k", key_type.into()));
        let found = contents(&home.entry(&boot.pcr7()));
        let names: Vec<_> = found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, files);
        let json = fs::read_to_string(home.entry(&boot.pcr7()).join("info.json")).unwrap();
        let version = if boot == Boot::Production { r#","policy_version":"0001""# } else { "" };
        let expected = |day| {
            let comment = r#""comment":"a \"b\" \\ é\n😀 [{[""#;
            format!("{{\"key\":\"k\",\"key_type\":\"{}\",\"est_date\":\"{day}\",{comment}{version}}}\n", boot.name())
        };
        assert!(days.iter().any(|day| json == expected(day)), "{json}");
    }
    for pcr7 in running_system(&Boot::Production.pcr7()) {
        assert_eq!(data.find(&pcr7).unwrap_err().kind(), Kind::Refused, "no boot");
        let approved = data.system(&pcr7).unwrap();
        assert_eq!(&*approved.policy_ref, b"system");
        assert_eq!(approved.policy.digest(), luks_policy(&pcr7, "0001"));
        let found = contents(&home.entry(&pcr7));
        let names: Vec<_> = found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["info.json", "tpm_system.policy.signed"]);
        let json = fs::read_to_string(home.entry(&pcr7).join("info.json")).unwrap();
        assert!(json.contains(r#""key_type":"system""#) && json.contains(r#""policy_version":"0001""#), "{json}");
    }
    let limited = home.entry(&Boot::Limited.pcr7());
    for (file, boot) in
        [("pcr_limited.bin", Boot::Limited), ("pcr_prod.bin", Boot::Production), ("pcr_tpm.bin", Boot::Tpm)]
    {
        assert_eq!(fs::read(limited.join(file)).unwrap(), boot.pcr7());
    }
}

#[test]
fn openssl_accepts_our_signatures_and_no_others() {
    let home = Home::new();
    home.add_all();
    let keys = home.pcr7data().join("policy-2/pubkeys");
    let (luks, admin) = (keys.join("luks-k.pem"), keys.join("tpmpass-k.pem"));
    let production = home.entry(&Boot::Production.pcr7()).join("tpm_luks.policy.signed");
    let tpm = home.entry(&Boot::Tpm.pcr7()).join("tpm_passwd.policy.signed");
    assert!(verifies(&luks, &production, &luks_policy(&Boot::Production.pcr7(), "0001")));
    assert!(verifies(&admin, &tpm, &pcr_policy(&Boot::Tpm.pcr7())));
    assert!(!verifies(&admin, &production, &luks_policy(&Boot::Production.pcr7(), "0001")));
    assert!(!verifies(&luks, &production, &luks_policy(&Boot::Production.pcr7(), "0002")));
    assert!(!verifies(&luks, &production, &luks_policy(&Boot::Limited.pcr7(), "0001")));
    assert!(!verifies(&admin, &tpm, &pcr_policy(&Boot::Production.pcr7())));
    for pcr7 in running_system(&Boot::Production.pcr7()) {
        let system = home.entry(&pcr7).join("tpm_system.policy.signed");
        let policy = luks_policy(&pcr7, "0001");
        assert!(verifies(&luks, &system, &[&policy[..], b"system"].concat()));
        assert!(!verifies(&luks, &system, &policy));
        assert!(!verifies(&admin, &system, &[&policy[..], b"system"].concat()));
    }
}

#[test]
fn what_is_signed_anew_is_for_the_newest_policy_version_of_the_keyset() {
    let home = Home::new();
    home.add_all();
    for (name, byte) in [("production", 1), ("limited", 2), ("tpm", 3)] {
        fs::write(home.file(name), [byte; 32]).unwrap();
    }
    let signed = |args: &[&str]| {
        home.ok(&Home::pcr7data_args("production", "limited", "tpm", args));
        let info: serde_json::Value =
            serde_json::from_slice(&fs::read(home.entry(&[1; 32]).join("info.json")).unwrap()).unwrap();
        info["policy_version"].as_str().unwrap().to_owned()
    };
    let signed: Vec<_> =
        [&[][..], &["--policy-version", "0002"], &[], &["--policy-version", "0001"]].map(signed).into();
    assert_eq!(signed, ["0001", "0002", "0002", "0001"]);
}

#[test]
fn values_of_before_get_the_policies_of_the_running_system() {
    let home = Home::new();
    home.add_all();
    let [locked, separated] = running_system(&Boot::Production.pcr7()).map(|pcr7| home.entry(&pcr7));
    let signature = fs::read(locked.join("tpm_system.policy.signed")).unwrap();
    fs::remove_dir_all(&locked).unwrap();
    fs::write(separated.join("tpm_system.policy.signed"), &signature).unwrap();
    for (name, byte) in [("production", 1), ("limited", 2), ("tpm", 3)] {
        fs::write(home.file(name), [byte; 32]).unwrap();
    }
    home.ok(&Home::pcr7data_args("production", "limited", "tpm", &["--policy-version", "0002"]));
    assert_eq!(fs::read(locked.join("tpm_system.policy.signed")).unwrap(), signature);
    assert_ne!(fs::read(separated.join("tpm_system.policy.signed")).unwrap(), signature);
    let luks = home.pcr7data().join("policy-2/pubkeys/luks-k.pem");
    for (boot, version) in [(Boot::Production.pcr7(), "0001"), ([1; 32], "0002")] {
        for pcr7 in running_system(&boot) {
            let signed = [&luks_policy(&pcr7, version)[..], b"system"].concat();
            assert!(verifies(&luks, &home.entry(&pcr7).join("tpm_system.policy.signed"), &signed), "{version}");
        }
    }
}

/// What `TPM2_PolicyAuthorize` comes to for key.pem and this policyRef, in a file.
fn authorized(tools: &Tools, file: &str, policy_ref: &str) {
    tools.ok("startauthsession", &["-S", "s"]);
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
    let trial = ["-S", "s", "-n", "key.name", "-L", file];
    let qualified = ["-q", policy_ref];
    tools.ok("policyauthorize", &[&trial[..], if policy_ref.is_empty() { &[] } else { &qualified }].concat());
    tools.flush();
}

#[test]
fn what_is_signed_for_the_running_system_opens_nothing_of_a_boot_and_the_other_way_round() {
    let home = Home::new();
    home.add_all();
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    let file = |name: &str| tools.dir().join(name);
    fs::copy(home.pcr7data().join("policy-2/pubkeys/luks-k.pem"), file("key.pem")).unwrap();
    for (name, contents) in [("version", "0001"), ("secret", "open sesame"), ("system", "system"), ("boot", "")] {
        fs::write(file(name), contents).unwrap();
    }
    let boots = "0x1500040";
    let systems = "0x1500060";
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    for (index, policy_ref) in [(boots, ""), (systems, "system")] {
        authorized(tools, "authorize", policy_ref);
        tools.ok("nvdefine", &[index, "-C", "o", "-s", "11", "-L", "authorize", "-a", "ownerwrite|policyread"]);
        tools.ok("nvwrite", &[index, "-C", "o", "-i", "secret"]);
    }
    let production = Boot::Production.pcr7();
    let [locked, separated] = running_system(&production);
    for (pcr7, name, policy_ref) in [
        (production, "tpm_luks.policy.signed", "boot"),
        (locked, "tpm_system.policy.signed", "system"),
        (separated, "tpm_system.policy.signed", "system"),
    ] {
        tpm.reboot();
        tools.ok("pcrextend", &[&format!("7:sha256={}", harness::hex(&Boot::Production.event()))]);
        for event in [&b"atomix\n"[..], b"os-separator"] {
            if tpm.pcr("sha256", 7).to_lowercase() != harness::hex(&pcr7) {
                fs::write(file("event"), event).unwrap();
                tools.ok("pcrevent", &["7", "event"]);
            }
        }
        assert_eq!(tpm.pcr("sha256", 7).to_lowercase(), harness::hex(&pcr7));
        let policy = luks_policy(&pcr7, "0001");
        fs::copy(home.entry(&pcr7).join(name), file("signature")).unwrap();
        fs::write(file("policy"), policy).unwrap();
        for (claimed, index, allowed) in
            [(policy_ref, boots, policy_ref == "boot"), (policy_ref, systems, policy_ref == "system")]
                .into_iter()
                .chain(
                    ["boot", "system"].into_iter().filter(|other| *other != policy_ref).map(|other| (other, "", false)),
                )
        {
            fs::write(file("message"), [&policy[..], &fs::read(file(policy_ref)).unwrap()].concat()).unwrap();
            tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
            let verify =
                ["-c", "key.ctx", "-g", "sha256", "-m", "message", "-s", "signature", "-f", "rsassa", "-t", "ticket"];
            tools.ok("verifysignature", &verify);
            tools.flush();
            tools.ok("startauthsession", &["-S", "s", "--policy-session"]);
            tools.ok("policypcr", &["-S", "s", "-l", "sha256:7"]);
            tools.ok("policynv", &["-S", "s", "-C", "0x1500020", "-i", "version", "0x1500020", "eq"]);
            let qualified: &[&str] = if claimed == "system" { &["-q", "system"] } else { &[] };
            let authorize = [&["-S", "s", "-i", "policy", "-n", "key.name", "-t", "ticket"], qualified].concat();
            if index.is_empty() {
                // A policyRef that was not signed.
                tools.fails("policyauthorize", &authorize);
            } else {
                tools.ok("policyauthorize", &authorize);
                let read = [index, "-P", "session:s"];
                if allowed {
                    assert_eq!(tools.ok("nvread", &read), "open sesame");
                } else {
                    let refused = tools.fails("nvread", &read);
                    assert!(refused.contains("policy check failed"), "{refused}");
                }
            }
            tools.flush();
        }
    }
}

#[test]
fn a_tpm_accepts_a_signature_for_its_own_boot_only() {
    let home = Home::new();
    home.add_all();
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    let file = |name: &str| tools.dir().join(name);
    fs::copy(home.pcr7data().join("policy-2/pubkeys/luks-k.pem"), file("key.pem")).unwrap();
    let signature = home.entry(&Boot::Production.pcr7()).join("tpm_luks.policy.signed");
    fs::copy(signature, file("signature")).unwrap();
    fs::write(file("policy"), luks_policy(&Boot::Production.pcr7(), "0001")).unwrap();
    fs::write(file("version"), "0001").unwrap();
    fs::write(file("secret"), "open sesame").unwrap();

    // The secret's policy is the library's, for the Name that the library gives the key.
    let data = Pcr7Data::open(&home.pcr7data()).unwrap();
    let key = data.find(&Boot::Production.pcr7()).unwrap().public_key(BootKind::Production.into()).unwrap();
    fs::write(file("authorize"), Policy::authorized_by(key.name(), Default::default()).digest()).unwrap();
    tools.ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", "ownerwrite|ownerread|authread"]);
    tools.ok("nvwrite", &["0x1500020", "-C", "o", "-i", "version"]);
    tools.ok("nvdefine", &["0x1500040", "-C", "o", "-s", "11", "-L", "authorize", "-a", "ownerwrite|policyread"]);
    tools.ok("nvwrite", &["0x1500040", "-C", "o", "-i", "secret"]);

    for (boot, allowed) in [(Boot::Production, true), (Boot::Limited, false), (Boot::Tpm, false)] {
        tpm.reboot();
        tools.ok("pcrextend", &[&format!("7:sha256={}", harness::hex(&boot.event()))]);
        tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", "key.pem", "-c", "key.ctx", "-n", "key.name"]);
        assert_eq!(fs::read(file("key.name")).unwrap(), key.name());
        let verify =
            ["-c", "key.ctx", "-g", "sha256", "-m", "policy", "-s", "signature", "-f", "rsassa", "-t", "ticket"];
        tools.ok("verifysignature", &verify);
        tools.flush();
        tools.ok("startauthsession", &["-S", "s", "--policy-session"]);
        tools.ok("policypcr", &["-S", "s", "-l", "sha256:7"]);
        tools.ok("policynv", &["-S", "s", "-C", "0x1500020", "-i", "version", "0x1500020", "eq"]);
        let authorize = ["-S", "s", "-i", "policy", "-n", "key.name", "-t", "ticket"];
        if allowed {
            tools.ok("policyauthorize", &authorize);
            assert_eq!(tools.ok("nvread", &["0x1500040", "-P", "session:s"]), "open sesame");
        } else {
            tools.fails("policyauthorize", &authorize);
        }
        tools.flush();
    }
}

#[test]
fn values_are_added_to_existing_ones() {
    let home = Home::new();
    home.add_all();
    let first = contents(&home.pcr7data());
    for (name, byte) in [("production", 1), ("limited", 2), ("tpm", 3)] {
        fs::write(home.file(name), [byte; 32]).unwrap();
    }
    home.add_all();
    let both = contents(&home.pcr7data());
    assert_eq!(both.len(), first.len() + 12);
    assert!(first.iter().all(|file| both.contains(file)));
    // Once more: nothing changes but the day, for these signatures hold no randomness.
    home.add_all();
    let lasting = |mut files: Vec<(PathBuf, Vec<u8>)>| {
        files.retain(|(path, _)| !path.ends_with("info.json"));
        files
    };
    assert_eq!(lasting(contents(&home.pcr7data())), lasting(both));
}

#[test]
fn a_value_of_another_boot_is_refused() {
    let home = Home::new();
    home.add_all();
    let (status, complaint) = home.refuses(&Home::pcr7data_args("limited", "production", "tpm", &[]));
    assert_eq!(status, 2);
    assert!(complaint.contains("is of kind limited"), "{complaint}");
    for same in [["tpm", "limited", "tpm"], ["tpm", "tpm", "limited"], ["production", "limited", "limited"]] {
        assert_eq!(home.refuses(&Home::pcr7data_args(same[0], same[1], same[2], &[])).0, 2);
    }
}

#[test]
fn files_without_a_value_are_refused() {
    let home = Home::new();
    fs::write(home.file("empty"), "").unwrap();
    fs::write(home.file("31"), [1; 31]).unwrap();
    fs::write(home.file("33"), [1; 33]).unwrap();
    fs::write(home.file("hex"), harness::hex(&[1; 32])).unwrap();
    for (bad, why) in [
        ("empty", "holds 0 and not 32 bytes"),
        ("31", "holds 31 and not 32 bytes"),
        ("33", "more and not 32 bytes"),
        ("hex", "not in hex"),
        ("missing", "No such file"),
        ("/dev/zero", "more and not 32 bytes"),
        (".", "Is a directory"),
    ] {
        for args in [
            Home::pcr7data_args(bad, "limited", "tpm", &[]),
            Home::pcr7data_args("production", bad, "tpm", &[]),
            Home::pcr7data_args("production", "limited", bad, &[]),
            Home::pcr7data_args("production", "limited", "tpm", &["--luks-policy", bad]),
            Home::pcr7data_args("production", "limited", "tpm", &["--passwd-policy", bad]),
        ] {
            let (_, complaint) = home.refuses(&args);
            assert!(complaint.contains(why) && complaint.contains(bad), "{complaint}");
        }
    }
    home.refuses(&["keyset", "pcr7data", "k", "--pcr7-tpm", "tpm", "--pcr7-production", "production"]);
    home.refuses(&[
        "keyset",
        "pcr7data",
        "none",
        "--pcr7-tpm",
        "tpm",
        "--pcr7-production",
        "production",
        "--pcr7-limited",
        "limited",
    ]);
}

#[test]
fn a_policy_from_a_file_is_signed_unchanged() {
    let home = Home::new();
    let generate =
        ["policy", "digest", "--pcr7-tpm", "tpm", "--pcr7-production", "production", "--policy-version", "0002"];
    home.ok(&generate);
    assert_eq!(fs::read(home.file("luks_policy.out")).unwrap(), luks_policy(&Boot::Production.pcr7(), "0002"));
    assert_eq!(fs::read(home.file("passwd_policy.out")).unwrap(), pcr_policy(&Boot::Tpm.pcr7()));
    fs::create_dir(home.file("d")).unwrap();
    home.ok(&[&generate[..6], &["--output", "d"]].concat());
    assert_eq!(fs::read(home.file("d/luks_policy.out")).unwrap(), luks_policy(&Boot::Production.pcr7(), "0001"));
    assert_eq!(fs::read(home.file("d/passwd_policy.out")).unwrap(), pcr_policy(&Boot::Tpm.pcr7()));

    let more = ["--luks-policy", "luks_policy.out", "--passwd-policy", "limited"];
    home.ok(&Home::pcr7data_args("production", "limited", "tpm", &more));
    let keys = home.pcr7data().join("policy-2/pubkeys");
    let production = home.entry(&Boot::Production.pcr7()).join("tpm_luks.policy.signed");
    let tpm = home.entry(&Boot::Tpm.pcr7()).join("tpm_passwd.policy.signed");
    assert!(verifies(&keys.join("luks-k.pem"), &production, &luks_policy(&Boot::Production.pcr7(), "0002")));
    assert!(verifies(&keys.join("tpmpass-k.pem"), &tpm, &Boot::Limited.pcr7()));

    for version in ["1", "00001", "000x", "", "+001"] {
        home.refuses(&[
            "policy",
            "digest",
            "--pcr7-tpm",
            "tpm",
            "--pcr7-production",
            "tpm",
            "--policy-version",
            version,
        ]);
    }
}

#[test]
fn values_are_added_to_the_highest_version_of_the_format() {
    let home = Home::new();
    fs::create_dir(home.pcr7data().join("policy-10")).unwrap();
    home.add_all();
    assert!(Pcr7Data::open(&home.pcr7data()).unwrap().find(&Boot::Production.pcr7()).is_ok());
    assert!(home.pcr7data().join("policy-10/pubkeys/luks-k.pem").is_file());
    assert!(!home.entry(&Boot::Production.pcr7()).exists());
}

#[test]
fn a_value_is_read_from_a_pipe() {
    let home = Home::new();
    let script = r#"trust="$0"; exec "$trust" keyset pcr7data k --pcr7-tpm <(cat tpm) --pcr7-production <(cat production) --pcr7-limited limited"#;
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(trust_host()).current_dir(home.0.path());
    let output = command.env("HOME", home.0.path()).env_remove("XDG_DATA_HOME").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(home.entry(&Boot::Tpm.pcr7()).join("info.json").is_file());
}

#[test]
fn a_keyset_with_an_unsupported_policy_key_is_refused_and_named() {
    let home = Home::new();
    let key = home.keyset().join("tpmpol-luks/privkey.pem");
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", text(&key)]);
    let (status, complaint) = home.refuses(&Home::pcr7data_args("production", "limited", "tpm", &[]));
    assert_eq!(status, 2);
    assert!(
        complaint.contains("sign with tpmpol-luks: the key is EC P-256 with 256 bits; use an RSA key"),
        "{complaint}"
    );
}
