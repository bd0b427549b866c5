//! `finish --key-to-tpm`: from then on the private key is of use to this TPM alone, and OpenSSL serves TLS with it.

use harness::{
    Action, Boot, Identity, Layout, Machine, MemoryProbe, Response, Run, SecretSearch, Swtpm, cc, find, openssl, unhex,
};
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// Functions for the scripts: finish, tls, kind, same.
const FUNCTIONS: &str = include_str!("data/key_to_tpm.sh");

fn with(tpm: Swtpm, identity: Identity) -> Machine {
    let mut machine = Machine::with(tpm, identity);
    let tools = machine.tpm.tools().tcti();
    machine.sandbox.set("TOOLS", tools);
    machine
}

fn provisioned(identity: Identity) -> Machine {
    let machine = with(Swtpm::new(), identity);
    machine.provision();
    machine
}

fn boot(machine: &Machine, script: &str) -> Run {
    machine.boot(Boot::Production, &format!("{FUNCTIONS}\n{script}"))
}

/// What only the private key has.
fn search(identity: &Identity) -> SecretSearch {
    let mut search = SecretSearch::new();
    for number in identity.private_numbers() {
        search.add("private key", &number);
    }
    search
}

/// What is in a `TSS2 PRIVATE KEY`: `TPM2B_PUBLIC` and `TPM2B_PRIVATE`, as files for tpm2-tools.
fn unpack(machine: &Machine, file: &str) -> [PathBuf; 2] {
    let file = machine.sandbox.dir().join(file);
    let fields = openssl(&["asn1parse", "-in", file.to_str().expect("text")]);
    let strings = fields.lines().filter(|line| line.contains("OCTET STRING"));
    let bytes: Vec<_> = strings.map(|line| unhex(line.split("[HEX DUMP]:").nth(1).expect("bytes").trim())).collect();
    assert_eq!(bytes.len(), 2, "{fields}");
    ["public", "private"].map(|name| {
        let path = machine.sandbox.dir().join(name);
        fs::write(&path, &bytes[usize::from(name == "private")]).expect("a writable directory");
        path
    })
}

/// The whole life of a key.
fn life(identity: Identity, signature: &str) {
    let machine = provisioned(identity);
    machine.wire.take();
    let secret = search(&machine.identity);
    let run = boot(
        &machine,
        r#"
        trust setup --also-as cryptsetup
        # A process that has it open keeps it, but finds nothing in it.
        exec 8<$SECURE/server.key
        finish --also-as cryptsetup
        echo "held $(wc -c <&8)"
        exec 8<&-
        [ -z "$(keyctl rlist @u)" ]
        cmp $SECURE/server.crt "$CERT"
        echo "files $(ls -A $SECURE | tr '\n' ' ')"
        echo "mode $(stat -c %a $SECURE/server.key) $(stat -c %a $SECURE)"
        echo "kind $(kind)"
        tls 1_3 options
        tls 1_2 file
        # A second run has nothing to do, and does no harm.
        cp $SECURE/server.key /sandbox/bound.key
        finish
        cmp $SECURE/server.key /sandbox/bound.key
        find /priv /run /dev/shm -type f -exec cat {} + >/sandbox/everything
        env -i "$TRUST" finish
        published
        "#,
    );
    run.ok();
    assert_eq!((run.value("held"), run.value("kind"), run.value("mode")), ("0", "bound", "400 700"), "{run:#?}");
    assert_eq!((run.value("files"), run.value("published")), ("server.crt server.key ", "no"), "{run:#?}");
    for version in ["1.3", "1.2"] {
        let line = format!("TLSv{version} {signature} 0 (ok)");
        assert_eq!(run.value(&format!("tls-{version}")), line, "{run:#?}");
    }
    let wire = machine.wire.bytes();
    assert!(wire.len() > 4000, "only {} bytes were recorded", wire.len());
    assert_eq!(secret.found(&wire), [].into(), "the key crosses the wire in clear");
    let everything = fs::read(machine.sandbox.dir().join("everything")).expect("written");
    assert!(find(&everything, b"TSS2 PRIVATE KEY").is_some());
    assert_eq!(secret.found(&everything), [].into(), "the key is left in a file");

    // The same search finds it where it is in the clear.
    let tools = machine.tpm.tools();
    tools.wire().take();
    let algorithm = if signature.starts_with("RSA") { "rsa" } else { "ecc" };
    let key = machine.identity.key();
    tools.ok("loadexternal", &["-G", algorithm, "-r", key.to_str().expect("text"), "-c", "plain.ctx"]);
    assert!(!secret.found(&tools.wire().bytes()).is_empty(), "the search cannot find the key");
    assert!(!secret.found(&fs::read(&key).expect("made")).is_empty(), "the search cannot find the file");
    tools.flush();

    // It goes on to be of use after a restart, to this TPM.
    boot(&machine, "same /sandbox/bound.key").ok();
    let [public, private] = unpack(&machine, "bound.key");
    let [public, private] = [&public, &private].map(|path| path.to_str().expect("text"));
    let load = ["-C", "0x81000001", "-u", public, "-r", private, "-c", "bound.ctx"];
    tools.ok("load", &load);
    let area = tools.ok("readpublic", &["-c", "bound.ctx"]);
    assert!(area.contains("value: userwithauth|noda|sign\n"), "{area}");

    // It cannot be taken out again: not without a policy, not with any.
    let away = ["-C", "null", "-c", "bound.ctx", "-G", "null", "-r", "out", "-s", "seed"];
    // A TPM whose memory is full refuses whatever it is asked.
    tools.flush();
    tools.fails("duplicate", &away);
    for policy in ["policycommandcode", "policypassword", "none"] {
        tools.flush();
        tools.ok("startauthsession", &["--policy-session", "-S", "session.ctx"]);
        match policy {
            "policycommandcode" => drop(tools.ok(policy, &["-S", "session.ctx", "TPM2_CC_Duplicate"])),
            "policypassword" => drop(tools.ok(policy, &["-S", "session.ctx"])),
            _ => {}
        }
        let why = tools.fails("duplicate", &[&away[..], &["-p", "session:session.ctx"]].concat());
        assert!(why.contains("a policy check failed"), "{policy}: {why}");
        tools.ok("flushcontext", &["session.ctx"]);
    }
    tools.flush();

    // Another TPM has no use for it.
    let other = with(Swtpm::new(), Identity::ec("P-256"));
    // All software TPMs of a test come out of the factory with the same seeds.
    other.tpm.tools().ok("clear", &[]);
    other.provision();
    let why = other.tpm.tools().fails("load", &load);
    assert!(why.contains("integrity"), "{why}");
}

#[test]
fn an_rsa_2048_key_is_moved_into_the_tpm() {
    life(Identity::rsa(2048), "RSA-PSS");
}

#[test]
fn a_p_256_key_is_moved_into_the_tpm() {
    life(Identity::ec("P-256").sec1("prime256v1"), "ECDSA");
}

#[test]
fn a_p_384_key_is_moved_into_the_tpm() {
    life(Identity::ec("P-384"), "ECDSA");
}

/// The negative tests above can fail: a key with the policy that they name does leave the TPM.
#[test]
fn a_duplicable_key_is_duplicated_by_tpm2_tools() {
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    tools.ok("createprimary", &["-C", "o", "-G", "ecc", "-c", "parent.ctx"]);
    tools.ok("startauthsession", &["-S", "session.ctx"]);
    tools.ok("policycommandcode", &["-S", "session.ctx", "-L", "policy", "TPM2_CC_Duplicate"]);
    tools.flush();
    let create = ["-C", "parent.ctx", "-G", "ecc:ecdsa", "-L", "policy", "-u", "public", "-r", "private"];
    tools.ok("create", &[&create[..], &["-a", "sensitivedataorigin|userwithauth|noda|sign"]].concat());
    tools.flush();
    tools.ok("load", &["-C", "parent.ctx", "-u", "public", "-r", "private", "-c", "bound.ctx"]);
    tools.flush();
    tools.ok("startauthsession", &["--policy-session", "-S", "session.ctx"]);
    tools.ok("policycommandcode", &["-S", "session.ctx", "TPM2_CC_Duplicate"]);
    let away = ["-C", "null", "-c", "bound.ctx", "-G", "null", "-r", "out", "-s", "seed", "-p", "session:session.ctx"];
    tools.ok("duplicate", &away);
}

/// Keys and certificates of every kind, published by hand in place of `setup`.
#[test]
fn common_key_formats_are_moved_into_the_tpm() {
    let machine = provisioned(Identity::ec("P-256"));
    let keys = machine.sandbox.dir().join("keys");
    fs::create_dir(&keys).expect("a writable directory");
    // Private keys without their public half; a scalar that begins with zeros, with and without them.
    let run = boot(
        &machine,
        r#"
        cd /sandbox/keys
        make() { openssl req -new -x509 -sha256 -days 10 -subj /CN=x -key $1.key -out $1.crt 2>/dev/null; }
        ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$1; }
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null >pkcs8.key; make pkcs8
        openssl rsa -in pkcs8.key -traditional -out pkcs1.key 2>/dev/null; make pkcs1
        ec P-256 >alone.key; make alone
        openssl pkey -in alone.key -outform DER | openssl ec -inform DER -no_public -out alone.key 2>/dev/null
        # d = 7: a scalar of one byte, as OpenSSL writes it, which is with all of its zeros.
        short=$(printf '%064d' 7)
        printf '30310201010420%sA00A06082A8648CE3D030107' "$short" | basenc --base16 -d >small.der
        openssl ec -inform DER -in small.der -out small.key 2>/dev/null; make small
        printf '3012020101040107A00A06082A8648CE3D030107' | basenc --base16 -d | base64 |
            sed -e '1i-----BEGIN EC PRIVATE KEY-----' -e '$a-----END EC PRIVATE KEY-----' >tiny.key
        cp small.crt tiny.crt
        ec P-521 >p521.key; make p521
        ec secp256k1 >k1.key; make k1
        openssl genpkey -algorithm ED25519 >ed.key; make ed
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 2>/dev/null >rsa3072.key; make rsa3072
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 2>/dev/null >rsa4096.key; make rsa4096
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:3 2>/dev/null >e3.key; make e3
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_primes:3 2>/dev/null >three.key; make three
        # Only the TPM can tell that these do not match.
        ec P-256 >x.key; make x
        cp alone.key foreign.key; cp x.crt foreign.crt
        cp pkcs8.key other.key; cp x.crt other.crt
        openssl pkcs8 -topk8 -in x.key -passout pass:x -out encrypted.key; cp x.crt encrypted.crt
        echo nothing >none.key; cp x.crt none.crt
        "#,
    );
    run.ok();
    let attempt = |name: &str| {
        let script = r#"
            trust setup
            cat /sandbox/keys/$NAME.crt >$SECURE/server.crt
            cat /sandbox/keys/$NAME.key >$SECURE/server.key
            try status finish
            if [ -e $SECURE/server.key ]; then
                [ "$(kind)" = bound ]
                CERT=/sandbox/keys/$NAME.crt same $SECURE/server.key
                env -i "$TRUST" finish
            fi
            published"#;
        boot(&machine, &format!("NAME={name}\n{script}"))
    };
    for name in ["pkcs8", "pkcs1", "alone", "small", "tiny"] {
        let run = attempt(name);
        assert_eq!(run.status(), 0, "{name}: {run:#?}");
    }
    for (name, words) in [
        ("k1", "TPMs do not know its curve"),
        ("ed", "neither RSA nor"),
        ("e3", "exponent is not 65537"),
        ("foreign", "not the private key of the certificate"),
        ("other", "not the private key of the certificate"),
        ("encrypted", "encrypted"),
        ("none", "no private key"),
        ("three", "malformed"),
    ] {
        let run = attempt(name);
        run.refused(2);
        assert!(run.stderr.contains(words), "{name}: {run:#?}");
    }
    // What a TPM may have or not: then the limit is named.
    for (name, words) in [("p521", "P-521"), ("rsa3072", "RSA 3072"), ("rsa4096", "RSA 4096")] {
        let run = attempt(name);
        println!("{name}: {} {}", run.status(), run.stderr);
        if run.status() != 0 {
            run.refused(2);
            assert!(run.stderr.contains(words), "{name}: {run:#?}");
        }
    }
}

#[test]
fn finish_without_a_published_key_is_refused() {
    let machine = provisioned(Identity::ec("P-256"));
    let run = boot(&machine, "try status finish\npublished");
    run.refused(12);
    assert!(run.stderr.contains("trust setup"), "{run:#?}");
    // A directory on a disk is not ours: its contents stay.
    let run = boot(
        &machine,
        r#"mkdir -p $SECURE
        cp "$KEY" "$CERT" $SECURE
        cp "$KEY" $SECURE/server.key
        try status finish
        cmp $SECURE/server.key "$KEY"
        rm -r $SECURE
        published"#,
    );
    run.refused(12);
    for (option, status) in [("--parent 0x81000009", 11), ("--parent 0x1500022", 2), ("--parent", 2)] {
        let run = boot(&machine, &format!("trust setup\ntry status finish {option}\nenv -i $TRUST finish\npublished"));
        run.refused(status);
    }
    // Files are kept either way, and the key is never left in the clear.
    let run = boot(&machine, "trust setup\nfinish --keep-files\necho kind $(kind)");
    assert_eq!(run.ok().value("kind"), "bound");
}

/// A TPM of the old tool: the message says what to do, and that does it.
#[test]
fn a_tpm_without_a_storage_root_key_is_refused_with_a_remedy() {
    let machine = with(Swtpm::new(), Identity::ec("P-256"));
    let layout = Layout::default();
    harness::provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &layout);
    let run = boot(&machine, "trust setup\ntry status finish\npublished");
    run.refused(11);
    let remedy = run.stderr.split("have its owner make it: ").nth(1).expect("a remedy").trim();
    let remedy = remedy.replace("PASSWORD", &layout.admin_password);
    let run = boot(
        &machine,
        &format!(
            "export TPM2TOOLS_TCTI=$TOOLS\ncd /sandbox\n{remedy} >&2\ntpm2_flushcontext -t\ntrust setup\nfinish\necho kind $(kind)"
        ),
    );
    assert_eq!(run.ok().value("kind"), "bound", "{run:#?}");
}

/// A TPM that does not have the algorithm.
#[test]
fn a_tpm_without_the_algorithm_is_refused_and_the_key_withdrawn() {
    let machine = provisioned(Identity::ec("P-384"));
    for code in [0x2c4, 0x2d5, 0x2c1, 0x2c7, 0x2e6] {
        machine.wire.on_command(move |command| match command.code() {
            cc::IMPORT => Action::Reply(Response::error(code).0),
            _ => Action::Forward,
        });
        let run = boot(&machine, "trust setup\ntry status finish\npublished");
        run.refused(2);
        assert!(run.stderr.contains("takes no P-384 keys"), "{code:#x}: {run:#?}");
    }
}

/// Killed before any command: the old key or the new one is there, and a second run completes.
#[test]
fn finish_killed_at_any_command_leaves_one_whole_key() {
    let machine = provisioned(Identity::ec("P-256"));
    // On a wire of its own.
    let setup = r#"TCTI=$TOOLS trust setup"#;
    machine.wire.take();
    boot(&machine, &format!("{setup}\nfinish")).ok();
    let total = machine.wire.take().len();
    assert_eq!(total, 6, "TPM commands of finish --key-to-tpm");
    for fatal in 0..total {
        let mut seen = 0;
        machine.wire.on_command(move |_| {
            seen += 1;
            if seen == fatal + 1 { Action::Kill } else { Action::Forward }
        });
        let script = format!(
            r#"{setup}
            try status finish
            [ -z "$(keyctl rlist @u)" ]
            echo "before $(kind) $(ls -A $SECURE | wc -l)"
            # There is no resource manager to take away what the one that was killed had in the TPM.
            TPM2TOOLS_TCTI=$TOOLS tpm2_flushcontext -t
            TPM2TOOLS_TCTI=$TOOLS tpm2_flushcontext -l
            finish
            echo "after $(kind) $(ls -A $SECURE | wc -l)"
            same $SECURE/server.key"#
        );
        let run = boot(&machine, &script);
        assert_eq!(run.status(), 128 + 9, "at command {fatal}: {run:#?}");
        assert_eq!((run.value("before"), run.value("after")), ("plain 2", "bound 2"), "at command {fatal}: {run:#?}");
    }
}

#[test]
fn nothing_secret_is_left_in_memory() {
    for identity in [Identity::rsa(2048), Identity::ec("P-256")] {
        let machine = provisioned(identity);
        let secret = search(&machine.identity);
        let memory_probe = Arc::new(Mutex::new(None));
        let hook = memory_probe.clone();
        machine.wire.on_command(move |command| {
            if command.code() == cc::IMPORT {
                *hook.lock().expect("no panic") = Some(MemoryProbe::attach(command.sender.expect("a unix socket")));
            }
            Action::Forward
        });
        boot(&machine, "trust setup\nfinish").ok();
        machine.wire.be_honest();
        let remains = memory_probe.lock().expect("no panic").take().expect("it was attached to").remains();
        let sizes: usize = remains.memory.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(sizes > 10_000, "only {sizes} bytes of memory were seen");
        for (mapping, bytes) in &remains.memory {
            assert_eq!(secret.found(bytes), [].into(), "percent of it that are left in {mapping}");
        }
        let socket = machine.wire.tcti();
        let socket = socket.trim_start_matches("swtpm:path=").as_bytes();
        assert!(remains.memory.iter().any(|(_, bytes)| find(bytes, socket).is_some()), "argv is not found");
    }
}
