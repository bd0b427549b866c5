use crate::{Banks, Interposer, Response, Swtpm, documentation, trust_host};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
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

    /// Makes a storage root key, where most TPMs have one.
    pub fn keep_storage_root_key(&self) {
        let tools = self.tpm.tools();
        tools.ok("createprimary", &["-C", "o", "-G", "ecc", "-c", "primary"]);
        tools.ok("evictcontrol", &["-C", "o", "-c", "primary", "0x81000001"]);
        tools.flush();
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

    /// Follows the consoles of a page word by word: its commands, ours and those of tpm2-tools, print what it says; what is
    /// behind an ellipsis may differ. How many commands there are.
    #[track_caller]
    #[must_use]
    pub fn follow(&self, page: &str) -> usize {
        let bin = self.file("bin");
        fs::create_dir(&bin).expect("a writable directory");
        // The TPM is not where the page has it; nor are the log and the files of policies, which are not this machine's.
        let ours = format!(
            "#!/bin/sh\ncase \"$1 $2\" in 'pcr extend') set -- \"$@\" --log log;; esac\n\
             case \"$1 $2\" in 'state --from') ;; 'state '*) set -- \"$@\" --event-log binary_bios_measurements --pcr7data acme/pcr7data;; esac\n\
             case \"$*\" in *--nv-policy* | 'policy store '* | 'policy show '* | 'unseal '*) set -- \"$@\" --nv-policies policies;; esac\n\
             case \"$*\" in *--to-nv*) ;; 'eventlog show'* | 'eventlog replay'* | *' --from '* | 'explain --log'* | 'predict '*) exec {program} \"$@\";; esac\n\
             exec {program} \"$@\" --tcti {tcti}\n",
            program = trust_host().display(),
            tcti = self.wire.tcti()
        );
        self.write("bin/trust", ours);
        fs::set_permissions(bin.join("trust"), fs::Permissions::from_mode(0o755)).expect("its owner");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let steps = documentation::console(&documentation::read(page));
        for (command, expected) in &steps {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(self.file("")).env("PATH", &path);
            shell.env("TPM2TOOLS_TCTI", self.tpm.tools().tcti()).stdin(Stdio::null());
            let output = shell.output().expect("a shell");
            let printed = String::from_utf8(output.stdout).expect("text");
            match expected.split_once('…') {
                Some((start, _)) => assert!(printed.starts_with(start), "{command}: {printed}"),
                None => assert_eq!(printed, *expected, "{command}"),
            }
        }
        steps.len()
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
