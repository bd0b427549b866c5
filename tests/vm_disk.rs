//! A disk that opens by itself, in its own machine and no other way: dm-crypt of a real kernel, cryptsetup, the TPM.

use harness::{
    Identity, trust_host,
    vm::{Chain, Fleet, Initrd, Report, Vm},
};
use std::{fs::File, path::Path};

/// Size of the disk, in bytes.
const SIZE: u64 = 64 << 20;

/// What an installer does: a new passphrase, a volume that takes it, a seal on its header, a file system.
const INSTALL: &str = r#"
trust preinit --on-lock-failure=exit
keyctl pipe "$(keyctl search @u user machine:luks)" >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid "$UUID" /dev/vdb /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdb
/usr/sbin/trust luks seal /dev/vdb
trust luks open /dev/vdb root
mkfs.ext4 -q -L root /dev/mapper/root
mount /dev/mapper/root /root
echo "the owner's" >/root/file
umount /root
cryptsetup close root
trust finish
"#;

/// What every later boot does.
const START: &str = r#"
status=0; trust setup --on-lock-failure=exit || status=$?; say setup $status
status=0; trust luks open /dev/vdb root || status=$?; say open $status
if [ "$status" = 0 ]; then
    mount -o ro /dev/mapper/root /root
    say file "$(cat /root/file)"
    say cipher "$(cryptsetup status root | awk '/cipher:/ { print $2 }')"
fi
status=0; trust finish || status=$?; say finish $status
say keys $(grep -c ' machine:luks' /proc/keys)
say files "$(ls /priv/factory/secure 2>/dev/null)"
say mounts $(grep -c /priv/factory /proc/mounts)
say mapped "$(ls /dev/mapper | grep -v control)"
"#;

/// What somebody does who has the disk in his hands for a while, and another machine.
const ATTACK: &str = r#"
printf attacker >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid "$UUID" /dev/vdb /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdb
"#;

/// A second one: a file system in place of the volume, of the same name and with the file that is looked for.
const PLAIN: &str = r#"
mkfs.ext4 -q -F -L root -U "$UUID" /dev/vdb
mount /dev/vdb /root
echo "the attacker's" >/root/file
umount /root
"#;

const UUID: &str = "UUID=4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10\n";

fn initrd(script: &str) -> Initrd {
    let mut initrd = Initrd::new(&format!("{UUID}PATH=$PATH:/usr/sbin:/sbin\nmkdir -p /run/cryptsetup\n{script}"));
    for module in ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"] {
        initrd.module(module);
    }
    for program in ["/usr/sbin/cryptsetup", "/usr/bin/keyctl", "/sbin/mkfs.ext4"] {
        initrd.program(Path::new(program));
    }
    // `luks seal` is the host program's: an installer brings it.
    initrd.program(&trust_host()).add("usr/sbin/trust", &trust_host(), 0o755);
    initrd
}

/// Boots one of the images.
fn boot(fleet: &Fleet, vm: &Vm, image: &str) -> Report {
    fleet.install(vm, Chain::Direct, &fleet.file(image));
    vm.boot()
}

#[test]
fn a_disk_opens_in_its_own_machine_and_no_other_takes_its_place() {
    let fleet = Fleet::new();
    let variables = fleet.variables(Chain::Direct, &[], "vars.fd");
    let identity = Identity::rsa(2048);
    let mut provision = Initrd::new("trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n");
    provision.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
    let build = |kind, initrd: &Initrd, name: &str| drop(fleet.build(kind, initrd, &[], &fleet.file(name)));
    build("limited", &provision, "provision.efi");
    build("production", &initrd(INSTALL), "install.efi");
    build("production", &initrd(START), "start.efi");
    build("limited", &initrd(ATTACK), "attack.efi");
    build("limited", &initrd(PLAIN), "plain.efi");

    let vm = Vm::new(&variables);
    boot(&fleet, &vm, "provision.efi").ok();
    File::create(vm.data_disk()).and_then(|file| file.set_len(SIZE)).unwrap();
    boot(&fleet, &vm, "install.efi").ok();

    // Every boot, again and again, with nobody there.
    for _ in 0..2 {
        let report = boot(&fleet, &vm, "start.efi");
        assert_eq!((report.ok().value("setup"), report.value("open")), ("0", "0"));
        assert_eq!((report.value("file"), report.value("cipher")), ("the owner's", "aes-xts-plain64"));
        assert_eq!((report.value("finish"), report.value("keys")), ("0", "0"));
        assert_eq!((report.value("files"), report.value("mounts")), ("", "0"));
        assert_eq!(report.value("mapped"), "root");
    }

    // Disks that were swapped, prepared in a machine of the attacker's.
    let elsewhere = Vm::new(&variables);
    for attack in ["attack.efi", "plain.efi"] {
        File::create(elsewhere.data_disk()).and_then(|file| file.set_len(SIZE)).unwrap();
        boot(&fleet, &elsewhere, attack).ok();
        let ours = vm.data_disk().with_extension("ours");
        std::fs::rename(vm.data_disk(), &ours).unwrap();
        std::fs::copy(elsewhere.data_disk(), vm.data_disk()).unwrap();
        let report = boot(&fleet, &vm, "start.efi");
        assert_eq!((report.ok().value("setup"), report.value("open")), ("0", "12"), "{attack}");
        assert_eq!((report.value("mapped"), report.value("keys")), ("", "0"), "{attack}");
        std::fs::rename(&ours, vm.data_disk()).unwrap();
    }

    // A new installation: what the old one left on a copy of the disk is lost.
    let old = vm.data_disk().with_extension("old");
    std::fs::copy(vm.data_disk(), &old).unwrap();
    boot(&fleet, &vm, "install.efi").ok();
    assert_eq!(boot(&fleet, &vm, "start.efi").ok().value("file"), "the owner's");
    std::fs::rename(&old, vm.data_disk()).unwrap();
    let report = boot(&fleet, &vm, "start.efi");
    assert_eq!((report.ok().value("setup"), report.value("open")), ("0", "12"));
}
