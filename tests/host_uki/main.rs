//! Unified kernel images, built by `trust` and looked at with ukify, systemd-measure, objdump, sbverify, cpio and
//! bsdtar; built by ukify and looked at with `trust`.

mod fixture;
mod kexec;
mod refusals;

use fixture::{CMDLINE, Fixture, archive, kernel, sample, stub, text};
use harness::{Token, assets, run};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// PCR 11 as `uki measure` says it, after the phases.
fn after_phases(profile: &Value) -> Vec<(String, String, String)> {
    let values = profile["pcr11"].as_array().unwrap().iter();
    let values = values.map(|value| ["phase", "bank", "hash"].map(|key| value[key].as_str().unwrap().to_owned()));
    values.filter(|[phase, ..]| !phase.is_empty()).map(|[phase, bank, hash]| (phase, bank, hash)).collect()
}

/// Runs a program with this as its standard input.
fn pipe(input: &[u8], program: &str, args: &[&str], dir: &Path) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ukify_and_objdump_find_every_section() {
    let (fixture, _) = sample();
    let image = fixture.path("sample.efi");
    let output = assets::program("ukify").args(["inspect", text(&image), "--json=short"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[".cmdline"]["text"], CMDLINE);
    assert_eq!(found[".osrel"]["text"], "ID=test\nVERSION_ID=7\n");
    assert_eq!(found[".uname"]["text"], assets::Kernel::new().release.as_str());
    assert_eq!(found[".linux"]["size"], fs::metadata(kernel()).unwrap().len());
    let ours = fixture.json(&["uki", "inspect", "sample.efi"]);
    for section in ours["sections"].as_array().unwrap() {
        // ukify shows only what it knows.
        if let Some(theirs) = found.get(section["name"].as_str().unwrap()) {
            assert_eq!((&section["size"], &section["sha256"]), (&theirs["size"], &theirs["sha256"]), "{section}");
        }
    }
    assert_eq!(fixture.section("sample.efi", ".linux"), fs::read(kernel()).unwrap());
    assert_eq!(fixture.section("sample.efi", ".splash"), b"BM and a picture");
    let table = run("objdump", &["--section-headers", text(&image)]);
    let last = table.lines().rfind(|line| line.contains(".linux")).unwrap();
    assert!(table.ends_with(table.split_at(table.find(last).unwrap()).1), "{table}");
    assert_eq!(image.metadata().unwrap().permissions().mode() & 0o777, 0o644);
}

/// From 254 on it would append to the command line what an OEM string says. `vm_refusals` boots it.
#[test]
fn the_stub_finds_no_firmware_strings() {
    let (fixture, _) = sample();
    let (before, after) = (fs::read(stub()).unwrap(), fs::read(fixture.path("sample.efi")).unwrap());
    // The GUIDs of the SMBIOS tables, the beginnings of which are operands of instructions.
    for half in [[0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a], [0x31, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11]] {
        let there = |bytes: &[u8]| bytes.windows(8).any(|window| window == half);
        assert!(there(&before), "the stub of the tests asks for them in another way");
        assert!(!there(&after[..before.len()]), "the stub finds the firmware's strings");
    }
}

#[test]
fn each_kind_is_signed_by_its_key() {
    let fixture = Fixture::new();
    for kind in ["production", "limited", "tpm"] {
        fixture.build("image.efi", &["--kind", kind, "--cmdline=x", "--initrd", "initrd.img"]);
        for other in ["production", "limited", "tpm"] {
            let cert = fixture.0.keys().join(format!("k/uki-{other}/cert.pem"));
            let verify = Command::new("sbverify")
                .args(["--cert", text(&cert), "image.efi"])
                .current_dir(fixture.0.path())
                .output();
            assert_eq!(verify.unwrap().status.success(), kind == other, "{kind} {other}");
        }
        let cn = match kind {
            "tpm" => "UKI TPM",
            "limited" => "UKI Limited",
            _ => "UKI Production",
        };
        let signers = &fixture.json(&["uki", "inspect", "image.efi"])["signers"];
        assert!(signers[0]["subject"].as_str().unwrap().contains(cn) && signers.get(1).is_none(), "{signers}");
    }
    assert!(fixture.0.ok(&["uki", "inspect", "image.efi"]).contains("signer: CN=UKI TPM,OU=Trust keyset k\n"));
    // One byte of the kernel is another one.
    let mut bytes = fs::read(fixture.path("image.efi")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fixture.write("flipped.efi", &bytes);
    let shown = fixture.0.ok(&["uki", "inspect", "flipped.efi"]);
    assert!(shown.contains("signer: CN=UKI TPM,OU=Trust keyset k, of another image\n"), "{shown}");

    // Signing elsewhere, the kernel and then the image, comes to the same.
    let dir = fixture.0.keys().join("k/uki-tpm");
    let (key, cert) = (dir.join("privkey.pem"), dir.join("cert.pem"));
    let sign = |file: &str, output: &str| {
        let signer = ["--key", text(&key), "--cert", text(&cert), "--replace"];
        fixture.0.ok(&[&["sign", "efi", file, "--output", output], &signer[..]].concat());
    };
    sign(text(&kernel()), "linux.efi");
    let (stub, ingredients) = (stub(), ["--kind", "tpm", "--cmdline=x", "--initrd", "initrd.img", "--unsigned"]);
    let build = ["uki", "build", "k", "--kernel", "linux.efi", "--stub", text(&stub), "--output", "unsigned.efi"];
    fixture.0.ok(&[&build[..], &ingredients].concat());
    assert_eq!(fixture.json(&["uki", "inspect", "unsigned.efi"])["signers"], serde_json::json!([]));
    sign("unsigned.efi", "signed.efi");
    assert!(fs::read(fixture.path("signed.efi")).unwrap() == fs::read(fixture.path("image.efi")).unwrap());
}

#[test]
fn another_key_signs_with_its_own_certificate_only() {
    let fixture = Fixture::new();
    let of = |role: &str, file: &str| fixture.0.keys().join("k").join(role).join(file);
    let (key, cert, other) = (of("uefi-db", "privkey.pem"), of("uefi-db", "cert.pem"), of("uki-tpm", "cert.pem"));
    let said = fixture.build(
        "image.efi",
        &["--kind", "production", "--cmdline=x", "--initrd", "initrd.img", "--key", text(&key), "--cert", text(&cert)],
    );
    run("sbverify", &["--cert", text(&cert), text(&fixture.path("image.efi"))]);
    // What verifies it is not what the keyset's machines are known to measure.
    assert!(said["pcr"]["sha256"].get("7").is_none(), "{said}");
    let (kernel, stub) = (kernel(), stub());
    let complaint = fixture.0.refuses(&[
        "uki",
        "build",
        "k",
        "--kind",
        "production",
        "--cmdline=x",
        "--kernel",
        text(&kernel),
        "--stub",
        text(&stub),
        "--initrd",
        "initrd.img",
        "--key",
        text(&key),
        "--cert",
        text(&other),
        "--output",
        "other.efi",
    ]);
    assert!(complaint.contains("certificate"), "{complaint}");
    assert!(!fixture.path("other.efi").exists());
}

#[test]
fn a_key_in_a_token_signs_the_same_image() {
    let (fixture, token) = (Fixture::new(), Token::new());
    let of = |item: &str| fixture.0.keys().join("k/uki-limited").join(item);
    token.import(&of("privkey.pem"), "uki", "01");
    let (uri, cert, kernel, stub) = (token.uri("uki"), of("cert.pem"), kernel(), stub());
    let said = fixture.build("file.efi", &["--kind", "limited", "--initrd", "initrd.img"]);
    let mut command = fixture.0.command(&[
        "uki",
        "build",
        "k",
        "--kind",
        "limited",
        "--kernel",
        text(&kernel),
        "--stub",
        text(&stub),
        "--initrd",
        "initrd.img",
        "--key",
        &uri,
        "--cert",
        text(&cert),
        "--output",
        "token.efi",
        "--json",
    ]);
    let (name, value) = token.environment();
    let output = command.env(name, value).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let also: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The same certificate vouches for it: PCR 7 is known, too.
    assert_eq!(also["pcr"], said["pcr"]);
    assert!(also["pcr"]["sha256"].get("7").is_some(), "{also}");
    assert!(fs::read(fixture.path("file.efi")).unwrap() == fs::read(fixture.path("token.efi")).unwrap());
}

#[test]
fn the_keyset_goes_into_the_initrd_as_cpio_and_bsdtar_unpack_it() {
    let (fixture, _) = sample();
    let found = fixture.json(&["uki", "inspect", "sample.efi", "--files"])["initrd"].take();
    assert_eq!((&found["trust"], &found["manifest_ca"]), (&Value::from(true), &Value::from(true)));
    let archives = found["archives"].as_array().unwrap();
    let kinds: Vec<_> = archives.iter().map(|archive| archive["compression"].as_str()).collect();
    assert_eq!(kinds, [Some("gzip"), None]);

    let initrd = fixture.section("sample.efi", ".initrd");
    let (first, second) = initrd.split_at(archives[1]["offset"].as_u64().unwrap() as usize);
    let given = fs::read(fixture.path("initrd.img.gz")).unwrap();
    assert!(first.starts_with(&given));
    // LZ4 would need four zeros to end with, and the kernel begins at multiples of four.
    let zeros = &first[given.len()..];
    assert!(zeros.len() >= 4 && zeros.iter().all(|byte| *byte == 0) && first.len() % 4 == 0, "{zeros:?}");

    let dir = tempfile::TempDir::new().unwrap();
    let listed = pipe(second, "cpio", &["--list", "--quiet"], dir.path());
    assert_eq!(pipe(second, "bsdtar", &["-tf", "-"], dir.path()), listed);
    pipe(second, "cpio", &["--extract", "--make-directories", "--quiet"], dir.path());
    let mode = |path: &str| dir.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("usr/bin/trust"), mode("usr/bin"), mode("manifestCA.pem")), (0o755, 0o755, 0o644));
    assert_eq!(fs::read(dir.path().join("usr/bin/trust")).unwrap(), fs::read(fixture.path("program")).unwrap());
    let keyset = fixture.0.keys().join("k");
    let same =
        |ours: &str, theirs: &str| run("diff", &["-r", text(&dir.path().join(ours)), text(&keyset.join(theirs))]);
    same("pcr7data", "pcr7data");
    same("manifestCA.pem", "manifest-ca/cert.pem");

    let files = found["files"].as_array().unwrap();
    let program = files.iter().find(|file| file["path"] == "usr/bin/trust").unwrap();
    // The last one counts, as when the kernel unpacks them.
    assert_eq!((&program["mode"], &program["size"]), (&Value::from("100755"), &Value::from(64)));
    assert!(files.iter().any(|file| file["path"] == "init"));
    assert!(listed.lines().all(|path| files.iter().any(|file| file["path"] == path)), "{listed}");
}

#[test]
fn policies_in_the_initrd_are_listed_by_boot() {
    let fixture = Fixture::new();
    let values = fixture.0.ok(&["compute-pcr7", "k", "--output", "values"]);
    let file = |name: &str| fixture.path("values").join(name);
    let (tpm, prod, limited) = (file("pcr_tpm.bin"), file("pcr_prod.bin"), file("pcr_limited.bin"));
    fixture.0.ok(&[
        "keyset",
        "pcr7data",
        "k",
        "--pcr7-tpm",
        text(&tpm),
        "--pcr7-production",
        text(&prod),
        "--pcr7-limited",
        text(&limited),
    ]);
    let said = fixture.build("image.efi", &["--kind", "limited", "--initrd", "initrd.img"]);
    let predicted =
        |role: &str| values.lines().find_map(|line| line.strip_prefix(role)?.strip_prefix(": ")).unwrap().to_owned();
    assert_eq!(said["pcr"]["sha256"]["7"], predicted("uki-limited"));
    let policies = fixture.json(&["uki", "inspect", "image.efi"])["initrd"]["pcr7data"].take();
    let policies = policies.as_array().unwrap();
    for (kind, role) in [("production", "uki-production"), ("limited", "uki-limited"), ("tpm", "uki-tpm")] {
        let policy = serde_json::json!({ "kind": kind, "keyset": "k", "pcr7": predicted(role) });
        assert!(policies.contains(&policy), "{policy} {policies:?}");
    }
    let shown = fixture.0.ok(&["uki", "inspect", "image.efi"]);
    assert!(
        shown.contains(&format!("/pcr7data: limited of keyset k at PCR 7 {}", predicted("uki-limited"))),
        "{shown}"
    );
    // Where the keyset knows the boot, there is nothing to say.
    let (kernel, stub) = (kernel(), stub());
    let build = ["uki", "build", "k", "--kernel", text(&kernel), "--stub", text(&stub), "--initrd", "initrd.img"];
    let build = [&build[..], &["--cmdline", CMDLINE]].concat();
    let known = fixture.0.output(&[&build[..], &["--kind", "limited", "--output", "again.efi"]].concat());
    assert_eq!(String::from_utf8_lossy(&known.stderr), "");
    let unknown = ["--dbx", "/dev/null", "--kind", "limited", "--output", "again.efi"];
    let unknown = fixture.0.output(&[&build[..], &unknown].concat());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no policy for PCR 7"));
    assert!(unknown.status.success());
}

#[test]
fn measurements_equal_systemd_measures_for_stubs_of_each_version() {
    let (fixture, said) = sample();
    let banks = ["sha1", "sha256", "sha384", "sha512"];
    let banks_given = banks.map(|bank| format!("--bank={bank}"));
    let all = [".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".uname", ".sbat"];
    let dumped = all.map(|name| (name, fixture.section("sample.efi", name)));
    for (version, sections) in [("252", &all[..5]), ("253", &all[..5]), ("254", &all), ("257", &all), ("258", &all)] {
        let args = ["uki", "measure", "sample.efi", "--stub-version", version];
        let args: Vec<_> = args.into_iter().chain(banks_given.iter().map(String::as_str)).collect();
        let ours = fixture.json(&args);
        let theirs: Vec<_> = dumped.iter().filter(|(name, _)| sections.contains(name)).cloned().collect();
        assert_eq!(after_phases(&ours["profiles"][0]), fixture.systemd_measure(&theirs, &banks), "{version}");
    }
    let ours = fixture.json(&["uki", "measure", "sample.efi"]);
    assert_eq!(ours["stub_version"], 257);
    let (pcrs, pcr11) = (&said["pcr"]["sha256"], &ours["profiles"][0]["pcr11"][0]);
    assert_eq!((&pcr11["phase"], &pcr11["hash"]), (&Value::from(""), &pcrs["11"]));
    assert_eq!(ours["pcr4"][0]["hash"], pcrs["4"]);
    let shown = fixture.0.ok(&["uki", "measure", "sample.efi"]);
    assert!(shown.contains(&format!("PCR 11: {}\n", pcrs["11"].as_str().unwrap())), "{shown}");
}

#[test]
fn measurements_of_profiles_equal_systemd_measures() {
    let fixture = Fixture::new();
    let (kernel, stub) = (kernel(), stub());
    let ukify = |args: &[&str]| {
        let output = assets::program("ukify").arg("build").args(args).current_dir(fixture.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let addon = assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub");
    ukify(&["--stub", text(&addon), "--profile", "ID=rescue\n", "--cmdline", "rescue", "--output", "rescue.efi"]);
    ukify(&[
        "--linux",
        text(&kernel),
        "--stub",
        text(&stub),
        "--initrd",
        "initrd.img.gz",
        "--cmdline",
        "usual",
        "--uname",
        "6",
        "--os-release",
        "ID=x\n",
        "--profile",
        "ID=main\n",
        "--join-profile",
        "rescue.efi",
        "--output",
        "profiles.efi",
    ]);
    let ours = fixture.json(&["uki", "measure", "profiles.efi"]);
    let shared =
        [".linux", ".osrel", ".initrd", ".uname", ".sbat"].map(|name| (name, fixture.section("profiles.efi", name)));
    for (index, (cmdline, profile)) in [("usual", "ID=main\n"), ("rescue", "ID=rescue\n")].iter().enumerate() {
        let own = [(".cmdline", cmdline.as_bytes().to_vec()), (".profile", profile.as_bytes().to_vec())];
        let sections = [&shared[..], &own].concat();
        assert_eq!(
            after_phases(&ours["profiles"][index]),
            fixture.systemd_measure(&sections, &["sha256"]),
            "{profile}"
        );
    }
    assert_eq!(ours["profiles"].as_array().unwrap().len(), 2);
    assert_eq!(fixture.json(&["uki", "inspect", "profiles.efi"])["profiles"], 2);
}

#[test]
fn the_stub_of_debian_12_and_every_compression_are_supported() {
    let fixture = Fixture::new();
    let stub = assets::bookworm("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    for (program, suffix, args) in [("xz", "xz", &["--check=crc32"][..]), ("zstd", "zst", &["-q"])] {
        run(program, &[args, &["--keep", text(&fixture.path("initrd.img"))]].concat());
        let initrd = format!("initrd.img.{suffix}");
        let initrds = ["--initrd", "initrd.img", &initrd];
        fixture.build_on(&stub, "image.efi", &[&["--kind", "production", "--cmdline=x"][..], &initrds].concat());
        let found = fixture.json(&["uki", "inspect", "image.efi"]);
        assert!(found["stub"].as_str().unwrap().starts_with("252"), "{found}");
        let archives: Vec<_> = found["initrd"]["archives"].as_array().unwrap().iter().collect();
        let seen: Vec<_> = archives.iter().map(|archive| archive["looked_into"].as_bool().unwrap()).collect();
        assert_eq!(seen, [true, program != "xz", true], "{found}");
        // What comes after something that cannot be looked into is found all the same.
        assert_eq!(found["initrd"]["manifest_ca"], true);
    }
    run(
        "sbverify",
        &["--cert", text(&fixture.0.keys().join("k/uki-production/cert.pem")), text(&fixture.path("image.efi"))],
    );
    let shown = fixture.0.ok(&["uki", "inspect", "image.efi"]);
    assert!(shown.contains("systemd-stub 252"), "{shown}");
}

/// Debian 12's stub has other sections right behind its revocation levels; that of Debian 13 has room for a few more.
#[test]
fn revocation_levels_of_a_kernel_are_merged_on_every_stub() {
    let fixture = Fixture::new();
    let name = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    for (suite, stub) in [("bookworm", assets::bookworm(name)), ("trixie", assets::path(name))] {
        for count in [1, 4, 40] {
            let line = |at| format!("linux.somebody{at},1,Somebody,linux,6.12,https://example.com/\n");
            let levels: String = (0..count).map(line).collect();
            let image =
                assets::Kernel::new().with_revocation_levels(&format!("sbat,1,SBAT,sbat,1,https://x\n{levels}"));
            let (kernel, file) = (fixture.write("kernel", &image), format!("{suite}-{count}.efi"));
            fixture.json(&[
                "uki",
                "build",
                "k",
                "--kind",
                "limited",
                "--kernel",
                text(&kernel),
                "--stub",
                text(&stub),
                "--initrd",
                "initrd.img",
                "--output",
                &file,
            ]);
            fs::copy(&stub, fixture.path("stub")).unwrap();
            let [ours, stubs] = [&file, "stub"].map(|file| String::from_utf8(fixture.section(file, ".sbat")).unwrap());
            assert_eq!(ours.trim_end_matches('\0'), format!("{}{levels}", stubs.trim_end_matches('\0')), "{file}");
            // Nothing lies on anything else, nor between: signers and firmware hash the same bytes.
            let cert = fixture.0.keys().join("k/uki-limited/cert.pem");
            run("sbverify", &["--cert", text(&cert), text(&fixture.path(&file))]);
            fixture.0.ok(&["verify", "efi", "--strict", &file, "--cert", text(&cert)]);
            let bytes = fs::read(fixture.path(&file)).unwrap();
            let image = trust::host::image::pe::Image::parse(&bytes).unwrap();
            let mut end = image.headers().size_of_headers;
            for section in image.sections().iter().filter(|section| !section.raw.is_empty()) {
                assert_eq!(section.raw.start, end, "{file}: {}", section.name());
                end = section.raw.end;
            }
        }
    }
}

#[test]
fn the_same_input_gives_the_same_image() {
    let fixture = Fixture::new();
    let args = |initrds: [&'static str; 2]| {
        ["--kind", "production", "--cmdline=x", "--initrd", initrds[0], "--initrd", initrds[1]]
    };
    fixture.build("one.efi", &args(["initrd.img", "initrd.img.gz"]));
    // Neither the order of directories on the disk nor times and modes matter.
    run(
        "sh",
        &[
            "-c",
            "cd \"$0\" && cp -r k l && rm -r k && mv l k && find k -exec touch {} + && chmod -R g-r k",
            text(&fixture.0.keys()),
        ],
    );
    fixture.build("two.efi", &args(["initrd.img", "initrd.img.gz"]));
    fixture.build("three.efi", &args(["initrd.img.gz", "initrd.img"]));
    let read = |name: &str| fs::read(fixture.path(name)).unwrap();
    assert!(read("one.efi") == read("two.efi"));
    assert!(read("one.efi") != read("three.efi"));
}

#[test]
fn the_command_line_is_read_from_a_file() {
    let fixture = Fixture::new();
    fixture.write("bare.img", &archive(&[("init", "#!/bin/sh\n")]));
    fixture.write("cmdline", b"  quiet\nro \n\nroot=LABEL=x\n");
    fixture
        .build("image.efi", &["--kind", "limited", "--initrd", "bare.img", "--cmdline", "@cmdline", "--uname", "1.2"]);
    assert_eq!(fixture.section("image.efi", ".cmdline"), b"quiet ro root=LABEL=x");
    assert_eq!(fixture.section("image.efi", ".uname"), b"1.2");
    // Nothing that was not asked for.
    let found = fixture.json(&["uki", "inspect", "image.efi"]);
    assert_eq!((&found["os_release"], &found["initrd"]["trust"]), (&Value::Null, &Value::from(false)));
}

#[test]
fn the_initrd_program_is_found_beside_this_one() {
    let fixture = Fixture::new();
    let alone = fixture.path("alone/trust");
    fs::create_dir(fixture.path("alone")).unwrap();
    fs::copy(harness::trust_host(), &alone).unwrap();
    let (kernel, stub) = (kernel(), stub());
    let build = || {
        let mut command = Command::new(&alone);
        command.args([
            "uki",
            "build",
            "k",
            "--kind",
            "tpm",
            "--cmdline=x",
            "--kernel",
            text(&kernel),
            "--stub",
            text(&stub),
        ]);
        command.args(["--initrd", "initrd.img", "--with-trust", "--output", "image.efi"]);
        command
            .env("HOME", fixture.0.path())
            .env_remove("XDG_DATA_HOME")
            .current_dir(fixture.0.path())
            .output()
            .unwrap()
    };
    let missing = build();
    let complaint = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("alone/trust-initrd") && complaint.contains("--with-trust=FILE"), "{complaint}");
    fs::copy(fixture.path("program"), fixture.path("alone/trust-initrd")).unwrap();
    assert!(build().status.success());
    assert_eq!(fixture.json(&["uki", "inspect", "image.efi"])["initrd"]["trust"], true);
}
