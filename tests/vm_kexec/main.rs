//! A successor by kexec: with Secure Boot on, a production image starts the next one without the firmware. What is measured of
//! it was predicted, the logs tell it, IMA's too, and the TPM stays shut. Between the kernels of Debian 12 and 13, both ways.

mod ima;

use harness::{
    Digest, Identity, Layout, Swtpm,
    assets::Kernel,
    extend, hex, provision_for, sha256, trust_initrd, unhex,
    vm::{ATTEMPT, CMDLINE, Chain, Deployment, Initrd, Report, Vm},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Has IMA measure more than files.
const IMA: &str = "ima_policy=critical_data";

/// A machine whose boot image starts the next one.
struct Succession {
    deployment: Deployment,
    vm: Vm,
    /// Where the sizes of the images are, and what a boot is to do.
    settings: PathBuf,
    sizes: String,
    kernels: [Kernel; 2],
}

/// The command line of the images, and one of nobody's.
fn cmdlines() -> [String; 2] {
    [format!("{CMDLINE} {IMA}"), format!("{CMDLINE} {IMA} of_root=yes")]
}

fn initrd(kernel: &Kernel, script: &str) -> Initrd {
    let [_, own] = cmdlines();
    let script = format!("{ATTEMPT}own_cmdline='{own}'\n{}{script}", include_str!("common.sh"));
    let mut initrd = Initrd::of(kernel.clone(), &script);
    initrd.host_program().program(Path::new("/usr/bin/perl"));
    initrd
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Succession {
    /// Of these kernels. What the first system seals is for one successor, and not for the one after it.
    fn new(first: Kernel, next: Kernel) -> Self {
        let deployment = Deployment::new();
        let tpm = Swtpm::new();
        let pubkeys = deployment.key("pcr7data", "policy-2/pubkeys");
        provision_for(&tpm, (&pubkeys, "k"), &Identity::ec("P-256"), &Layout { srk: true, ..Layout::default() });
        tpm.reboot();
        tpm.off();
        let vm = Vm::new(&deployment.variables(Chain::Direct, &[], "vars.fd"));
        vm.set_tpm(&tpm.state());
        deployment.trust(&["keyset", "pcr7data", "k", "--kexec", "1"]);

        let names = ["next", "bare", "foreign", "settings", "kept", "kernel", "own", "unsigned"];
        let disks = names.map(|name| deployment.file(name));
        let [next_image, bare, foreign, settings, kept, kernel, own, unsigned] = disks.each_ref().map(PathBuf::as_path);
        let [cmdline, _] = cmdlines();
        let build = |initrd: &Initrd, options: &[&str], output: &Path| {
            deployment.build("production", initrd, &[&["--cmdline", &cmdline], options].concat(), output);
        };
        let (begins, successor) = (initrd(&first, include_str!("first.sh")), initrd(&next, include_str!("next.sh")));
        build(&begins, &[], &deployment.file("first"));
        build(&successor, &[], next_image);
        build(&successor, &["--sign-kernel", "no"], bare);
        build(&successor, &["--unsigned"], unsigned);
        let stranger = Identity::rsa(2048);
        build(&successor, &["--key", text(&stranger.key()), "--cert", text(&stranger.cert())], foreign);

        deployment.sign_kernel(&next, kernel);
        let mut of_root = initrd(&next, include_str!("own.sh"));
        of_root.add_tree("pcr7data", &deployment.key("pcr7data", "")).add("usr/bin/trust", &trust_initrd(), 0o755);
        fs::copy(of_root.pack(), own).unwrap();

        let sized = ["next", "bare", "foreign", "kernel", "own", "unsigned"];
        let sizes = sized.map(|name| format!("{name}={}\n", fs::metadata(deployment.file(name)).unwrap().len()));
        let image = fs::read(next_image).unwrap();
        let cmdline_at = image.windows(cmdline.len()).position(|bytes| bytes == cmdline.as_bytes()).unwrap();
        let quiet_at = cmdline_at + cmdline.find("quiet").unwrap();
        let sizes = format!("{}cmdline_at={quiet_at}\n", sizes.concat());
        deployment.install(&vm, Chain::Direct, &deployment.file("first"));
        fs::File::create(kept).and_then(|file| file.set_len(64 << 10)).unwrap();
        vm.set_disks(&disks.each_ref().map(PathBuf::as_path));
        Self { settings: settings.to_owned(), deployment, vm, sizes, kernels: [first, next] }
    }

    /// Boots it, to do this.
    fn boot(&self, orders: &str) -> Report {
        fs::write(&self.settings, format!("{:\n<512}", format!("{}{orders}\n", self.sizes))).unwrap();
        let report = self.vm.boot();
        assert_eq!((report.ok().value("setup"), report.value("finish")), ("0", "0"));
        report
    }

    /// What is the owner's is measured as was predicted, and loaded. Root keeps what it had, and what boots read stays shut.
    /// Returns what was predicted, and what was extended.
    #[track_caller]
    fn goes_on(&self, report: &Report) -> (Value, Digest) {
        ended(report, "sealed", 0);
        ended(report, "asks", 2);
        assert!(report.console.contains("there is no systemd to stop the services"), "{}", report.console);
        let locked = report.value("locked");
        assert_eq!(report.value("still"), format!("{locked} 0"));
        let json = |attempt: &str| serde_json::from_str::<Value>(ended(report, attempt, 0)).unwrap();
        let (predicted, loaded) = (json("dry"), json("load"));
        assert_eq!((&predicted["loaded"], &loaded["loaded"]), (&false.into(), &true.into()));
        assert_eq!(predicted["pcrs"], loaded["pcrs"]);
        let signer = predicted["signer_fingerprint"].as_str().unwrap();
        let der = openssl_der(&self.deployment.key("uki-production", "cert.pem"));
        assert_eq!(signer, hex(&sha256(&[&der])));
        let event = sha256(&[format!("kexec {signer}").as_bytes()]);
        let pcr7 = extend(&unhex(locked).try_into().unwrap(), &event);
        assert_eq!(predicted["pcrs"]["sha256"]["7"], hex(&pcr7));
        assert_eq!(report.value("loaded"), "1");
        ended(report, "again", 12);
        assert!(report.console.contains("somebody has loaded a kernel already"), "{}", report.console);
        assert_eq!(ended(report, "unseal", 0), "secret");
        ima::is_of_boot(report, &self.kernels[0].release, &cmdlines()[0]);
        assert!(ended(report, "check-0", 0).contains("sha256:10 good "), "{}", report.console);
        let forged = ended(report, "forged", 14);
        assert!(forged.contains("sha256:10 bad ") && forged.contains("of IMA (\""), "{forged}");
        (predicted, event)
    }

    /// The successor finds the log, which leads to what the TPM has; its secrets stay where they are, and the system's open if
    /// they are signed for.
    #[track_caller]
    fn is_successor(&self, report: &Report, number: u8, predicted: &Value, system: u8) {
        let value = |name: &str| report.value(&format!("{name}-{number}"));
        assert_eq!(value("release"), self.kernels[1].release);
        let pcrs: Value = serde_json::from_str(value("pcrs")).unwrap();
        assert_eq!(pcrs["pcrs"]["sha256"]["7"], predicted["sha256"]["7"]);
        if number == 1 {
            assert_eq!(&pcrs["pcrs"], predicted);
        }
        let checked = ended(report, &format!("check-{number}"), 0);
        assert!(!checked.contains(" bad "), "{checked}");
        assert!(checked.contains("most kernels begin IMA's list anew, and not the PCR"), "{checked}");
        ended(report, &format!("setup-{number}"), 12);
        for attempt in ["system", "again"] {
            ended(report, &format!("{attempt}-{number}"), system);
        }
        assert!(value("cmdline").starts_with(&cmdlines()[0]));
        ima::is_of_successor(report, number, &self.kernels[1].release);
    }
}

/// `STATUS OUTPUT`, without the status, which must be this.
#[track_caller]
fn ended<'a>(report: &'a Report, attempt: &str, status: u8) -> &'a str {
    let said = report.value(attempt);
    let (found, output) = said.split_once(' ').unwrap_or((said, ""));
    assert_eq!(found, status.to_string(), "{attempt}: {said}\n{}", report.console);
    output
}

/// Who has started a signed kernel with an initrd and a command line of their own gets nothing that a boot reads, and of what
/// the running system had what root had in the end, before and after another boot's lock: these statuses.
#[track_caller]
fn gets_nothing(report: &Report, [before, after]: [u8; 2]) {
    assert_eq!(report.value("own-cmdline"), cmdlines()[1]);
    ended(report, "own-before", before);
    ended(report, "own-setup", 12);
    ended(report, "own-system", after);
    assert_eq!(report.value("own-extra"), "ls: /.extra: No such file or directory");
}

#[test]
fn a_measured_successor_gets_nothing_from_the_tpm() {
    let succession = Succession::new(Kernel::new(), Kernel::of_bookworm());
    let report = succession.boot("refusals=yes\nreplaced=\ntwice=yes");

    // What is not the owner's is neither loaded nor measured.
    for attempt in ["foreign", "bare", "unsigned", "flipped", "altered"] {
        ended(&report, attempt, 12);
    }
    for (why, times) in [
        ("nobody has signed it who is trusted here", 1),
        ("it is not signed itself", 1),
        ("bears no signature that is good", 3),
    ] {
        assert_eq!(report.console.matches(why).count(), times, "{why}: {}", report.console);
    }
    assert_eq!(report.value("refused"), format!("{} 0", report.value("locked")));

    let (predicted, event) = succession.goes_on(&report);
    let mut expected = predicted["pcrs"].clone();
    succession.is_successor(&report, 1, &expected, 0);
    // What is refused locks, and the second one is measured behind that.
    let pcr7: Digest = unhex(expected["sha256"]["7"].as_str().unwrap()).try_into().unwrap();
    expected["sha256"]["7"] = hex(&extend(&extend(&pcr7, &sha256(&[b"atomix\n"])), &event)).into();
    succession.is_successor(&report, 2, &expected, 12);
    gets_nothing(&report, [12, 12]);
}

#[test]
fn a_kernel_that_root_loads_itself_gets_nothing_that_boots_read() {
    let succession = Succession::new(Kernel::of_bookworm(), Kernel::new());
    // Nobody has measured it: it is started in the place of a second successor.
    let report = succession.boot("refusals=\nreplaced=\ntwice=");
    let (predicted, _) = succession.goes_on(&report);
    succession.is_successor(&report, 1, &predicted["pcrs"], 0);
    gets_nothing(&report, [0, 12]);

    // It takes the place of what was measured and loaded, and has what root had: this is no proof of what runs.
    let report = succession.boot("refusals=\nreplaced=yes\ntwice=");
    let (predicted, _) = succession.goes_on(&report);
    assert_eq!(predicted["pcrs"]["sha256"]["7"], report.value("own-pcr7"));
    gets_nothing(&report, [0, 0]);
}

fn openssl_der(certificate: &Path) -> Vec<u8> {
    let output = Command::new("openssl").args(["x509", "-outform", "der", "-in"]).arg(certificate).output().unwrap();
    assert!(output.status.success());
    output.stdout
}
