//! `trust derive`: the same key whenever it is asked for, another one for everyone else, and none of it on the bus.

use base64ct::{Base64, Encoding};
use harness::{Action, Banks, HostTpm, SecretSearch, State, cc, hex, workspace};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    collections::HashSet,
    env, fs,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::unix::{ffi::OsStrExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A TPM whose seed is always the same.
fn fixed() -> HostTpm {
    let machine = HostTpm::new(Banks::Sha256);
    machine.tpm.restore(&State::read(&workspace().join("tests/data/derived-keys")));
    machine.tpm.boot();
    machine
}

/// A key, in hexadecimal.
fn derive(machine: &HostTpm, args: &[&str]) -> String {
    let derived = machine.ok(&[&["derive"], args, &["--hex"]].concat());
    String::from_utf8(derived).unwrap().trim_end().to_owned()
}

/// What is left of sessions and loaded objects in the TPM.
fn left(machine: &HostTpm) -> String {
    let tools = machine.tpm.tools();
    tools.ok("getcap", &["handles-transient"]) + &tools.ok("getcap", &["handles-loaded-session"])
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// As docs/derived-keys.md lays it down, and without our own code.
fn message(mode: &str, uid: u32, version: u32, context: &[u8]) -> Vec<u8> {
    let length = u32::try_from(context.len()).unwrap();
    let numbers = [uid, version, length].map(u32::to_be_bytes).concat();
    [b"trust derived key 1\0", mode.as_bytes(), b"\0", &numbers, context].concat()
}

/// The HMAC of a message by the key, both of tpm2-tools.
fn hmac(machine: &HostTpm, message: &[u8]) -> String {
    let tools = machine.tpm.tools();
    let file = |name: &str| tools.dir().join(name);
    fs::write(file("unique"), [&5_u16.to_le_bytes()[..], b"trust"].concat()).unwrap();
    fs::write(file("message"), message).unwrap();
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign";
    let template = ["-g", "sha256", "-G", "hmac:sha256", "-a", attributes, "-u", "unique", "-c", "primary"];
    tools.ok("createprimary", &[&["-C", "o"], &template[..]].concat());
    tools.ok("hmac", &["-c", "primary", "-o", "hmac", "message"]);
    tools.flush();
    hex(&fs::read(file("hmac")).unwrap())
}

/// What later versions must derive, too: of the seed in tests/data/derived-keys, for root.
#[test]
fn keys_of_a_fixed_seed_are_always_the_same() {
    let machine = fixed();
    for (args, expected) in [
        (&["label=backup"][..], "3dfbf6b7a29646a83250996fd8438781c9aad53413cda5db048b95353977eee3"),
        (&["label=backup", "--version", "2"], "13b8227108572c499eda6d954e87d5809b91ab395e7b487eb03b00bbe605d305"),
        (&["label=backup", "--size", "16"], "882478b15efefc02389f76066371c8dc"),
        (
            &["label=backup", "--size", "64"],
            "59d081b4d2cc4bdf121e8de11d1a2d61ab281cb2ad07da989796a7b188ea3e52e70c924892418127a0f9dd932d535cb97e0d363dd574ff4384aadaf84a501443",
        ),
    ] {
        let all = [&["derive"], args, &["--hex"]].concat();
        let mut command = machine.command(&all);
        if uid() != 0 {
            // The same for the root of a namespace.
            let program = command.get_program().to_owned();
            let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = Command::new("unshare");
            command.args(["--user", "--map-root-user"]).arg(program).args(args);
        }
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected, "{args:?}: {output:?}");
    }
}

#[test]
fn keys_are_what_the_documentation_says_and_tpm2_tools_compute() {
    let machine = HostTpm::new(Banks::Sha256);
    let ours = env::current_exe().unwrap();
    for (args, message) in [
        (&["label=a b"][..], message("label", uid(), 1, b"a b")),
        (&["path", "--version", "7"], message("path", uid(), 7, ours.as_os_str().as_bytes())),
    ] {
        assert_eq!(derive(&machine, args), hmac(&machine, &message), "{args:?}");
    }
    // Another TPM gives others.
    assert_ne!(derive(&machine, &["label=a b"]), derive(&fixed(), &["label=a b"]));
}

#[test]
fn keys_differ_wherever_anything_differs_and_are_the_same_after_a_restart() {
    let machine = HostTpm::new(Banks::Sha256);
    let all = [
        &["label=a"][..],
        &["label=b"],
        &["label=a", "--version", "2"],
        &["label=a", "--size", "31"],
        &["label=a", "--size", "1024"],
        &["path"],
    ];
    let derived: Vec<_> = all.iter().map(|args| derive(&machine, args)).collect();
    let starts: HashSet<_> = derived.iter().map(|key| &key[..32]).collect();
    assert_eq!(starts.len(), all.len());
    assert_eq!(derived[4].len(), 2048);
    machine.tpm.reboot();
    assert_eq!(all.iter().map(|args| derive(&machine, args)).collect::<Vec<_>>(), derived);
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    for (args, before) in all.iter().zip(&derived) {
        assert_ne!(derive(&machine, args), *before, "{args:?}");
    }
}

#[test]
fn few_commands_are_needed_and_nothing_of_the_key_is_on_the_bus() {
    let machine = HostTpm::new(Banks::Sha256);
    let mut search = SecretSearch::new();
    for (kept, commands) in [(false, 7), (true, 5)] {
        if kept {
            machine.keep_storage_root_key();
        }
        machine.wire.take();
        let key = machine.ok(&["derive", "label=a"]);
        assert_eq!(machine.wire.record().len(), commands);
        search.add("key", &key).add("larger", &machine.ok(&["derive", "label=a", "--size", "64"]));
        assert_eq!(search.found(&machine.wire.bytes()), [].into());
        assert_eq!(left(&machine), "");
    }
    // The search finds what there is: without a session, the key is there.
    let tools = machine.tpm.tools();
    let recorded = tools.wire().bytes().len();
    let key = hmac(&machine, &message("label", uid(), 1, b"a"));
    assert_eq!(key, derive(&machine, &["label=a"]));
    assert!(!search.found(&tools.wire().bytes()[recorded..]).is_empty());
}

#[test]
fn keys_go_where_they_are_told_to() {
    let machine = HostTpm::new(Banks::Sha256);
    let raw = machine.ok(&["derive", "label=a"]);
    assert_eq!(hex(&raw), derive(&machine, &["label=a"]));
    let base64 = String::from_utf8(machine.ok(&["derive", "label=a", "--base64"])).unwrap();
    assert!(base64.len() == 45 && base64.ends_with("=\n"), "{base64}");
    let line = format!("{} derive label=a --tcti {}", harness::trust_host().display(), machine.wire.tcti());
    let shown = Command::new("script").args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().unwrap();
    assert!(text(&shown.stdout).contains("it is not text; have it as --hex"), "{shown:?}");
    machine.ok(&["derive", "label=a", "-o", "key"]);
    assert_eq!(machine.read("key"), raw);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(machine.file("key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" --fd 3 3>by-descriptor", "-"]).arg(harness::trust_host());
    shell.args(["derive", "label=a", "--tcti", &machine.wire.tcti()]).current_dir(machine.file(""));
    assert!(shell.status().unwrap().success());
    assert_eq!(machine.read("by-descriptor"), raw);
}

#[test]
fn mistakes_are_named() {
    let machine = HostTpm::new(Banks::Sha256);
    let long = format!("label={}", "x".repeat(1000));
    for (args, why) in [
        (&["derive", "paht"][..], "is not path, csum, csum=verity or label=NAME"),
        (&["derive", "label="], "a label is text of 1 to"),
        (&["derive", &long], "a label is text of 1 to"),
        (&["derive", "label=a", "--size", "15"], "a key has 16 to 1024 bytes"),
        (&["derive", "label=a", "--version", "0"], "zero"),
        (&["derive"], "required arguments"),
        (&["derive", "label=a", "--system"], "nothing is signed for this running system"),
        (&["derive", "csum=verity"], "by fs-verity"),
        (&["derive", "path", "--exe", "none"], "No such file"),
        (&["derive", "serve"], "not a socket that listens"),
    ] {
        let output = machine.output(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(why), "{args:?}: {said}");
    }
    let mut command = Command::new(harness::trust_host());
    let output = command.args(["derive", "label=a", "--socket"]).arg(machine.file("none")).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(15) && said.contains("systemctl status trust-derive.socket"), "{said}");
    machine.tpm.tools().ok("changeauth", &["-c", "o", "secret"]);
    let why = machine.fails(&["derive", "label=a"], 12);
    assert!(why.contains("has a password") && why.contains("--owner-password-file"), "{why}");
    machine.write("password", "secret\n");
    let key = derive(&machine, &["label=a", "--owner-password-file", "password"]);
    let mut search = SecretSearch::new();
    search.add("password", b"secret owner's");
    assert_eq!(search.found(&machine.wire.bytes()), [].into());
    machine.tpm.tools().ok("changeauth", &["-c", "o", "-p", "secret"]);
    assert_eq!(derive(&machine, &["label=a"]), key);
    assert_eq!(left(&machine), "");
}

#[test]
fn wrapped_files_open_for_the_same_and_say_why_they_do_not() {
    let machine = HostTpm::new(Banks::Sha256);
    for size in [0, 1, 65_536, 300_000] {
        let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        machine.write("in", &content);
        machine.ok(&["derive", "wrap", "path", "-o", "wrapped", "in"]);
        machine.ok(&["derive", "unwrap", "-o", "out", "wrapped"]);
        assert_eq!(machine.read("out"), content, "{size}");
        assert_eq!(machine.ok(&["derive", "unwrap", "wrapped"]), content);
    }
    machine.write("in", "a secret that is worth it");
    let first = machine.ok(&["derive", "wrap", "label=a", "in"]);
    let second = machine.ok(&["derive", "wrap", "label=a", "in"]);
    // Without the tag, which has other lines to vouch for.
    let stream = |file: &[u8]| {
        let start = file.windows(2).position(|two| two == b"\n\n").unwrap();
        file[start..file.len() - 16].to_vec()
    };
    assert_ne!(stream(&first), stream(&second), "the same file twice has the same key stream");
    // Altered anywhere.
    for at in (0..first.len()).step_by(7).chain([first.len() - 1]) {
        let mut altered = first.clone();
        altered[at] ^= 1;
        machine.write("altered", altered);
        let output = machine.output(&["derive", "unwrap", "-o", "altered.out", "altered"]);
        assert!(!output.status.success() && !machine.file("altered.out").exists(), "byte {at}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!([2, 12, 14].contains(&output.status.code().unwrap()) && !said.contains("panic"), "byte {at}: {said}");
    }
    for end in (0..first.len()).step_by(13) {
        machine.write("cut", &first[..end]);
        machine.fails(&["derive", "unwrap", "-o", "cut.out", "cut"], 14);
        assert!(!machine.file("cut.out").exists(), "cut at {end}");
    }
    // For another program: the one that has started it.
    machine.ok(&["derive", "wrap", "path", "-o", "wrapped", "in"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; exit $?", "-"]).arg(harness::trust_host());
    shell.args(["derive", "unwrap", "wrapped", "--tcti", &machine.wire.tcti()]).current_dir(machine.file(""));
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(12) && said.contains("is now asked for by user"), "{said}");
    machine.tpm.tools().ok("clear", &["-c", "p"]);
    let why = machine.fails(&["derive", "unwrap", "wrapped"], 12);
    assert!(why.contains("before this TPM was cleared"), "{why}");
}

/// The service, on a socket of its own.
struct Service<'a> {
    machine: &'a HostTpm,
    child: Child,
}

impl<'a> Service<'a> {
    fn start(machine: &'a HostTpm, args: &[&str]) -> Self {
        let all = [&["derive", "serve", "--socket", "socket"], args].concat();
        let child = machine.command(&all).stderr(fs::File::create(machine.file("log")).unwrap()).spawn().unwrap();
        let start = Instant::now();
        while UnixStream::connect(machine.file("socket")).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", text(&machine.read("log")));
            thread::sleep(Duration::from_millis(5));
        }
        Self { machine, child }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.machine.file("socket")).unwrap()
    }

    /// Asks as this very program.
    fn ask(&self, parameters: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(call(parameters).as_bytes()).unwrap();
        answer(&mut stream)
    }

    /// Asks as a program at this path, which is Perl.
    fn ask_by(&self, perl: &Path, parameters: &str) -> String {
        let script = "use IO::Socket::UNIX; $/ = qq(\\0); my $s = IO::Socket::UNIX->new(Peer => shift) or die; \
                      print $s shift, qq(\\0); print scalar <$s>";
        let mut command = Command::new(perl);
        command.args(["-e", script]).arg(self.machine.file("socket")).arg(call(parameters).trim_end_matches('\0'));
        text(&command.output().unwrap().stdout).trim_end_matches('\0').to_owned()
    }

    /// Ends it in order; what it said.
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        text(&self.machine.read("log"))
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn call(parameters: &str) -> String {
    format!("{{\"method\":\"trust.derive.Key\",\"parameters\":{{{parameters}}}}}\0")
}

/// One message, without its NUL; what came before the end, where there is none.
fn answer(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|size| size == 1) && byte != [0] {
        all.push(byte[0]);
    }
    text(&all)
}

/// A message, and the file that comes with it.
fn receive_file(stream: &UnixStream) -> (String, Option<fs::File>) {
    let (mut bytes, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut along, RecvFlags::empty()).unwrap();
    let file = along.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next().map(fs::File::from),
        _ => None,
    });
    (text(&bytes[..received.bytes]), file)
}

fn key_in(answer: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(answer).unwrap();
    value["parameters"]["key"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A copy of Perl, at a path of its own.
fn perl(machine: &HostTpm, name: &str) -> PathBuf {
    let path = machine.file(name).parent().unwrap().canonicalize().unwrap().join(name);
    fs::copy("/usr/bin/perl", &path).unwrap();
    path
}

#[test]
fn the_service_gives_everyone_who_asks_their_own_key() {
    let machine = HostTpm::new(Banks::Sha256);
    let [one, other] = ["one", "other"].map(|name| perl(&machine, name));
    let direct = machine.ok(&["derive", "path", "--base64", "--exe", one.to_str().unwrap()]);
    let label = machine.ok(&["derive", "label=a", "--base64"]);
    let service = Service::start(&machine, &[]);
    let key = key_in(&service.ask_by(&one, r#""mode":"path""#));
    assert_eq!(key, text(&direct).trim_end(), "the service derives as the command does");
    assert_eq!(key_in(&service.ask_by(&one, r#""mode":"path""#)), key);
    assert_ne!(key_in(&service.ask_by(&other, r#""mode":"path""#)), key);
    assert_ne!(key_in(&service.ask(r#""mode":"path""#)), key);
    for program in [&one, &other] {
        assert_eq!(key_in(&service.ask_by(program, r#""mode":"label=a""#)), text(&label).trim_end());
    }
    // By the command, for whoever has started it.
    let socket = machine.file("socket");
    let by_command = |mode| {
        let mut command = Command::new(harness::trust_host());
        command.args(["derive", mode, "--base64", "--socket"]).arg(&socket).stdin(Stdio::null());
        text(&command.output().unwrap().stdout).trim_end().to_owned()
    };
    assert_eq!(by_command("path"), key_in(&service.ask(r#""mode":"path""#)));
    assert_eq!(by_command("label=a"), text(&label).trim_end());
    let larger = service.ask(r#""mode":"label=a","size":1024,"version":3"#);
    assert_eq!(key_in(&larger).len(), 1368);
    // Several on one connection.
    let mut stream = service.connect();
    for mode in ["label=a", "label=b", "label=a"] {
        stream.write_all(call(&format!("\"mode\":\"{mode}\"")).as_bytes()).unwrap();
        assert_eq!(key_in(&answer(&mut stream)) == text(&label).trim_end(), mode == "label=a");
    }
    service.end();
    assert_eq!(left(&machine), "");
}

#[test]
fn users_get_different_keys() {
    if uid() != 0 {
        eprintln!("SKIPPED: only root becomes another user");
        return;
    }
    let machine = HostTpm::new(Banks::Sha256);
    let perl = perl(&machine, "program");
    // Everyone may look into it.
    Command::new("chmod").args(["755"]).arg(machine.file("")).status().unwrap();
    let _service = Service::start(&machine, &[]);
    let script = "use IO::Socket::UNIX; $/ = qq(\\0); my $s = IO::Socket::UNIX->new(Peer => shift) or die; \
                  print $s shift, qq(\\0); print scalar <$s>";
    let mut keys = HashSet::new();
    for user in [0, 1000, 65_534] {
        let mut command = Command::new(&perl);
        command.args(["-e", script]).arg(machine.file("socket")).arg(call(r#""mode":"path""#).trim_end_matches('\0'));
        let output = command.uid(user).output().unwrap();
        let said = text(&output.stdout).trim_end_matches('\0').to_owned();
        assert!(said.contains(&format!("\"uid\":{user}")), "{said}");
        keys.insert(key_in(&said));
    }
    assert_eq!(keys.len(), 3);
}

/// The limit that the page and SECURITY.md state: programs of one user are not parted from one another.
#[test]
fn a_connection_is_inherited_by_the_program_that_its_process_becomes() {
    let machine = HostTpm::new(Banks::Sha256);
    let [attacker, victim] = ["attacker", "victim"].map(|name| perl(&machine, name));
    let service = Service::start(&machine, &[]);
    let of_victim = key_in(&service.ask_by(&victim, r#""mode":"path""#));
    let script = "use IO::Socket::UNIX; $^F = 99; $/ = qq(\\0); my $s = IO::Socket::UNIX->new(Peer => shift) or die; \
                  my ($call, $victim) = @ARGV; if (my $pid = fork) { exec $victim, '-e', 'sleep 60' } \
                  my $p = getppid; sleep 1 until readlink(qq(/proc/$p/exe)) eq $victim; \
                  print $s $call, qq(\\0); print scalar <$s>; kill 9, $p";
    let mut command = Command::new(&attacker);
    command.args(["-e", script]).arg(machine.file("socket"));
    command.arg(call(r#""mode":"path""#).trim_end_matches('\0')).arg(&victim);
    let said = text(&command.output().unwrap().stdout).trim_end_matches('\0').to_owned();
    assert_eq!(key_in(&said), of_victim);
}

#[test]
fn a_hundred_requesters_at_once_are_served() {
    let machine = HostTpm::new(Banks::Sha256);
    let service = Service::start(&machine, &[]);
    let expected: Vec<_> = (0..10).map(|n| key_in(&service.ask(&format!("\"mode\":\"label={n}\"")))).collect();
    machine.wire.take();
    thread::scope(|scope| {
        for n in 0..100 {
            let (service, expected) = (&service, &expected);
            scope.spawn(move || {
                let key = key_in(&service.ask(&format!("\"mode\":\"label={}\"", n % 10)));
                assert_eq!(key, expected[n % 10]);
            });
        }
    });
    // One command each: the key stays loaded.
    let counts = machine.wire.counts();
    assert_eq!(counts[&cc::HMAC], 100);
    assert!(counts.values().sum::<usize>() <= 110, "{counts:?}");
    // And no longer than it is needed.
    let start = Instant::now();
    while !left(&machine).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", left(&machine));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(key_in(&service.ask(r#""mode":"label=0""#)), expected[0]);
}

#[test]
fn callers_that_go_talk_nonsense_or_are_too_many_disturb_no_one() {
    let machine = HostTpm::new(Banks::Sha256);
    let service = Service::start(&machine, &[]);
    let key = key_in(&service.ask(r#""mode":"label=a""#));
    for _ in 0..20 {
        service.connect().write_all(call(r#""mode":"label=a""#).as_bytes()).unwrap();
    }
    for nonsense in [&b"\0\0\0"[..], b"{}\0", b"\xff\xff\0", &[b'{'; 40_000], br#"{"method":"a.B","oneway":true}"#] {
        let mut stream = service.connect();
        // It may hang up before it has heard all of it.
        let _ = stream.write_all(nonsense);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(answer(&mut stream), "");
    }
    let many: Vec<_> = (0..256).map(|_| service.connect()).collect();
    let mut late = service.connect();
    let said = answer(&mut late);
    assert!(said.contains("has too many connections") && said.contains("try again later"), "{said}");
    drop(many);
    let start = Instant::now();
    loop {
        let said = service.ask(r#""mode":"label=a""#);
        if said.contains("\"key\"") {
            assert_eq!(key_in(&said), key);
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{said}");
    }
    let log = service.end();
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn a_tpm_that_is_restarted_silent_in_lockout_or_cleared_is_survived() {
    let machine = HostTpm::new(Banks::Sha256);
    let service = Service::start(&machine, &[]);
    let key = key_in(&service.ask(r#""mode":"label=a""#));
    for cut in [false, true] {
        if cut {
            machine.tpm.power_cut();
        } else {
            machine.tpm.reboot();
        }
        assert_eq!(key_in(&service.ask(r#""mode":"label=a""#)), key);
    }
    machine.tpm.off();
    let said = service.ask(r#""mode":"label=a""#);
    assert!(said.contains("trust.derive.Unavailable") && said.contains("remedy"), "{said}");
    machine.tpm.boot();
    assert_eq!(key_in(&service.ask(r#""mode":"label=a""#)), key);
    // It hangs: whoever asks hears of it, and the next one has a new connection.
    machine.wire.on_command(|command| if command.code() == cc::HMAC { Action::Drop } else { Action::Forward });
    let said = service.ask(r#""mode":"label=a""#);
    assert!(said.contains("trust.derive.Unavailable"), "{said}");
    machine.wire.be_honest();
    machine.tpm.reboot();
    assert_eq!(key_in(&service.ask(r#""mode":"label=a""#)), key);
    // In lockout, too: the key has no password that could be guessed.
    let tools = machine.tpm.tools();
    tools.ok("dictionarylockout", &["-s", "-n", "1", "-t", "1000", "-l", "1000"]);
    machine.write("pin", "right\n");
    machine.write("wrong", "wrong\n");
    machine.write("secret", "a secret");
    drop(service);
    fs::remove_file(machine.file("socket")).unwrap();
    machine.tpm.reboot();
    machine.ok(&["seal", "--pin", "--pin-file", "pin", "-o", "sealed", "secret"]);
    machine.fails(&["unseal", "--pin-file", "wrong", "sealed"], 12);
    machine.fails(&["unseal", "--pin-file", "pin", "sealed"], 13);
    assert_eq!(machine.ok(&["derive", "label=a", "--base64"]), format!("{key}\n").into_bytes());
    tools.ok("clear", &["-c", "p"]);
    assert_ne!(machine.ok(&["derive", "label=a", "--base64"]), format!("{key}\n").into_bytes());
}

#[test]
fn a_key_comes_in_a_sealed_file_as_well() {
    let machine = HostTpm::new(Banks::Sha256);
    let service = Service::start(&machine, &[]);
    let key = key_in(&service.ask(r#""mode":"label=a""#));
    let mut stream = service.connect();
    stream.write_all(call(r#""mode":"label=a","deliver":"memfd""#).as_bytes()).unwrap();
    let (said, file) = receive_file(&stream);
    assert!(said.contains("\"fd\":0") && !said.contains("\"key\""), "{said}");
    let mut file = file.expect("a file is sent along");
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(Base64::encode_string(&content), key);
    assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err(), "it is sealed");
}

#[test]
fn the_service_describes_itself_and_ends_when_it_is_idle() {
    let machine = HostTpm::new(Banks::Sha256);
    let mut service = Service::start(&machine, &["--idle", "1"]);
    let mut stream = service.connect();
    stream.write_all(b"{\"method\":\"org.varlink.service.GetInfo\"}\0").unwrap();
    assert!(answer(&mut stream).contains("trust.derive"));
    drop(stream);
    assert!(service.child.wait().unwrap().success());
    assert!(!machine.file("socket").exists());
}

#[test]
fn the_page_about_derived_keys_is_followed_word_by_word() {
    assert!(HostTpm::new(Banks::Sha256).follow("docs/derived-keys.md") >= 12);
}

/// The units that are installed, and the real systemd.
#[test]
fn the_service_is_started_by_its_socket() {
    if uid() != 0 {
        eprintln!("SKIPPED: systemd needs root");
        return;
    }
    let machine = HostTpm::new(Banks::Sha256);
    let expected = derive(&machine, &["label=a", "--size", "48"]);
    let units = [
        (
            "trust-derive.service.d/test.conf",
            "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=\nStandardError=append:/run/sandbox/log\n\
             ExecStart=trust derive serve --idle 30 --tcti swtpm:path=/run/tpm/socket\n",
        ),
        ("test.target", "[Unit]\nDefaultDependencies=no\nWants=asks.service\nAfter=asks.service\n"),
        (
            "asks.service",
            "[Unit]\nDefaultDependencies=no\nRequires=trust-derive.socket\nAfter=trust-derive.socket\n\
             SuccessAction=exit-force\nFailureAction=exit-force\n[Service]\nType=oneshot\nStandardError=append:/run/sandbox/log\n\
             ExecStart=trust derive path --hex -o /run/sandbox/path\n\
             ExecStart=trust derive label=a --size 48 --hex -o /run/sandbox/label\n",
        ),
    ]
    .map(|(name, text)| (name, text.to_owned()));
    let installed = ["trust-derive.socket", "trust-derive.service"];
    let (status, console) = harness::systemd(&machine.file(""), &machine.tpm, &installed, &units);
    let log = fs::read_to_string(machine.file("log")).unwrap_or_default();
    assert_eq!(status, Some(0), "{log}{console}");
    assert_eq!(text(&machine.read("label")).trim_end(), expected);
    // The program that has started it is systemd, and not the one that has connected.
    let systemd = derive(&machine, &["path", "--exe", "/usr/lib/systemd/systemd"]);
    assert_eq!(text(&machine.read("path")).trim_end(), systemd);
}
