//! What `trust launch` prints and how it ends, with a simulated QEMU; `vm_lifecycle` has a real one.

use harness::{Home, assets, vm};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

/// What firmware says when it starts an image.
const STARTS: &str = "say BdsDxe: starting Boot0001 \"disk\"\n";
/// A boot of an initrd with systemd that comes to nothing.
const FAILS: &str = "\
say BdsDxe: starting Boot0001 \"disk\"
say [    4.1] trust: cannot read the TPM: it is not provisioned; provision it
say [FAILED] Failed to start trust-setup.service - Secrets from the TPM.
say [   34.6] reboot: machine restart
reset
";

/// A user with a keyset, a project and images, and with our QEMU.
struct Fixture {
    home: Home,
    store: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { home: Home::with_keyset(), store: vm::empty_variables() };
        fixture.home.ok(&["project", "add", "k", "router"]);
        fs::create_dir(fixture.path("images")).unwrap();
        for name in ["provision.efi", "install.efi", "production.efi"] {
            fs::write(fixture.path("images").join(name), name).unwrap();
        }
        fs::create_dir(fixture.path("bin")).unwrap();
        let qemu = fixture.path("bin/qemu-system-x86_64");
        fs::write(&qemu, include_str!("qemu.sh")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The first command, and this is what happens.
    fn first(&self, play: &str, more: &[&str]) -> Output {
        let (code, store) = (assets::path("usr/share/OVMF/OVMF_CODE_4M.secboot.fd"), self.store.clone());
        let firmware = ["--firmware", text(&code), "--variables", text(&store)];
        let args = ["launch", "m", "--project", "k:router", "--images", "images"];
        self.run(play, &[&args[..], &firmware, more].concat())
    }

    fn run(&self, play: &str, args: &[&str]) -> Output {
        let output = self.command(play, args).output().unwrap();
        Output { stdout: fs::read(self.path("told")).unwrap(), ..output }
    }

    fn command(&self, play: &str, args: &[&str]) -> Command {
        fs::write(self.path("play"), play).unwrap();
        let path = format!("{}:{}", text(&self.path("bin")), std::env::var("PATH").unwrap());
        let mut command = self.home.command(args);
        command.env("PATH", path).env("PLAY", self.path("play")).env("TOLD", self.path("told"));
        command.stdout(fs::File::create(self.path("told")).unwrap());
        command
    }

    /// The machine, as if it had been provisioned and installed.
    fn is_installed(&self) {
        let facts = self.path(".local/share/machine/trust/vms/m/facts.json");
        let text = fs::read_to_string(&facts).unwrap().replace("\"reached\": \"made\"", "\"reached\": \"installed\"");
        assert!(text.contains("\"installed\""));
        fs::write(&facts, text).unwrap();
    }

    fn serials(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.keys().join("k/manifest/router/sudi")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// It ended with this status. Returns what it printed, and its complaint: one line.
#[track_caller]
fn ended(output: &Output, status: i32) -> (String, String) {
    let [printed, complaint] = [&output.stdout, &output.stderr].map(|text| String::from_utf8(text.clone()).unwrap());
    assert_eq!(output.status.code(), Some(status), "{printed}{complaint}");
    assert_eq!(complaint.lines().count(), usize::from(status != 0), "{complaint}");
    (printed, complaint)
}

/// What is told, without when: the word of each line that has a time before it.
#[track_caller]
fn told(printed: &str) -> Vec<&str> {
    let word = |line: &'_ str| -> Option<usize> { line.trim_start().split_once(" s  ")?.0.parse().ok() };
    let lines = printed.lines().map(|line| {
        assert!(word(line).is_some(), "no time: {line}");
        line.split_once(" s  ").unwrap().1.split("  ").next().unwrap().trim()
    });
    // Of this host.
    lines.filter(|word| *word != "emulated").collect()
}

#[test]
fn everything_missing_is_named_at_once() {
    let fixture = Fixture::new();
    let args = ["launch", "m", "--project", "k:router", "--images", "images"];
    let mut command = Command::new(harness::trust_host());
    command.args(args).current_dir(fixture.home.path()).env("HOME", fixture.home.path()).env("PATH", "/nowhere");
    let (printed, complaint) = ended(&command.env_remove("XDG_DATA_HOME").output().unwrap(), 2);
    for name in ["qemu-system-x86_64", "swtpm", "swtpm_setup", "setpriv"] {
        assert!(complaint.contains(name), "{complaint}");
    }
    assert!(complaint.contains("apt install qemu-system-x86 swtpm swtpm-tools util-linux"), "{complaint}");
    assert_eq!(printed, "");

    for name in ["provision.efi", "install.efi", "production.efi"] {
        fs::remove_file(fixture.path("images").join(name)).unwrap();
    }
    let (printed, complaint) = ended(&fixture.first("off", &[]), 2);
    assert!(complaint.contains("images has no provision.efi and no install.efi and no production.efi"), "{complaint}");
    assert!(complaint.contains("--provision-image, --install-image, --image, or give --skip-install"), "{complaint}");
    assert_eq!((printed.as_str(), fixture.serials().len()), ("", 0));
}

#[test]
fn a_failure_is_quoted_and_the_same_command_continues() {
    let fixture = Fixture::new();
    let (printed, complaint) = ended(&fixture.first(FAILS, &[]), 20);
    assert_eq!(told(&printed), ["made", "identity"], "{printed}");
    let why = printed.lines().find(|line| line.contains("emulated")).unwrap();
    assert!(why.contains("there is a /dev/kvm") == why.contains("QEMU ends with it: no such luck"), "{why}");
    assert!(
        complaint.contains("it said: trust: cannot read the TPM: it is not provisioned; provision it"),
        "{complaint}"
    );
    assert!(complaint.contains(" | [FAILED] Failed to start trust-setup.service"), "{complaint}");
    assert!(
        !complaint.contains("machine restart") && complaint.contains("`trust launch m --again` continues"),
        "{complaint}"
    );
    let serials = fixture.serials();
    assert_eq!(serials.len(), 1);

    // With another image that is mute, another disk; it is still that machine.
    let again = fixture.first(&format!("{STARTS}off"), &["--disk-size", "65", "--accelerator", "tcg"]);
    let (printed, complaint) = ended(&again, 20);
    assert_eq!(told(&printed), ["goes on", "identity"], "{printed}");
    assert!(complaint.contains("its TPM does not hold the machine's certificate"), "{complaint}");
    assert_eq!(fixture.serials(), serials);
    let disk = fs::metadata(fixture.path(".local/share/machine/trust/vms/m/disk.img")).unwrap().len();
    assert_eq!(disk, 65 << 20);

    let (_, other) = ended(&fixture.first("off", &["--serial", "other"]), 2);
    assert!(other.contains("there is one of this name, with the serial number"), "{other}");
    let (_, mute) = ended(&fixture.first(&format!("{STARTS}reset"), &["--accelerator", "tcg"]), 20);
    assert!(mute.contains("may lack console=ttyS0"), "{mute}");
    assert_eq!(fixture.serials(), serials);
}

#[test]
fn a_machine_that_starts_over_again_and_again_is_stopped() {
    let fixture = Fixture::new();
    ended(&fixture.first("reset", &["--accelerator", "tcg"]), 20);
    fixture.is_installed();
    let again = |play: &str, more: &[&str]| {
        fixture.run(play, &[&["launch", "m", "--again", "--accelerator", "tcg"], more].concat())
    };
    let (printed, complaint) = ended(&again(&FAILS.repeat(5), &[]), 20);
    assert_eq!(told(&printed), ["runs", "restarts", "runs"], "{printed}");
    assert!(printed.contains("it said: trust: cannot read the TPM"), "{printed}");
    assert!(complaint.contains("restarts again and again; it said: trust: cannot read the TPM"), "{complaint}");

    // A restarted system goes on, unless some output is expected.
    let restarts = format!("{STARTS}say login:\nreset\n").repeat(4) + STARTS + "off\n";
    let (printed, _) = ended(&again(&restarts, &[]), 0);
    assert_eq!(told(&printed).len(), 10, "{printed}");
    let (_, complaint) = ended(&again(&restarts, &["--until", "it is up"]), 20);
    assert!(complaint.contains("restarts again and again"), "{complaint}");

    // It has not been started before the firmware says so.
    let (printed, _) = ended(&again("off\n", &[]), 0);
    assert_eq!(told(&printed), ["off"], "{printed}");
    let (printed, _) = ended(&again(&format!("{STARTS}off\n"), &["--json"]), 0);
    let states: Vec<_> =
        printed.lines().map(|line| line.split("\"state\":\"").nth(1).unwrap().split('"').next()).collect();
    assert_eq!(states, [Some("begun"), Some("running"), Some("done")], "{printed}");
}

#[test]
fn an_interrupted_launch_ends_by_the_same_signal() {
    let fixture = Fixture::new();
    ended(&fixture.first("reset", &["--accelerator", "tcg"]), 20);
    let command = ["launch", "m", "--again", "--accelerator", "tcg"];
    let interrupted = |play: &str, more: &[&str]| {
        let log = fixture.path(".local/share/machine/trust/vms/m/console.log");
        let child = fixture.command(play, &[&command[..], more].concat()).spawn().unwrap();
        while !fs::read_to_string(&log).unwrap_or_default().contains("it is up") {
            thread::sleep(Duration::from_millis(20));
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        fs::remove_file(&log).unwrap();
        assert_eq!(output.status.signal(), Some(Signal::SIGINT as i32), "{output:?}");
        (fs::read_to_string(fixture.path("told")).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    // In a boot that does one job, and in one that stays; also where some output is expected.
    let up = format!("{STARTS}say it is up\nwait\noff\n");
    let (_, complaint) = interrupted(&up, &[]);
    assert!(complaint.contains("SIGINT") && complaint.contains("--again"), "{complaint}");
    fixture.is_installed();
    for more in [&[][..], &["--until", "anything"]] {
        let (printed, complaint) = interrupted(&up, more);
        assert_eq!((told(&printed), complaint.as_str()), (vec!["runs", "off"], ""), "{printed}");
    }
}
