//! A user's first command, on a machine that lacks something.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args);
    command
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

#[test]
fn a_misspelled_subcommand_is_answered_with_the_nearest() {
    for (typo, meant) in [("dmo", "demo"), ("tset", "test"), ("instal", "install"), ("dsit", "dist")] {
        let output = xtask(&[typo]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = said(&output);
        assert!(said.contains(&format!("no subcommand {typo}; did you mean `cargo xtask {meant}`?")), "{said}");
        assert!(said.contains("demo, bench, dist, install, test"), "{said}");
    }
}

/// Not only the compiler: with that installed, the next program would be missing.
#[test]
fn without_a_c_compiler_everything_missing_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["id", "sed", "sort", "tr"] {
        let place = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
        symlink(place.iter().find(|path| path.exists()).unwrap(), dir.path().join(name)).unwrap();
    }
    // Neither is there anything that could install it.
    let output = Command::new(workspace().join(".cargo/cc")).env("PATH", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    let (demo, test) = said.split_once("cargo xtask test also").unwrap_or_else(|| panic!("{said}"));
    for package in ["libc6-dev", "gcc", "musl-tools", "swtpm", "tpm2-tools", "keyutils"] {
        assert!(demo.split_whitespace().any(|word| word == package), "{package}: {said}");
    }
    // Some are found where administrators have theirs.
    for package in ["sbsigntool", "fish", "strace"] {
        assert!(test.split_whitespace().any(|word| word == package), "{package}: {said}");
    }
}

/// A copy of the toolchain that these sources are built with, without the library for static programs.
fn toolchain_without_musl(home: &Path, target: &str) {
    let ask = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(workspace()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let sysroot = PathBuf::from(ask("rustc", &["--print", "sysroot"]).trim());
    let name = ask("rustup", &["show", "active-toolchain"]);
    let copy = home.join("toolchains").join(name.split_whitespace().next().unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    // rustup names toolchains by links: one that leads out of the copy would take the target from the machine itself. Where
    // files cannot be linked, they are copied.
    let from = sysroot.canonicalize().unwrap();
    if !Command::new("cp").arg("-al").arg(&from).arg(&copy).output().unwrap().status.success() {
        let _ = fs::remove_dir_all(&copy);
        assert!(Command::new("cp").arg("-a").arg(&from).arg(&copy).status().unwrap().success());
    }
    // What rustup writes to is not shared with the toolchain.
    let rustlib = copy.join("lib/rustlib");
    for entry in fs::read_dir(&rustlib).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&entry).unwrap();
        fs::remove_file(&entry).unwrap();
        fs::write(&entry, bytes).unwrap();
    }
    let _ = fs::remove_dir_all(rustlib.join(target));
    let _ = fs::remove_file(rustlib.join(format!("manifest-rust-std-{target}")));
    let edit = |name: &str, change: &dyn Fn(&str) -> String| {
        let text = fs::read_to_string(rustlib.join(name)).unwrap();
        fs::write(rustlib.join(name), change(&text)).unwrap();
    };
    edit("components", &|text| {
        text.lines().filter(|line| !line.ends_with(target)).map(|line| format!("{line}\n")).collect()
    });
    edit("multirust-config.toml", &|text| {
        let mut parts = text.split("[[components]]");
        let head = parts.next().unwrap().to_owned();
        let kept = parts.filter(|part| !part.contains(target)).map(|part| format!("[[components]]{part}"));
        head + &kept.collect::<String>()
    });
}

/// As on build servers, where rustup installs nothing by itself.
#[test]
fn a_toolchain_without_the_target_gets_it() {
    if Command::new("rustup").arg("--version").output().is_err() {
        println!("skipped: there is no rustup, and what is there instead has its own ways");
        return;
    }
    // Beside the build, where files can be linked if anywhere.
    let home = tempfile::tempdir_in(workspace().join("target")).unwrap();
    let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
    toolchain_without_musl(home.path(), &target);
    let in_copy = |command: &mut Command| {
        command.current_dir(workspace()).env("RUSTUP_HOME", home.path()).env("RUSTUP_AUTO_INSTALL", "0");
        command.output().unwrap()
    };
    let library = in_copy(Command::new("rustc").args(["--print", "target-libdir", "--target", &target]));
    let asked = said(&library);
    let library = PathBuf::from(String::from_utf8(library.stdout).unwrap().trim());
    assert!(library.starts_with(home.path()) && !library.exists(), "{asked}");

    let output = in_copy(&mut xtask(&["fetch"]));
    let said = said(&output);
    if output.status.success() {
        assert!(said.contains(&format!("getting Rust's library for {target}")), "{said}");
        assert!(library.is_dir(), "{said}");
    } else {
        // Without a network it says what to do.
        assert!(said.contains(&format!("`rustup target add {target}`")), "{said}");
        println!("not got: {said}");
    }
}
