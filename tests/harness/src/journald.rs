use crate::{assets, workspace};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The real systemd-journald and journalctl of a Debian, in namespaces of their own, and the files that they leave.
#[derive(Debug)]
pub struct Journald {
    suite: &'static str,
    dir: TempDir,
}

impl Journald {
    /// That of `bookworm` (systemd 252), `trixie` (257) or `forky` (261 and later): the trees of [`assets`].
    #[must_use]
    pub fn new(suite: &'static str) -> Self {
        let dir = TempDir::with_prefix("journald-").expect("a temporary directory");
        let libraries = dir.path().join("libraries");
        fs::create_dir(&libraries).expect("a writable directory");
        // systemd 257 seals if it finds libgcrypt, which it does not depend on.
        for name in ["libgcrypt.so.20", "libgpg-error.so.0"].iter().filter(|_| suite == "trixie") {
            let library = assets::tree("bookworm").join("usr/lib/x86_64-linux-gnu").join(name);
            fs::copy(library, libraries.join(name)).expect("it is in the tree");
        }
        Self { suite, dir }
    }

    /// Runs a script, which has the functions of `tests/data/journald.sh`; [`Self::dir`] is `/out` there, and all that stays.
    #[track_caller]
    pub fn run(&self, script: &str) {
        let (announced, usr) = (self.path("announced"), assets::tree(self.suite).join("usr"));
        let _ = fs::remove_file(&announced);
        fs::write(self.path("script"), script).expect("a writable directory");
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120", "unshare", "--user", "--map-root-user", "--pid", "--mount", "--ipc"]);
        command.args(["--net", "--cgroup", "--fork", "--kill-child", "bash"]);
        command.arg(workspace().join("tests/data/journald.sh")).arg(usr).arg(self.dir());
        command.env_clear().env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
        let output = command.stdin(Stdio::null()).output().expect("timeout is installed");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success() && announced.exists(), "{}: {said:?}", output.status);
    }

    /// Whether journalctl accepts files, with the key in the file `key`.
    #[track_caller]
    #[must_use]
    pub fn journalctl_accepts(&self, files: &[PathBuf]) -> Vec<bool> {
        let names =
            files.iter().map(|file| file.strip_prefix(self.dir()).expect("it is in there").to_str().expect("text"));
        let names: Vec<_> = names.map(|name| format!("'/out/{name}'")).collect();
        let verify = r#"journalctl --verify --quiet --verify-key="$(cat /out/key)" --file "$file" >/dev/null 2>&1"#;
        let all = names.join(" ");
        self.run(&format!("for file in {all}; do if {verify}; then echo yes; else echo no; fi; done >/out/accepted"));
        let accepted = fs::read_to_string(self.path("accepted")).expect("text");
        accepted.lines().map(|line| line == "yes").collect()
    }

    /// The directory that is `/out`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is there of this name.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
}
