//! A clean Debian 13, and a user of it who may use sudo and types what docs/first-machine.md says, the installation included.

use super::text;
use harness::{
    assets::{self, Kernel},
    debian::{GUIDE, OF_A_SYSTEM},
    run,
    vm::{self, Slot},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A command, and what it has said.
#[derive(Debug)]
pub struct Step {
    pub command: String,
    pub said: String,
}

/// What the script says before a command, after it, and when it waits for the right to run a virtual machine.
const BEGINS: &str = ">>>";
const ENDS: &str = "<<<";
const WAITS: &str = "???";

/// Types these commands, which must succeed, but for those whose status is looked at next.
#[track_caller]
pub fn follow(commands: &[String]) -> Vec<Step> {
    let dir = TempDir::with_prefix("guide-").unwrap();
    run("chmod", &["755", text(dir.path())]);
    prepare(dir.path());
    brings_no_more_than_is_there(dir.path(), &commands[0]);
    fs::write(dir.path().join("typed"), typed(commands)).unwrap();
    let mut debian = GUIDE.script(dir.path(), include_str!("packaged.sh"));
    if vm::accelerator() == "kvm" {
        debian.env("devices", "kvm");
    }
    let mut child = debian.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut answers, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let (mut steps, mut slot, mut others, mut line) = (Vec::<Step>::new(), None, String::new(), Vec::new());
    let mut inside = false;
    while output.read_until(b'\n', &mut line).unwrap() > 0 {
        let text = String::from_utf8_lossy(&line).replace('\r', "");
        line.clear();
        match text.trim_end() {
            BEGINS => {
                steps.push(Step { command: commands[steps.len()].clone(), said: String::new() });
                inside = true;
            }
            ENDS => inside = false,
            WAITS => {
                slot = slot.or_else(|| Some(Slot::wait()));
                answers.write_all(b"\n").unwrap();
            }
            _ if inside => steps.last_mut().unwrap().said.push_str(&text),
            _ => others.push_str(&text),
        }
    }
    let status = child.wait().unwrap();
    drop(slot);
    assert!(status.success() && steps.len() == commands.len(), "{status}: {others}\n{:#?}", steps.last());
    steps
}

/// What the system has beside its packages: a kernel, and the two packages where the user is.
fn prepare(dir: &Path) {
    let kernel = Kernel::new();
    xtask(&["dist", "--no-build", "--deb", "--output", text(&dir.join("packages"))]);
    fs::copy(&kernel.image, dir.join("vmlinuz")).unwrap();
    let modules = assets::path(&format!("usr/lib/modules/{}", kernel.release));
    run("cp", &["-r", text(&modules), text(&dir.join("modules"))]);
    fs::write(dir.join("release"), &kernel.release).unwrap();
    fs::copy("/bin/busybox", dir.join("busybox")).unwrap();
    fs::create_dir(dir.join("bin")).unwrap();
    let uname = format!("#!/bin/sh\necho {}\n", kernel.release);
    for (name, script) in [("uname", uname.as_str()), ("mmdebstrap", include_str!("mmdebstrap.sh"))] {
        let file = dir.join("bin").join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    xtask(&["assets", "--chroots"]);
}

fn xtask(args: &[&str]) {
    run(env!("CARGO_BIN_EXE_xtask"), args);
}

/// There is no network in which apt could get something: what the command and the packages ask for is there already. And
/// nothing else is, or the page could lack it unnoticed.
fn brings_no_more_than_is_there(dir: &Path, install: &str) {
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for entry in fs::read_dir(dir.join("packages")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        for field in ["Depends", "Recommends"] {
            let output = Command::new("dpkg-deb").arg("--field").arg(&file).arg(field).output().unwrap();
            let list = String::from_utf8(output.stdout).unwrap();
            let names = list.split(',').filter_map(|package| package.split_whitespace().next());
            asked.extend(names.map(str::to_owned));
        }
    }
    let words = install.strip_prefix("sudo apt install ").expect("the first command installs").split_whitespace();
    asked.extend(words.filter(|word| !word.starts_with("./")).map(str::to_owned));
    // In any Debian, and the packages themselves.
    let own = ["libc6", "libgcc-s1", "trust-initrd"].map(str::to_owned);
    let asked: BTreeSet<String> = asked.into_iter().filter(|name| !own.contains(name)).collect();
    let there: BTreeSet<String> = GUIDE.packages[OF_A_SYSTEM..].iter().map(ToString::to_string).collect();
    assert_eq!(asked, there, "the system for the guide (tests/harness/src/debian.rs) has other packages");
}

/// The commands as a script for one shell, whose `$?` is that of the command before.
fn typed(commands: &[String]) -> String {
    let mut script = String::from("status=0\n");
    for (number, command) in commands.iter().enumerate() {
        if command.starts_with("trust launch") {
            script += &format!("echo '{WAITS}'; read -r _\n");
        }
        script += &format!("echo '{BEGINS}'\n{{ (exit $status)\n{command}}} </dev/null 2>&1\nstatus=$?\n");
        script += &format!("printf '\\n{ENDS}\\n'\n");
        if commands.get(number + 1).is_none_or(|next| !next.starts_with("echo $?")) {
            script += "[ $status = 0 ] || { echo \"status $status\"; exit 1; }\n";
        }
    }
    script
}
