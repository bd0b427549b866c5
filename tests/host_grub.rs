//! Files of type `TSS2 PRIVATE KEY` with a policy over PCRs, and another program for them: what grub-protect of GRUB 2.14 has
//! sealed is opened by `trust unseal`, and what `trust seal` has sealed unlocks a volume in GRUB.

use harness::{Banks, HostTpm, Interposer, Transport, assets};
use std::{
    fs::{self, File},
    process::{Command, Output},
};

/// Passphrase of a volume.
const SECRET: &[u8] = b"correct horse battery staple";

/// A TPM, and the wire by which GRUB reaches it: GRUB knows devices alone.
struct Fixture {
    machine: HostTpm,
    device: String,
    _wire: Interposer,
}

impl Fixture {
    fn new() -> Self {
        let machine = HostTpm::new(Banks::Three);
        machine.write("secret", SECRET);
        let wire = Interposer::with_front(&machine.tpm, Transport::Device);
        let device = wire.tcti().strip_prefix("device:").expect("it is a device").to_owned();
        Self { machine, device, _wire: wire }
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        // Where no key fits, GRUB asks for a passphrase, and gets an empty one.
        self.machine.write("keyboard", "\n");
        let keyboard = File::open(self.machine.file("keyboard")).unwrap();
        let mut command = Command::new(assets::grub(program));
        command.args(args).current_dir(self.machine.file("")).stdin(keyboard).env("TERM", "dumb");
        command.output().unwrap()
    }

    /// What grub-protect makes of the secret, with these options, in the file `theirs`.
    #[track_caller]
    fn protect(&self, options: &[&str]) {
        let device = format!("--tpm2-device={}", self.device);
        let usual = ["--action=add", "--protector=tpm2", "--tpm2key", "--tpm2-keyfile=secret", "--tpm2-outfile=theirs"];
        let output = self.run("grub-protect", &[&usual[..], &[&device], options].concat());
        assert!(output.status.success(), "{options:?}: {output:?}");
    }

    /// Whether GRUB unlocks the volume in the file `disk` with the key in the file `ours`, and what it says, without spaces.
    fn unlocks(&self) -> (bool, String) {
        let file = |name: &str| self.machine.file(name).display().to_string();
        let openssl = ["asn1parse", "-in", &file("ours"), "-noout", "-out", &file("ours.der")];
        assert!(Command::new("openssl").args(openssl).status().unwrap().success());
        fs::create_dir_all(self.machine.file("grub")).unwrap();
        let script = format!(
            "set pager=0\nloopback disk (host){}\ntpm2_key_protector_init --tpm2key=(host){}\n\
             cryptomount --protector tpm2 (disk)\nls\nexit\n",
            file("disk"),
            file("ours.der")
        );
        self.machine.write("grub/grub.cfg", script);
        self.machine.write("device.map", "");
        let args = ["--root=host", "--directory=grub", "--device-map=device.map", "--tpm-device", &self.device];
        let output = self.run("grub-emu", &args);
        // Lines are as wide as a terminal, and end within words, and in the place of spaces.
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).replace(char::is_whitespace, "");
        (said.contains("(crypto0)"), said)
    }
}

#[test]
fn what_grub_has_sealed_is_opened() {
    let fixture = Fixture::new();
    let machine = &fixture.machine;
    for (options, parent) in [
        (&["--tpm2-pcrs=0,7", "--tpm2-bank=sha256"][..], "owner"),
        (&["--tpm2-pcrs=0,7", "--tpm2-bank=sha384", "--tpm2-asymmetric=ECC_NIST_P256"], "owner"),
        (&["--tpm2-pcrs=0,7", "--tpm2-bank=sha256", "--tpm2-asymmetric=RSA2048"], "owner:rsa"),
        (&["--tpm2-pcrs=7", "--tpm2-bank=sha1", "--tpm2-srk=0x81000001"], "0x81000001"),
    ] {
        machine.tpm.reboot();
        fixture.protect(options);
        assert_eq!(machine.ok(&["unseal", "theirs"]), SECRET, "{options:?}");
        let shown = machine.ok(&["policy", "show", "--json", "theirs"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        assert!(shown["parent"].as_str().unwrap().starts_with(parent), "{options:?}: {shown}");
        machine.tpm.extend_pcr7(&[1; 32]);
        machine.fails(&["unseal", "theirs"], 12);
    }
}

#[test]
fn grub_unlocks_volumes_with_what_is_sealed() {
    let fixture = Fixture::new();
    let machine = &fixture.machine;
    File::create(machine.file("disk")).unwrap().set_len(20 << 20).unwrap();
    let format = ["luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2"];
    let mut cryptsetup = Command::new("cryptsetup");
    cryptsetup.args(format).args(["--pbkdf-force-iterations", "1000", "disk", "secret"]);
    assert!(cryptsetup.current_dir(machine.file("")).status().unwrap().success());
    for seal in [
        &["--pcr", "sha256:0,7"][..],
        &["--pcr", "sha256:0,7", "--parent", "owner:rsa"],
        &["--pcr", "sha1:2+sha384:7,9", "--description", "the volume"],
    ] {
        machine.tpm.reboot();
        machine.ok(&[&["seal", "-o", "ours"], seal, &["secret"]].concat());
        let (unlocked, said) = fixture.unlocks();
        assert!(unlocked, "{seal:?}: {said}");
        machine.tpm.extend_pcr7(&[1; 32]);
        let (unlocked, said) = fixture.unlocks();
        assert!(!unlocked && said.contains("nokeyprotectorprovidedausablekey"), "{seal:?}: {said}");
    }
}
