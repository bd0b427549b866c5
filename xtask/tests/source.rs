//! The archive of `cargo xtask source`: complete, without a network.

use std::{env, fs, path::Path, process::Command};
use tempfile::TempDir;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}: {said}{errors}");
    said
}

/// cargo alone: the crates that this machine has are out of its sight, and so is the network.
fn cargo(tree: &Path, home: &Path) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net"]).arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    unshare.current_dir(tree).env("CARGO_HOME", home).env_remove("CARGO_TARGET_DIR");
    unshare
}

/// All crates of both programs; `cargo xtask test` builds the one of the initrd of it, and compares.
#[test]
fn the_archive_has_all_that_is_built() {
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).arg("source"));
    let name = format!("trust-{}", env!("CARGO_PKG_VERSION"));
    let archive = harness::workspace().join(format!("target/dist/{name}.tar.gz"));
    let dir = TempDir::with_prefix("source-").unwrap();
    run(Command::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(dir.path()));
    let (tree, home) = (dir.path().join(name), dir.path().join("cargo"));
    fs::create_dir(&home).unwrap();
    let mut metadata = cargo(&tree, &home);
    let said = run(metadata.args(["metadata", "--offline", "--locked", "--all-features", "--format-version", "1"]));
    assert!(said.contains("vendor/crates/aws-lc-rs-"), "{said}");
    assert!(tree.join("vendor/tpm2-tss-4.1.3/src/tss2-esys/esys_iutil.c").exists());

    // It would have noticed: without one crate there is nothing to be had from elsewhere.
    let mut crates = fs::read_dir(tree.join("vendor/crates")).unwrap().map(|entry| entry.unwrap().path());
    let lexopt = crates.find(|path| path.to_string_lossy().contains("/lexopt-")).unwrap();
    fs::remove_dir_all(lexopt).unwrap();
    let output =
        cargo(&tree, &home).args(["metadata", "--offline", "--locked", "--format-version", "1"]).output().unwrap();
    assert!(!output.status.success());
}
