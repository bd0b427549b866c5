//! A process taken over: an attacker has found a way to make it execute system calls.

use nix::{
    errno::Errno,
    libc::user_regs_struct,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{fs, thread::sleep, time::Duration};

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel's answer.
    Returned(i64),
    /// An error.
    Failed(Errno),
    /// The process was killed for it.
    Killed(Signal),
}

/// A process that waits in a system call, and makes others in its place. Let go of, it goes on as if nothing had happened.
///
/// All of it must happen in one thread (ptrace(2)).
#[derive(Debug)]
pub struct Tracee {
    pid: Pid,
    before: user_regs_struct,
    alive: bool,
}

impl Tracee {
    /// Attaches to a process that waits, or soon will.
    #[must_use]
    pub fn take(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).expect("CAP_SYS_PTRACE");
        loop {
            ptrace::interrupt(pid).expect("a tracee");
            wait(pid);
            let before = ptrace::getregs(pid).expect("a stopped tracee");
            if before.orig_rax.cast_signed() >= 0 {
                return Self { pid, before, alive: true };
            }
            // It is still on its way there.
            ptrace::cont(pid, None).expect("a stopped tracee");
            sleep(Duration::from_millis(1));
        }
    }

    /// A page of its stack.
    #[must_use]
    pub fn stack(&self) -> u64 {
        self.before.rsp & !0xfff
    }

    /// Has it make a call.
    pub fn call(&mut self, number: i64, arguments: [u64; 6]) -> Outcome {
        assert!(self.alive, "a killed process makes no calls");
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        let instruction = self.before.rip - 2;
        let rax = number.cast_unsigned();
        // Not in a call: nothing is to be restarted.
        let regs =
            user_regs_struct { rip: instruction, rax, orig_rax: u64::MAX, rdi, rsi, rdx, r10, r8, r9, ..self.before };
        ptrace::setregs(self.pid, regs).expect("a stopped tracee");
        // On its way in, and on its way out.
        for _ in 0..2 {
            ptrace::syscall(self.pid, None).expect("a stopped tracee");
            wait(self.pid);
        }
        if self.is_doomed() {
            ptrace::cont(self.pid, None).expect("a stopped tracee");
            let WaitStatus::Signaled(_, signal, _) = wait(self.pid) else { panic!("it outlived its signal") };
            self.alive = false;
            return Outcome::Killed(signal);
        }
        let answer = ptrace::getregs(self.pid).expect("a stopped tracee").rax.cast_signed();
        if (-4095..0).contains(&answer) {
            return Outcome::Failed(Errno::from_raw(i32::try_from(-answer).expect("a small number")));
        }
        Outcome::Returned(answer)
    }
}

impl Tracee {
    /// Whether the kernel will kill it for its call: it does so on the way out, and has put the registers back by then.
    fn is_doomed(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a stopped tracee");
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).expect("a mask");
        let pending = u64::from_str_radix(pending.trim(), 16).expect("a mask");
        pending >> (Signal::SIGSYS as i32 - 1) & 1 == 1
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if self.alive {
            // A call that the kernel would make again (ERESTARTSYS and its like) was interrupted; others had their answer.
            let rax = match self.before.rax.cast_signed() {
                -516..=-512 => i64::from(-(Errno::EINTR as i32)),
                answer => answer,
            };
            let rax = rax.cast_unsigned();
            let _ = ptrace::setregs(self.pid, user_regs_struct { rax, orig_rax: u64::MAX, ..self.before });
            let _ = ptrace::detach(self.pid, None);
        }
    }
}

fn wait(pid: Pid) -> WaitStatus {
    waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a tracee can be waited for")
}
