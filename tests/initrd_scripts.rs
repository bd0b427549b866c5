//! The shell scripts that users take into their initrds.

use harness::{run, workspace};
use std::fs;

#[test]
fn shellcheck_finds_nothing() {
    let scripts: Vec<_> = fs::read_dir(workspace().join("initrd/busybox"))
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(scripts.len(), 1);
    run("shellcheck", &scripts.iter().map(String::as_str).collect::<Vec<_>>());
}
