//! Initramfs images of dracut, of three versions, with systemd and without: the disk opens unattended, a swapped one is
//! refused, and there is no prompt and no shell while anything is published.

use harness::{
    Digest, Identity, State, assets, extend, hex, physical_volume, sha256, trust_host, unhex,
    vm::{CMDLINE, Chain, Deployment, Dracut, Initrd, Outcome, Report, SIGNED, Vm, from_vfat, trust_data},
    workspace,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Size of the disk, in bytes.
const SIZE: u64 = 64 << 20;
const UUID: &str = "4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10";
/// Of the volume with a volume group in it.
const GROUP_UUID: &str = "5e9b8b4f-4d1c-4b4f-8e1f-2e4c5df3bf21";
const INSTALL: &str = include_str!("vm_dracut/install.sh");
/// The first program of a system on a disk: it says whose it is, and what it finds.
const SYSTEM: &str = include_str!("vm_dracut/system.sh");
/// The installer's program: it comes with a system of its own.
const CHROOT: &str = "\
#!/bin/sh
set -eu
for place in dev proc sys run; do
    mount --rbind /$place /installer/$place
done
chroot /installer /bin/busybox --install -s /bin
chroot /installer /bin/sh -eu /script
";
const REPORT: &str = include_str!("vm_dracut/report.sh");
/// What must not appear unless the administrator allows it.
const PROMPTS: [&str; 3] = ["passphrase for", "Entering emergency mode", "Dropping to debug shell"];

/// A machine that is provisioned and installed, and a disk that an attacker would like it to start from.
struct Installed {
    deployment: Deployment,
    variables: PathBuf,
    tpm: State,
    disk: PathBuf,
    /// The same system, on a logical volume in the encrypted one.
    group: PathBuf,
    /// A plain disk whose volume group `mapper` has a volume `root`; and one whose group is called as ours.
    foreign: [PathBuf; 2],
    swapped: PathBuf,
    damaged: PathBuf,
}

impl Installed {
    fn get() -> &'static Self {
        static MADE: OnceLock<Installed> = OnceLock::new();
        MADE.get_or_init(Self::new)
    }

    /// By images of dracut, like everything here.
    fn new() -> Self {
        let deployment = Deployment::new();
        let variables = deployment.variables(Chain::Direct, &[], "vars.fd");
        let [disk, group, swapped, damaged, medium] =
            ["disk.img", "group.img", "swapped.img", "damaged.img", "trust-data.img"].map(|name| deployment.file(name));
        trust_data(&medium, &Identity::rsa(2048));
        for disk in [&disk, &group] {
            File::create(disk).and_then(|file| file.set_len(SIZE)).unwrap();
        }
        let [owners, volume, attackers] =
            ["owners.img", "volume.img", "attackers.img"].map(|name| deployment.file(name));
        file_system("the owner", &owners);
        physical_volume("vg0", "root", &owners, &volume);
        file_system("an attacker", &attackers);
        let foreign = ["mapper", "vg0"].map(|name| {
            let disk = deployment.file(&format!("foreign-{name}.img"));
            physical_volume(name, "root", &attackers, &disk);
            disk
        });
        let vm = Vm::new(&variables);

        let provisioning = dracut("bookworm", "trust_image=provisioning\n");
        // As if the keyset pinned TPMs, which no boot here looks at.
        provisioning.write("authorities/k.pem", "");
        let options = [&WITHOUT_SYSTEMD[..], &["--include", "/authorities", "/pcr7data/policy-2/authorities"]].concat();
        let image = build(&deployment, "provision", &provisioning, "", &options);
        deployment.install(&vm, Chain::Direct, &image);
        vm.set_disks(&[&medium]);
        let report = vm.boot();
        assert!(report.console.contains("reboot: Power down"), "{}", report.console);
        // The Name of a key: its hash algorithm, and the hash of its public area, which is behind a length.
        let key = from_vfat(&medium, "srk.pub");
        let name = format!("the name of the storage root key is 000b{}", hex(&sha256(&[&key[2..]])));
        assert!(report.console.contains(&name), "{}", report.console);

        let installer = dracut("trixie", "trust_image=installer\ntrust_install=/install\n");
        installer.write("install", CHROOT).add_tree("installer", &installation(&volume).root());
        let options = ["--include", "/installer", "/installer", "--install", "chroot"];
        let image = build(&deployment, "install", &installer, "", &options);
        deployment.install(&vm, Chain::Direct, &image);
        vm.set_disks(&[&disk, &group]);
        let report = vm.boot();
        assert!(report.ok().console.contains("reboot: Power down"), "{}", report.console);

        attack(&swapped);
        damage(&group, &damaged);
        Self { variables, tpm: vm.tpm(), disk, group, foreign, swapped, damaged, deployment }
    }

    /// An image that starts the machine.
    fn image(&self, name: &str, suite: &'static str, configuration: &str, cmdline: &str, options: &[&str]) -> PathBuf {
        self.image_with(name, suite, configuration, cmdline, options, None)
    }

    /// The same, with a file of its own.
    fn image_with(
        &self,
        name: &str,
        suite: &'static str,
        configuration: &str,
        cmdline: &str,
        options: &[&str],
        file: Option<(&str, &str)>,
    ) -> PathBuf {
        let dracut = dracut(suite, &format!("trust_luks_wait=45\n{configuration}"));
        // A shell, or a prompt, reports what is published by then.
        dracut.write("report", REPORT);
        let asked = "[Service]\nExecStart=\nExecStart=/bin/sh /report\n";
        dracut.write("asked", asked);
        let agent = "/etc/systemd/system/systemd-ask-password-console.service.d/report.conf";
        let mut include = vec!["--install", "base64 cat grep ls stty", "--include", "/asked", agent];
        for place in ["/etc/profile", "/report"] {
            include.extend(["--include", "/report", place]);
        }
        if let Some((place, content)) = file {
            dracut.write("own", content);
            include.extend(["--include", "/own", place]);
        }
        let root = if cmdline.starts_with("root=") { "" } else { "root=/dev/mapper/root" };
        let cmdline = format!("{root} ro {cmdline}");
        build(&self.deployment, name, &dracut, &cmdline, &[&include, options].concat())
    }

    /// PCR 7 as the firmware leaves it to production images.
    fn pcr7(&self) -> Digest {
        let values =
            self.deployment.trust(&[&["compute-pcr7", "k"], &self.deployment.chain(Chain::Direct)[..]].concat());
        let value = values.lines().find_map(|line| line.strip_prefix("uki-production: ")).unwrap();
        unhex(value).try_into().unwrap()
    }

    /// Boots the machine with this image and a copy of this disk.
    fn boot(&self, image: &Path, disk: &Path) -> Report {
        self.machine(image, disk).boot()
    }

    /// The same, with a foreign disk that comes while volumes are opened, so that its links are the last ones.
    fn boot_and_plug_in(&self, image: &Path, disk: &Path, foreign: &Path) -> Report {
        let report = self.machine(image, disk).boot_and_plug_in(foreign, "device-mapper: ", &[]);
        assert!(report.console.contains("[vdc]"), "no disk came: {}", report.console);
        report
    }

    fn machine(&self, image: &Path, disk: &Path) -> Vm {
        let vm = Vm::new(&self.variables);
        vm.set_tpm(&self.tpm);
        fs::copy(disk, vm.data_disk()).unwrap();
        self.deployment.install(&vm, Chain::Direct, image);
        vm
    }
}

/// No drivers but those of a guest, as for known hardware: the firmware reads every byte of an image
/// several times. What the module needs it brings by itself. Images with all drivers are vm_docs'.
const FEW_DRIVERS: &str = "drivers='virtio_blk virtio_pci'\nfilesystems=ext4\n";

/// With what every configuration has.
fn dracut(suite: &'static str, configuration: &str) -> Dracut {
    let common = format!("{FEW_DRIVERS}trust_pcr7data=/etc/trust/pcr7data\ntrust_pause=1\n");
    Dracut::new(suite, &format!("{common}{configuration}"))
}

/// Runs dracut, and makes an image of what it made.
fn build(deployment: &Deployment, name: &str, dracut: &Dracut, cmdline: &str, options: &[&str]) -> PathBuf {
    dracut.add_tree("etc/trust/pcr7data", &deployment.key("pcr7data", ""));
    let initrd = dracut.build(&[&["--compress", "zstd -3"], options].concat());
    let image = deployment.file(&format!("{name}.efi"));
    // A guest without output for long is taken for hung.
    let talkative = CMDLINE.replace("quiet ", "");
    let systemd = "systemd.import_credentials=no systemd.gpt_auto=0";
    deployment.build_as_it_is(&initrd, &format!("{talkative} {systemd} {cmdline} {SIGNED}"), &image);
    image
}

/// What an installer brings along.
fn installation(volume: &Path) -> Initrd {
    let host = trust_host();
    let settings = format!("UUID={UUID}\nGROUP_UUID={GROUP_UUID}\nHOST={}\n", host.display());
    let mut files = Initrd::new(&format!("{settings}{INSTALL}"));
    for program in ["/usr/sbin/cryptsetup", "/usr/bin/keyctl", "/sbin/mkfs.ext4"] {
        files.program(Path::new(program));
    }
    files.program(&host).write("system", SYSTEM, 0o755).add("volume", volume, 0o644);
    files
}

/// A small system, which says whose it is.
fn file_system(whose: &str, image: &Path) {
    let tree = tempfile::TempDir::with_prefix("system-").unwrap();
    let path = |name: &str| tree.path().join(name);
    for name in ["bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp", "usr", "root"] {
        fs::create_dir(path(name)).unwrap();
    }
    harness::run("cp", &["/bin/busybox", path("bin/busybox").to_str().unwrap()]);
    std::os::unix::fs::symlink("busybox", path("bin/sh")).unwrap();
    fs::write(path("etc/os-release"), "ID=test\n").unwrap();
    fs::write(path("whose"), whose).unwrap();
    fs::write(path("sbin/init"), SYSTEM).unwrap();
    harness::run("chmod", &["755", path("sbin/init").to_str().unwrap()]);
    File::create(image).and_then(|file| file.set_len(8 << 20)).unwrap();
    harness::run("mkfs.ext4", &["-q", "-d", tree.path().to_str().unwrap(), image.to_str().unwrap()]);
}

/// A volume of the same UUID, with a foreign passphrase.
fn attack(disk: &Path) {
    File::create(disk).and_then(|file| file.set_len(SIZE)).unwrap();
    let key = disk.with_extension("key");
    fs::write(&key, "attacker").unwrap();
    let (disk, key) = (disk.to_str().unwrap(), key.to_str().unwrap());
    let quick = ["--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    harness::run("cryptsetup", &[&["luksFormat", "--uuid", UUID], &quick[..], &[disk, key]].concat());
    harness::run("cryptsetup", &["token", "add", "--key-description", "machine:luks", disk]);
}

/// The disk with a few blocks spoilt: what describes the file system's groups, behind its superblock, by which udev still
/// knows it. The header is what it was.
fn damage(disk: &Path, damaged: &Path) {
    /// Where LUKS2 data begins, in bytes, unless cryptsetup is told otherwise; in there LVM's first extent; and in there the
    /// descriptors of block groups.
    const GROUPS: usize = (16 << 20) + (1 << 20) + 2048;
    let mut bytes = fs::read(disk).unwrap();
    bytes[GROUPS..GROUPS + (64 << 10)].fill(0x5a);
    fs::write(damaged, bytes).unwrap();
}

/// The system on the disk runs, there was no prompt, and nothing is published any more.
#[track_caller]
fn assert_started(report: &Report) {
    assert_eq!((report.ok().value("whose"), report.value("root")), ("the owner", "/dev/mapper/root"));
    assert_all_withdrawn(report);
}

/// The same, where the system is on a logical volume.
#[track_caller]
fn assert_started_from_the_group(report: &Report) {
    assert_eq!((report.ok().value("whose"), report.value("root")), ("the owner", "/dev/mapper/vg0-root"));
    assert_all_withdrawn(report);
}

#[track_caller]
fn assert_all_withdrawn(report: &Report) {
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

/// It says why, and restarts.
#[track_caller]
fn assert_refused(report: &Report) {
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert!(report.console.contains("bears no seal"), "{}", report.console);
    assert_unattended(report);
}

/// There was a shell or a prompt, and by then nothing was published, and the TPM was locked.
#[track_caller]
fn assert_withdrawn(report: &Report) {
    assert_nothing_published(report.ok());
    assert_eq!((report.value("setup"), report.value("open")), ("12", ""), "{}", report.console);
}

/// `trust luks open` by the units or the hooks; no shell is allowed. A foreign disk claims the name of the root.
fn starts_and_starts_over(suite: &'static str, options: &[&str]) {
    let machine = Installed::get();
    let name = format!("{suite}-{}", options.len());
    let image = machine.image(&name, suite, &format!("trust_luks=root=UUID={UUID}\n"), "", options);
    assert_started(&machine.boot_and_plug_in(&image, &machine.disk, &machine.foreign[0]));
    assert_refused(&machine.boot(&image, &machine.swapped));
}

/// The same where there is a shell at the console, and nothing but the file system keeps from booting. The
/// system is on a logical volume, and a foreign disk claims its name.
fn starts_or_gives_a_shell(suite: &'static str, options: &[&str]) {
    let machine = Installed::get();
    let name = format!("{suite}-{}-shell", options.len());
    let configuration = format!("trust_luks=pv=UUID={GROUP_UUID}\ntrust_shell=yes\n");
    let image = machine.image(&name, suite, &configuration, "root=/dev/vg0/root", options);
    assert_started_from_the_group(&machine.boot_and_plug_in(&image, &machine.group, &machine.foreign[1]));
    assert_withdrawn(&machine.boot(&image, &machine.damaged));
}

const WITHOUT_SYSTEMD: [&str; 2] = ["--omit", "systemd systemd-initrd dracut-systemd"];

#[test]
fn an_image_of_dracut_059_with_systemd_boots_and_restarts_after_failures() {
    starts_and_starts_over("bookworm", &[]);
}

#[test]
fn an_image_of_dracut_059_without_systemd_boots_and_restarts_after_failures() {
    starts_or_gives_a_shell("bookworm", &WITHOUT_SYSTEMD);
}

#[test]
fn an_image_of_dracut_106_with_systemd_boots_and_restarts_after_failures() {
    starts_or_gives_a_shell("trixie", &[]);
}

#[test]
fn an_image_of_dracut_106_without_systemd_boots_and_restarts_after_failures() {
    starts_and_starts_over("trixie", &WITHOUT_SYSTEMD);
}

/// What was extended into PCR 7, in that order, as systemd's own tool reads the log that systemd and trust have written.
fn measured(report: &Report) -> Vec<(String, Digest)> {
    let machine = Installed::get();
    let (log, tree) = (machine.deployment.file("measure.log"), assets::tree("forky"));
    fs::write(&log, report.bytes("log")).unwrap();
    let libraries = tree.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(format!("{0}:{0}/systemd", libraries.display()));
    command.arg(tree.join("usr/lib/systemd/systemd-pcrlock")).args(["cel", "--no-pager", "--json=short"]);
    command.env("SYSTEMD_MEASURE_LOG_USERSPACE", &log).env("SYSTEMD_MEASURE_LOG_FIRMWARE", "/dev/null");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let records: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of_pcr7 = records.iter().filter(|record| record["pcr"] == 7).map(|record| {
        let banks = record["digests"].as_array().unwrap();
        let digest = banks.iter().find(|bank| bank["hashAlg"] == "sha256").unwrap()["digest"].as_str().unwrap();
        (record["content"]["string"].as_str().unwrap().to_owned(), unhex(digest).try_into().unwrap())
    });
    of_pcr7.collect()
}

/// PCR 7 has been extended with these, and so says the log.
#[track_caller]
fn assert_measured(report: &Report, events: &[&str]) {
    let measured = measured(report);
    assert_eq!(measured.iter().map(|(event, _)| event).collect::<Vec<_>>(), events);
    let replayed = measured.iter().fold(Installed::get().pcr7(), |pcr, (_, digest)| extend(&pcr, digest));
    assert_eq!(report.value("pcr7").to_lowercase(), hex(&replayed));
}

/// systemd 262, which extends PCR 7 by itself: not before it is locked, and not while it is.
#[test]
fn systemd_cryptsetup_opens_the_disk_and_prompts_only_without_secrets() {
    let machine = Installed::get();
    let configuration = "trust_crypt=yes\ntrust_setup_options='--also-as cryptsetup'\ntrust_prompt=yes\n";
    let cmdline = format!("rd.luks.name={UUID}=root");
    let image = machine.image("crypttab", "forky", configuration, &cmdline, &[]);
    let report = machine.boot(&image, &machine.disk);
    assert_started(&report);
    assert_measured(&report, &["atomix\n", "os-separator"]);
    let report = machine.boot(&image, &machine.swapped);
    assert_withdrawn(&report);
    // Locked twice more: whoever is at the prompt has nothing of the running system.
    assert_measured(&report, &["atomix\n", "os-separator", "atomix\n", "atomix\n"]);
}

/// As it would be without our order.
#[test]
fn a_separator_of_systemd_262_before_setup_is_named() {
    let unit = fs::read_to_string(workspace().join("initrd/systemd/trust-setup.service")).unwrap();
    let reversed = unit.replace("Before=systemd-pcrosseparator", "After=systemd-pcrosseparator");
    assert_ne!(unit, reversed);
    let machine = Installed::get();
    let image = machine.image_with(
        "separator",
        "forky",
        &format!("trust_luks=root=UUID={UUID}\n"),
        "",
        &[],
        Some(("/etc/systemd/system/trust-setup.service", &reversed)),
    );
    let report = machine.boot(&image, &machine.disk);
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert!(report.console.contains("systemd has already extended PCR 7 with os-separator"), "{}", report.console);
    assert_unattended(&report);
}

/// What reads from a terminal in an initrd of systemd gets nothing: by way of `trust-withdraw.service`, and of
/// `trust-close.service`, or not at all.
#[test]
fn every_shell_and_prompt_of_systemd_262_is_behind_withdraw() {
    // Not in initrds, but by a target that the signed command line names.
    const ELSEWHERE: [&str; 6] = ["getty", "firstboot", "sysinstall", "storagetm", "checkisomd5", "cmdline-ask"];
    let root = workspace();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let [withdraw, close] = ["withdraw", "close"].map(|unit| {
        let text = read(&format!("initrd/systemd/trust-{unit}.service"));
        text.lines().filter_map(|line| line.strip_prefix("RequiredBy=")).collect::<Vec<_>>().join(" ")
    });
    let masks = read("initrd/mask.sh");
    let tree = assets::tree("forky");
    let modules = fs::read_dir(tree.join("usr/lib/dracut/modules.d")).unwrap().map(|entry| entry.unwrap().path());
    let files = modules.chain([tree.join("usr/lib/systemd/system")]).filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let mut known = 0;
    for file in files.map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if !text.contains("\nStandardInput=tty") {
            continue;
        }
        let is_in = |list: &String| list.split_whitespace().any(|word| word == name);
        let masked = masks.contains(name);
        let elsewhere = ELSEWHERE.iter().any(|part| name.contains(part)) && !name.contains("cryptenroll");
        assert!(is_in(&withdraw) && is_in(&close) || masked || elsewhere, "not handled: {name}");
        known += usize::from(!elsewhere);
    }
    assert!(known >= 9, "{known}");
}

#[test]
fn crypt_of_dracut_opens_the_disk_by_its_token_unattended() {
    let machine = Installed::get();
    let cmdline = format!("rd.luks.uuid={UUID} rd.luks.name={UUID}=root");
    let image = machine.image("crypt", "bookworm", "trust_crypt=yes\n", &cmdline, &WITHOUT_SYSTEMD);
    assert_started(&machine.boot(&image, &machine.disk));
    let report = machine.boot(&image, &machine.swapped);
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert_unattended(&report);
}
