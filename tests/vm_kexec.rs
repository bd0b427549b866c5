//! A successor by kexec: with Secure Boot on, a production image starts the next one without the firmware. What is measured of
//! it was predicted, the logs tell it, and the TPM stays shut.

use harness::{
    Identity, Layout, Swtpm, assets, extend, hex, provision_for, sha256, trust_initrd, unhex,
    vm::{ATTEMPT, CMDLINE, Chain, Deployment, Initrd, Report, Vm},
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// How long the images are that are on the disks, and where the log is.
const PLACES: &str = r#"
log=/run/log/systemd/tpm2-measure.log
head -c 512 /dev/vde >/sizes
. /sizes
"#;

/// It seals, is refused what is not its owner's, and starts the next image.
const FIRST: &str = r#"
mkdir -p /run/log/systemd
attempt setup trust setup --on-lock-failure=exit --keep-policies
attempt finish trust finish
echo secret >/tmp/secret
attempt sealed $host seal --system -o /tmp/sealed /tmp/secret
cat /tmp/sealed >/dev/vdf
say locked $($host pcr read sha256:7 | tail -c 65)

head -c $foreign /dev/vdd >/image
attempt foreign $host kexec --load-only /image
head -c $bare /dev/vdc >/image
attempt bare $host kexec --load-only /image
head -c $next /dev/vdb >/image
printf X | dd of=/image bs=1 seek=5000000 conv=notrunc
attempt flipped $host kexec --load-only /image
say refused $($host pcr read sha256:7 | tail -c 65) $(cat /sys/kernel/kexec_loaded)

head -c $next /dev/vdb >/image
attempt asks $host kexec /image
attempt dry $host kexec --dry-run --json /image
say still $($host pcr read sha256:7 | tail -c 65) $(cat /sys/kernel/kexec_loaded)
attempt load $host kexec --load-only --json /image
say loaded $(cat /sys/kernel/kexec_loaded)
attempt again $host kexec --load-only /image
attempt unseal $host unseal /tmp/sealed
say goes
# kexec --exec: reboot(LINUX_REBOOT_CMD_KEXEC).
perl -e 'syscall(169, 0xfee1dead, 672274793, 0x45584543)'
"#;

/// It has no secret, and knows where it comes from. It starts itself once more.
const NEXT: &str = r#"
mkdir -p /run/log/systemd
cp /.extra/tpm2-measure.log $log
number=$(grep -c '"kexec ' $log)
say "cmdline-$number" $(cat /proc/cmdline)
say "pcrs-$number" $($host pcr read --json sha256:7,11,12)
attempt "check-$number" $host eventlog check
tr -d '\000' </dev/vdf >/tmp/sealed
attempt "system-$number" $host unseal --pcr7data /pcr7data /tmp/sealed
attempt "setup-$number" trust setup --on-lock-failure=exit
attempt "again-$number" $host unseal --pcr7data /pcr7data /tmp/sealed
say "extra-$number" $(ls /.extra)
if [ "$number" = 1 ]; then
    head -c $next /dev/vdb >/image
    $host kexec --now /image
fi
head -c $kernel /dev/vdg >/kernel
head -c $evil /dev/vdh >/evil
# kexec_file_load, and kexec --exec, as in the first one.
perl -e 'open K, "</kernel"; open I, "</evil"; $c = "'"$cmdline"'"; syscall(320, fileno K, fileno I, 1 + length $c, $c, 0) and die $!;
         syscall(169, 0xfee1dead, 672274793, 0x45584543)'
"#;

/// The initrd of whoever is root in the last successor. The kernel is signed, and nobody asks who has made this.
const EVIL: &str = r#"
tr -d '\000' </dev/vdf >/tmp/sealed
attempt evil-setup trust setup --on-lock-failure=exit --pcr7data /pcr7data
attempt evil-system $host unseal --pcr7data /pcr7data /tmp/sealed
say evil-extra $(ls -d /.extra 2>&1)
"#;

fn initrd(script: &str) -> Initrd {
    let mut initrd = Initrd::new(&format!("{ATTEMPT}{PLACES}{script}"));
    initrd.host_program();
    initrd
}

/// `STATUS OUTPUT`, without the status, which must be this.
#[track_caller]
fn ended<'a>(report: &'a Report, attempt: &str, status: u8) -> &'a str {
    let said = report.value(attempt);
    let (found, output) = said.split_once(' ').unwrap_or((said, ""));
    assert_eq!(found, status.to_string(), "{attempt}: {said}\n{}", report.console);
    output
}

#[test]
fn a_measured_successor_gets_nothing_from_the_tpm() {
    let deployment = Deployment::new();
    let tpm = Swtpm::new();
    let pubkeys = deployment.key("pcr7data", "policy-2/pubkeys");
    provision_for(&tpm, (&pubkeys, "k"), &Identity::ec("P-256"), &Layout { srk: true, ..Layout::default() });
    tpm.reboot();
    tpm.off();
    let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
    vm.set_tpm(&tpm.state());

    // For one successor, and not for the one after it.
    deployment.trust(&["keyset", "pcr7data", "k", "--kexec", "1"]);
    let [first, next, bare, foreign] =
        ["first.efi", "next.efi", "bare.efi", "foreign.efi"].map(|name| deployment.file(name));
    let mut successor = initrd(&format!("cmdline='{CMDLINE}'\n{NEXT}"));
    successor.program(Path::new("/usr/bin/perl"));
    let mut evil = initrd(EVIL);
    evil.add_tree("pcr7data", &deployment.key("pcr7data", "")).add("usr/bin/trust", &trust_initrd(), 0o755);
    let (evil, kernel) = (evil.pack(), deployment.file("kernel"));
    // Linux looks at the first signature alone.
    let of_owner = ["privkey.pem", "cert.pem"].map(|item| deployment.key("uki-production", item));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let [owner_key, owner_cert] = of_owner.map(|path| text(&path));
    let signing = ["sign", "efi", "--replace", "--key", &owner_key, "--cert", &owner_cert, "--output", &text(&kernel)];
    deployment.trust(&[&signing[..], &[&text(&assets::Kernel::new().image)]].concat());
    deployment.build("production", &successor, &[], &next);
    deployment.build("production", &successor, &["--sign-kernel", "no"], &bare);
    let stranger = Identity::rsa(2048);
    let [key, cert] = [stranger.key(), stranger.cert()].map(|file| file.to_str().unwrap().to_owned());
    deployment.build("production", &successor, &["--key", &key, "--cert", &cert], &foreign);
    let size = |image: &Path| fs::metadata(image).unwrap().len();
    let sizes = deployment.file("sizes");
    let assignments = format!("next={}\nbare={}\nforeign={}\n", size(&next), size(&bare), size(&foreign));
    let assignments = format!("{assignments}kernel={}\nevil={}\n", size(&kernel), size(&evil));
    fs::write(&sizes, format!("{assignments:\n<512}")).unwrap();
    let mut begins = initrd(FIRST);
    begins.program(Path::new("/usr/bin/perl"));
    deployment.build("production", &begins, &[], &first);
    deployment.install(&vm, Chain::Direct, &first);
    let kept = deployment.file("kept");
    fs::File::create(&kept).and_then(|file| file.set_len(64 << 10)).unwrap();
    vm.set_disks(&[&next, &bare, &foreign, &sizes, &kept, &kernel, &evil]);
    let report = vm.boot();
    assert_eq!((report.ok().value("setup"), report.value("finish")), ("0", "0"));
    ended(&report, "sealed", 0);

    // What is not the owner's is neither loaded nor measured.
    for attempt in ["foreign", "bare", "flipped"] {
        ended(&report, attempt, 12);
    }
    for why in
        ["nobody has signed it who is trusted here", "it is not signed itself", "bears no signature that is good"]
    {
        assert!(report.console.contains(why), "{why}: {}", report.console);
    }
    ended(&report, "asks", 2);
    assert!(report.console.contains("there is no systemd to stop the services"), "{}", report.console);
    let locked = report.value("locked");
    let untouched = format!("{locked} 0");
    assert_eq!((report.value("refused"), report.value("still")), (&*untouched, &*untouched));

    // What is the owner's is measured as was predicted, and loaded. Root keeps what it had, and what boots read stays shut.
    let json = |attempt: &str| serde_json::from_str::<Value>(ended(&report, attempt, 0)).unwrap();
    let (predicted, loaded) = (json("dry"), json("load"));
    assert_eq!((&predicted["loaded"], &loaded["loaded"]), (&false.into(), &true.into()));
    assert_eq!(predicted["pcrs"], loaded["pcrs"]);
    let signer = predicted["signer_fingerprint"].as_str().unwrap();
    let der = openssl_der(&deployment.key("uki-production", "cert.pem"));
    assert_eq!(signer, hex(&sha256(&[&der])));
    let event = sha256(&[format!("kexec {signer}").as_bytes()]);
    let mut pcr7 = extend(&unhex(locked).try_into().unwrap(), &event);
    assert_eq!(predicted["pcrs"]["sha256"]["7"], hex(&pcr7));
    assert_eq!(report.value("loaded"), "1");
    ended(&report, "again", 12);
    assert!(report.console.contains("somebody has loaded a kernel already"), "{}", report.console);
    assert_eq!(ended(&report, "unseal", 0), "secret");

    // The successor finds the log, which leads to what the TPM has; and its secrets stay where they are.
    for number in ["1", "2"] {
        let pcrs: Value = serde_json::from_str(report.value(&format!("pcrs-{number}"))).unwrap();
        assert_eq!(pcrs["pcrs"]["sha256"]["7"], hex(&pcr7));
        if number == "1" {
            assert_eq!(pcrs["pcrs"], predicted["pcrs"]);
        }
        assert!(!ended(&report, &format!("check-{number}"), 0).contains(" bad "));
        ended(&report, &format!("setup-{number}"), 12);
        for attempt in ["system", "again"] {
            ended(&report, &format!("{attempt}-{number}"), if number == "1" { 0 } else { 12 });
        }
        assert!(report.value(&format!("cmdline-{number}")).starts_with(CMDLINE));
        // What is refused locks.
        pcr7 = extend(&extend(&pcr7, &sha256(&[b"atomix\n"])), &event);
    }
    gets_nothing(&report);
}

/// Who has brought an initrd of their own has what root had in the end: nothing.
#[track_caller]
fn gets_nothing(report: &Report) {
    for attempt in ["evil-setup", "evil-system"] {
        ended(report, attempt, 12);
    }
    assert_eq!(report.value("evil-extra"), "ls: /.extra: No such file or directory");
}

fn openssl_der(certificate: &Path) -> Vec<u8> {
    let output = Command::new("openssl").args(["x509", "-outform", "der", "-in"]).arg(certificate).output().unwrap();
    assert!(output.status.success());
    output.stdout
}
