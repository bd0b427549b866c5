//! A software TPM with a power switch.

use crate::{
    keyset::{Digest, hex},
    tools::{Tools, run},
    transport,
    wire::{Response, u32_at},
};
use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Which PCR banks a TPM has, or whether it is a TPM 2.0 at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Banks {
    /// sha256 alone: the usual thing.
    Sha256,
    /// sha1, sha256 and sha384.
    Three,
    /// All that a software TPM has: sha1, sha256, sha384 and sha512.
    Four,
    /// sha1 alone: no TPM for this project.
    Sha1,
    /// No TPM 2.0 but a TPM 1.2.
    Tpm12,
}

impl Banks {
    /// As tpm2-tools and swtpm_setup name them.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Sha256 => &["sha256"],
            Self::Three => &["sha1", "sha256", "sha384"],
            Self::Four => &["sha1", "sha256", "sha384", "sha512"],
            Self::Sha1 => &["sha1"],
            Self::Tpm12 => &[],
        }
    }
}

/// A software TPM (`swtpm socket`), switched on. Its state outlives restarts and power cuts; dropping it switches it off.
#[derive(Debug)]
pub struct Swtpm {
    dir: TempDir,
    banks: Banks,
    tcp: Option<u16>,
    power: PowerSwitch,
    tools: Tools,
}

/// What a TPM keeps without power.
#[derive(Clone, Debug)]
pub struct State(Vec<(String, Vec<u8>)>);

/// The TPM's other users: they send commands past whatever interposer there is.
#[derive(Clone, Debug)]
pub struct Raw(transport::Upstream);

impl Raw {
    /// Has the TPM carry out a command.
    #[must_use]
    pub fn send(&self, command: &[u8]) -> Response {
        Response(self.0.exchange(command).expect("a TPM that is on answers"))
    }

    /// Extends a PCR of the sha256 bank with 32 bytes.
    pub fn extend(&self, pcr: u8, digest: &Digest) {
        // TPM_ST_SESSIONS, size, TPM2_PCR_Extend, PCR, an empty password, one digest of SHA-256.
        let header = [0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        let password = [0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0];
        let command = [&header[..], &password, &[0, 0, 0, 1, 0x00, 0x0b], digest].concat();
        let response = self.send(&command);
        assert!(response.ok(), "TPM2_PCR_Extend: {response:?}");
    }
}

/// Switches a TPM off from elsewhere, say in the middle of a command.
#[derive(Clone, Debug, Default)]
pub struct PowerSwitch(Arc<Mutex<Option<Child>>>);

impl PowerSwitch {
    fn is_on(&self) -> bool {
        self.0.lock().expect("no panic holds the switch").is_some()
    }

    /// Cuts the power: SIGKILL, no shutdown command, nothing flushed.
    pub fn off(&self) {
        if let Some(mut child) = self.0.lock().expect("no panic holds the switch").take() {
            child.kill().expect("swtpm can be killed");
            child.wait().expect("swtpm can be waited for");
        }
    }
}

impl Swtpm {
    /// A new TPM with the sha256 bank on a unix socket.
    #[must_use]
    pub fn new() -> Self {
        Self::with_banks(Banks::Sha256)
    }

    /// A new TPM with other banks.
    #[must_use]
    pub fn with_banks(banks: Banks) -> Self {
        Self::start(banks, false)
    }

    /// A new TPM that listens on TCP, at [`Self::port`].
    #[must_use]
    pub fn on_tcp() -> Self {
        Self::start(Banks::Sha256, true)
    }

    fn start(banks: Banks, tcp: bool) -> Self {
        let dir = TempDir::with_prefix("swtpm-").expect("a temporary directory");
        State::new(banks).write(&dir.path().join("state"));
        let tcp = tcp.then(transport::free_port);
        let upstream = match tcp {
            Some(port) => transport::Upstream::Tcp(port),
            None => transport::Upstream::Unix(dir.path().join("socket")),
        };
        let tpm = Self { banks, tcp, power: PowerSwitch::default(), tools: Tools::new(upstream), dir };
        tpm.boot();
        tpm
    }

    /// Switches it on, after a power cut if it was on. The firmware's TPM2_Startup(CLEAR) has been sent.
    pub fn boot(&self) {
        self.power.off();
        let _ = fs::remove_file(self.socket());
        let mut command = Command::new("swtpm");
        command.arg("socket").args((self.banks != Banks::Tpm12).then_some("--tpm2"));
        command.arg("--tpmstate").arg(format!("dir={}", self.dir.path().join("state").display()));
        command.args(["--flags", "startup-clear", "--server"]).arg(match self.tcp {
            Some(port) => format!("type=tcp,port={port},bindaddr=127.0.0.1"),
            None => format!("type=unixio,path={}", self.socket().display()),
        });
        let log = fs::File::create(self.dir.path().join("log")).expect("a writable directory");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("swtpm is installed (Debian: swtpm)");
        *self.power.0.lock().expect("no panic holds the switch") = Some(child);
        self.wait_until_it_listens();
    }

    /// A restart as the kernel does it: TPM2_Shutdown(CLEAR), off, on.
    pub fn reboot(&self) {
        const SHUTDOWN_CLEAR: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0];
        if self.power.is_on() && self.banks != Banks::Tpm12 {
            assert!(self.raw().send(&SHUTDOWN_CLEAR).ok(), "TPM2_Shutdown");
        }
        self.boot();
    }

    /// A power cut, and on again. A TPM may count it as a failed try.
    pub fn power_cut(&self) {
        self.boot();
    }

    /// A power cut.
    pub fn off(&self) {
        self.power.off();
    }

    /// A copy of what it keeps without power. It should be switched off.
    #[must_use]
    pub fn state(&self) -> State {
        State::read(&self.dir.path().join("state"))
    }

    /// Puts it back, and switches it off.
    pub fn restore(&self, state: &State) {
        self.off();
        state.write(&self.dir.path().join("state"));
    }

    /// Its power switch.
    #[must_use]
    pub fn power(&self) -> PowerSwitch {
        self.power.clone()
    }

    /// The unix socket that takes raw TPM commands.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// The port that takes raw TPM commands, if it listens on TCP.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.tcp
    }

    /// What to give to `--tcti`.
    #[must_use]
    pub fn tcti(&self) -> String {
        match self.tcp {
            Some(port) => format!("swtpm:host=127.0.0.1,port={port}"),
            None => format!("swtpm:path={}", self.socket().display()),
        }
    }

    /// A way past the interposer.
    #[must_use]
    pub fn raw(&self) -> Raw {
        Raw(self.upstream())
    }

    /// Where it is reached.
    pub(crate) fn upstream(&self) -> transport::Upstream {
        match self.tcp {
            Some(port) => transport::Upstream::Tcp(port),
            None => transport::Upstream::Unix(self.socket()),
        }
    }

    /// tpm2-tools that talk to it.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Extends PCR 7 of every bank so that the sha256 bank, when it was zero, holds `extend(0, digest)`.
    pub fn extend_pcr7(&self, digest: &Digest) {
        for bank in self.banks.names() {
            // The other banks get something that fits.
            let size = match *bank {
                "sha1" => 20,
                "sha384" => 48,
                "sha512" => 64,
                _ => {
                    self.raw().extend(7, digest);
                    continue;
                }
            };
            let filled: Vec<u8> = digest.iter().copied().cycle().take(size).collect();
            self.tools.ok("pcrextend", &[&format!("7:{bank}={}", hex(&filled))]);
        }
    }

    /// The value of a PCR.
    #[must_use]
    pub fn pcr(&self, bank: &str, index: u32) -> String {
        let out = self.tools.dir().join(format!("pcr-{bank}"));
        self.tools.ok("pcrread", &[&format!("{bank}:{index}"), "-o", &out.display().to_string()]);
        hex(&fs::read(out).expect("tpm2_pcrread wrote it"))
    }

    /// How many failed attempts it has counted (`TPM_PT_LOCKOUT_COUNTER`).
    #[must_use]
    pub fn failed_attempts(&self) -> u32 {
        // TPM2_GetCapability of one property, which is at the end of the answer.
        const ASK: [u8; 22] = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 6, 0, 0, 2, 0x0e, 0, 0, 0, 1];
        let answer = self.raw().send(&ASK);
        assert!(answer.ok(), "TPM2_GetCapability: {answer:?}");
        u32_at(&answer.0, answer.0.len() - 4)
    }

    fn wait_until_it_listens(&self) {
        let start = Instant::now();
        loop {
            let answered = match self.tcp {
                Some(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(),
                None => UnixStream::connect(self.socket()).is_ok(),
            };
            if answered {
                return;
            }
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(30), "swtpm does not start: {}", log());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl State {
    /// That of a new TPM.
    #[must_use]
    pub fn new(banks: Banks) -> Self {
        Self(manufactured(banks))
    }

    /// That of the TPM that keeps it in `dir`.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        Self(files(dir))
    }

    /// Writes it for a TPM that keeps it in `dir`, which is made.
    pub(crate) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a writable directory");
        for (name, bytes) in &self.0 {
            fs::write(dir.join(name), bytes).expect("a writable directory");
        }
    }
}

impl Default for Swtpm {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.power.off();
    }
}

/// The state of a new TPM, by file name. Making one takes most of a second, so each kind is made once.
fn manufactured(banks: Banks) -> Vec<(String, Vec<u8>)> {
    type States = HashMap<Banks, Vec<(String, Vec<u8>)>>;
    static STATES: OnceLock<Mutex<States>> = OnceLock::new();
    if banks == Banks::Tpm12 {
        return Vec::new();
    }
    let mut states = STATES.get_or_init(Mutex::default).lock().expect("no panic holds the states");
    states.entry(banks).or_insert_with(|| manufacture(banks)).clone()
}

fn manufacture(banks: Banks) -> Vec<(String, Vec<u8>)> {
    let dir = TempDir::with_prefix("swtpm-setup-").expect("a temporary directory");
    let path = dir.path().display().to_string();
    run("swtpm_setup", &["--tpm2", "--tpmstate", &path, "--pcr-banks", &banks.names().join(",")]);
    let files = files(dir.path());
    assert!(!files.is_empty(), "swtpm_setup left no state");
    files
}

/// The files of a TPM's state, by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a readable directory").map(|entry| entry.expect("an entry").path());
    let permanent = entries.filter(|path| path.extension().is_some_and(|x| x == "permall"));
    let named = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("a readable file"))
    };
    permanent.map(named).collect()
}
