//! A system call as a filter knows it, and the calls that no command makes.

use nix::libc::{self, c_int, c_long};

/// A call that may be made.
#[derive(Clone, Copy)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// When.
    pub condition: Condition,
}

/// What an argument, counted from 0, must be.
#[derive(Clone, Copy)]
pub enum Condition {
    /// Anything.
    Always,
    /// This value.
    Is(u32, u32),
    /// None of these bits.
    Lacks(u32, u32),
}

/// A call with any arguments.
pub const fn call(number: c_long) -> Call {
    Call { number: number as u32, condition: Condition::Always }
}

impl Call {
    /// The same, where this argument has this value.
    pub const fn of(self, argument: u32, value: c_int) -> Self {
        Self { condition: Condition::Is(argument, value as u32), ..self }
    }

    /// The same, where this argument has none of these bits.
    pub const fn without(self, argument: u32, bits: c_int) -> Self {
        Self { condition: Condition::Lacks(argument, bits as u32), ..self }
    }
}

/// `kexec_file_load(2)`, for which libc does not have a name on every architecture.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: c_long = 294;

/// Calls by which a process becomes another one, or gets at others or at the kernel. A command that needs one declares
/// it: what is declared goes before what is forbidden.
pub const FORBIDDEN: &[Call] = &[
    call(libc::SYS_execve),
    call(libc::SYS_execveat),
    call(libc::SYS_ptrace),
    call(libc::SYS_process_vm_readv),
    call(libc::SYS_process_vm_writev),
    call(libc::SYS_bpf),
    call(libc::SYS_init_module),
    call(libc::SYS_finit_module),
    call(libc::SYS_kexec_load),
    call(KEXEC_FILE_LOAD),
];

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_kexec_file_load_is_the_one_of_libc() {
        assert_eq!(KEXEC_FILE_LOAD, libc::SYS_kexec_file_load);
    }
}
