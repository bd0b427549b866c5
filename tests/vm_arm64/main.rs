//! The life of a machine of arm64, emulated as a whole: firmware with Secure Boot, TPM, kernel, disk. The kernel's numbers of
//! system calls, its structures and the firmware's measurements are that architecture's.

use harness::{
    Identity, extend, hex, sha256, unhex,
    vm::{self, Architecture, Chain, Deployment, Initrd, Report, Vm},
};
use std::{env, fs, fs::File, path::Path, path::PathBuf, process::Command};

/// What the kernel is told: the first port of that board is ttyAMA0.
const CMDLINE: &str = "console=ttyAMA0 quiet panic=-1 mitigations=off";
/// Of the disk.
const UUID: &str = "0b3a1b5e-0c6e-4f0a-9d0c-6b6f7c0f4a11";

/// The library's unit tests, as `cargo xtask test` has built them for arm64.
fn unit_tests() -> PathBuf {
    let path = env::var_os("TRUST_UNIT_TESTS_ARM64").expect("`cargo xtask test vm_arm64` builds them and names them");
    PathBuf::from(path)
}

fn initrd(script: &str) -> Initrd {
    let script = [include_str!("functions.sh"), vm::ATTEMPT, script].concat();
    let mut initrd = Initrd::arm64(&script);
    initrd.program(Path::new("/usr/bin/strace")).program(Path::new("/usr/bin/keyctl"));
    initrd.host_program();
    initrd
}

/// With what dm-crypt needs.
fn with_disk(script: &str) -> Initrd {
    let mut initrd = initrd(&format!("UUID={UUID}\n{script}"));
    for module in ["dm-mod", "dm-crypt", "xts", "af_alg", "algif_skcipher"] {
        initrd.module(module);
    }
    initrd.program(Path::new("/usr/sbin/cryptsetup"));
    initrd
}

/// Asserts that a command has ended well, confined, and that none of its calls was refused.
#[track_caller]
fn confined(report: &Report, names: &[&str]) {
    for name in names {
        let value = |what: &str| report.value(&format!("{name}{what}")).to_owned();
        assert_eq!(value(""), "0", "{name}: {}", report.console);
        assert_eq!(value("-filters"), "1", "{name} is not confined");
        assert_eq!(value("-refused"), "", "{name} needs calls that it is refused");
    }
}

#[test]
fn a_machine_of_arm64_is_provisioned_installed_started_and_administered() {
    let deployment = Deployment::new();
    let identity = Identity::rsa(2048);
    let signed = format!("{CMDLINE} {}", vm::SIGNED);
    let boot = |vm: &Vm, kind: &str, initrd: &Initrd| {
        let image = deployment.file("image.efi");
        deployment.build(kind, initrd, &["--cmdline", &signed], &image);
        deployment.install(vm, Chain::Direct, &image);
        let report = vm.boot();
        report.ok();
        report
    };
    let vm =
        Vm::of(Architecture::Arm64, &deployment.variables_of(Architecture::Arm64, Chain::Direct, &[], "variables.fd"));
    File::create(vm.data_disk()).unwrap().set_len(48 << 20).unwrap();

    let mut provisioning = initrd(include_str!("provision.sh"));
    provisioning.add("cert.pem", &identity.cert(), 0o400).add("key.pem", &identity.key(), 0o400);
    let report = boot(&vm, "limited", &provisioning);
    assert_eq!((report.value("machine"), report.value("secure-boot")), ("aarch64", "1"));
    confined(&report, &["provision"]);

    let report = boot(&vm, "production", &with_disk(include_str!("install.sh")));
    // The firmware measures what is predicted for it.
    let predicted = deployment.trust(&["compute-pcr7", "k", "--chain", "direct"]);
    let pcr7 = report.value("pcr7").to_lowercase();
    assert!(predicted.lines().any(|line| line == format!("uki-production: {pcr7}")), "{pcr7}: {predicted}");
    confined(&report, &["preinit", "finish"]);
    assert!(report.value("seal").starts_with(&format!("0 /dev/vdb: UUID {UUID}")), "{}", report.value("seal"));

    // Strings of the firmware have no say.
    vm.set_options(&["-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=unsigned"]);
    let mut start = with_disk(include_str!("start.sh"));
    start.add("unit-tests", &unit_tests(), 0o755);
    let report = boot(&vm, "production", &start);
    assert_eq!(report.value("cmdline"), signed);
    let tests = report.value("unit-tests");
    assert!(tests.contains("test result: ok. 1 passed; 0 failed"), "{tests}");
    confined(&report, &["setup", "finish", "lock"]);
    let before: [u8; 32] = unhex(&pcr7).try_into().unwrap();
    assert_eq!(report.value("pcr7").to_lowercase(), hex(&extend(&before, &sha256(&[b"atomix\n"]))));
    assert_eq!(report.value("passphrase"), "40");
    let tmpfs = report.value("tmpfs");
    for option in ["tmpfs ", "nosuid", "nodev", "noexec", "noswap"] {
        assert!(tmpfs.contains(option), "{tmpfs}");
    }
    for (name, file) in [("certificate", identity.cert()), ("key", identity.key())] {
        let digest = hex(&sha256(&[&fs::read(file).unwrap()]));
        assert_eq!(report.value(name), format!("{digest}  -"), "{name}");
    }
    assert_eq!(report.value("second"), "12", "{}", report.console);
    for name in ["open", "check"] {
        assert!(report.value(name).starts_with('0'), "{name}: {}\n{}", report.value(name), report.console);
    }
    assert!(report.value("withdrawn").contains("not available"), "{}", report.value("withdrawn"));
    assert_eq!(report.value("key-now"), "-----BEGIN TSS2 PRIVATE KEY-----");
    assert!(report.value("version").starts_with("0 trust "), "{}", report.value("version"));
    assert!(report.value("log").starts_with("0 "), "{}", report.value("log"));
    assert_eq!((report.value("seal"), report.value("unseal")), ("0", "0 secret"));

    let report = boot(&vm, "tpm", &initrd(include_str!("administer.sh")));
    confined(&report, &["raise"]);
    assert!(report.console.contains("the policy version is 0002"), "{}", report.console);
    let delegate = ["delegate", "delegate-filters", "delegate-refused"].map(|name| report.value(name));
    assert_eq!(delegate, ["12", "1", ""], "{}", report.console);
}

/// What seccomp(2) has to do with, they do on the machine above: the emulator of programs does not filter system calls.
#[test]
fn the_unit_tests_of_the_library_pass_on_arm64() {
    let mut command = Command::new("qemu-aarch64");
    command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(unit_tests());
    // Minutes of arithmetic, which is the same everywhere.
    let left_out = ["seccomp::", "policy::pcr_set::", "weak_keys_are_refused"];
    command.args(left_out.iter().flat_map(|name| ["--skip", name]));
    let output = command.output().expect("qemu-aarch64 is installed (Debian: qemu-user)");
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = said.lines().rev().find_map(|line| line.strip_prefix("test result: ok. "));
    let passed: usize = passed.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && passed > 200, "{passed} have passed ({})\n{said}\n{errors}", output.status);
}
