use crate::{Banks, Interposer, Response, Swtpm, trust_host};
use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A TPM that the host program is used with, the wire to it, and a directory that the program runs in.
#[derive(Debug)]
pub struct HostTpm {
    /// The TPM.
    pub tpm: Swtpm,
    /// Between the program and the TPM.
    pub wire: Interposer,
    dir: TempDir,
}

impl HostTpm {
    /// A new TPM with these banks.
    #[must_use]
    pub fn new(banks: Banks) -> Self {
        let tpm = Swtpm::with_banks(banks);
        Self { wire: Interposer::new(&tpm), tpm, dir: TempDir::with_prefix("host-").expect("a temporary directory") }
    }

    /// The path of a file that the program knows by its name.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes such a file.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), contents).expect("a writable directory");
    }

    /// Reads such a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// `trust ARGS` with this TPM, and nothing as its input.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(trust_host());
        command.args(args).args(["--tcti", &self.wire.tcti(), "--wait", "1"]).env_clear();
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it.
    #[must_use]
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program can be started")
    }

    /// Runs it successfully, and returns what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs it, which must end with this status and print nothing; what it complains of.
    #[track_caller]
    pub fn fails(&self, args: &[&str], status: i32) -> String {
        let output = self.output(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}: {stderr}");
        stderr
    }
}

impl Response {
    /// It as a hostile TPM would give it, of the size that its header states: cut, lengthened, an error, and with counts
    /// and sizes that lead out of it.
    #[must_use]
    pub fn harmed(&self) -> Vec<Self> {
        let sized = |mut bytes: Vec<u8>| {
            let size = u32::try_from(bytes.len()).expect("small").to_be_bytes();
            bytes[2..6].copy_from_slice(&size);
            Self(bytes)
        };
        let all = &self.0;
        let mut harmed =
            vec![sized(all[..10].to_vec()), sized([all, &[0; 8][..]].concat()), Self::error(0x101), Self::error(0x184)];
        if all.len() > 12 {
            harmed.push(sized(all[..all.len() - 1].to_vec()));
            for at in (10..all.len().min(32)).step_by(2) {
                let mut bytes = all.clone();
                bytes[at] ^= 0xff;
                harmed.push(Self(bytes));
            }
        }
        harmed
    }
}
