//! Images that `trust uki build` makes, booted with Secure Boot on: the kernel finds what was put into the initrd, and
//! PCRs 4, 7 and 11 are what was said.

mod archives;

use harness::{
    Home, assets, run, trust_initrd,
    vm::{self, Initrd, Report, Vm},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const CMDLINE: &str = "console=tty0 console=ttyS0 quiet panic=-1";

/// What the guest tells: PCRs, what is in the initrd besides its own files, and what that holds.
const SCRIPT: &str = "\
for pcr in 4 7 11; do say pcr$pcr $(cat /sys/class/tpm/tpm0/pcr-sha256/$pcr); done
say secureboot $(tail -c 1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | od -An -tu1)
say cmdline $(cat /proc/cmdline)
cd /
found=$(find pcr7data manifestCA.pem usr/bin/trust)
say modes $(stat -c '%n %a %u:%g %F' $found | base64 -w 0)
say sums $(for file in $found; do [ -d $file ] || sha256sum $file; done | base64 -w 0)
say marks $(echo mark-*)
";

/// A keyset, and a machine whose firmware knows it.
struct Fixture(Home);

impl Fixture {
    fn new() -> Self {
        Self(Home::with_keyset())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `trust uki build ARGS`, and what it says.
    fn build(&self, stub: &Path, initrds: &[&Path], args: &[&str]) -> Value {
        self.build_of(&assets::Kernel::new().image, stub, initrds, args)
    }

    /// The same with another kernel.
    fn build_of(&self, kernel: &Path, stub: &Path, initrds: &[&Path], args: &[&str]) -> Value {
        let program = format!("--with-trust={}", text(&trust_initrd()));
        let mut all = vec!["uki", "build", "k", "--kernel", text(kernel), "--stub", text(stub), &program];
        all.extend(["--cmdline", CMDLINE, "--output", "image.efi", "--json"]);
        all.extend(initrds.iter().flat_map(|initrd| ["--initrd", text(initrd)]));
        all.extend(args);
        serde_json::from_str(&self.0.ok(&all)).unwrap()
    }

    /// A machine with the keyset's keys.
    fn machine(&self, args: &[&str]) -> Vm {
        let (empty, filled) = (vm::empty_variables(), self.path("variables.fd"));
        let files = ["--vars-in", text(&empty), "--output", text(&filled)];
        self.0.ok(&[&["enroll", "vars", "k"], &files[..], args].concat());
        Vm::new(&filled)
    }

    /// Asserts that the boot was as it was said to be, and that the kernel found in the initrd what was put there.
    fn check(&self, report: &Report, said: &Value) {
        report.ok();
        for pcr in ["4", "7", "11"] {
            let real = report.value(&format!("pcr{pcr}")).to_lowercase();
            assert_eq!(said["pcr"]["sha256"][pcr], real.as_str(), "PCR {pcr}");
        }
        assert_eq!(report.value("secureboot"), "1");
        assert_eq!(report.value("cmdline"), CMDLINE);

        let keyset = self.0.keys().join("k");
        let copied = [("pcr7data", keyset.join("pcr7data")), ("manifestCA.pem", keyset.join("manifest-ca/cert.pem"))];
        let (mut modes, mut sums) = (BTreeSet::new(), BTreeSet::new());
        for (name, path) in copied.into_iter().chain([("usr/bin/trust", trust_initrd())]) {
            for found in run("find", &[text(&path)]).lines() {
                let inside = format!("{name}{}", found.strip_prefix(text(&path)).unwrap());
                if Path::new(found).is_dir() {
                    modes.insert(format!("{inside} 755 0:0 directory"));
                    continue;
                }
                let mode = if name == "usr/bin/trust" { "755" } else { "644" };
                modes.insert(format!("{inside} {mode} 0:0 regular file"));
                let sum = run("sha256sum", &[found]);
                sums.insert(format!("{}  {inside}", sum.split_whitespace().next().unwrap()));
            }
        }
        assert_eq!(lines(report, "modes"), modes);
        assert_eq!(lines(report, "sums"), sums);
    }
}

/// The lines that the guest said in base64.
fn lines(report: &Report, name: &str) -> BTreeSet<String> {
    String::from_utf8(report.bytes(name)).unwrap().lines().map(str::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stub() -> PathBuf {
    assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub")
}

#[test]
fn a_production_image_on_the_stub_of_debian_13_boots_as_predicted() {
    let (fixture, initrd) = (Fixture::new(), Initrd::new(SCRIPT));
    let said = fixture.build(&stub(), &[&initrd.pack()], &["--kind", "production"]);
    let machine = fixture.machine(&[]);
    machine.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &fixture.path("image.efi"))]);
    fixture.check(&machine.boot(), &said);
    // A machine whose firmware does not know the key refuses it: Secure Boot was on.
    let stranger = fixture.machine(&["--chain", "shim"]);
    stranger.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &fixture.path("image.efi"))]);
    stranger.boot().refused("Access Denied");
}

#[test]
fn a_limited_image_on_the_stub_of_debian_12_boots_as_predicted() {
    let (fixture, initrd) = (Fixture::new(), Initrd::new(SCRIPT));
    let stub = assets::bookworm("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    // Whose own revocation levels stand where those of a kernel have no room: they are laid out anew.
    let levels = "linux.somebody,1,Somebody,linux,6.12,https://example.com/\n".repeat(30);
    let kernel = fixture.path("kernel");
    fs::write(&kernel, assets::Kernel::new().with_revocation_levels(&format!("sbat,1,SBAT\n{levels}"))).unwrap();
    let said = fixture.build_of(&kernel, &stub, &[&initrd.pack()], &["--kind", "limited"]);
    let machine = fixture.machine(&[]);
    machine.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &fixture.path("image.efi"))]);
    fixture.check(&machine.boot(), &said);
}

#[test]
fn a_tpm_image_started_by_shim_boots_as_predicted() {
    let (fixture, initrd) = (Fixture::new(), Initrd::new(SCRIPT));
    fixture.0.ok(&["enroll", "auth", "k", "--output", "enroll", "--chain", "shim"]);
    fs::write(fixture.path("unsigned.efi"), vm::shim_with(&fs::read(fixture.path("enroll/vendor_db.esl")).unwrap()))
        .unwrap();
    let of = |item: &str| fixture.0.keys().join("k/uefi-db").join(item);
    let (key, cert) = (of("privkey.pem"), of("cert.pem"));
    fixture.0.ok(&["sign", "efi", "unsigned.efi", "--key", text(&key), "--cert", text(&cert), "--output", "shim.efi"]);
    let said = fixture.build(&stub(), &[&initrd.pack()], &["--kind", "tpm", "--shim", "shim.efi"]);
    let machine = fixture.machine(&["--chain", "shim"]);
    let (shim, image) = (fixture.path("shim.efi"), fixture.path("image.efi"));
    machine.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &shim), ("EFI/BOOT/grubx64.efi", &image)]);
    fixture.check(&machine.boot(), &said);
}

/// What has become of the archives below `/f`, as [`archives::archives`] has it.
const LIST: &str = "\
list() {
    find f -mindepth 1 -type d -exec stat -c 'd %n %a' {} +
    find f -type l | while read -r link; do echo l $link $(readlink $link); done
    find f -type f | while read -r file; do echo f $(stat -c '%n %a' $file) $(sha256sum <$file | cut -c -64); done
}
say archives $(list | base64 -w 0)
";

/// Parts behind every compression, and hundreds of archives as the grammar permits them, some of them damaged.
#[test]
fn the_kernel_unpacks_what_inspect_lists() {
    let (fixture, initrd) = (Fixture::new(), Initrd::new(&format!("{SCRIPT}{LIST}")));
    let (odd, files) = archives::archives();
    fs::write(fixture.path("odd.img"), odd).unwrap();
    let mut initrds = vec![initrd.pack(), fixture.path("odd.img")];
    let programs: [(&str, &[&str]); 5] = [
        ("lz4", &["-l", "-c"]),
        ("xz", &["--check=crc32", "--stdout"]),
        ("bzip2", &["--stdout"]),
        ("gzip", &["--stdout"]),
        ("cat", &[]),
    ];
    for (program, args) in programs {
        // Of lengths that are no multiples of four.
        let script =
            "mkdir $1 && cd $1 && echo $1 > mark-$1 && shift && ls | cpio --quiet --create --format newc | \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, "sh", program, program]).args(args).current_dir(fixture.0.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        fs::write(fixture.path(&format!("{program}.img")), output.stdout).unwrap();
        initrds.push(fixture.path(&format!("{program}.img")));
    }
    let initrds: Vec<_> = initrds.iter().map(PathBuf::as_path).collect();
    let said = fixture.build(&stub(), &initrds, &["--kind", "production"]);
    let machine = fixture.machine(&[]);
    machine.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &fixture.path("image.efi"))]);
    let report = machine.boot();
    fixture.check(&report, &said);
    assert_eq!(report.value("marks"), "mark-bzip2 mark-cat mark-gzip mark-lz4 mark-xz");
    let unpacked = lines(&report, "archives");
    let differ: Vec<_> = unpacked.symmetric_difference(&files).collect();
    assert!(differ.is_empty(), "{} files, and of these kernel and reader think otherwise: {differ:#?}", files.len());
}
