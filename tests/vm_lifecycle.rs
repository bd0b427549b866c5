//! The life of a machine, from its keyset to its last boot, as `trust launch` tells it.

use harness::{
    assets, hex, sha256,
    vm::{self, Chain, Deployment, Initrd, Slot},
    workspace,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// Makes a disk with a small system that counts its boots.
const INSTALL: &str = r#"#!/bin/sh
set -eu
keyctl pipe "$(keyctl search @u user machine:luks)" >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vda /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vda
/usr/sbin/trust luks seal /dev/vda
trust luks open /dev/vda root
mkfs.ext4 -q /dev/mapper/root
mkdir /mnt
mount /dev/mapper/root /mnt
mkdir -p /mnt/bin /mnt/sbin /mnt/dev /mnt/proc
cp /bin/busybox /mnt/bin
cp /system /mnt/sbin/init
umount /mnt
cryptsetup close root
"#;

/// The first process of that system.
const SYSTEM: &str = r#"#!/bin/busybox sh
echo boot >>/boots
echo "it is up: boot $(/bin/busybox grep -c . /boots), $(/bin/busybox grep -c machine:luks /proc/keys) keys"
/bin/busybox sync
/bin/busybox poweroff -f
"#;

/// Has no disk, and stays.
const DISKLESS: &str = r#"
trust setup --on-lock-failure=exit
echo "certificate $(sha256sum </priv/factory/secure/server.crt)"
trust finish
echo "it is up"
exec sleep 3600
"#;

/// A keyset and its images.
struct Fixture(Deployment);

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let deployment = Deployment::new();
        deployment.trust(&["project", "add", "k", "router"]);
        // The images require a signed storage root key, and `launch` has it signed.
        deployment.trust(&["sudi", "pin-tpm", "k"]);
        let image = |kind: &str, name: &str, initrd: &Initrd, options: &[&str]| {
            drop(deployment.build(kind, initrd, options, &deployment.file(name)));
        };
        let provision = initrd("TRUST_IMAGE=provisioning", &["nls_cp437", "nls_ascii", "fat", "vfat"]);
        image("limited", "provision.efi", &provision, &[]);
        image("limited", "idle.efi", &initrd("trap - EXIT\npoweroff -f", &[]), &[]);
        let mut install = initrd("TRUST_IMAGE=installer", &DISK);
        install.write("install", INSTALL, 0o755).program(Path::new("/usr/sbin/cryptsetup"));
        install.host_program().write("system", SYSTEM, 0o755);
        install.program(Path::new("/usr/bin/keyctl")).program(Path::new("/sbin/mkfs.ext4"));
        let signed = format!("{} {}", vm::CMDLINE, vm::SIGNED);
        image("production", "install.efi", &install, &["--cmdline", &signed]);
        let mut maintenance = initrd("TRUST_IMAGE=maintenance", &DISK);
        maintenance.write("install", maintain(), 0o755).program(Path::new("/usr/sbin/cryptsetup"));
        maintenance.host_program();
        maintenance.program(Path::new("/usr/bin/keyctl"));
        image("production", "maintenance.efi", &maintenance, &["--cmdline", &signed]);
        let cmdline = format!("{} root=/dev/mapper/root rw {}", vm::CMDLINE, vm::SIGNED);
        let production = |version: u32, name: &str, more: &[&str]| {
            let mut initrd = initrd(&format!("echo image {version}"), &DISK);
            initrd.program(Path::new("/usr/sbin/cryptsetup"));
            initrd.write("etc/trust/luks/root.conf", "DEVICE=/dev/vda\n", 0o644);
            image("production", name, &initrd, &[&["--cmdline", cmdline.as_str()], more].concat());
        };
        production(1, "production.efi", &[]);
        production(1, "unsigned.efi", &["--unsigned"]);
        production(2, "update.efi", &[]);
        // Policies for a version that the machines' TPMs do not have yet.
        let sign = |version: &str| {
            deployment.trust(&["keyset", "pcr7data", "k", "--chain", "direct", "--policy-version", version]);
        };
        sign("0002");
        production(3, "renewed.efi", &[]);
        image("tpm", "raise.efi", &initrd("TRUST_IMAGE=raising\nTRUST_VERSION=0002", &[]), &["--cmdline", &signed]);
        sign("0001");
        image("production", "diskless.efi", &initrd(DISKLESS, &[]), &[]);
        Fixture(deployment)
    })
}

/// The re-encryption of `docs/sealed-volumes.md`, on the disk of these machines, which have little memory.
fn maintain() -> String {
    let document = fs::read_to_string(workspace().join("docs/sealed-volumes.md")).expect("text");
    let block = document.split("## Re-encryption").nth(1).and_then(|text| text.split("```").nth(1)).expect("commands");
    let commands = block.trim_start_matches("sh\n").replace("/dev/vda2", "/dev/vda");
    let small = "cryptsetup reencrypt --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    format!("#!/bin/sh\nset -eu\n{}", commands.replace("cryptsetup reencrypt", small))
}

/// What the kernel needs for an encrypted disk.
const DISK: [&str; 5] = ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"];

/// What users take, with these options, which are a script.
fn initrd(options: &str, modules: &[&str]) -> Initrd {
    let mut initrd = Initrd::new("");
    initrd.add("init", &workspace().join("initrd/busybox/init"), 0o755);
    initrd.write("etc/trust/options", format!("TRUST_PAUSE=1\n{options}\n"), 0o644);
    for module in modules {
        initrd.module(module);
    }
    initrd
}

impl Fixture {
    fn directory(&self, name: &str) -> PathBuf {
        self.0.home().path().join(".local/share/machine/trust/vms").join(name)
    }

    fn console(&self, name: &str) -> String {
        let text = fs::read(self.directory(name).join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&text).replace('\r', "")
    }

    /// `trust launch NAME ARGS`, for a machine that is new.
    fn first(&self, name: &str, args: &[&str]) -> Output {
        let code = assets::path("usr/share/OVMF/OVMF_CODE_4M.secboot.fd");
        let firmware = ["--firmware", text(&code), "--variables", text(&vm::empty_variables())].map(str::to_owned);
        let firmware: Vec<&str> = firmware.iter().map(String::as_str).collect();
        let size = ["--project", "k:router", "--memory", "512", "--disk-size", "64"];
        self.launch(name, &[&size[..], &firmware, args].concat())
    }

    /// `trust launch NAME --again ARGS`.
    fn again(&self, name: &str, args: &[&str]) -> Output {
        self.launch(name, &[&["--again"], args].concat())
    }

    fn launch(&self, name: &str, args: &[&str]) -> Output {
        let _slot = Slot::wait();
        self.0.home().output(&[&["launch", name, "--timeout", "300"], args].concat())
    }

    /// It ended well. Returns what it printed.
    #[track_caller]
    fn ok(&self, name: &str, output: &Output) -> String {
        let (printed, complaint) = (lossy(&output.stdout), lossy(&output.stderr));
        assert!(output.status.success(), "{printed}\n{complaint}\n{}", self.console(name));
        printed
    }

    /// It ended with this status. Returns what it complained of: one message.
    #[track_caller]
    fn fails(&self, name: &str, output: &Output, status: i32) -> String {
        let complaint = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{complaint}\n{}", self.console(name));
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(complaint.starts_with("trust: cannot "), "{complaint}");
        complaint
    }

    /// The certificate that a machine has in the project, as its console shows it.
    fn certificate(&self, serial: &str) -> String {
        let file = self.0.key("manifest", "router/sudi").join(serial).join("cert.pem");
        format!("certificate {}", hex(&sha256(&[&fs::read(file).unwrap()])))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What is told, without when it was, and without what depends on the host.
fn steps(told: &str) -> Vec<&str> {
    let words = told.lines().filter_map(|line| line.split_once(" s  ")?.1.split_whitespace().next());
    words.filter(|word| *word != "emulated").collect()
}

/// The processes that run in this directory.
fn processes_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let inside = entries.filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == dir));
    inside.map(|path| fs::read_to_string(path.join("comm")).unwrap_or_default()).collect()
}

/// Waits until it is so.
#[track_caller]
fn wait_until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(300), "not in five minutes: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_machine_is_provisioned_installed_updated_and_reinstalled() {
    let fixture = fixture();
    let file = |name| fixture.0.file(name);
    let images = file("provision.efi").parent().unwrap().to_owned();
    let first = fixture.first("m1", &["--images", text(&images), "--serial", "SN1"]);
    let told = fixture.ok("m1", &first);
    assert_eq!(steps(&told), ["made", "identity", "provisioned", "installed", "runs", "off"], "{told}");
    let console = fixture.console("m1");
    assert!(console.contains("image 1") && console.contains("it is up: boot 1, 0 keys"), "{console}");
    assert!(console.contains("trust: that key is in srk.pub on the medium"), "{console}");

    // The machine's directory is accessible to its owner only.
    let dir = fixture.directory("m1");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!dir.join("trust-data.img").exists());
    let facts: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("facts.json")).unwrap()).unwrap();
    assert_eq!((&facts["keyset"], &facts["project"], &facts["serial"]), (&"k".into(), &"router".into(), &"SN1".into()));
    assert_eq!(facts["images"]["install"], text(&file("install.efi")));
    let taken = fixture.fails("m1", &fixture.first("m1", &["--images", text(&images)]), 2);
    assert!(taken.contains("--again") && taken.contains(text(&dir)) && taken.contains("it has run"), "{taken}");

    // Another image of the same key.
    let update = fixture.again("m1", &["--image", text(&file("update.efi"))]);
    assert_eq!(steps(&fixture.ok("m1", &update)), ["runs", "off"]);
    let console = fixture.console("m1");
    assert!(console.contains("image 2") && console.contains("it is up: boot 2, 0 keys"), "{console}");

    let until = |image: &Path, said: &str| {
        fixture.ok("m1", &fixture.again("m1", &["--image", text(image), "--until", said]));
    };
    // The volume gets another key, and its header another seal; the machine keeps its passphrase.
    until(&file("maintenance.efi"), "the maintenance is done");
    fixture.ok("m1", &fixture.again("m1", &["--image", text(&file("update.efi"))]));
    let console = fixture.console("m1");
    assert!(console.contains("it is up: boot 3, 0 keys"), "{console}");

    // One of no key. It is what was last given, and stays it.
    for args in [&["--image", text(&file("unsigned.efi"))][..], &[]] {
        let refused = fixture.fails("m1", &fixture.again("m1", args), 12);
        assert!(refused.contains("Access Denied") && refused.contains("trust uki build"), "{refused}");
    }

    // A new installation begins anew.
    let anew = fixture.again("m1", &["--reinstall", "--image", text(&file("update.efi"))]);
    let told = fixture.ok("m1", &anew);
    assert_eq!(steps(&told), ["installed", "runs", "off"], "{told}");
    let console = fixture.console("m1");
    assert!(console.contains("it is up: boot 1, 0 keys"), "{console}");

    // What was signed is withdrawn: from then on an image of the same key opens nothing that was made before.
    until(&file("raise.efi"), "images with older policies get nothing any more");
    assert!(fixture.console("m1").contains("the policy version is 0002"), "{}", fixture.console("m1"));
    until(&file("update.efi"), "its policies have been withdrawn");
    assert!(!fixture.console("m1").contains("it is up"));
    fixture.ok("m1", &fixture.again("m1", &["--image", text(&file("renewed.efi"))]));
    let console = fixture.console("m1");
    assert!(console.contains("image 3") && console.contains("it is up: boot 2, 0 keys"), "{console}");
}

#[test]
fn a_machine_behind_shim_resumes_where_it_stopped_and_ends_with_its_command() {
    let fixture = fixture();
    let file = |name| fixture.0.file(name);
    let shim = fixture.0.chain(Chain::Shim);
    // Its first image does not do what it is for.
    let idle = ["--provision-image", text(&file("idle.efi")), "--image", text(&file("diskless.efi")), "--skip-install"]
        .map(str::to_owned);
    let idle: Vec<&str> = idle.iter().map(String::as_str).collect();
    let lie = fixture.fails("m2", &fixture.first("m2", &[&idle[..], &shim].concat()), 20);
    assert!(lie.contains("does not hold the machine's certificate") && lie.contains("--again"), "{lie}");
    assert!(!fixture.directory("m2").join("trust-data.img").exists());

    // The same command goes on, with the right one.
    let right = idle.iter().map(|word| word.replace("idle.efi", "provision.efi"));
    let right: Vec<String> = right.chain(["--until", "it is up", "--json"].map(str::to_owned)).collect();
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    let told = fixture.ok("m2", &fixture.first("m2", &[&right[..], &shim].concat()));
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = told.iter().filter_map(|told| Some(format!("{} {}", told["step"].as_str()?, told["state"].as_str()?)));
    assert_eq!(
        steps.collect::<Vec<_>>().join(", "),
        "resume begun, resume done, identity begun, identity done, provision begun, provision done, run begun, \
         run running, run done"
    );
    let serials = fs::read_dir(fixture.0.key("manifest", "router/sudi")).unwrap().flatten();
    let mut serials: Vec<_> = serials.map(|entry| entry.file_name().into_string().unwrap()).collect();
    serials.retain(|serial| serial != "SN1");
    let [serial] = serials.as_slice() else { panic!("one machine has {serials:?}") };
    let console = fixture.console("m2");
    assert!(console.contains(&fixture.certificate(serial)), "{console}");

    // Behind shim it is shim that does not start it.
    let refused = fixture.fails("m2", &fixture.again("m2", &["--image", text(&file("unsigned.efi"))]), 12);
    assert!(refused.contains("Security Violation"), "{refused}");

    // While it is on it is not switched on again; and it goes with its command, however that ends.
    let _slot = Slot::wait();
    let dir = fixture.directory("m2");
    let running = fixture.0.home().command(&["launch", "m2", "--again"]).spawn().unwrap();
    wait_until("the machine is on", || processes_in(&dir).len() == 2 && !fixture.console("m2").is_empty());
    let twice = fixture.fails("m2", &fixture.0.home().output(&["launch", "m2", "--again"]), 2);
    assert!(twice.contains("it is running already"), "{twice}");
    let mut names = processes_in(&dir);
    names.sort();
    assert_eq!(names.concat(), "qemu-system-x86\nswtpm\n");
    kill(Pid::from_raw(running.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    assert!(!running.wait_with_output().unwrap().status.success());
    wait_until("nothing of it is left", || processes_in(&dir).is_empty());
}
