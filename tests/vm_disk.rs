//! A disk that opens by itself, in its own machine and no other way: dm-crypt of a real kernel, cryptsetup, the TPM, and
//! `initrd/busybox`, an initrd without systemd and without udev.

use harness::{
    Identity, Sandbox,
    assets::Kernel,
    trust_initrd,
    vm::{CMDLINE, Chain, Deployment, Initrd, Report, SIGNED, Vm, trust_data},
    with_null_cipher, workspace,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Size of a disk, in bytes.
const SIZE: u64 = 64 << 20;
/// Of the volume with the root file system.
const UUID: &str = "4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10";

/// Where certificate and key are published: it is what the script, and the system, has for /run.
const PLACE: &str = "--secrets-dir=/run/trust";
/// Without the kernel's resource manager, for once.
const SETUP: &str = "--on-lock-failure=exit --secrets-dir=/run/trust --tcti=device:/dev/tpm0";

/// What an installer does: a new passphrase, two volumes that take it, seals on their headers, a small system.
const INSTALL: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
mkdir -p /run/cryptsetup
volume() {
    cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$3" "$1" /run/passphrase
    cryptsetup token add --key-description machine:luks "$1"
    /usr/sbin/trust luks seal "$1"
    trust luks open "$1" "$2"
    mkfs.ext4 -q -L "$2" "/dev/mapper/$2"
    mount "/dev/mapper/$2" /root
    echo "the owner's $2" >/root/file
}
trust preinit --on-lock-failure=exit
keyctl pipe "$(keyctl search @u user machine:luks)" >/run/passphrase
volume /dev/vdc data --label=data
umount /root
cryptsetup close data
volume /dev/vdb root "--uuid=$UUID"
mkdir -p /root/dev /root/proc /root/sys /root/run /root/data /root/sbin /root/usr/sbin /root/usr/bin
for part in bin lib lib64 usr/lib usr/sbin/cryptsetup usr/sbin/trust usr/bin/perl tell sbin/init; do
    [ ! -e "/$part" ] || cp -a "/$part" "/root/$part"
done
umount /root
cryptsetup close root
trust finish
"#;

/// What the installed system does when it is started.
const SYSTEM: &str = r#"#!/bin/busybox sh
export PATH=/usr/sbin:/bin
. /tell
begin
tell file "$(cat /file)"
mount -o ro /dev/mapper/data /data
tell data "$(cat /data/file)"
tell cipher "$(cryptsetup status root | awk '/cipher:/ { print $2 }')"
state started
number=$(sed -n 's/.* successor=\([0-9]\) .*/\1/p' /proc/cmdline)
if [ -n "$number" ]; then
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    status=0
    trust eventlog check >/run/check 2>&1 || status=$?
    tell "checked-$number" "$status" "$(grep -c '"kexec ' /run/log/systemd/tpm2-measure.log)" $(cat /run/check)
    tell "system-$number" "$(uname -r)" $(ls /run/trust-kexec 2>&1)
    tell "tables-$number" "$(trust eventlog show --json --pcr 10 | grep -c 'table loaded for a device of device-mapper: .*target_name=crypt')"
    head -c 1024 /dev/vdd >/run/settings
    . /run/settings
fi
follow() {
    head -c "$2" "$1" >/run/next
    tell goes
    trust kexec --with-disk --now /run/next 2>/run/why
    tell kexec "$(cat /run/why)"
}
case $number in
0) follow /dev/vde "$second" ;;
1) follow /dev/vdf "$third" ;;
2)
    # What root can do without `trust kexec`: a signed kernel, an initrd of the owner's, another command line.
    head -c "$kernel" /dev/vdg >/run/kernel
    head -c "$initrd" /dev/vdh >/run/initrd
    tell goes
    /usr/bin/perl -e 'open K, "</run/kernel"; open I, "</run/initrd"; $c = "'"$cmdline"'"; syscall(320, fileno K, fileno I, 1 + length $c, $c, 0) and die $!;
        syscall(169, 0xfee1dead, 672274793, 0x45584543)'
    ;;
esac
tell announced
sync
poweroff -f
"#;

/// How the guest tells the test something, wherever it is.
const TELL: &str = r#"
begin() { stty -F /dev/ttyS1 raw -echo; printf '\nhere is the guest\n' >/dev/ttyS1; }
tell() { echo "$*" >/dev/ttyS1; }
state() {
    tell "$1-keys" "$(grep -c ' machine:luks' /proc/keys)"
    tell "$1-mounts" "$(grep -c -e /priv/ -e /run/trust /proc/mounts)" $(find /run/trust /priv/factory/secure -type f 2>/dev/null)
    tell "$1-mapped" $(ls /dev/mapper | grep -v control)
}
"#;

/// What the initrd tells when it fails: in the place of the shell, and of the pause in which the message can be read.
const OPTIONS: &str = r#"
. /tell
begin
tell published-before "$(grep -c ' machine:luks: ' /proc/keys)" $(ls /run/trust)
trust() { status=0; /usr/bin/trust "$@" || status=$?; tell "trust-$1 $status"; return "$status"; }
setsid() {
    state shell
    tell shell-sealed "$(/usr/sbin/trust unseal --pcr7data /pcr7data /sealed 2>&1)"
}
sleep() { state pause; tell announced; }
"#;

/// With what dm-crypt needs.
fn initrd(kernel: Kernel, script: &str) -> Initrd {
    let mut initrd = Initrd::of(kernel, script);
    for module in ["dm-mod", "dm-crypt", "xts", "ecb", "af_alg", "algif_skcipher"] {
        initrd.module(module);
    }
    initrd.program(Path::new("/usr/sbin/cryptsetup")).write("tell", TELL, 0o644);
    initrd
}

fn installer() -> Initrd {
    let mut initrd = initrd(Kernel::new(), &format!("UUID={UUID}\n{INSTALL}"));
    for program in ["/usr/bin/keyctl", "/usr/bin/perl", "/sbin/mkfs.ext4"] {
        initrd.program(Path::new(program));
    }
    // `luks seal` is the host program's: an installer brings it.
    initrd.host_program();
    initrd.write("sbin/init", SYSTEM, 0o755);
    initrd
}

/// What users take.
fn starter(kernel: Kernel, options: &str) -> Initrd {
    let mut initrd = initrd(kernel, "");
    initrd.add("init", &workspace().join("initrd/busybox/init"), 0o755);
    initrd.write("etc/trust/options", format!("{options}\n{OPTIONS}"), 0o644);
    initrd.write("etc/trust/luks/root.conf", format!("DEVICE=UUID={UUID}\n"), 0o644);
    initrd.write("etc/trust/luks/data.conf", "DEVICE=LABEL=data\nOPTIONS='--readonly --allow-discards'\n", 0o644);
    initrd
}

/// What users take, and a medium with the machine's identity.
fn provisioning(deployment: &Deployment) -> (Initrd, PathBuf) {
    let mut initrd = Initrd::new("");
    for module in ["fat", "vfat", "nls_cp437", "nls_ascii"] {
        initrd.module(module);
    }
    initrd.add("init", &workspace().join("initrd/busybox/init"), 0o755);
    let announce = "begin\npoweroff() { tell announced; busybox poweroff -f; }\n";
    initrd.write("etc/trust/options", format!("TRUST_IMAGE=provisioning\n{TELL}{announce}"), 0o644);
    // As if the keyset pinned TPMs, which no boot here looks at.
    initrd.write("pcr7data/policy-2/authorities/k.pem", "", 0o644);

    let medium = deployment.file("trust-data");
    trust_data(&medium, &Identity::rsa(2048));
    (initrd, medium)
}

/// Disks of an attacker who had ours for a while: of the same name, but with a passphrase that they know, with
/// no encryption, or without a volume, but with a system that starts.
fn prepared(sandbox: &Sandbox, ours: &Path) -> [PathBuf; 3] {
    let script = format!(
        r#"
        cd /sandbox
        truncate --size 32M stranger plain
        printf attacker >passphrase
        cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid {UUID} stranger passphrase
        cryptsetup token add --key-description machine:luks stranger
        mkdir files files/bin files/dev files/proc files/sys files/run files/data
        cp "$(command -v busybox)" files/bin
        cp tell files
        echo "the attacker's" >files/file
        install -D system files/sbin/init
        mkfs.ext4 -q -L root -U {UUID} -d files plain
        "#
    );
    for (name, text) in [("system", SYSTEM), ("tell", TELL)] {
        fs::write(sandbox.dir().join(name), text).unwrap();
    }
    sandbox.run(&script).ok();
    let mut disk = fs::read(ours).unwrap();
    with_null_cipher(&mut disk[..0x8000]);
    fs::write(sandbox.dir().join("null"), disk).unwrap();
    ["stranger", "null", "plain"].map(|name| sandbox.dir().join(name))
}

#[track_caller]
fn starts(report: &Report) {
    assert_eq!(report.ok().value("file"), "the owner's root");
    assert_eq!((report.value("data"), report.value("cipher")), ("the owner's data", "aes-xts-plain64"));
    assert_eq!(report.value("started-mapped"), "data root");
    assert_eq!((report.value("started-keys"), report.value("started-mounts").trim()), ("0", "0"));
}

/// Whether nothing is published, and nothing open, in this moment.
#[track_caller]
fn nothing_is_left(report: &Report, moment: &str) {
    let value = |name: &str| report.value(&format!("{moment}-{name}")).trim();
    assert_eq!((value("keys"), value("mounts"), value("mapped")), ("0", "0", ""), "{moment}: {report:#?}");
}

/// A production image starts the next one by kexec, and that another, which open the disk though the TPM has nothing for
/// them: from Debian 13's kernel to Debian 12's and back. What root starts in their place has neither.
fn continues_without_the_tpm(deployment: &Deployment, vm: &Vm, [ours, data]: [&Path; 2]) {
    let options = format!("TRUST_SETUP='{SETUP}'\nTRUST_FINISH={PLACE}\nTRUST_WITHDRAW={PLACE}");
    let with = |kernel: &Kernel, volumes: &str| {
        let mut initrd = starter(kernel.clone(), &options);
        initrd.write("etc/trust/luks/root.conf", format!("DEVICE=UUID={UUID}\n{volumes}"), 0o644);
        initrd.write("etc/trust/luks/data.conf", format!("DEVICE=LABEL=data\n{volumes}"), 0o644);
        initrd
    };
    // IMA measures what device-mapper does, without the keys.
    let cmdline = |word: &str| format!("{CMDLINE} ima_policy=critical_data root=/dev/mapper/root {word} {SIGNED}");
    let handing_over = "OPEN_OPTIONS=--for-kexec\n";
    let systems = [
        ("first", Kernel::new(), handing_over),
        ("second", Kernel::of_bookworm(), handing_over),
        ("third", Kernel::new(), ""),
    ];
    for (number, (name, kernel, volumes)) in systems.iter().enumerate() {
        let cmdline = cmdline(&format!("successor={number}"));
        let output = deployment.file(name);
        deployment.build("production", &with(kernel, volumes), &["--cmdline", &cmdline], &output);
    }
    let [second, third, kernel, packed, settings] =
        ["second", "third", "kernel", "initrd", "settings"].map(|name| deployment.file(name));
    deployment.sign_kernel(&Kernel::new(), &kernel);
    let mut initrd = with(&Kernel::new(), "");
    initrd.add_tree("pcr7data", &deployment.key("pcr7data", "")).add("usr/bin/trust", &trust_initrd(), 0o755);
    fs::copy(initrd.pack(), &packed).unwrap();
    let size = |file: &Path| fs::metadata(file).unwrap().len();
    let sizes = format!("second={}\nthird={}\nkernel={}\n", size(&second), size(&third), size(&kernel));
    let orders = format!("{sizes}initrd={}\ncmdline='{}'\n", size(&packed), cmdline("of_root=yes"));
    fs::write(&settings, format!("{orders:\n<1024}")).unwrap();
    deployment.install(vm, Chain::Direct, &deployment.file("first"));
    vm.set_disks(&[ours, data, &settings, &second, &third, &kernel, &packed]);
    let report = vm.boot();
    starts(&report);
    assert!(!report.said.contains("\nkexec "), "{report:#?}");
    let kept = ["data root", "data root", "ls: /run/trust-kexec: No such file or directory"];
    for (number, ((_, kernel, _), kept)) in systems.iter().zip(kept).enumerate() {
        assert_eq!(report.value(&format!("system-{number}")), format!("{} {kept}", kernel.release), "{report:#?}");
        assert_eq!(report.value(&format!("tables-{number}")), "2", "{report:#?}");
        // From the firmware to here, what was logged leads to what the TPM has.
        assert!(report.value(&format!("checked-{number}")).starts_with(&format!("0 {number} ")), "{report:#?}");
    }
    let mounted = "file the owner's root\ndata the owner's data\n";
    let started = format!("{mounted}cipher aes-xts-plain64\nstarted-keys 0\nstarted-mounts 0");
    assert_eq!(report.said.matches(&started).count(), 3, "{report:#?}");
    let words = "started by kexec, and handed over what it needs";
    assert_eq!(report.console.matches(words).count(), 2, "{report:#?}");

    let end = report.said.rfind("\ntrust-setup 12\n").unwrap_or_else(|| panic!("{report:#?}"));
    assert!(!report.said[end..].contains("trust-luks") && !report.said[end..].contains("file "), "{report:#?}");
    nothing_is_left(&report, "pause");
}

#[test]
fn a_disk_opens_only_in_its_own_machine_and_cannot_be_replaced() {
    let deployment = Deployment::new();
    let root = format!("{CMDLINE} root=/dev/mapper/root");
    // The kernel hands `stranger` on, before what follows `--`.
    let first = format!("{root} noresume rdinit=/usr/bin/trust stranger -- setup {SETUP} --exec /init --end");
    let start_cmdline = format!("{root} {SIGNED}");
    let plain = format!("{CMDLINE} root=UUID={UUID} {SIGNED}");
    let (provision, medium) = provisioning(&deployment);
    let start = starter(Kernel::new(), &format!("TRUST_SETUP='{SETUP}'\nTRUST_FINISH={PLACE}\nTRUST_WITHDRAW={PLACE}"));
    for (kind, initrd, cmdline, name) in [
        ("limited", &provision, CMDLINE, "provision.efi"),
        ("production", &installer(), CMDLINE, "install.efi"),
        ("production", &start, &first, "first.efi"),
        ("production", &start, &start_cmdline, "start.efi"),
    ] {
        deployment.build(kind, initrd, &["--cmdline", cmdline], &deployment.file(name));
    }
    let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
    let boot = |image: &str, disks: &[&Path]| {
        deployment.install(&vm, Chain::Direct, &deployment.file(image));
        vm.set_disks(disks);
        vm.boot()
    };
    let read_only = format!("if=virtio,format=raw,readonly=on,file={}", medium.display());
    vm.set_options(&["-drive", &read_only]);
    let report = boot("provision.efi", &[]);
    let no_file = "trust: the medium cannot be written: give that name to trust sudi certify-tpm";
    assert!(report.ok().console.contains(no_file), "{}", report.console);
    let ours = ["root", "data"].map(|name| deployment.file(name));
    let [ours, data] = ours.each_ref().map(PathBuf::as_path);
    let install = || {
        for disk in [ours, data] {
            File::create(disk).and_then(|file| file.set_len(SIZE)).unwrap();
        }
        boot("install.efi", &[ours, data]).ok();
    };
    install();

    // Trust is the first process of all; others have disks of that name before and behind ours.
    let sandbox = Sandbox::new();
    let theirs = prepared(&sandbox, ours);
    let [stranger, null, file_system] = theirs.each_ref().map(PathBuf::as_path);
    let usb = format!("if=none,id=usb,format=raw,readonly=on,file={}", file_system.display());
    vm.set_options(&["-device", "qemu-xhci", "-drive", &usb, "-device", "usb-storage,drive=usb"]);
    starts(&boot("first.efi", &[stranger, data, ours, null]));
    vm.set_options(&[]);

    // A new installation: what the old one left on a copy of the disk is lost. Here Trust is not the first process.
    let old = deployment.file("old");
    fs::copy(ours, &old).unwrap();
    install();
    starts(&boot("start.efi", &[&old, ours, data]));

    continues_without_the_tpm(&deployment, &vm, [ours, data]);

    // Ours is not there.
    let report = boot("first.efi", &[data, stranger, null, file_system, &old]);
    nothing_is_left(report.ok(), "pause");
    assert_eq!(
        (report.value("published-before"), report.value("trust-luks")),
        ("1 manifestCA.pem server.crt server.key", "0")
    );
    assert!(report.said.contains("trust-luks 12\ntrust-finish 0\ntrust-lock 0\ntrust-lock 0\n"), "{report:#?}");
    assert!(!report.said.contains("shell-"), "{report:#?}");
    assert!(
        report.console.contains(&format!("trust: cannot open UUID={UUID}: the LUKS2 header of /dev/vd")),
        "{report:#?}"
    );

    // What the running system has sealed is not for a shell.
    let mut shell = starter(Kernel::new(), &format!("TRUST_SHELL=yes\nTRUST_ROOT=UUID={UUID}"));
    shell.host_program().write("sealed", deployment.seal(&vm.tpm(), "the running system's"), 0o600);
    deployment.build("production", &shell, &["--cmdline", &plain], &deployment.file("plain.efi"));

    // Ours is there, but root is to be what has the UUID, as a file system of an attacker has, which busybox takes: the
    // last. A shell is allowed, when nothing is there to be found.
    let report = boot("plain.efi", &[ours, data, file_system]);
    assert!(
        report.ok().said.contains("trust-luks 0\ntrust-luks 0\ntrust-luks 0\ntrust-luks 0\ntrust-finish 12\ntrust-finish 0\ntrust-lock 0\ntrust-lock 0\nshell-"),
        "{report:#?}"
    );
    nothing_is_left(&report, "shell");
    assert!(report.value("shell-sealed").contains("is for PCR 7 ="), "{report:#?}");
    assert!(report.console.contains("trust: cannot trust /sysroot: it stands on vd"), "{report:#?}");
}
