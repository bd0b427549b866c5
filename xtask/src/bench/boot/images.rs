//! The images that are booted: all of one kernel, stub and signer, so all of them give the same PCR 7.

use super::Candidate;
use harness::{
    Identity, trust_host,
    vm::{CMDLINE, Deployment, Dracut, Initrd, SIGNED},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The tree that has them all: [`crate::assets::prepare_bench`].
const TREE: &str = "trixie-bench";
/// Of every volume. There is one in the machine at a time.
const UUID: &str = "4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10";
/// The options of volumes: no time is spent on a passphrase that was not chosen by a human.
const FORMAT: &str = "--batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid";
const CLOCK: &str = include_str!("clock.sh");
/// Modules that open a disk by a TPM, or measure. Each image includes only its own.
const OPENERS: &str = "tpm2-tss systemd-cryptsetup systemd-pcrphase clevis clevis-pin-tpm2 clevis-pin-sss \
                       clevis-pin-tang clevis-pin-null";
/// What the command line says in all images with systemd.
const SYSTEMD: &str = "systemd.import_credentials=no systemd.gpt_auto=0 root=/dev/mapper/root ro";

/// Puts the machine's identity into its TPM.
pub fn provision() -> Initrd {
    let identity = Identity::rsa(2048);
    let mut initrd = Initrd::new("trust provision --on-lock-failure=exit /cert.pem /privkey.pem\n");
    initrd.add("cert.pem", &identity.cert(), 0o600).add("privkey.pem", &identity.key(), 0o600);
    initrd
}

/// Makes the volume that Trust opens.
pub fn install() -> Initrd {
    let host = trust_host();
    let settings = format!("HOST={}\nFORMAT='{FORMAT} {UUID}'\n", host.display());
    let mut initrd = Initrd::new(&(settings + include_str!("install.sh")));
    for module in ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"] {
        initrd.module(module);
    }
    for program in [Path::new("/usr/sbin/cryptsetup"), Path::new("/usr/bin/keyctl"), &host] {
        initrd.program(program);
    }
    initrd
}

/// Makes those of the others.
pub fn enroll(deployment: &Deployment) -> PathBuf {
    let programs = "systemd-cryptenroll clevis-luks-bind clevis-encrypt-tpm2 tpm2_createpolicy tpm2_create sync";
    let environment = format!("'FORMAT={FORMAT} {UUID}'");
    let dracut = dracut("", "enroll", include_str!("enroll.sh"), &environment, "systemd-udevd.service");
    let modules = ["--add", "tpm2-tss systemd-cryptsetup clevis-pin-tpm2", "--install", programs];
    image(deployment, &dracut, "enroll", &modules, "")
}

/// What a candidate boots.
pub fn of(candidate: Candidate, deployment: &Deployment) -> PathBuf {
    if candidate == Candidate::Minimal {
        let image = deployment.file("minimal.efi");
        deployment.build("production", &Initrd::new(&[include_str!("minimal.sh"), CLOCK].concat()), &[], &image);
        return image;
    }
    let units = candidate.units().join(" ");
    let report = include_str!("report.sh");
    let ours = format!("trust_pcr7data=/etc/trust/pcr7data\ntrust_luks=root=UUID={UUID}\n");
    let configuration = if candidate == Candidate::Dracut { &ours } else { "" };
    let environment = format!("'UNITS={} {units}'", candidate.helpers());
    let dracut = dracut(configuration, "report", report, &environment, &units);
    dracut.add_tree("etc/trust/pcr7data", &deployment.key("pcr7data", ""));
    let asks = format!("rd.luks.name={UUID}=root");
    // systemd-cryptsetup needs tpm2-tss.
    let (name, modules, cmdline) = match candidate {
        Candidate::Systemd => {
            let cmdline = format!("{asks} rd.luks.options={UUID}=tpm2-device=auto");
            ("systemd", "systemd-cryptsetup tpm2-tss", cmdline)
        }
        Candidate::Clevis => {
            ("clevis", "systemd-cryptsetup tpm2-tss systemd-ask-password clevis clevis-pin-tpm2", asks)
        }
        _ => ("dracut", "trust", SIGNED.into()),
    };
    let mine: Vec<_> = modules.split(' ').collect();
    let others: Vec<_> = OPENERS.split_whitespace().filter(|opener| !mine.contains(opener)).collect();
    image(deployment, &dracut, name, &["--omit", &others.join(" "), "--add", modules], &cmdline)
}

/// A system whose initramfs runs a script when these units are done.
fn dracut(configuration: &str, name: &str, script: &str, environment: &str, after: &str) -> Dracut {
    let dracut = Dracut::new(TREE, configuration);
    let service = format!(
        "[Unit]\nDefaultDependencies=no\nWants=systemd-udev-trigger.service\nAfter={after}\n\
         [Service]\nType=oneshot\nEnvironment={environment}\nExecStart=/bin/bash /bench/{name}.sh\n\
         StandardOutput=journal+console\nStandardError=journal+console\n"
    );
    dracut.write("bench/bench.service", &service).write("bench/wants.conf", "[Unit]\nWants=bench.service\n");
    dracut.write(&format!("bench/{name}.sh"), script).write("bench/clock.sh", CLOCK);
    dracut
}

/// Runs dracut, and signs what it made as production image.
fn image(deployment: &Deployment, dracut: &Dracut, name: &str, options: &[&str], cmdline: &str) -> PathBuf {
    let places = [
        ("/bench", "/bench"),
        ("/bench/bench.service", "/etc/systemd/system/bench.service"),
        ("/bench/wants.conf", "/etc/systemd/system/initrd.target.d/bench.conf"),
    ];
    let mut all = vec!["--compress", "zstd -3", "--install", "bash dmesg sleep stty"];
    for (file, place) in places {
        all.extend(["--include", file, place]);
    }
    let initrd = dracut.build(&[&all, options].concat());
    let image = deployment.file(&format!("{name}.efi"));
    deployment.build_as_it_is(&initrd, &format!("{CMDLINE} {SYSTEMD} {cmdline}"), &image);
    image
}

/// Bytes of a file.
pub fn size(image: &Path) -> u64 {
    fs::metadata(image).expect("it was just made").len()
}
