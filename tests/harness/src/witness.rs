//! A look into the memory of a process that is about to exit.

use nix::{
    sys::{
        ptrace,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    fs,
    os::unix::fs::FileExt,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

/// What a process was, the moment it exited.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Its writable memory, by mapping.
    pub memory: Vec<(String, Vec<u8>)>,
    /// `/proc/PID/limits`.
    pub limits: String,
    /// `/proc/PID/cmdline`.
    pub cmdline: Vec<u8>,
    /// `/proc/PID/environ`.
    pub environ: Vec<u8>,
}

/// Follows one process to its end.
#[derive(Debug)]
pub struct Witness(JoinHandle<Remains>);

impl Witness {
    /// Attaches to a running process. Returns when it is attached.
    #[must_use]
    pub fn attach(pid: i32) -> Self {
        let (attached, wait) = channel();
        let thread = thread::spawn(move || follow(Pid::from_raw(pid), &attached));
        wait.recv().expect("the process can be traced");
        Self(thread)
    }

    /// Waits for the process' end.
    #[must_use]
    pub fn remains(self) -> Remains {
        self.0.join().expect("the witness lives")
    }
}

/// ptrace(2) is bound to a thread: all of it happens here.
fn follow(pid: Pid, attached: &Sender<()>) -> Remains {
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXIT).expect("CAP_SYS_PTRACE");
    attached.send(()).expect("the test waits");
    let mut remains = Remains::default();
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a tracee can be waited for") {
            WaitStatus::PtraceEvent(_, _, event) if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 => {
                remains = look(pid);
                ptrace::cont(pid, None).expect("a stopped tracee");
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).expect("a stopped tracee"),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return remains,
            _ => ptrace::cont(pid, None).expect("a stopped tracee"),
        }
    }
}

fn look(pid: Pid) -> Remains {
    let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).expect("a tracee's /proc is open");
    let maps = String::from_utf8_lossy(&file("maps")).into_owned();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("a tracee's memory is open");
    let mut remains = Remains {
        limits: String::from_utf8_lossy(&file("limits")).into_owned(),
        cmdline: file("cmdline"),
        environ: file("environ"),
        memory: Vec::new(),
    };
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next().expect("a range"), words.next().expect("a mode"));
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(end - start).expect("a 64-bit machine")];
        memory.read_exact_at(&mut bytes, start).unwrap_or_else(|e| panic!("cannot read {line}: {e}"));
        remains.memory.push((line.to_owned(), bytes));
    }
    assert!(!remains.memory.is_empty(), "nothing of the process' memory could be read");
    remains
}

/// Where `needle` occurs in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
