//! A filter of system calls (seccomp(2)): a process cannot be made to do what its command does not need.
//!
//! An attacker who takes the process over, with an answer of the TPM for instance, finds a process that starts no program,
//! maps no executable memory, and reaches nothing that its command does not reach anyway. What a command needs, it
//! declares ([`crate::commands::Command::calls`]); anything else fails with EPERM, so that a call which a later C library
//! makes, and that is not declared, is an error like others, after which PCR 7 is locked. [`call::FORBIDDEN`] are calls that
//! no library makes for a process like this one. They end it at once: an error would invite the attacker to try the next
//! thing, and the process that started a `setup` which is killed locks the TPM.
//!
//! A filter outlives execve(2) and cannot be taken back, so that a command which becomes another program has none.

#![allow(unsafe_code, reason = "seccomp(2), which no library here wraps")]

pub mod call;

use crate::{
    console,
    error::{Error, Result},
};
use call::{Call, Condition};
use nix::{
    errno::Errno,
    libc::{
        BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_LD, BPF_RET, BPF_W, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
        SECCOMP_RET_KILL_PROCESS, SECCOMP_SET_MODE_FILTER, SYS_seccomp, sock_filter, sock_fprog, syscall,
    },
    sys::prctl::set_no_new_privs,
};

/// `AUDIT_ARCH_X86_64`; calls in the manner of another architecture are none of ours.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where a filter finds what it is asked about (`struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const REFUSED: u32 = SECCOMP_RET_ERRNO | EPERM as u32;

/// From here on the process can make the calls of these phases, and no others.
///
/// # Errors
/// [`crate::error::Kind::System`]; a kernel without filters is no error: a warning says so.
pub fn confine(phases: &[&[Call]]) -> Result<()> {
    let failed = |errno: Errno| Error::system("confine the process to its system calls", errno);
    set_no_new_privs().map_err(failed)?;
    let mut program = assemble(phases);
    let filter = sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| failed(Errno::E2BIG))?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until then and has `len` instructions.
    let outcome = unsafe { syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    match Errno::result(outcome) {
        Ok(_) => Ok(()),
        // The kernel is part of the same signed image: no attacker has taken the feature away.
        Err(Errno::ENOSYS | Errno::EINVAL) => {
            console::warn("this kernel has no CONFIG_SECCOMP_FILTER: system calls are not confined");
            Ok(())
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// The filter, for the kernel's interpreter: one rule after the other, since a process like this one makes few calls. The
/// first that fits counts, so that what a command declares is not forbidden.
fn assemble(phases: &[&[Call]]) -> Vec<sock_filter> {
    let mut program = vec![load(ARCH), jump(BPF_JEQ, ARCHITECTURE, 1, 0), end(SECCOMP_RET_KILL_PROCESS), load(NUMBER)];
    for Call { number, condition } in phases.iter().copied().flatten() {
        match *condition {
            Condition::Always => program.extend([jump(BPF_JEQ, *number, 0, 1), end(SECCOMP_RET_ALLOW)]),
            Condition::Is(argument, value) => program.extend([
                jump(BPF_JEQ, *number, 0, 4),
                load(low_half(argument)),
                jump(BPF_JEQ, value, 0, 1),
                end(SECCOMP_RET_ALLOW),
                load(NUMBER),
            ]),
            Condition::Lacks(argument, bits) => program.extend([
                jump(BPF_JEQ, *number, 0, 4),
                load(low_half(argument)),
                jump(BPF_JSET, bits, 1, 0),
                end(SECCOMP_RET_ALLOW),
                load(NUMBER),
            ]),
        }
    }
    for Call { number, .. } in call::FORBIDDEN {
        program.extend([jump(BPF_JEQ, *number, 0, 1), end(SECCOMP_RET_KILL_PROCESS)]);
    }
    program.push(end(REFUSED));
    program
}

/// Where the low half of an argument is; the kernel takes it for an int, or it has no flags higher up. Little-endian.
const fn low_half(argument: u32) -> u32 {
    ARGUMENTS + 8 * argument
}

const fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// `yes` and `no`: how many instructions are skipped.
const fn jump(comparison: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    instruction(BPF_JMP | comparison, value, yes, no)
}

const fn end(action: u32) -> sock_filter {
    instruction(BPF_RET, action, 0, 0)
}

const fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{ALL, phases};
    use nix::{
        libc::{self, c_long},
        sys::{
            signal::Signal,
            wait::{WaitStatus, waitpid},
        },
        unistd::{ForkResult, fork},
    };

    /// What comes of a system call.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Returned,
        Failed(Errno),
        Killed(Signal),
    }

    /// Has a process of its own, confined to these phases, make a call.
    fn outcome(phases: &[&[Call]], number: c_long, arguments: [u64; 6]) -> Outcome {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: between fork and exit the child allocates, which C libraries allow, and makes system calls, with null
        // pointers or none.
        let status = unsafe {
            match fork().unwrap() {
                ForkResult::Child => {
                    let status = match confine(phases) {
                        Ok(()) if syscall(number, a, b, c, d, e, f) == -1 => Errno::last_raw(),
                        Ok(()) => 0,
                        Err(_) => 255,
                    };
                    libc::_exit(status)
                }
                ForkResult::Parent { child } => waitpid(child, None).unwrap(),
            }
        };
        match status {
            WaitStatus::Exited(_, 0) => Outcome::Returned,
            WaitStatus::Exited(_, errno @ 1..255) => Outcome::Failed(Errno::from_raw(errno)),
            WaitStatus::Signaled(_, signal, _) => Outcome::Killed(signal),
            other => panic!("{other:?}"),
        }
    }

    /// Whether they have `KEYCTL_GET_KEYRING_ID`, which is 0.
    fn finds_keyring(phases: &[&[Call]]) -> bool {
        let of_keyring = |call: &Call| {
            c_long::from(call.number) == libc::SYS_keyctl && matches!(call.condition, Condition::Is(0, 0))
        };
        phases.iter().copied().flatten().any(of_keyring)
    }

    /// The numbers are those of the architecture that runs this: the kernel of that architecture is asked.
    #[test]
    fn commands_are_let_through_refused_and_killed_at_the_calls_of_this_architecture() {
        let int = |value: i32| u64::from(value.cast_unsigned());
        let executable = int(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        let anonymous = int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let map = |protection| [0, 4096, protection, anonymous, u64::MAX, 0];
        let (nothing, refused) = ([0; 6], || Outcome::Failed(Errno::EPERM));
        let mut confined = 0;
        for command in ALL {
            let Some(calls) = command.calls else { continue };
            confined += 1;
            let phases = [&[phases::PROCESS], calls].concat();
            let check = |what, number, arguments, expected: Outcome| {
                assert_eq!(outcome(&phases, number, arguments), expected, "{}: {what}", command.name);
            };
            check("tell its own pid", libc::SYS_getpid, nothing, Outcome::Returned);
            check("map memory", libc::SYS_mmap, map(int(libc::PROT_READ)), Outcome::Returned);
            check("map executable memory", libc::SYS_mmap, map(executable), refused());
            check("make memory executable", libc::SYS_mprotect, [0, 0, executable, 0, 0, 0], refused());
            // There may be none.
            let asked = outcome(&phases, libc::SYS_keyctl, [0, u64::MAX - 3, 0, 0, 0, 0]);
            assert_eq!(asked != refused(), finds_keyring(&phases), "{}: find the keyring: {asked:?}", command.name);
            check(
                "open a socket",
                libc::SYS_socket,
                [int(libc::AF_INET), int(libc::SOCK_STREAM), 0, 0, 0, 0],
                refused(),
            );
            check("signal others", libc::SYS_kill, [u64::MAX, 0, 0, 0, 0, 0], refused());
            check("leave its namespaces", libc::SYS_unshare, nothing, refused());
            check("start a process", libc::SYS_clone, [int(libc::CLONE_THREAD), 0, 0, 0, 0, 0], refused());
            check("make a file that lies nowhere", libc::SYS_memfd_create, nothing, refused());
            check("mount", libc::SYS_mount, nothing, refused());
            // Without the magic numbers, which the kernel would otherwise heed.
            check("restart the machine", libc::SYS_reboot, nothing, refused());
            for Call { number, .. } in call::FORBIDDEN {
                check("become another one", c_long::from(*number), nothing, Outcome::Killed(Signal::SIGSYS));
            }
        }
        assert!(confined > 5, "{confined} commands are confined");
    }
}
