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
