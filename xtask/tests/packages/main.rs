//! The packages that `cargo xtask dist --deb --rpm` makes: in clean Debians, which know nothing of the machine's own
//! packages, and in the eyes of the distributions' own tools.

use harness::{
    assets::{self, Kernel},
    debian::{self, Debian},
    documentation::{commands, read, section},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};
use tempfile::TempDir;

/// The C library of Debian 12.
const BOOKWORM: [u32; 2] = [2, 36];

fn dist() -> PathBuf {
    harness::workspace().join("target/dist")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

fn xtask(args: &[&str]) -> String {
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).args(args))
}

/// The packages of what `cargo xtask dist` has built, in a directory of the tests' own.
static PACKAGES: LazyLock<TempDir> = LazyLock::new(|| {
    assert!(dist().join("trust").exists(), "there is nothing to make packages of: cargo xtask dist");
    let dir = TempDir::with_prefix("packages-").unwrap();
    let new = dir.path().join("new");
    xtask(&["dist", "--no-build", "--deb", "--rpm", "--output", new.to_str().unwrap()]);
    fs::create_dir(dir.path().join("old")).unwrap();
    dir
});

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    found.sort();
    found
}

fn packages(extension: &str) -> Vec<PathBuf> {
    files(&PACKAGES.path().join("new"), extension)
}

/// The packages, an older version of them, and what an image is made of: for all suites.
static TRIED: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PACKAGES.path();
    for package in packages("deb") {
        let tree = dir.join("tree");
        run(Command::new("dpkg-deb").arg("--raw-extract").arg(&package).arg(&tree));
        let control = fs::read_to_string(tree.join("DEBIAN/control")).unwrap();
        let control = control.lines().map(|line| if line.starts_with("Version: ") { "Version: 0.0.1-1" } else { line });
        fs::write(tree.join("DEBIAN/control"), control.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        if tree.join("usr/bin").exists() {
            fs::write(tree.join("usr/share/trust/only-in-the-old-one"), "").unwrap();
            fs::write(tree.join("etc/request-key.d/trust.conf"), "# another one\n").unwrap();
        }
        run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(&tree).arg(dir.join("old")));
        fs::remove_dir_all(tree).unwrap();
    }
    fs::copy(Kernel::new().image, dir.join("vmlinuz")).unwrap();
    fs::copy(assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"), dir.join("stub")).unwrap();
    let cpio = r#"cd "$0" && echo old | cpio --quiet --create --format=newc >initrd.img"#;
    run(Command::new("sh").args(["-ec", cpio]).arg(dir));
    // What the README has an administrator do, for fewer machines.
    let readme = read("README.md");
    let commands = commands(section(&readme, "On the administrator's machine"));
    assert!(commands.len() > 5, "{commands:?}");
    fs::write(dir.join("readme"), commands.concat().replace("--count 1000", "--count 2")).unwrap();
    xtask(&["assets", "--chroots"]);
    dir.to_owned()
});

fn in_clean(debian: &Debian, script: &str) -> Output {
    debian.script(&TRIED, script).output().unwrap()
}

/// Installs, uses, upgrades, removes and purges them.
fn lives_and_goes(debian: &Debian) {
    let (suite, said) = (debian.suite, said(&in_clean(debian, include_str!("chroot.sh"))));
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        &format!("installed trust\t{version}-1"),
        &format!("version trust {version}, trust {version}"),
        "other usage: trust-p11-kit command <args>...",
        "same yes",
        "# mine",
        "purged",
    ] {
        assert!(said.lines().any(|found| found.trim_end() == line), "{suite}: no {line:?} in\n{said}");
    }
    let counted = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse::<u32>().ok()).unwrap_or_default()
    };
    assert!(counted("manual") > 0 && counted("image") > 0, "{suite}: {said}");
}

#[test]
fn debian_13_installs_upgrades_and_purges_them() {
    lives_and_goes(&debian::TRIXIE);
}

#[test]
fn debian_12_installs_upgrades_and_purges_them_or_names_the_library() {
    let package = packages("deb").into_iter().find(|path| path.to_string_lossy().contains("trust_")).unwrap();
    let depends = run(Command::new("dpkg-deb").arg("--field").arg(package).arg("Depends"));
    let needed = depends.split("libc6 (>= ").nth(1).unwrap().split(')').next().unwrap();
    let needed: Vec<u32> = needed.split('.').map(|number| number.parse().unwrap()).collect();
    if needed.as_slice() <= BOOKWORM.as_slice() {
        return lives_and_goes(&debian::BOOKWORM);
    }
    // Built on a later Debian.
    let output = in_clean(&debian::BOOKWORM, "apt-get install --yes /mnt/new/trust_*.deb");
    let said = said(&output);
    assert!(!output.status.success() && said.contains("Depends: libc6 (>= "), "{said}");
}

#[test]
fn lintian_has_no_complaint() {
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0"]);
    let said = run(lintian.args(packages("deb")));
    assert!(!said.contains("W: ") && !said.contains("E: "), "{said}");
}

/// A licence that asks for its text to be passed on is passed on, and the one that the package states covers all components.
#[test]
fn licences_of_what_is_compiled_in_are_stated_and_their_texts_are_there() {
    for name in ["trust", "trust-initrd"] {
        let package = packages("deb").into_iter().find(|path| path.to_string_lossy().contains(&format!("/{name}_")));
        let doc = |file: &str| {
            let script = r#"dpkg-deb --fsys-tarfile "$0" | tar --extract --to-stdout "./usr/share/doc/$1""#;
            let args = [package.as_deref().unwrap().to_str().unwrap(), &format!("{name}/{file}")];
            run(Command::new("sh").args(["-ec", script]).args(args))
        };
        let (copyright, texts) = (doc("copyright"), doc("third-party.txt"));
        let stated = copyright.lines().find_map(|line| line.strip_prefix("License: ")).unwrap();
        let stated: BTreeSet<_> = stated.split(" AND ").collect();
        let bill: serde_json::Value = serde_json::from_str(&doc(&format!("{name}.cdx.json"))).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert!(components.len() > 50, "{components:?}");
        for component in components {
            let part = component["name"].as_str().unwrap();
            let expression = component["licenses"][0]["expression"].as_str().unwrap();
            let is_stated =
                |choice: &str| choice.trim_matches(['(', ')']).split(" OR ").any(|one| stated.contains(one));
            assert!(
                expression.split(" AND ").all(is_stated),
                "{name} does not state the licence of {part}: {expression}"
            );
            assert!(texts.contains(&format!("\n  {part}")) && texts.contains(&format!(": {expression}\n")), "{part}");
        }
        for text in
            ["---- tpm2-tss 4.1.3 (LICENSE)", "Redistributions in binary form must reproduce", "Permission is hereby"]
        {
            assert!(texts.contains(text), "{name} has no {text:?}");
        }
        assert!(doc("rust-std.html").contains("Copyright notices for The Rust Standard Library"));
        let has_musl = ["\n---- musl (", "Rich Felker"].iter().all(|text| texts.contains(text));
        assert_eq!(has_musl, name == "trust-initrd");
    }
}

/// The files of packages, without those that each distribution has for itself.
fn listed(packages: &[PathBuf]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for package in packages {
        let files = if package.extension().is_some_and(|extension| extension == "deb") {
            let script = r#"dpkg-deb --fsys-tarfile "$0" | bsdtar --list --verbose --file -"#;
            run(Command::new("sh").args(["-ec", script]).arg(package))
        } else {
            run(Command::new("bsdtar").args(["--list", "--verbose", "--file"]).arg(package))
        };
        for line in files.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let (mode, owner, name) = (words[0], [words[2], words[3]], words[words.len() - 1]);
            assert_eq!(owner.map(|id| id.replace("root", "0")), ["0", "0"], "{line}");
            let own = ["/usr/share/doc/", "/usr/share/lintian/", "/usr/share/licenses/"];
            let name = name.trim_start_matches('.');
            if !mode.starts_with('d') && !own.iter().any(|dir| name.starts_with(dir)) {
                assert!(["-rw-r--r--", "-rwxr-xr-x"].contains(&mode), "{line}");
                assert!(found.insert(format!("{mode} {name}")), "two packages have {name}");
            }
        }
    }
    found
}

#[test]
fn rpms_have_the_same_files_but_where_p11_kit_is_in_the_way() {
    let debs = listed(&packages("deb")).into_iter().map(|line| {
        let line = line.replace("/usr/share/zsh/vendor-completions/", "/opt/trust/share/zsh/site-functions/");
        let (mode, name) = line.split_once(' ').unwrap();
        let is_programs = ["/usr/bin/", "/usr/share/man/", "/usr/share/bash-completion/", "/usr/share/fish/"];
        let name = if is_programs.iter().any(|dir| name.starts_with(dir)) {
            name.replacen("/usr/", "/opt/trust/", 1).trim_end_matches(".gz").to_owned()
        } else {
            name.to_owned()
        };
        format!("{mode} {name}")
    });
    let (debs, rpms): (BTreeSet<_>, _) = (debs.collect(), listed(&packages("rpm")));
    assert_eq!(debs, rpms);
    for line in [
        "-rwxr-xr-x /opt/trust/bin/trust",
        "-rw-r--r-- /opt/trust/share/man/man1/trust.1",
        "-rw-r--r-- /usr/lib/systemd/system/trust-derive.socket",
        "-rw-r--r-- /etc/request-key.d/trust.conf",
        "-rw-r--r-- /usr/share/trust/pcrlock.d/740-trust-lock.pcrlock",
        "-rwxr-xr-x /usr/lib/trust/trust-initrd",
        "-rwxr-xr-x /usr/lib/dracut/modules.d/90trust/module-setup.sh",
    ] {
        assert!(rpms.contains(line), "{line}: {rpms:#?}");
    }
}

#[test]
fn the_same_programs_give_the_same_packages_with_their_checksums() {
    let first: Vec<_> = packages("deb").into_iter().chain(packages("rpm")).collect();
    xtask(&["dist", "--no-build", "--deb", "--rpm"]);
    for path in first {
        let again = dist().join(path.file_name().unwrap());
        assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "{} differs", again.display());
    }
    let sums = run(Command::new("sha256sum").args(["--strict", "--check", "SHA256SUMS"]).current_dir(dist()));
    for name in ["trust: OK", "trust-initrd: OK", "trust.cdx.json: OK", "_amd64.deb: OK", ".x86_64.rpm: OK"] {
        assert!(sums.contains(name), "{name}: {sums}");
    }
}
