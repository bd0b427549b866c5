//! What images are made of, and the programs that others look at them with.

use harness::{Home, assets, run};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

pub const CMDLINE: &str = "console=tty0 console=ttyS0 quiet panic=-1";

/// What an image is made of, in a home with keyset `k`.
pub struct Fixture(pub Home);

impl Fixture {
    pub fn new() -> Self {
        let fixture = Self(Home::with_keyset());
        let initrd =
            fixture.write("initrd.img", &archive(&[("init", "#!/bin/sh\n"), ("usr/bin/trust", "of the initrd")]));
        run("gzip", &["--keep", "--no-name", text(&initrd)]);
        fixture.write("os-release", b"ID=test\nVERSION_ID=7\n");
        // Enough of a program for this architecture.
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(64, 0);
        program[18] = 62;
        fixture.write("program", &program);
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        fs::write(self.path(name), contents).unwrap();
        self.path(name)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.0.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// `trust uki build ARGS` with the kernel, the stub and one initrd, to the file `output`.
    pub fn build(&self, output: &str, args: &[&str]) -> Value {
        self.build_on(&stub(), output, args)
    }

    /// The same on another stub.
    pub fn build_on(&self, stub: &Path, output: &str, args: &[&str]) -> Value {
        let kernel = kernel();
        let all = [&["uki", "build", "k", "--kernel", text(&kernel), "--stub", text(stub)], args];
        self.json(&[&all.concat()[..], &["--output", output]].concat())
    }

    /// A section of an image, by objcopy.
    pub fn section(&self, image: &str, name: &str) -> Vec<u8> {
        // Tests that look at the same image do so at the same time.
        let dir = tempfile::TempDir::new().unwrap();
        let (dumped, copy) = (dir.path().join("dumped"), dir.path().join("copy"));
        let dump = format!("{name}={}", text(&dumped));
        run("objcopy", &["--dump-section", &dump, text(&self.path(image)), text(&copy)]);
        let mut bytes = fs::read(dumped).unwrap();
        // objcopy pads; the table knows better.
        let table = run("objdump", &["--section-headers", text(&self.path(image))]);
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.get(1) == Some(&name)).unwrap();
        bytes.truncate(usize::from_str_radix(row[2], 16).unwrap());
        bytes
    }

    /// What systemd-measure 257 says of these sections: phase, bank, value.
    pub fn systemd_measure(&self, sections: &[(&str, Vec<u8>)], banks: &[&str]) -> Vec<(String, String, String)> {
        let mut command = assets::program("systemd-measure");
        command.args(["calculate", "--json=short"]);
        let dir = tempfile::TempDir::new().unwrap();
        for (name, data) in sections {
            let file = dir.path().join(name.trim_start_matches('.'));
            fs::write(&file, data).unwrap();
            command.arg(format!("--{}={}", name.trim_start_matches('.'), text(&file)));
        }
        command.args(banks.iter().map(|bank| format!("--bank={bank}")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut values = Vec::new();
        for bank in banks {
            for value in json[bank].as_array().unwrap() {
                let [phase, hash] = ["phase", "hash"].map(|key| value[key].as_str().unwrap().to_owned());
                values.push((phase, (*bank).to_owned(), hash));
            }
        }
        values
    }
}

/// An image of kind `production` with everything, that tests only look at, and what was said when it was built.
pub fn sample() -> (&'static Fixture, &'static Value) {
    static SAMPLE: OnceLock<(Fixture, Value)> = OnceLock::new();
    let (fixture, said) = SAMPLE.get_or_init(|| {
        let fixture = Fixture::new();
        fixture.write("splash.bmp", b"BM and a picture");
        let said = fixture.build(
            "sample.efi",
            &[
                "--kind",
                "production",
                "--initrd",
                "initrd.img.gz",
                "--cmdline",
                CMDLINE,
                "--os-release",
                "os-release",
                "--splash",
                "splash.bmp",
                "--with-trust=program",
                "--sign-kernel",
                "no",
            ],
        );
        (fixture, said)
    });
    (fixture, said)
}

pub fn kernel() -> PathBuf {
    assets::Kernel::new().image
}

pub fn stub() -> PathBuf {
    assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub")
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What cpio makes of some files.
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, contents) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    let script = "find . | LC_ALL=C sort | cpio --create --format=newc --quiet --reproducible --owner=0:0";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
