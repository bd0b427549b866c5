//! A machine made of namespaces.

use crate::mounts::keep_mounts_in;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, chown},
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Builds the machine's root file system and steps into it.
const MACHINE: &str = include_str!("sandbox.sh");
/// A script that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A machine made of namespaces: the file system of the real one, but
/// mounts, processes, System V IPC and keyrings of its own. A script in it has
/// every capability (reboot(2) ends the machine and nothing else).
///
/// Its `/dev`, `/run` and `/priv` are new with each boot, and so are its user
/// keyring and `/sys/class/block`, which is empty; `/sandbox` is [`Self::dir`], and stays.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
    uid: u32,
    /// Holds the uid against every other test while it lives.
    _claim: UnixListener,
    variables: Vec<(OsString, OsString)>,
}

/// How a boot of a [`Sandbox`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The script ended, with this status.
    Exit(i32),
    /// A process called reboot(2).
    PoweredOff,
    /// Killed by another signal.
    Killed(i32),
    /// It did not end.
    Hung,
}

/// What a boot of a [`Sandbox`] left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// Whether the script got to its end. An exit status alone proves nothing.
    pub announced: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// What was last written to /dev/kmsg.
    pub kmsg: String,
    /// What was last written to /dev/console.
    pub console: String,
}

impl Sandbox {
    /// A new machine, switched off.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("sandbox-").expect("a temporary directory");
        let (uid, claim) = claim_uid();
        fs::create_dir(dir.path().join("sandbox")).expect("a writable directory");
        if Uid::effective().is_root() {
            chown(&dir.path().join("sandbox"), Some(uid.into()), Some(uid.into())).expect("root may chown");
        }
        fs::write(dir.path().join("sandbox.sh"), MACHINE).expect("a writable directory");
        Self { dir, uid, _claim: claim, variables: Vec::new() }
    }

    /// The directory that is `/sandbox` inside.
    #[must_use]
    pub fn dir(&self) -> std::path::PathBuf {
        self.dir.path().join("sandbox")
    }

    /// The uid of everything that runs in it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Sets a variable of every later script.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Boots it: a bash script, under `set -eu`, in a new set of namespaces
    /// with an empty user keyring. Ends when the script does, or the power goes.
    pub fn run(&self, script: &str) -> Run {
        let announcement = self.dir().join("announced");
        let [console, kmsg] = ["console", "kmsg"].map(|name| self.dir.path().join(name));
        let mut child = self.boot(script, Stdio::null());
        let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
        let status = wait(&mut child);
        let text = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        Run {
            end: status.map_or(End::Hung, end),
            announced: announcement.exists(),
            stdout: out.join().expect("a reader"),
            stderr: err.join().expect("a reader"),
            kmsg: text(&kmsg),
            console: text(&console),
        }
    }

    /// Starts the machine with a script that reads from `stdin`.
    pub(crate) fn boot(&self, script: &str, stdin: Stdio) -> Child {
        let _ = fs::remove_file(self.dir().join("announced"));
        for file in ["console", "kmsg"] {
            fs::write(self.dir.path().join(file), "").expect("a writable directory");
        }
        let prelude = "set -eu\nkeyctl new_session sandbox >/dev/null\nkeyctl clear @u\nkeyctl link @u @s\n";
        let script = format!("{prelude}{script}\nkeyctl clear @u\necho done >/sandbox/announced\n");
        fs::write(self.dir().join("script"), script).expect("a writable directory");
        self.command().stdin(stdin).spawn().expect("unshare is installed (Debian: util-linux)")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--ipc"]);
        if Uid::effective().is_root() {
            keep_mounts_in(&mut command);
        } else {
            // A user namespace has keyrings of its own, whatever the uid.
            command.args(["--mount", "--user", "--map-root-user"]);
        }
        command.arg("bash").arg(self.dir.path().join("sandbox.sh")).arg(self.dir.path());
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C").env("SANDBOX_CAPABILITIES", capabilities());
        if Uid::effective().is_root() {
            command.env("SANDBOX_UID", self.uid.to_string());
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// Asserts that the script got to its end.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert!(self.announced && self.end == End::Exit(0), "the script failed: {self:#?}");
        self
    }

    /// The value that the script printed as a line `NAME VALUE`.
    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("the script said nothing of {name}: {self:#?}"))
    }
}

fn end(status: ExitStatus) -> End {
    // unshare dies as its child did, or says so with 128 + signal. reboot(2) in a
    // PID namespace kills its init with SIGINT (halt, power off) or SIGHUP (restart).
    let signal = status.signal().or_else(|| status.code().filter(|code| *code > 128).map(|code| code - 128));
    match signal {
        Some(number) if number == Signal::SIGINT as i32 || number == Signal::SIGHUP as i32 => End::PoweredOff,
        Some(number) => End::Killed(number),
        None => End::Exit(status.code().unwrap_or(-1)),
    }
}

/// Waits for the end, but not for ever.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (ended, watch) = channel::<()>();
    let watchdog = thread::spawn(move || {
        let hung = watch.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout);
        if hung {
            // Its child, the machine's init, dies with it.
            let _ = kill(pid, Signal::SIGKILL);
        }
        hung
    });
    let status = child.wait().expect("unshare can be waited for");
    drop(ended);
    (!watchdog.join().expect("the watchdog ends")).then_some(status)
}

fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut stream = stream.expect("a pipe");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A uid that no concurrent test has, and what holds it: the name of an abstract socket, which the kernel frees.
fn claim_uid() -> (u32, UnixListener) {
    const FIRST: u32 = 0x4000_0000;
    let start = FIRST + std::process::id() % 100_000 * 1000;
    for uid in start.. {
        let name = SocketAddr::from_abstract_name(format!("trust-test-uid-{uid}")).expect("a short name");
        if let Ok(claim) = UnixListener::bind_addr(&name) {
            return (uid, claim);
        }
    }
    unreachable!("there are more uids than tests")
}

/// The capabilities that this process has, for setpriv: it refuses to add one that is not there.
fn capabilities() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).expect("CapPrm");
    let set = u64::from_str_radix(line.trim(), 16).expect("a number");
    let names: Vec<String> = (0..64).filter(|n| set >> n & 1 == 1).map(|n| format!("+cap_{n}")).collect();
    names.join(",")
}
