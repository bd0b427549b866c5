//! Inputs from which no image is built, and files that are not images.

use crate::fixture::{Fixture, archive, kernel, stub, text};
use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

/// What `uki build` complains of when this is not as it should be; it leaves nothing.
fn refused(fixture: &Fixture, what: &str, value: &str) -> String {
    let (kernel, stub) = (kernel(), stub());
    let usual = [
        ("--kind", "production"),
        ("--kernel", text(&kernel)),
        ("--stub", text(&stub)),
        ("--initrd", "initrd.img"),
        ("--cmdline", "console=ttyS0 noresume rdinit=/usr/bin/trust -- init --end"),
        ("--output", "refused.efi"),
    ];
    let mut args = vec!["uki", "build", if what == "KEYSET" { value } else { "k" }];
    for (option, given) in usual {
        args.extend([option, if option == what { value } else { given }]);
    }
    let given = format!("{what}={value}");
    if what != "KEYSET" && !usual.iter().any(|(option, _)| *option == what) {
        args.push(&given);
    }
    let before = harness::tree(fixture.0.path());
    let output = fixture.0.output(&args);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(2 | 14 | 15)), "{given}: {:?} {complaint}", output.status);
    assert!(output.stdout.is_empty(), "{given}");
    assert_eq!(harness::tree(fixture.0.path()), before, "{given}");
    complaint
}

#[test]
fn inputs_that_no_boot_could_use_are_refused() {
    let fixture = Fixture::new();
    let image = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        bytes
    };
    fixture.write("three", b"MZ\0");
    fixture.write("script", b"#!/bin/sh\nexit\n");
    fixture.write("empty", b"");
    fixture.write("half-kernel", &image(&kernel(), &|bytes| bytes.truncate(bytes.len() / 2)));
    fixture.write("gzip-kernel", b"\x1f\x8b\x08 and so on");
    fixture.write("half-stub", &image(&stub(), &|bytes| bytes.truncate(bytes.len() / 2)));
    // Machine, at the fourth byte of the PE header.
    let pe = |bytes: &[u8]| u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
    fixture.write(
        "arm-stub",
        &image(&stub(), &|bytes| {
            let at = pe(bytes) + 4;
            bytes[at..at + 2].copy_from_slice(&0xaa64_u16.to_le_bytes());
        }),
    );
    // The second section where the first one is.
    fixture.write(
        "overlap-stub",
        &image(&stub(), &|bytes| {
            let table = pe(bytes) + 24 + usize::from(bytes[pe(bytes) + 20]);
            bytes.copy_within(table + 20..table + 24, table + 40 + 20);
        }),
    );
    fixture.write("half.gz", &image(&fixture.path("initrd.img.gz"), &|bytes| bytes.truncate(bytes.len() - 9)));
    fixture
        .write("lies.cpio", &image(&fixture.path("initrd.img"), &|bytes| bytes[54..62].copy_from_slice(b"ffffffff")));
    fixture.write("upwards.cpio", &{
        let (mut bytes, name) = (archive(&[("aaaa", "x")]), b"aaaa\0");
        let at = bytes.windows(5).position(|window| window == name).unwrap();
        bytes[at..at + 4].copy_from_slice(b"../a");
        bytes
    });
    fixture.write("comments", b"# root=/dev/mapper/root\n\n  #quiet\n \n");
    fixture.write("long", "x".repeat(2048).as_bytes());
    symlink("/dev/zero", fixture.path("endless")).unwrap();
    fixture.build("unsigned.efi", &["--kind", "tpm", "--initrd", "initrd.img", "--cmdline", "x", "--unsigned"]);
    fixture.build("signed.efi", &["--kind", "tpm", "--initrd", "initrd.img", "--cmdline", "x"]);

    for (option, value, expected) in [
        ("KEYSET", "nobody", "keyset add"),
        ("--kernel", "missing", "check the name"),
        ("--kernel", "three", "CONFIG_EFI_STUB"),
        ("--kernel", "script", "CONFIG_EFI_STUB"),
        ("--kernel", "empty", "CONFIG_EFI_STUB"),
        ("--kernel", "half-kernel", "beyond the end"),
        ("--kernel", "gzip-kernel", "decompress it"),
        ("--stub", "missing", "check the name"),
        ("--stub", "three", "give systemd's"),
        ("--stub", "half-stub", "beyond the end"),
        ("--stub", "arm-stub", "aa64"),
        ("--stub", "overlap-stub", "overlap"),
        ("--stub", "unsigned.efi", "there already"),
        ("--stub", "signed.efi", "is signed"),
        ("--stub", "endless", "larger than 16 MiB"),
        ("--initrd", "missing", "check the name"),
        ("--initrd", "empty", "it is empty"),
        ("--initrd", "script", "not a cpio archive"),
        ("--initrd", "half.gz", "decompress the initrd"),
        ("--initrd", "lies.cpio", "middle of an entry"),
        ("--initrd", "upwards.cpio", "not a path in an initrd"),
        ("--cmdline", "", "no command line"),
        ("--cmdline", " \n\t", "no command line"),
        ("--cmdline", "@empty", "no command line"),
        ("--cmdline", "@comments", "no command line"),
        ("--cmdline", "@long", "2047"),
        ("--cmdline", "@missing", "check the name"),
        ("--cmdline", "a\u{7}b", "control characters"),
        ("--cmdline", "quiet # rd.break", "on a line of its own"),
        ("--os-release", "script", "ID="),
        ("--splash", "script", "BMP"),
        ("--with-trust", "script", "not a program"),
        ("--with-trust", "missing", "check the name"),
        ("--output", "missing/refused.efi", "check the name"),
        ("--output", "/proc/refused.efi", "cannot write"),
    ] {
        let complaint = refused(&fixture, option, value);
        assert!(complaint.contains(expected), "{option} {value}: {complaint}");
        assert!(complaint.starts_with("trust: cannot ") && complaint.contains("; "), "{complaint}");
    }
}

/// Where the image has none, the stub takes the command line of the boot menu: `rdinit=/bin/sh`, say.
#[test]
fn no_image_that_may_read_secrets_leaves_its_command_line_to_the_boot_menu() {
    let fixture = Fixture::new();
    let (kernel, stub) = (kernel(), stub());
    let build = |kind: &str, more: &[&str]| {
        let args = ["uki", "build", "k", "--kind", kind, "--kernel", text(&kernel), "--stub", text(&stub)];
        fixture.0.output(&[&args[..], &["--initrd", "initrd.img", "--output", "image.efi"], more].concat())
    };
    for kind in ["production", "tpm"] {
        for more in [&[][..], &["--unsigned"], &["--cmdline", " "], &["--cmdline=@/dev/null"]] {
            let output = build(kind, more);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{kind} {more:?} was built: {said}");
            assert!(said.contains("it has no command line") && said.contains("; give one"), "{said}");
            assert!(!fixture.path("image.efi").exists());
        }
        // As its remedy says, it is built, and nothing is said against it.
        let said = String::from_utf8(build(kind, &[]).stderr).unwrap();
        let output = build(kind, &["--cmdline", said.split('\'').nth(1).unwrap()]);
        assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("without "));
        fs::remove_file(fixture.path("image.efi")).unwrap();
    }
    // Whatever it is for, it should say why it fails.
    for (more, mute) in [(&[][..], true), (&["--cmdline", "console=ttyS0"], false)] {
        let output = build("limited", more);
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr).contains("without console=tty0 console=ttyS0"), mute);
    }
    for (line, doubt) in [
        ("noresume resume=/dev/sda", "resume=/dev/sda puts"),
        ("quiet", "without noresume"),
        ("quiet", "without console="),
    ] {
        let said = String::from_utf8(build("production", &["--cmdline", line]).stderr).unwrap();
        assert!(said.contains(doubt), "not a word of {doubt}: {said}");
    }
}

#[test]
fn a_full_disk_keeps_the_old_image() {
    let fixture = Fixture::new();
    let dir = tempfile::TempDir::new().unwrap();
    // Room for the old one, and half of the new one.
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && echo old > \"$1/image.efi\" && shift && \"$@\"; status=$?; \
        cat \"$DIR/image.efi\"; ls -A \"$DIR\"; exit $status";
    let (kernel, stub, output) = (kernel(), stub(), dir.path().join("image.efi"));
    let mut command = Command::new("sh");
    harness::keep_mounts_in(&mut command).args(["-c", script, "sh", text(dir.path())]).arg(harness::trust_host());
    command.args([
        "uki",
        "build",
        "k",
        "--kind",
        "tpm",
        "--initrd",
        "initrd.img",
        "--cmdline",
        "x",
        "--kernel",
        text(&kernel),
    ]);
    command.args(["--stub", text(&stub), "--output", text(&output)]).env("DIR", dir.path());
    command.env("HOME", fixture.0.path()).env_remove("XDG_DATA_HOME").current_dir(fixture.0.path());
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{complaint}");
    assert!(complaint.contains("free some space"), "{complaint}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "old\nimage.efi\n");
}

#[test]
fn files_other_than_images_are_refused() {
    let fixture = Fixture::new();
    fixture.write("three", b"MZ\0");
    for command in ["measure", "inspect"] {
        for (file, status) in [("three", 14), ("initrd.img", 14), ("missing", 2)] {
            let complaint = fixture.0.fails(&["uki", command, file], status);
            assert!(complaint.contains(file), "{complaint}");
        }
    }
    // An image, but of nothing that says what it measures.
    let kernel = kernel();
    let complaint = fixture.0.refuses(&["uki", "measure", text(&kernel)]);
    assert!(complaint.contains("--stub-version"), "{complaint}");
    let complaint = fixture.0.refuses(&["uki", "measure", text(&kernel), "--stub-version", "251"]);
    assert!(complaint.contains("252 or later"), "{complaint}");
    assert!(fixture.0.ok(&["uki", "inspect", text(&kernel)]).contains("initrd: none"));
}
