//! `trust tpm show`: one page about a TPM, true, harmless, and readable whatever the TPM says; and what is said where there
//! is none.

use harness::{
    Action, Banks, Boot, Command, Home, Interposer, Layout, Machine, Response, Swtpm, Transport, cc, documentation,
    is_root_or_skip, provision_with_tools, rc, trust_host,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

/// TPM2_TestParms.
const TEST_PARMS: u32 = 0x18a;

fn show(tcti: &str) -> String {
    Home::new().ok(&["tpm", "show", "--tcti", tcti])
}

fn json(tcti: &str) -> Value {
    let text = Home::new().ok(&["tpm", "show", "--json", "--tcti", tcti]);
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_page_agrees_with_tpm2_tools() {
    let tpm = Swtpm::with_banks(Banks::Three);
    let tools = tpm.tools();
    tools.ok("dictionarylockout", &["-s", "-n", "5", "-t", "90", "-l", "7200"]);
    tools.ok("nvdefine", &["0x1800001", "-s", "123", "-a", "ownerread|ownerwrite"]);
    tools.ok("nvdefine", &["0x1800002", "-s", "77", "-a", "ownerread|ownerwrite"]);
    for (hierarchy, algorithm, handle) in [("o", "ecc", "0x81000001"), ("o", "rsa", "0x81000002")] {
        tools.ok("createprimary", &["-C", hierarchy, "-G", algorithm, "-c", "key.ctx"]);
        tools.ok("evictcontrol", &["-C", "o", "-c", "key.ctx", handle]);
        tools.flush();
    }
    tools.ok("createek", &["-G", "rsa", "-c", "0x81010001", "-u", "ek.pub"]);
    tools.flush();
    tools.ok("changeauth", &["-c", "e", "password"]);

    let told = json(&tpm.tcti());
    assert_eq!(told["format"], 1);
    assert_eq!(told["manufacturer"]["id"], "IBM");
    assert_eq!(told["specification"]["family"], "2.0");
    let revision = tools.ok("getcap", &["properties-fixed"]);
    let revision = revision.split("TPM2_PT_REVISION:").nth(1).expect("it has one").lines().nth(2).expect("its value");
    assert_eq!(told["specification"]["revision"].as_str(), revision.trim().strip_prefix("value: "));
    assert_eq!(told["banks"]["active"], serde_json::json!(["sha1", "sha256", "sha384"]));
    assert_eq!(told["banks"]["inactive"], serde_json::json!(["sha512"]));
    assert_eq!(told["pcr7"]["state"], "untouched");
    for (name, value) in [
        ("failed_tries", tools.property("properties-variable", "TPM2_PT_LOCKOUT_COUNTER")),
        ("max_tries", 5),
        ("seconds_per_try", 90),
        ("lockout_recovery_seconds", 7200),
    ] {
        assert_eq!(told["lockout"][name], value, "{name}");
    }
    let hierarchies = &told["hierarchies"];
    for (name, password_set) in [("owner", false), ("endorsement", true), ("lockout", false)] {
        assert_eq!(hierarchies[name]["password_set"], password_set, "{name}");
    }
    assert_eq!((&told["nv"]["indices"], &told["nv"]["bytes"]), (&2.into(), &200.into()));
    let columns = ["handle", "algorithm", "role", "hierarchy"];
    let objects = told["persistent"].as_array().expect("a list").iter();
    let persistent: Vec<_> = objects.map(|object| columns.map(|name| object[name].as_str().unwrap_or(""))).collect();
    assert_eq!(
        persistent,
        [
            ["0x81000001", "ECC P-256", "storage root key (SRK)", "owner"],
            ["0x81000002", "RSA 2048", "primary storage key", "owner"],
            ["0x81010001", "RSA 2048", "endorsement key (EK)", "endorsement"],
        ]
    );
    assert_eq!(told["trust"]["lacks"], serde_json::json!([]));
    assert_eq!(told["trust"]["lacks_for_sealing"], serde_json::json!([]));
    assert_eq!(told["trust"]["provisioning"], "none");

    let page = show(&tpm.tcti());
    for words in [
        "IBM, SW TPM: a software TPM (swtpm)",
        "banks          sha1, sha256, sha384; not active: sha512",
        "zeros: the firmware has measured nothing into it",
        "owner          enabled, no password",
        "endorsement    enabled, password set",
        "not in lockout, 0 of 5 failed tries",
        "a failed try is forgotten after 1 min 30 s",
        "after a wrong lockout password: refused for 2 h",
        "2 indices, 200 bytes of data",
        "0x81000001     storage root key (SRK), ECC P-256, hierarchy: owner",
        "requirements   all met",
        "provisioned    no",
    ] {
        assert!(page.contains(words), "{words}:\n{page}");
    }
    assert!(page.lines().count() <= 40, "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
}

#[test]
fn failed_tries_and_lockout_are_told() {
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    tools.ok("dictionarylockout", &["-s", "-n", "2", "-t", "600", "-l", "0"]);
    tools.ok("nvdefine", &["0x1800001", "-s", "8", "-a", "authread|authwrite", "-p", "right"]);
    for (failed, words) in [
        (1, "not in lockout, 1 of 2 failed tries"),
        (2, "every 10 min: the lockout ends, then one failed try is forgotten; all within 20 min, switched on"),
    ] {
        tools.fails("nvread", &["0x1800001", "-P", "wrong"]);
        assert_eq!(json(&tpm.tcti())["lockout"]["failed_tries"], failed);
        assert!(show(&tpm.tcti()).contains(words), "{words}:\n{}", show(&tpm.tcti()));
    }
    let page = show(&tpm.tcti());
    assert!(page.contains("in lockout, 2 of 2 failed tries") && page.contains("refused until a restart"), "{page}");
    assert_eq!(json(&tpm.tcti())["lockout"]["is_locked"], true);
}

#[test]
fn a_provisioned_tpm_is_recognised_and_nothing_in_it_changed() {
    let machine = Machine::provisioned();
    machine.boot(Boot::Production, "true").ok();
    machine.wire.take();
    let page = show(&machine.wire.tcti());
    assert!(page.contains("provisioned    yes: layout 00000003, policy version 0001"), "{page}");
    assert!(page.contains("owner          enabled, password set") && page.contains("measured into"), "{page}");
    let harmless = BTreeSet::from([
        cc::GET_CAPABILITY,
        cc::READ_PUBLIC,
        cc::NV_READ_PUBLIC,
        cc::NV_READ,
        cc::PCR_READ,
        cc::SHUTDOWN,
        TEST_PARMS,
    ]);
    for exchange in machine.wire.take() {
        let command = exchange.command;
        assert!(harmless.contains(&command.code()), "{command:?}");
        if command.code() == cc::NV_READ {
            assert!([0x0150_0002, 0x0150_0020].contains(&command.word(0)), "{command:?}");
        }
    }
    // Looking at it, and a power cut, is no failed try.
    assert_eq!(machine.tpm.failed_attempts(), 0);
    machine.tpm.power_cut();
    assert_eq!(machine.tpm.failed_attempts(), 0);
    machine.boot(Boot::Production, "try status trust setup\npublished").ok();
}

/// An index of Trust's place that has a password: another owner's. A wrong one would count.
#[test]
fn a_strange_index_is_not_tried() {
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    tools.ok("nvdefine", &["0x1500002", "-s", "8", "-a", "authread|authwrite", "-p", "secret"]);
    fs::write(tools.dir().join("data"), "00000003").expect("writable");
    tools.ok("nvwrite", &["0x1500002", "-P", "secret", "-i", "data"]);
    assert_eq!(json(&tpm.tcti())["trust"]["provisioning"], "other");
    assert_eq!(tpm.failed_attempts(), 0);
}

#[test]
fn a_tpm_of_the_old_tool_is_recognised() {
    let machine = Machine::new();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout::default());
    let told = json(&machine.tpm.tcti());
    assert_eq!(told["trust"]["provisioning"], "complete", "{told}");
    assert_eq!(told["trust"]["layout_version"], "00000003");
}

#[test]
fn every_transport_leads_to_the_same_page() {
    let tpm = Swtpm::new();
    let direct = show(&tpm.tcti());
    for transport in [Transport::Unix, Transport::Tcp, Transport::Mssim, Transport::Device] {
        let wire = Interposer::with_front(&tpm, transport);
        assert_eq!(show(&wire.tcti()), direct, "{transport:?}");
    }
    let tpm = Swtpm::on_tcp();
    assert_eq!(show(&tpm.tcti()), direct);
}

/// docs/tpm.md, word by word.
#[test]
fn the_simulator_of_the_documentation_is_started_and_found() {
    let page = documentation::read("docs/tpm.md");
    let commands = documentation::commands(documentation::section(&page, "Simulators"));
    assert_eq!(commands.len(), 3, "{commands:?}");
    let script = format!(
        "trap 'kill %1' EXIT; PATH={}:$PATH\n{}",
        trust_host().parent().expect("a directory").display(),
        commands.concat()
    );
    let home = Home::new();
    let output = std::process::Command::new("bash").args(["-mc", &script]).current_dir(home.path()).output();
    let output = output.expect("there is a shell");
    assert!(text(&output.stdout).contains("a software TPM (swtpm)"), "{output:?}");
}

/// What is sealed by one way is unsealed by the others.
#[test]
fn every_transport_seals_and_unseals() {
    let (home, tpm) = (Home::new(), Swtpm::new());
    let wires = [Transport::Unix, Transport::Tcp, Transport::Mssim, Transport::Device]
        .map(|transport| Interposer::with_front(&tpm, transport));
    let mut tctis: Vec<_> = wires.iter().map(Interposer::tcti).collect();
    tctis.push(tpm.tcti());
    fs::write(home.path().join("clear"), "secret").expect("writable");
    for (by, sealing) in tctis.iter().enumerate() {
        home.ok(&["seal", "--tcti", sealing, "-o", "sealed", "clear"]);
        let unsealing = &tctis[(by + 1) % tctis.len()];
        assert_eq!(home.ok(&["unseal", "--tcti", unsealing, "sealed"]), "secret", "{sealing} {unsealing}");
    }
    let tpm = Swtpm::on_tcp();
    home.ok(&["seal", "--tcti", &tpm.tcti(), "-o", "sealed", "clear"]);
    assert_eq!(home.ok(&["unseal", "--tcti", &tpm.tcti(), "sealed"]), "secret");
}

#[test]
fn what_a_tpm_lacks_is_named() {
    let tpm = Swtpm::new();
    let wire = Interposer::new(&tpm);
    // PolicyAuthorize and Unseal are not among its commands; it has no P-256, and no AES.
    wire.on_response(|command, mut response| {
        const CAP_COMMANDS: u32 = 2;
        const CAP_CURVES: u32 = 8;
        if command.code() == TEST_PARMS && command.bytes.len() == 18 {
            return Action::Reply(Response::error(0x2d6).0);
        }
        if command.code() == cc::GET_CAPABILITY && response.ok() {
            let items = response.0.get_mut(19..).unwrap_or_default();
            match command.word(0) {
                CAP_COMMANDS => {
                    for item in items.chunks_exact_mut(4).filter(|item| {
                        let code = u16::from_be_bytes([item[2], item[3]]);
                        [0x16a, 0x15e].contains(&code)
                    }) {
                        // Another command takes its place in the list.
                        item[3] ^= 1;
                    }
                }
                CAP_CURVES => items.chunks_exact_mut(2).filter(|item| item[1] == 3).for_each(|item| item[1] = 1),
                _ => {}
            }
        }
        Action::Reply(response.0)
    });
    let told = json(&wire.tcti());
    assert_eq!(told["trust"]["lacks"], serde_json::json!(["ECC P-256", "AES-128-CFB", "TPM2_PolicyAuthorize"]));
    assert_eq!(told["trust"]["lacks_for_sealing"], serde_json::json!(["TPM2_Unseal"]));
    assert!(show(&wire.tcti()).contains("lacking: ECC P-256, AES-128-CFB, TPM2_PolicyAuthorize"));
}

#[test]
fn a_tpm_without_sha256_is_told_to_be_unsuitable() {
    let tpm = Swtpm::with_banks(Banks::Sha1);
    let page = show(&tpm.tcti());
    assert!(page.contains("banks          sha1; not active: sha256"), "{page}");
    assert!(page.contains("lacking: PCRs in the sha256 bank"), "{page}");
}

#[test]
fn a_tpm_1_2_is_explained() {
    let tpm = Swtpm::with_banks(Banks::Tpm12);
    for transport in [Transport::Unix, Transport::Tcp, Transport::Mssim, Transport::Device] {
        let wire = Interposer::with_front(&tpm, transport);
        let complaint = Home::new().fails(&["tpm", "show", "--tcti", &wire.tcti()], 10);
        assert!(complaint.contains("this is a TPM 1.2, and Trust needs TPM 2.0"), "{complaint}");
        assert!(complaint.contains("Intel PTT, AMD fTPM"), "{complaint}");
    }
}

#[test]
fn a_simulator_is_started_as_the_message_says() {
    let home = Home::new();
    let [state, socket] = ["state", "socket"].map(|name| home.path().join(name).display().to_string());
    fs::create_dir(&state).expect("writable");
    let tcti = format!("swtpm:path={socket}");
    let complaint = home.fails(&["tpm", "show", "--wait", "0", "--tcti", &tcti], 10);
    let command = complaint.split("start it: ").nth(1).expect("it says how").trim();
    let command = command.replace("DIR", &state).replace("SOCKET", &socket);
    let words: Vec<_> = command.split(' ').collect();
    let mut swtpm = std::process::Command::new(words[0]).args(&words[1..]).spawn().expect("swtpm is installed");
    let page = home.output(&["tpm", "show", "--tcti", &tcti]);
    swtpm.kill().and_then(|()| swtpm.wait()).expect("it runs");
    assert!(text(&page.stdout).contains("a software TPM (swtpm)"), "{page:?}");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("it is mounted").uid() == 0
}

/// A command run as a user who is nobody, in no group, without a keyring, in a directory that all can enter.
fn unprivileged(home: &Home, script: &str) -> Output {
    let public = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    public(home.path(), 0o755);
    let trust = home.path().join("trust");
    if !trust.exists() {
        fs::copy(trust_host(), &trust).expect("writable");
        public(&trust, 0o755);
    }
    let mut command = std::process::Command::new("setpriv");
    if is_root() {
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
        ]);
    }
    command
        .args(["--no-new-privs", "bash", "-c", script])
        .arg(&trust)
        .current_dir(home.path())
        .env("HOME", "/nonexistent");
    command.stdin(Stdio::null()).output().expect("setpriv is installed (Debian: util-linux)")
}

#[test]
fn an_ordinary_user_with_access_to_the_tpm_needs_nothing_else() {
    let (home, tpm) = (Home::new(), Swtpm::new());
    let wire = Interposer::new(&tpm);
    let socket = PathBuf::from(wire.tcti().strip_prefix("swtpm:path=").expect("a socket"));
    fs::set_permissions(socket.parent().expect("a directory"), Permissions::from_mode(0o711)).expect("ours");
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("ours");
    let output = unprivileged(&home, &format!("\"$0\" tpm show --tcti {}", wire.tcti()));
    assert_eq!((text(&output.stdout), text(&output.stderr)), (show(&tpm.tcti()), String::new()));
}

#[test]
fn secrets_are_kept_by_an_ordinary_user_whatever_memory_may_be_locked() {
    let (home, tpm) = (Home::new(), Swtpm::new());
    let dir = tpm.socket().parent().expect("a directory").to_owned();
    fs::set_permissions(dir, Permissions::from_mode(0o711)).expect("ours");
    fs::set_permissions(tpm.socket(), Permissions::from_mode(0o666)).expect("ours");
    let tcti = tpm.tcti();
    // More than is in the sealed object itself, so that it is encrypted as a stream.
    let script = format!(
        "ulimit -H -l; seq 100000 | \"$0\" seal --tcti {tcti} | \"$0\" unseal --tcti {tcti} | cmp - <(seq 100000) && echo same"
    );
    for (limit, kib) in [(0, 0), (65536, 64), (8_388_608, 8192)] {
        let limited = format!("prlimit --memlock={limit}:{limit} bash -o pipefail -c '{script}' \"$0\"");
        let output = unprivileged(&home, &limited);
        assert_eq!(text(&output.stdout), format!("{kib}\nsame\n"), "{output:?}");
    }
}

#[test]
fn secrets_are_in_locked_memory_where_it_may_be_locked() {
    let status = fs::read_to_string("/proc/self/status").expect("it is mounted");
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a line");
        line.trim().trim_end_matches(" kB").to_owned()
    };
    const CAP_IPC_LOCK: u64 = 1 << 14;
    if u64::from_str_radix(&field(&status, "CapEff:"), 16).expect("a number") & CAP_IPC_LOCK == 0 {
        return;
    }
    // It waits for its input.
    let mut unseal = std::process::Command::new(trust_host());
    let mut unseal = unseal.arg("unseal").stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let start = Instant::now();
    let is_locked = || {
        let status = fs::read_to_string(format!("/proc/{}/status", unseal.id())).expect("it runs");
        field(&status, "VmLck:") != "0"
    };
    while !is_locked() {
        assert!(start.elapsed() < Duration::from_secs(20), "its memory is not locked");
        std::thread::sleep(Duration::from_millis(10));
    }
    unseal.kill().and_then(|()| unseal.wait()).expect("it runs");
}

#[test]
fn a_tpm_that_nothing_will_bring_is_not_waited_for() {
    let mut devices = fs::read_dir("/dev").expect("there is one").flatten();
    if devices.any(|device| device.file_name().as_encoded_bytes().starts_with(b"tpm")) {
        return; // Whoever runs this has one.
    }
    let (home, start) = (Home::new(), Instant::now());
    let complaint = home.fails(&["tpm", "show"], 10);
    assert!(complaint.contains("cannot open /dev/tpmrm0 or /dev/tpm0"), "{complaint}");
    assert!(start.elapsed() < Duration::from_secs(5), "it was waited for");
    home.fails(&["tpm", "show", "--wait", "6"], 10);
    assert!(start.elapsed() >= Duration::from_secs(6), "who says so waits");
}

#[test]
fn a_socket_of_another_user_is_explained() {
    if !is_root_or_skip("a socket that is root's is made by root") {
        return;
    }
    let (home, tpm) = (Home::new(), Swtpm::new());
    let script = format!("\"$0\" tpm show --wait 60 --tcti {}", tpm.tcti());
    let start = Instant::now();
    let complaint = text(&unprivileged(&home, &script).stderr);
    assert!(complaint.contains("Permission denied") && complaint.contains("give you access"), "{complaint}");
    assert!(start.elapsed() < Duration::from_secs(30), "waiting changes nothing");
    let dir = tpm.socket().parent().expect("a directory").to_owned();
    fs::set_permissions(dir, Permissions::from_mode(0o711)).expect("ours");
    fs::set_permissions(tpm.socket(), Permissions::from_mode(0o666)).expect("ours");
    assert!(unprivileged(&home, &script).status.success());
}

/// How a TPM, or whoever is in its place, answers what it is asked for.
type Lie = fn(&Command, Response) -> Response;

#[test]
fn a_hostile_tpm_yields_a_page_or_an_error_soon() {
    // A count that is too large, more to come for ever, another capability, no items, texts that move cursors, only errors,
    // nothing but zeros, twice the same.
    let lies: [(&str, Lie); 10] = [
        ("count", |_, response| patched(response, 15, &[0xff; 4])),
        ("more data", |_, response| patched(response, 10, &[1])),
        ("capability", |_, response| patched(response, 11, &[0, 0, 0, 9])),
        ("empty, and more", |command, _| Response::with(0x8001, 0, &list(command, 1, &[]))),
        ("empty", |command, _| Response::with(0x8001, 0, &list(command, 0, &[]))),
        ("the same again", |command, _| {
            Response::with(0x8001, 0, &list(command, 1, &[0, 0, 1, 5, 0x1b, b'[', b'2', b'J']))
        }),
        ("error", |_, _| Response::error(rc::VALUE | 0x140)),
        ("failure", |_, _| Response::error(rc::FAILURE)),
        ("zeros", |_, response| Response::with(0x8001, 0, &vec![0; response.0.len().saturating_sub(10)])),
        ("ones", |_, response| Response::with(0x8001, 0, &vec![0xff; response.0.len().saturating_sub(10)])),
    ];
    let tpm = Swtpm::new();
    tpm.tools().ok("createek", &["-G", "rsa", "-c", "0x81010001", "-u", "ek.pub"]);
    tpm.tools().flush();
    let wire = Interposer::new(&tpm);
    for everything in [true, false] {
        for (name, lie) in lies {
            wire.on_response(move |command, response| {
                let lies = everything || command.code() != cc::GET_CAPABILITY;
                Action::Reply(if lies { lie(command, response).0 } else { response.0 })
            });
            let start = Instant::now();
            let output = Home::new().output(&["tpm", "show", "--wait", "1", "--tcti", &wire.tcti()]);
            assert!(start.elapsed() < Duration::from_secs(10), "{name}");
            let (page, complaint) = (text(&output.stdout), text(&output.stderr));
            assert!(!page.contains('\u{1b}') && !complaint.contains('\u{1b}'), "{name}: {page}{complaint}");
            match output.status.code() {
                Some(0) => assert!(page.lines().count() <= 40, "{name}: {page}"),
                Some(10 | 14 | 15) => assert!(complaint.starts_with("trust: cannot "), "{name}: {complaint}"),
                other => panic!("{name}: {other:?}: {page}{complaint}"),
            }
        }
    }
    // One that is silent, and one that asks for patience for ever.
    for action in [Action::Drop, Action::Close, Action::Reply(Response::error(rc::RETRY).0)] {
        let what = format!("{action:?}");
        wire.on_command(move |_| action.clone());
        let start = Instant::now();
        let complaint = Home::new().fails(&["tpm", "show", "--wait", "1", "--tcti", &wire.tcti()], 15);
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: {complaint}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A response with bytes of it replaced, if it is so long.
fn patched(mut response: Response, at: usize, bytes: &[u8]) -> Response {
    if let Some(place) = response.0.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
    response
}

/// The body of a list of 8 bytes an item, of the capability asked for.
fn list(command: &Command, more: u8, item: &[u8]) -> Vec<u8> {
    let count = u8::from(!item.is_empty());
    [&[more][..], &command.word(0).to_be_bytes(), &[0, 0, 0, count], item].concat()
}
