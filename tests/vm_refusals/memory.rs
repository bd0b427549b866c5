//! What is left in a machine's memory when its power goes.

use super::fixture;
use harness::vm::Vm;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Has the machine's memory kept in a file, and QEMU started with these further arguments.
pub fn keep(vm: &Vm, name: &str, options: &[&str]) -> PathBuf {
    let file = fixture().deployment.file(name);
    let backend = format!("memory-backend-file,id=memory,size=512M,share=on,mem-path={}", file.display());
    vm.set_options(&[&["-object", &backend, "-machine", "memory-backend=memory"], options].concat());
    file
}

/// How often it holds the first line of the private key, and something like the passphrase. The file goes.
pub fn secrets_in(memory: &Path) -> (usize, usize) {
    let key = fs::read_to_string(fixture().identity.key()).unwrap();
    let line = key.lines().nth(1).unwrap();
    let count = |how, what: &str| {
        let mut grep = Command::new("grep");
        let output = grep.env("LC_ALL", "C").args(["--text", "--only-matching", how, what]).arg(memory).output();
        output.unwrap().stdout.split(|byte| *byte == b'\n').filter(|found| !found.is_empty()).count()
    };
    let found = (count("--fixed-strings", line), count("--extended-regexp", "trust-[0-9a-f]{34}"));
    fs::remove_file(memory).unwrap();
    found
}
