//! Images and initrds larger than the memory that there is: a bound on the address space, as `ulimit -v` sets it, in
//! which none of the files would fit, and files that are too large for the disk, for a limit, or for the format.

use harness::{Home, assets, run};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The program, its libraries and its stacks, without which nothing runs, and 64 MiB.
const MEMORY: u64 = 64 * MIB;
/// What memory is tried out in.
const STEP: u64 = MIB / 8;
/// Of the image to sign, and of the initrd to build with.
const IMAGE: u64 = 200 * MIB;
const INITRD: u64 = 500 * MIB;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A keyset, and files that take no room on the disk.
struct Fixture {
    home: Home,
    key: String,
    cert: String,
    kernel: String,
    stub: String,
}

impl Fixture {
    fn new() -> Self {
        let home = Home::with_keyset();
        let dir = home.keys().join("k/uefi-db");
        let [key, cert] = ["privkey.pem", "cert.pem"].map(|name| text(&dir.join(name)).to_owned());
        let stub = text(&assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub")).to_owned();
        Self { home, key, cert, kernel: text(&assets::Kernel::new().image).to_owned(), stub }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program whose last section is so long.
    fn program(&self, name: &str, size: u64) {
        let mut bytes = fs::read(&self.stub).unwrap();
        let image = trust::host::image::pe::Image::parse(&bytes).unwrap();
        let (index, last) = (0..).zip(image.sections()).max_by_key(|(_, section)| section.raw.end).unwrap();
        let (line, headers) = (image.headers().section_table + 40 * index, image.headers().clone());
        let (start, address) = (last.raw.start as u64, u64::from(last.virtual_address));
        let mut put = |at: usize, value: u64| bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        let len = (size - start).next_multiple_of(u64::from(headers.file_alignment));
        put(line + 8, len);
        put(line + 16, len);
        put(headers.optional_header + 56, (address + len).next_multiple_of(u64::from(headers.section_alignment)));
        let file = File::create(self.path(name)).unwrap();
        (&file).write_all(&bytes[..start as usize]).unwrap();
        file.set_len(start + len).unwrap();
    }

    /// An archive with one file of zeros, behind which there is another file.
    fn initrd(&self, name: &str, size: u64) {
        let entry = |name: &str, size: u64| {
            let fields = [1, 0o100_644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() as u64 + 1, 0];
            let fields: String = fields.iter().map(|field| format!("{field:08x}")).collect();
            let mut bytes = format!("070701{fields}{name}\0").into_bytes();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mut file = File::create(self.path(name)).unwrap();
        file.write_all(&entry("zeros", size)).unwrap();
        file.seek(SeekFrom::Current(i64::try_from(size.next_multiple_of(4)).unwrap())).unwrap();
        file.write_all(&[entry("usr/lib/systemd/systemd", 0), entry("TRAILER!!!", 0)].concat()).unwrap();
    }

    fn sign(&self, program: &str, output: &str) -> Vec<String> {
        let args = ["sign", "efi", program, "--key", &self.key, "--cert", &self.cert, "--output", output];
        args.map(str::to_owned).into()
    }

    fn build(&self, initrds: &[&str]) -> Vec<String> {
        let args = ["uki", "build", "k", "--kind", "production", "--kernel", &self.kernel];
        let more = ["--stub", &self.stub, "--cmdline", "noresume", "--output", "image.efi"];
        args.into_iter()
            .chain(more)
            .chain(initrds.iter().flat_map(|name| ["--initrd", name]))
            .map(str::to_owned)
            .collect()
    }

    /// `trust ARGS` under a limit of prlimit.
    fn limited(&self, limit: &str, args: &[String]) -> Output {
        let mut command = Command::new("prlimit");
        command.arg(limit).arg(harness::trust_host()).args(args).current_dir(self.home.path());
        command.env("HOME", self.home.path()).env_remove("XDG_DATA_HOME").output().unwrap()
    }

    /// `trust ARGS` in [`MEMORY`] beside what it takes to do nothing.
    #[track_caller]
    fn in_little_memory(&self, args: &[&str]) -> String {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let limit = address_space(&self.home) + MEMORY;
        let output = self.limited(&format!("--as={limit}"), &args);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?} in {limit} bytes: {:?} {complaint}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `trust ARGS` complains of under a limit; it leaves nothing behind.
    #[track_caller]
    fn fails(&self, limit: &str, args: &[String], status: i32) -> String {
        let before = harness::tree(self.home.path());
        let output = self.limited(limit, args);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?} {:?}: {complaint}", output.status);
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert_eq!(harness::tree(self.home.path()), before);
        complaint
    }
}

/// The least address space in which the program says its version.
fn address_space(home: &Home) -> u64 {
    let fits = |size: u64| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={size}")).arg(harness::trust_host()).arg("--version").env("HOME", home.path());
        command.output().unwrap().status.success()
    };
    let enough = (1..).map(|step| step * 4 * MIB).find(|size| fits(*size)).unwrap();
    (0..).map(|step| enough - 4 * MIB + step * STEP).find(|size| fits(*size)).unwrap()
}

#[test]
fn signing_and_verifying_a_large_program_takes_no_more_memory() {
    let fixture = Fixture::new();
    fixture.program("large.efi", IMAGE);
    let sign = fixture.sign("large.efi", "signed.efi");
    fixture.in_little_memory(&sign.iter().map(String::as_str).collect::<Vec<_>>());
    let said = fixture.in_little_memory(&["verify", "efi", "--strict", "signed.efi", "--cert", &fixture.cert]);
    assert!(said.contains("accepted"), "{said}");
    run("sbverify", &["--cert", &fixture.cert, text(&fixture.path("signed.efi"))]);
    // In the place of what is signed already.
    let again = fixture.sign("signed.efi", "signed.efi");
    fixture.in_little_memory(&again.iter().map(String::as_str).chain(["--replace"]).collect::<Vec<_>>());
    run("sbverify", &["--cert", &fixture.cert, text(&fixture.path("signed.efi"))]);
}

#[test]
fn building_and_inspecting_a_large_image_takes_no_more_memory() {
    let fixture = Fixture::new();
    fixture.initrd("initrd.img", INITRD);
    // As well compressed, the zeros of which take no room: these are unpacked to be looked into.
    run("sh", &["-c", "gzip -1 <\"$0\" >\"$0.gz\" && zstd -q -1 \"$0\"", text(&fixture.path("initrd.img"))]);
    let build = fixture.build(&["initrd.img", "initrd.img.gz", "initrd.img.zst"]);
    let said = fixture.in_little_memory(&build.iter().map(String::as_str).collect::<Vec<_>>());
    let cert = fixture.home.keys().join("k/uki-production/cert.pem");
    fixture.in_little_memory(&["verify", "efi", "--strict", "image.efi", "--cert", text(&cert)]);
    let measured = fixture.in_little_memory(&["uki", "measure", "image.efi"]);
    for pcr in ["PCR 4: ", "PCR 11: "] {
        let line = |text: &str| text.lines().find(|line| line.trim().starts_with(pcr)).unwrap().trim().to_owned();
        assert_eq!(line(&said), line(&measured));
    }
    let found = fixture.in_little_memory(&["uki", "inspect", "image.efi", "--files"]);
    assert!(found.contains("/usr/lib/systemd/systemd") && found.contains(&INITRD.to_string()), "{found}");
    // The bytes are those of the files.
    let mut written = File::open(fixture.path("image.efi")).unwrap();
    let bytes = trust::host::fs::data::Input::open(&fixture.path("image.efi"), u64::MAX).unwrap();
    let image = trust::host::image::pe::Image::parse(&bytes).unwrap();
    let section = image.section(".initrd").unwrap().raw.start as u64;
    let length = fs::metadata(fixture.path("initrd.img")).unwrap().len();
    let compressed = fs::read(fixture.path("initrd.img.gz")).unwrap();
    written.seek(SeekFrom::Start(section + (length + 4).next_multiple_of(4))).unwrap();
    let mut copy = vec![0; compressed.len()];
    written.read_exact(&mut copy).unwrap();
    assert!(copy == compressed);
}

#[test]
fn a_lack_of_memory_is_reported() {
    let fixture = Fixture::new();
    fixture.program("large.efi", IMAGE);
    let (least, sign) = (address_space(&fixture.home), fixture.sign("large.efi", "signed.efi"));
    let mut refused = 0;
    for limit in (0..).map(|step| format!("--as={}", least + step * STEP)) {
        if fixture.limited(&limit, &sign).status.success() {
            break;
        }
        refused += 1;
        let complaint = fixture.fails(&limit, &sign, 15);
        assert!(complaint.contains("there is no memory left"), "{complaint}");
    }
    assert!(refused > 0, "it takes no memory at all");
}

#[test]
fn a_file_size_limit_is_reported() {
    let fixture = Fixture::new();
    fixture.program("large.efi", IMAGE);
    fixture.initrd("initrd.img", IMAGE);
    for args in [fixture.sign("large.efi", "signed.efi"), fixture.build(&["initrd.img"])] {
        let complaint = fixture.fails(&format!("--fsize={}", 32 * MIB), &args, 15);
        assert!(complaint.contains("ulimit -f"), "{complaint}");
    }
}

#[test]
fn a_full_disk_keeps_the_old_program() {
    let fixture = Fixture::new();
    fixture.program("large.efi", IMAGE);
    let dir = tempfile::TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=8m tmpfs \"$DIR\" && echo old > \"$DIR/signed.efi\" && \"$@\"; status=$?; \
        cat \"$DIR/signed.efi\"; ls -A \"$DIR\"; exit $status";
    let mut command = Command::new("sh");
    harness::keep_mounts_in(&mut command).args(["-c", script, "sh"]).arg(harness::trust_host());
    command.args(fixture.sign("large.efi", text(&dir.path().join("signed.efi")))).env("DIR", dir.path());
    command.env("HOME", fixture.home.path()).env_remove("XDG_DATA_HOME").current_dir(fixture.home.path());
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{complaint}");
    assert!(complaint.contains("free some space"), "{complaint}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "old\nsigned.efi\n");
}

#[test]
fn a_program_too_large_for_its_format_is_refused_at_once() {
    let fixture = Fixture::new();
    let everything = "--fsize=unlimited";
    let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    fixture.program("large.efi", IMAGE);
    File::options().write(true).open(fixture.path("large.efi")).unwrap().set_len(5 * GIB).unwrap();
    for command in [
        fixture.sign("large.efi", "signed.efi"),
        args(&["verify", "efi", "large.efi", "--cert", &fixture.cert]),
        args(&["uki", "inspect", "large.efi"]),
        args(&["uki", "measure", "large.efi"]),
    ] {
        let complaint = fixture.fails(everything, &command, 14);
        assert!(complaint.contains("larger than 4 GiB"), "{complaint}");
    }
    fixture.initrd("initrd.img", 3 * GIB);
    let complaint = fixture.fails(everything, &fixture.build(&["initrd.img"]), 14);
    assert!(complaint.contains("larger than 2 GiB"), "{complaint}");
    // Each of them would do; together they reach beyond what a header can say.
    fixture.initrd("initrd.img", 2 * GIB - MIB);
    let complaint = fixture.fails(everything, &fixture.build(&["initrd.img"; 3]), 2);
    assert!(complaint.contains("larger than 4 GiB") && complaint.contains("smaller initrd"), "{complaint}");
    fixture.initrd("initrd.img", IMAGE);
    assert!(fixture.limited(everything, &fixture.build(&["initrd.img"])).status.success());
}
