use crate::{Swtpm, trust_host, workspace};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Starts the real systemd in namespaces of its own, where `dir` is `/run/sandbox`, `trust` is in the search path, and the
/// TPM's socket is `/run/tpm/socket`; it has the units that are named in `installed`, as they are installed, and `units`,
/// which include `test.target`. Returns its exit status, and what was on its console.
#[must_use]
pub fn systemd(dir: &Path, tpm: &Swtpm, installed: &[&str], units: &[(&str, String)]) -> (Option<i32>, String) {
    let unit = |name: &str| dir.join("units").join(name);
    let _ = fs::remove_dir_all(unit(""));
    fs::create_dir_all(unit("")).expect("a writable directory");
    for name in installed {
        fs::copy(workspace().join("systemd").join(name), unit(name)).expect("it is there");
    }
    for (name, text) in units {
        fs::create_dir_all(unit(name).parent().expect("a directory")).expect("a writable directory");
        fs::write(unit(name), text).expect("a writable directory");
    }
    let console = dir.join("console");
    fs::write(&console, "").expect("a writable directory");
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60", "unshare", "--pid", "--mount", "--cgroup", "--net", "--ipc", "--uts"]);
    command.args(["--fork", "--kill-child", "bash"]).arg(workspace().join("tests/data/systemd.sh"));
    command.args([dir, &*trust_host(), tpm.socket().parent().expect("a directory")]);
    let ended = command.stdin(Stdio::null()).output().expect("timeout is installed");
    let console = fs::read_to_string(console).expect("text") + &String::from_utf8_lossy(&ended.stderr);
    (ended.status.code(), console)
}
