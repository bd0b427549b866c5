//! A look into the memory of a process: while it waits, at a system call, when it is about to exit.

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

/// What a process was at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its writable memory, by mapping.
    pub memory: Vec<(String, Vec<u8>)>,
    /// Which of it may be swapped out.
    pub unlocked: Vec<String>,
    /// `/proc/PID/limits`.
    pub limits: String,
    /// `/proc/PID/cmdline`.
    pub cmdline: Vec<u8>,
    /// `/proc/PID/environ`.
    pub environ: Vec<u8>,
}

impl Snapshot {
    /// What a process is that waits, as one does for its TPM.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        look(Pid::from_raw(pid))
    }
}

/// Follows one process to its end.
#[derive(Debug)]
pub struct MemoryProbe(JoinHandle<Vec<(Option<i64>, Snapshot)>>);

impl MemoryProbe {
    /// Attaches to a running process. Returns when it is attached.
    #[must_use]
    pub fn attach(pid: i32) -> Self {
        Self::attach_at(pid, &[])
    }

    /// Attaches to a running process, to look at it before it makes any of these system calls, too.
    #[must_use]
    pub fn attach_at(pid: i32, calls: &'static [i64]) -> Self {
        let (attached, wait) = channel();
        let thread = thread::spawn(move || follow(Pid::from_raw(pid), calls, &attached));
        wait.recv().expect("the process can be traced");
        Self(thread)
    }

    /// Waits for the process' end.
    #[must_use]
    pub fn remains(self) -> Snapshot {
        self.all().pop().expect("it has ended").1
    }

    /// Waits for the process' end; what was seen before each system call, and at the end.
    #[must_use]
    pub fn all(self) -> Vec<(Option<i64>, Snapshot)> {
        self.0.join().expect("the memory_probe lives")
    }
}

/// ptrace(2) is bound to a thread: all of it happens here.
fn follow(pid: Pid, calls: &[i64], attached: &Sender<()>) -> Vec<(Option<i64>, Snapshot)> {
    let options = ptrace::Options::PTRACE_O_TRACEEXIT | ptrace::Options::PTRACE_O_TRACESYSGOOD;
    ptrace::seize(pid, options).expect("CAP_SYS_PTRACE");
    if !calls.is_empty() {
        // It goes on from here on, and from each stop, to its next system call.
        ptrace::interrupt(pid).expect("a tracee");
    }
    attached.send(()).expect("the test waits");
    let mut seen = Vec::new();
    loop {
        let mut signal = None;
        match waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a tracee can be waited for") {
            WaitStatus::PtraceEvent(_, _, event) if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 => {
                seen.push((None, look(pid)));
            }
            WaitStatus::PtraceSyscall(_) => seen.extend(entered(pid, calls).map(|call| (Some(call), look(pid)))),
            WaitStatus::Stopped(_, stopped_by) => signal = Some(stopped_by),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return seen,
            _ => {}
        }
        let go_on = if calls.is_empty() { ptrace::cont(pid, signal) } else { ptrace::syscall(pid, signal) };
        go_on.expect("a stopped tracee");
    }
}

/// The system call that it is about to make, if it is one of these.
#[cfg(target_arch = "x86_64")]
fn entered(pid: Pid, calls: &[i64]) -> Option<i64> {
    // -38: not made yet.
    let regs = ptrace::getregs(pid).expect("a stopped tracee");
    let call = regs.orig_rax.cast_signed();
    (regs.rax.cast_signed() == -38 && calls.contains(&call)).then_some(call)
}

fn look(pid: Pid) -> Snapshot {
    let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).expect("a tracee's /proc is open");
    let maps = String::from_utf8_lossy(&file("maps")).into_owned();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("a tracee's memory is open");
    let mut remains = Snapshot {
        limits: String::from_utf8_lossy(&file("limits")).into_owned(),
        cmdline: file("cmdline"),
        environ: file("environ"),
        memory: Vec::new(),
        unlocked: unlocked(&String::from_utf8_lossy(&file("smaps"))),
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

/// Not known here.
#[cfg(not(target_arch = "x86_64"))]
fn entered(_: Pid, _: &[i64]) -> Option<i64> {
    None
}

/// The writable mappings without `lo` among their flags (proc(5), smaps).
fn unlocked(smaps: &str) -> Vec<String> {
    let (mut mapping, mut unlocked) = ("", Vec::new());
    for line in smaps.lines() {
        match line.strip_prefix("VmFlags:") {
            Some(flags) => {
                let is = |flag| flags.split_whitespace().any(|other| other == flag);
                // The kernel's own pages, as that of the vDSO's data, are neither swapped nor locked.
                if is("wr") && !is("lo") && !is("pf") {
                    unlocked.push(mapping.to_owned());
                }
            }
            None if line.split_whitespace().next().is_some_and(|word| word.contains('-')) => mapping = line,
            None => {}
        }
    }
    unlocked
}

/// Where `needle` occurs in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
