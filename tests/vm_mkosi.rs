//! An image that mkosi makes of an ordinary configuration and our drop-ins: it starts unattended, and whatever
//! lies beside it unsigned has no part in that.

use base64ct::{Base64, Encoding};
use harness::{
    Identity, assets, documentation, mkosi, physical_volume, run, trust_host, trust_initrd,
    vm::{Chain, Deployment, Initrd, Outcome, Vm},
    workspace,
};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// An installer: a volume, a seal, and a system in it, whose process 1 is that of every guest, with this script.
const INSTALL: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
mkdir -p /run/cryptsetup
trust preinit --on-lock-failure=exit
keyctl pipe "$(keyctl search @u user machine:luks)" >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --label root --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdb
/usr/sbin/trust luks seal /dev/vdb
trust luks open /dev/vdb root
mkfs.ext4 -q /dev/mapper/root
mount /dev/mapper/root /root
cd /root
mkdir bin dev etc modules proc run sbin sys
cp /bin/busybox bin/busybox
cp /init sbin/init
cp /system script
echo ID=small >etc/os-release
echo the owner >whose
cd /
umount /root
cryptsetup close root
trust finish
"#;

/// What the installed system says of its boot.
const SYSTEM: &str = r#"
say cmdline $(cat /proc/cmdline)
say root $(awk '$2 == "/" { print $1 }' /proc/mounts)
say cipher $(cat /sys/block/dm-0/dm/uuid)
say keys $(grep -c ' machine:luks' /proc/keys)
say secrets $(ls /priv /run/trust 2>/dev/null)
say pcr4 $(cat /sys/class/tpm/tpm0/pcr-sha256/4)
say acted $(ls /run/acted* 2>/dev/null)
say obeyed $(ls -d /run/systemd/generator*/*hibernate* /run/systemd/generator*/*factory* 2>/dev/null)
say groups $(ls /dev/mapper | grep mapper-)
say whose $(cat /whose)
say credentials $(ls /run/credentials/@system /run/credentials/@encrypted 2>/dev/null)
say extensions $(ls -d /run/systemd/sysext /run/systemd/confext 2>/dev/null) $(cat /run/log/journal/*/* | grep -a -c 'erged extensions')
"#;

/// The first program of an attacker's system.
const ATTACKERS: &str = r#"#!/bin/busybox sh
/bin/busybox stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\nwhose an attacker\nroot\nannounced\n' >/dev/ttyS1
/bin/busybox poweroff -f
"#;

/// Whose variables those of systemd are.
const SYSTEMD: &str = "8cf2644b-4b0b-428f-9387-6d876050dc67";

/// A unit that leaves a trace, and one that wants it: what a credential can bring.
const ACTED: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/touch /run/acted\n";
const WANTS: &str = "[Unit]\nWants=acted.service\n";

/// A project of mkosi: the example, and what the README adds to it.
struct Project(TempDir);

impl Project {
    fn new(deployment: &Deployment) -> Self {
        let project = Self(TempDir::with_prefix("mkosi-").unwrap());
        let example = workspace().join("tests/mkosi-example");
        run("cp", &["-rT", example.to_str().unwrap(), project.path("").to_str().unwrap()]);
        let share = trust_initrd().with_file_name("share");
        assert!(share.join("mkosi.conf.d").is_dir(), "there is no {}: run `cargo xtask dist`", share.display());
        // In the place of what the packages install; and the keyset that the README makes.
        let (home, share) = (deployment.home().path(), share.to_str().unwrap());
        symlink("k", deployment.home().keys().join("acme")).unwrap();
        let readme = documentation::read("README.md");
        let (_, below) = documentation::section(&readme, "Your own image").split_once("With **mkosi**").unwrap();
        let mut commands = documentation::commands(below);
        assert_eq!(commands.pop().unwrap(), "mkosi build\n");
        for command in commands {
            let mut shell = Command::new("sh");
            let command = command.replace("/usr/share/trust", share);
            let status = shell.args(["-euc", &command]).current_dir(project.0.path()).env("HOME", home).status();
            assert!(status.unwrap().success(), "{command}");
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The image that the firmware starts.
    fn build(&self) -> PathBuf {
        let (made, said) = mkosi(self.0.path());
        assert!(made, "{said}");
        self.path("mkosi.output/image/efi/EFI/BOOT/BOOTX64.EFI")
    }
}

/// What an attacker with the boot disk puts beside the image.
fn beside(deployment: &Deployment) -> Vec<(&'static str, PathBuf)> {
    let (credential, addon, extension) =
        (deployment.file("acted.cred"), deployment.file("acted.addon.efi"), deployment.file("acted.raw"));
    fs::write(&credential, ACTED).unwrap();
    let mut ukify = assets::program("ukify");
    let stub = assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub");
    ukify
        .args(["build", "--cmdline", "rd.systemd.debug_shell acted"])
        .arg("--stub")
        .arg(stub)
        .arg("--output")
        .arg(&addon);
    assert!(ukify.status().unwrap().success());
    let tree = TempDir::with_prefix("extension-").unwrap();
    for (name, text) in [
        ("usr/lib/extension-release.d/extension-release.acted", "ID=_any\nEXTENSION_RELOAD_MANAGER=1\n"),
        ("usr/lib/systemd/system/acted.service", ACTED),
        ("usr/lib/systemd/system/initrd.target.d/acted.conf", WANTS),
    ] {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    File::create(&extension).unwrap().set_len(4 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-d", tree.path().to_str().unwrap(), extension.to_str().unwrap()]);
    vec![
        ("EFI/BOOT/BOOTX64.EFI.extra.d/systemd.extra-unit.acted.service.cred", credential.clone()),
        ("loader/credentials/systemd.extra-unit.acted.service.cred", credential),
        ("EFI/BOOT/BOOTX64.EFI.extra.d/acted.addon.efi", addon),
        ("EFI/BOOT/BOOTX64.EFI.extra.d/acted.raw", extension),
    ]
}

/// A file system with a system of an attacker's, which says whose it is.
fn attackers(deployment: &Deployment) -> PathBuf {
    let tree = TempDir::with_prefix("attackers-").unwrap();
    let path = |name: &str| tree.path().join(name);
    for name in ["bin", "dev", "etc", "proc", "run", "sbin", "sys", "usr"] {
        fs::create_dir(path(name)).unwrap();
    }
    run("cp", &["/bin/busybox", path("bin/busybox").to_str().unwrap()]);
    fs::write(path("etc/os-release"), "ID=small\n").unwrap();
    fs::write(path("sbin/init"), ATTACKERS).unwrap();
    run("chmod", &["755", path("sbin/init").to_str().unwrap()]);
    let image = deployment.file("attackers.img");
    File::create(&image).and_then(|file| file.set_len(8 << 20)).unwrap();
    run("mkfs.ext4", &["-q", "-d", tree.path().to_str().unwrap(), image.to_str().unwrap()]);
    image
}

/// The kernel in an image.
fn kernel(deployment: &Deployment, image: &Path) -> PathBuf {
    let kernel = deployment.file("kernel.efi");
    run("objcopy", &["-O", "binary", "--only-section=.linux", image.to_str().unwrap(), kernel.to_str().unwrap()]);
    kernel
}

#[test]
fn an_image_of_mkosi_boots_unattended_and_ignores_unsigned_input() {
    let deployment = Deployment::new();
    let project = Project::new(&deployment);
    let image = project.build();

    // One signature, over everything: whatever else that key had signed would get the secrets, too.
    let cert = deployment.key("uki-production", "cert.pem");
    let cert = cert.to_str().unwrap();
    deployment.trust(&["verify", "efi", "--cert", cert, image.to_str().unwrap()]);
    let alone =
        Command::new(trust_host()).args(["verify", "efi", "--cert", cert]).arg(kernel(&deployment, &image)).status();
    assert_eq!(alone.unwrap().code(), Some(12));

    let vm = provisioned(&deployment);
    File::create(vm.data_disk()).and_then(|file| file.set_len(64 << 20)).unwrap();
    let mut install = Initrd::new(INSTALL);
    for module in ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"] {
        install.module(module);
    }
    for program in ["/usr/sbin/cryptsetup", "/usr/bin/keyctl", "/sbin/mkfs.ext4"] {
        install.program(Path::new(program));
    }
    install.host_program().write("system", SYSTEM, 0o644);
    deployment.build("production", &install, &[], &deployment.file("install.efi"));
    deployment.install(&vm, Chain::Direct, &deployment.file("install.efi"));
    vm.boot().ok();

    // Variables of the firmware that have a disk resumed, and disks erased; a disk that claims the name of the root.
    let obeyed = [
        ("HibernateLocation", r#"{"uuid":"4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10","offset":0}"#),
        ("FactoryResetRequest", r#"{"osReleaseId":"debian"}"#),
        ("SystemdOptions", "rd.systemd.debug_shell acted"),
    ];
    vm.add_variables(SYSTEMD, &obeyed);
    let foreign = deployment.file("foreign.img");
    physical_volume("mapper", "root", &attackers(&deployment), &foreign);
    vm.set_disks(&[&foreign]);

    let beside = beside(&deployment);
    let mut files: Vec<(&str, &Path)> = vec![("EFI/BOOT/BOOTX64.EFI", &image)];
    files.extend(beside.iter().map(|(name, path)| (*name, path.as_path())));
    vm.set_boot_disk(&files);
    let credential = |name: &str, text: &str| {
        format!("type=11,value=io.systemd.credential.binary:{name}={}", Base64::encode_string(text.as_bytes()))
    };
    let unit = credential("systemd.extra-unit.acted.service", ACTED);
    let dropin = credential("systemd.unit-dropin.initrd.target", WANTS);
    // An initrd may unpack to half of the memory.
    vm.set_options(&["-m", "1024", "-smbios", &unit, "-smbios", &dropin]);
    let report = vm.boot();
    assert_eq!((report.ok().value("whose"), report.value("root")), ("the owner", "/dev/mapper/root"));
    assert_eq!((report.value("obeyed"), report.value("groups")), ("", ""), "{}", report.console);
    assert!(report.value("cipher").starts_with("CRYPT-LUKS2-"), "{}", report.value("cipher"));
    assert_eq!((report.value("keys"), report.value("secrets")), ("0", ""));
    assert_eq!((report.value("acted"), report.value("credentials")), ("", ""));
    assert_eq!(report.value("extensions"), "0");
    assert!(!report.value("cmdline").contains("acted"), "{}", report.value("cmdline"));
    let measured = deployment.trust(&["uki", "measure", "--json", image.to_str().unwrap()]);
    let pcr4 = report.value("pcr4").to_lowercase();
    assert!(measured.contains(&pcr4), "PCR 4 is {pcr4}, and was to be {measured}");

    // What the firmware's strings have the stub append arrives at Trust, and nowhere else.
    vm.set_options(&[
        "-m",
        "1024",
        "-smbios",
        "type=11,value=io.systemd.stub.kernel-cmdline-extra=rdinit=/bin/sh init=/bin/sh acted --end",
    ]);
    let report = vm.boot();
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    assert!(report.console.contains("rdinit=/bin/sh has been appended to its command line"), "{}", report.console);
    vm.set_options(&["-m", "1024"]);

    // Another disk in its place: there is no prompt and no shell, and the machine restarts.
    File::create(vm.data_disk()).and_then(|file| file.set_len(64 << 20)).unwrap();
    run("mkfs.ext4", &["-q", "-L", "root", vm.data_disk().to_str().unwrap()]);
    let report = vm.boot();
    assert_eq!((report.outcome, report.said.as_str()), (Outcome::Died, ""), "{}", report.console);
    let console = report.console;
    assert!(console.contains("Restarting system") || console.contains("reboot: "), "{console}");
    for prompt in ["Press Enter", "ogin:", "assphrase for", "sulogin", "sh-5"] {
        assert!(!console.contains(prompt), "{prompt:?} in\n{console}");
    }
}

/// A machine whose TPM has an identity.
fn provisioned(deployment: &Deployment) -> Vm {
    let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
    let identity = Identity::rsa(2048);
    let mut provision = Initrd::new("trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n");
    provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
    deployment.build("limited", &provision, &[], &deployment.file("provision.efi"));
    deployment.install(&vm, Chain::Direct, &deployment.file("provision.efi"));
    vm.boot().ok();
    vm
}
