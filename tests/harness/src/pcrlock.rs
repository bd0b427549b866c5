use crate::{Banks, Tools, assets, hex, run, unhex, workspace};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The real systemd-pcrlock of a Debian, in namespaces of its own, with a TPM, logs and components.
#[derive(Debug)]
pub struct Pcrlock {
    dir: TempDir,
}

impl Pcrlock {
    /// With the log of a firmware, and what systemd's log has.
    #[must_use]
    pub fn new(firmware: &[u8], records: &[u8]) -> Self {
        let dir = TempDir::with_prefix("pcrlock-").expect("a temporary directory");
        fs::create_dir(dir.path().join("components")).expect("a writable directory");
        fs::write(dir.path().join("firmware"), firmware).expect("a writable directory");
        fs::write(dir.path().join("records"), records).expect("a writable directory");
        Self { dir }
    }

    /// A file that is in /out there; of components in `components/`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A component in which these bytes are measured into a PCR; `name` may be a variant, as in `600-app.pcrlock.d/1.pcrlock`.
    pub fn component(&self, name: &str, pcr: u8, measured: &[u8]) {
        let path = self.path("components").join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a writable directory");
        let digests = Banks::Four.names().iter().zip(digests(measured));
        let digests = digests.map(|(bank, digest)| format!(r#"{{"hashAlg":"{bank}","digest":"{digest}"}}"#));
        let digests = digests.collect::<Vec<_>>().join(",");
        fs::write(path, format!(r#"{{"records":[{{"pcr":{pcr},"digests":[{digests}]}}]}}"#))
            .expect("a writable directory");
    }

    /// Runs a script, in which `pcrlock` is the program, and returns what it printed.
    #[track_caller]
    pub fn run(&self, tpm: &Tools, script: &str) -> String {
        let (announced, usr) = (self.path("announced"), assets::tree("forky").join("usr"));
        let _ = fs::remove_file(&announced);
        fs::write(self.path("script"), script).expect("a writable directory");
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120", "unshare", "--user", "--map-root-user", "--pid", "--mount", "--ipc"]);
        command.args(["--fork", "--kill-child", "bash"]).arg(workspace().join("tests/data/pcrlock.sh"));
        command.arg(usr).arg(self.dir.path()).arg(tpm.tcti()).env_clear().env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
        let output = command.stdin(Stdio::null()).output().expect("timeout is installed");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && announced.exists(), "{}: {complaint}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The digests of some bytes in hex, one for each of [`Banks::Four`].
#[must_use]
pub fn digests(measured: &[u8]) -> Vec<String> {
    let script = "printf \"$(printf %s \"$1\" | sed 's/../\\\\x&/g')\" | \"$2sum\"";
    let digest = |bank: &&str| {
        let line = run("bash", &["-c", script, "bash", &hex(measured), bank]);
        line.split_whitespace().next().expect("a digest").to_owned()
    };
    Banks::Four.names().iter().map(digest).collect()
}

/// The log of a firmware with these of [`Banks::Four`], of events of PCR 7: `EV_...`, and what is measured.
#[must_use]
pub fn firmware_log_of(banks: Banks, events: &[(u32, Vec<u8>)]) -> Vec<u8> {
    const FOUR: [(u16, u16); 4] = [(0x4, 20), (0xb, 32), (0xc, 48), (0xd, 64)];
    let known = Banks::Four.names().iter().zip(FOUR);
    let banks: Vec<_> = known.filter(|(name, _)| banks.names().contains(name)).collect();
    let le = |value: usize| u32::try_from(value).expect("small").to_le_bytes();
    let mut spec = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    spec.extend(le(banks.len()));
    spec.extend(banks.iter().flat_map(|(_, (bank, size))| [bank.to_le_bytes(), size.to_le_bytes()].concat()));
    spec.push(0);
    let mut log = [&le(0)[..], &le(3), &[0; 20], &le(spec.len()), &spec].concat();
    for (kind, data) in events {
        log.extend([&le(7)[..], &kind.to_le_bytes(), &le(banks.len())].concat());
        for (name, digest) in Banks::Four.names().iter().zip(digests(data)) {
            if let Some((_, (bank, _))) = banks.iter().find(|(active, _)| *active == name) {
                log.extend([&bank.to_le_bytes()[..], &unhex(&digest)].concat());
            }
        }
        log.extend([&le(data.len())[..], data].concat());
    }
    log
}
