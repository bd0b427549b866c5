//! A `trust` that holds private keys leaks none: no core dump, no access to its memory, no key left behind in it.

use harness::{Home, MemoryProbe, find, openssl, trust_host};
use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A pipe with a name.
fn fifo(path: &Path) -> PathBuf {
    harness::run("mkfifo", &[text(path)]);
    path.to_owned()
}

/// A `trust` that waits for input from a pipe.
fn waiting(mut command: Command, pipe: &Path) -> (Child, fs::File) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Opens when the other side does.
    let writer = fs::OpenOptions::new().write(true).open(pipe).unwrap();
    (child, writer)
}

#[test]
fn no_core_is_dumped_and_other_processes_cannot_read_memory() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, pipe) = (dir.path().join("trust"), fifo(&dir.path().join("pipe")));
    fs::copy(trust_host(), &program).unwrap();
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o666)).unwrap();
    let mine = fs::metadata("/proc/self").unwrap().uid();
    // Root may read everything: use another user then.
    let user = if mine == 0 { 65534 } else { mine };
    let mut command = if mine == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", "ulimit -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\"", text(&program), "policy", "digest"]);
    command.args(["--pcr7-tpm", text(&pipe), "--pcr7-production", text(&pipe)]).current_dir(dir.path());
    let (mut child, writer) = waiting(command, &pipe);
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // proc(5): the files of a process that cannot be dumped belong to root, whatever its uid.
    assert_eq!(fs::metadata(&program).unwrap().uid(), mine);
    assert_eq!(fs::metadata(proc.join("task")).unwrap().uid(), user);
    assert_ne!(fs::metadata(proc.join("mem")).unwrap().uid(), user);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGQUIT).unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(3) && !status.core_dumped(), "{status}");
    drop(writer);
}

/// The numbers of an RSA key that must stay secret, by the names that openssl has for them.
fn secrets(key: &Path) -> Vec<(String, Vec<u8>)> {
    let shown = openssl(&["rsa", "-in", text(key), "-noout", "-text"]);
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for line in shown.lines() {
        if let Some(digits) = line.strip_prefix("    ") {
            let bytes = digits.split(':').filter(|d| !d.is_empty()).map(|d| u8::from_str_radix(d, 16).unwrap());
            found.last_mut().unwrap().1.extend(bytes);
        } else {
            found.push((line.trim_end_matches(':').to_owned(), Vec::new()));
        }
    }
    found.retain(|(name, _)| {
        ["privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient"].contains(&name.as_str())
    });
    assert_eq!(found.len(), 6, "{shown}");
    found
}

#[test]
fn no_private_key_is_left_in_memory_at_exit() {
    let home = Home::with_keyset();
    let pipe = fifo(&home.path().join("pipe"));
    for (name, byte) in [("tpm", 1), ("prod", 2)] {
        fs::write(home.path().join(name), [byte; 32]).unwrap();
    }
    // It reads the values before the keys: attached by then, the memory_probe sees it to its end.
    let options = ["--pcr7-tpm", "tpm", "--pcr7-production", "prod", "--pcr7-limited", text(&pipe)];
    let mut command = Command::new(trust_host());
    command.args(["keyset", "pcr7data", "k"]).args(options).current_dir(home.path());
    command.env("HOME", home.path()).env_remove("XDG_DATA_HOME");
    let (mut child, mut writer) = waiting(command, &pipe);
    let memory_probe = MemoryProbe::attach(child.id() as i32);
    writer.write_all(&[3; 32]).unwrap();
    drop(writer);
    let remains = memory_probe.remains();
    let _ = child.wait();
    let pipe = text(&pipe).as_bytes();
    assert!(
        remains.memory.iter().any(|(_, memory)| find(memory, pipe).is_some()),
        "the memory_probe has seen its memory"
    );
    for role in ["tpmpol-luks", "tpmpol-admin"] {
        let key = home.keys().join("k").join(role).join("privkey.pem");
        let pem = fs::read_to_string(&key).unwrap();
        let mut wanted: Vec<_> = secrets(&key);
        wanted.extend(
            pem.lines().filter(|line| line.len() == 64).map(|line| ("PEM".to_owned(), line.as_bytes().to_vec())),
        );
        for (name, secret) in wanted {
            // As written, and as a machine has its numbers; from the middle, where nothing is padded.
            let part = &secret[secret.len() / 2 - 12..secret.len() / 2 + 12];
            let turned: Vec<u8> = part.iter().rev().copied().collect();
            for (mapping, memory) in &remains.memory {
                for needle in [part, &turned] {
                    assert_eq!(find(memory, needle), None, "{name} of {role} in {mapping}");
                }
            }
        }
    }
    let signed = harness::tree(&home.keys().join("k/pcr7data")).into_iter().filter(|name| name.contains(".signed"));
    assert!(signed.count() > 0, "it has signed");
}
