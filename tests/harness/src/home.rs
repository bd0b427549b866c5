//! An administrator's home directory, and the host program at work in it.

use crate::{run, trust_host};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// The directories of a keyset's own keys.
pub const ROLES: [&str; 10] = [
    "manifest-ca",
    "sudi-ca",
    "uefi-pk",
    "uefi-kek",
    "uefi-db",
    "uki-production",
    "uki-limited",
    "uki-tpm",
    "tpmpol-admin",
    "tpmpol-luks",
];

/// An administrator's home directory, gone when it is dropped.
#[derive(Debug)]
pub struct Home(TempDir);

impl Home {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(TempDir::with_prefix("home-").expect("a temporary directory"))
    }

    /// With keyset `k`: a copy of one that is made once in each test program.
    #[must_use]
    pub fn with_keyset() -> Self {
        static MADE: OnceLock<Home> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let home = Self::new();
            home.ok(&["keyset", "add", "k"]);
            home
        });
        made.copy()
    }

    /// Another one with the same in it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let home = Self::new();
        let from = self.path().join(".");
        run("cp", &["-a", from.to_str().expect("UTF-8"), home.path().to_str().expect("UTF-8")]);
        home
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where its keysets are.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.path().join(".local/share/machine/trust/keys")
    }

    /// `trust ARGS` in this directory, with a umask that takes nothing away.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(trust_host()).args(args).current_dir(self.path());
        command.env("HOME", self.path()).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `trust ARGS`.
    #[must_use]
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("there is a shell")
    }

    /// Runs `trust ARGS`, which must succeed, and returns what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints UTF-8")
    }

    /// Types commands of the documentation, which must succeed, in this directory. Returns what they printed.
    #[track_caller]
    pub fn types(&self, commands: &str) -> String {
        let programs = trust_host().parent().expect("it is in a directory").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell.args(["-euc", &format!("exec 2>&1\n{commands}")]).current_dir(self.path()).stdin(Stdio::null());
        shell.env("PATH", path).env("HOME", self.path()).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        let output = shell.output().expect("there is a shell");
        let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
        assert!(output.status.success(), "{commands}: {printed}");
        printed
    }

    /// Runs `trust ARGS`, which must end with status 2 and print nothing, and returns what it complained of.
    #[track_caller]
    pub fn refuses(&self, args: &[&str]) -> String {
        self.fails(args, 2)
    }

    /// Runs `trust ARGS`, which must end with this status and print nothing, and returns what it complained of.
    #[track_caller]
    pub fn fails(&self, args: &[&str], status: i32) -> String {
        let output = self.output(args);
        let complaint = String::from_utf8(output.stderr).expect("it prints UTF-8");
        assert_eq!(output.status.code(), Some(status), "{args:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        complaint
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// Every path below `dir`, and `dir` itself as the empty one, with its mode: `uefi-db/cert.pem 640`.
#[must_use]
pub fn tree(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).expect("no other process removes it");
        let name = path.strip_prefix(dir).expect("it is below").display().to_string();
        found.insert(format!("{name} {:o}", metadata.permissions().mode() & 0o7777));
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        }
    }
    found
}
