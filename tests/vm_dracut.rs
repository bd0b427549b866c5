//! Initramfs images of dracut, of two versions, with systemd and without: the disk opens with nobody there, a swapped
//! one is refused, and nobody is asked or gets a shell while anything is published.

use harness::{
    Identity, State, trust_host,
    vm::{CMDLINE, Chain, Dracut, Fleet, Initrd, Outcome, Report, Vm},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Size of the disk, in bytes.
const SIZE: u64 = 64 << 20;
const UUID: &str = "4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10";
const INSTALL: &str = include_str!("vm_dracut/install.sh");
const REPORT: &str = include_str!("vm_dracut/report.sh");
/// What nobody may see unless the administrator allows it.
const PROMPTS: [&str; 3] = ["passphrase for", "Entering emergency mode", "Dropping to debug shell"];

/// A machine that is provisioned and installed, and the disk that somebody would like it to start from.
struct Installed {
    fleet: Fleet,
    variables: PathBuf,
    tpm: State,
    disk: PathBuf,
    swapped: PathBuf,
}

impl Installed {
    fn get() -> &'static Self {
        static MADE: OnceLock<Installed> = OnceLock::new();
        MADE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let fleet = Fleet::new();
        let variables = fleet.variables(Chain::Direct, &[], "vars.fd");
        let identity = Identity::rsa(2048);
        let mut provision = Initrd::new("trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n");
        provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
        let host = trust_host();
        let settings = format!("UUID={UUID}\nHOST={}\nPATH=$PATH:/usr/sbin:/sbin\n", host.display());
        let mut install = Initrd::new(&format!("{settings}mkdir -p /run/cryptsetup\n{INSTALL}"));
        for module in ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"] {
            install.module(module);
        }
        for program in ["/usr/sbin/cryptsetup", "/usr/bin/keyctl", "/sbin/mkfs.ext4"] {
            install.program(Path::new(program));
        }
        install.program(&host);
        let vm = Vm::new(&variables);
        File::create(vm.data_disk()).and_then(|file| file.set_len(SIZE)).unwrap();
        for (kind, initrd) in [("limited", &provision), ("production", &install)] {
            let image = fleet.file("image.efi");
            drop(fleet.build(kind, initrd, &[], &image));
            fleet.install(&vm, Chain::Direct, &image);
            vm.boot().ok();
        }
        let (disk, swapped) = (fleet.file("disk.img"), fleet.file("swapped.img"));
        fs::copy(vm.data_disk(), &disk).unwrap();
        attack(&swapped);
        Self { variables, tpm: vm.tpm(), disk, swapped, fleet }
    }

    /// Runs dracut, and makes an image of what it made.
    fn image(&self, name: &str, suite: &'static str, configuration: &str, cmdline: &str, options: &[&str]) -> PathBuf {
        let dracut = Dracut::new(
            suite,
            &format!("trust_pcr7data=/etc/trust/pcr7data\ntrust_pause=1\ntrust_luks_wait=20\n{configuration}"),
        );
        dracut.add_tree("etc/trust/pcr7data", &self.fleet.key("pcr7data", ""));
        // Whoever gets a shell, or is asked, tells what he finds.
        dracut.write("report", REPORT);
        let asked = "[Service]\nExecStart=\nExecStart=/bin/sh /report\n";
        dracut.write("asked", asked);
        let agent = "/etc/systemd/system/systemd-ask-password-console.service.d/report.conf";
        let mut include = vec!["--compress", "zstd -3", "--install", "grep ls stty", "--include", "/asked", agent];
        for place in ["/etc/profile", "/report"] {
            include.extend(["--include", "/report", place]);
        }
        let initrd = dracut.build(&[&include, options].concat());
        let image = self.fleet.file(&format!("{name}.efi"));
        // Who says nothing for long is taken for dead.
        let talkative = CMDLINE.replace("quiet ", "");
        let signed = "systemd.import_credentials=no systemd.gpt_auto=0 root=/dev/mapper/root ro";
        let cmdline = format!("{talkative} {signed} {cmdline}");
        self.fleet.build_as_it_is(&initrd, &cmdline, &image);
        image
    }

    /// Boots the machine with this image and a copy of this disk.
    fn boot(&self, image: &Path, disk: &Path) -> Report {
        let vm = Vm::new(&self.variables);
        vm.set_tpm(&self.tpm);
        fs::copy(disk, vm.data_disk()).unwrap();
        self.fleet.install(&vm, Chain::Direct, image);
        vm.boot()
    }
}

/// A volume of the same UUID, with a passphrase of somebody else's.
fn attack(disk: &Path) {
    File::create(disk).and_then(|file| file.set_len(SIZE)).unwrap();
    let key = disk.with_extension("key");
    fs::write(&key, "attacker").unwrap();
    let (disk, key) = (disk.to_str().unwrap(), key.to_str().unwrap());
    let quick = ["--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    harness::run("cryptsetup", &[&["luksFormat", "--uuid", UUID], &quick[..], &[disk, key]].concat());
    harness::run("cryptsetup", &["token", "add", "--key-description", "machine:luks", disk]);
}

/// The system on the disk runs, nobody was asked anything, and nothing is published any more.
#[track_caller]
fn assert_started(report: &Report) {
    assert_eq!(report.ok().value("root"), "/dev/mapper/root");
    assert_nothing_published(report);
    assert_unattended(report);
}

#[track_caller]
fn assert_nothing_published(report: &Report) {
    let found = ["keys", "mounts", "files"].map(|name| report.value(name));
    assert_eq!(found, ["0", "0", ""], "{}", report.console);
}

#[track_caller]
fn assert_unattended(report: &Report) {
    let prompt = PROMPTS.iter().find(|prompt| report.console.contains(*prompt));
    assert_eq!(prompt, None, "{}", report.console);
}

/// It says why, and starts over.
#[track_caller]
fn assert_refused(report: &Report) {
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert!(report.console.contains("is not the one that this machine has sealed"), "{}", report.console);
    assert_unattended(report);
}

/// Somebody got a shell or was about to be asked, and by then there was nothing left, in the TPM either.
#[track_caller]
fn assert_withdrawn(report: &Report) {
    assert_nothing_published(report.ok());
    assert_eq!(report.value("setup"), "12", "{}", report.console);
}

/// `trust luks open` by the units or the hooks; nobody is allowed a shell.
fn starts_and_starts_over(suite: &'static str, options: &[&str]) {
    let machine = Installed::get();
    let name = format!("{suite}-{}", options.len());
    let image = machine.image(&name, suite, &format!("trust_luks=root=UUID={UUID}\n"), "", options);
    assert_started(&machine.boot(&image, &machine.disk));
    assert_refused(&machine.boot(&image, &machine.swapped));
}

/// The same where there is a shell for whoever is at the console.
fn starts_or_gives_a_shell(suite: &'static str, options: &[&str]) {
    let machine = Installed::get();
    let name = format!("{suite}-{}-shell", options.len());
    let image = machine.image(&name, suite, &format!("trust_luks=root=UUID={UUID}\ntrust_shell=yes\n"), "", options);
    assert_started(&machine.boot(&image, &machine.disk));
    assert_withdrawn(&machine.boot(&image, &machine.swapped));
}

const WITHOUT_SYSTEMD: [&str; 2] = ["--omit", "systemd systemd-initrd dracut-systemd"];

#[test]
fn dracut_059_with_systemd() {
    starts_and_starts_over("bookworm", &[]);
}

#[test]
fn dracut_059_without_systemd() {
    starts_or_gives_a_shell("bookworm", &WITHOUT_SYSTEMD);
}

#[test]
fn dracut_106_with_systemd() {
    starts_or_gives_a_shell("trixie", &[]);
}

#[test]
fn dracut_106_without_systemd() {
    starts_and_starts_over("trixie", &WITHOUT_SYSTEMD);
}

#[test]
fn systemd_cryptsetup_opens_the_disk_and_asks_once_nothing_is_published() {
    let machine = Installed::get();
    let configuration = "trust_crypt=yes\ntrust_setup_options='--also-as cryptsetup'\ntrust_prompt=yes\n";
    let cmdline = format!("rd.luks.name={UUID}=root");
    let image = machine.image("crypttab", "trixie", configuration, &cmdline, &[]);
    assert_started(&machine.boot(&image, &machine.disk));
    assert_withdrawn(&machine.boot(&image, &machine.swapped));
}

#[test]
fn crypt_of_dracut_opens_the_disk_by_its_token_and_asks_nobody() {
    let machine = Installed::get();
    let cmdline = format!("rd.luks.uuid={UUID} rd.luks.name={UUID}=root");
    let image = machine.image("crypt", "bookworm", "trust_crypt=yes\n", &cmdline, &WITHOUT_SYSTEMD);
    assert_started(&machine.boot(&image, &machine.disk));
    let report = machine.boot(&image, &machine.swapped);
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert_unattended(&report);
}
