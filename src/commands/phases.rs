//! The phases of which commands are made, and the system calls that each needs: those of musl and of glibc, on both
//! architectures, since which call a library makes for an `open` is up to the library.

use crate::{
    keyring::asymmetric::KEYCTL_PKEY_VERIFY,
    seccomp::call::{Call, call},
    tpm::Address,
};
use nix::libc::{self, c_int};

/// Operations of keyctl(2).
const GET_KEYRING_ID: c_int = 0;
const REVOKE: c_int = 3;
const UNLINK: c_int = 9;
const SEARCH: c_int = 10;
const SET_TIMEOUT: c_int = 15;

/// Every command: memory that is never executable, files, the clock, messages, the end.
pub const PROCESS: &[Call] = &[
    call(libc::SYS_read),
    call(libc::SYS_write),
    call(libc::SYS_clock_gettime),
    call(libc::SYS_clock_nanosleep),
    // Made by the kernel when a stopped process is continued.
    call(libc::SYS_restart_syscall),
    call(libc::SYS_brk),
    call(libc::SYS_mmap).without(2, libc::PROT_EXEC),
    call(libc::SYS_mprotect).without(2, libc::PROT_EXEC),
    call(libc::SYS_munmap),
    call(libc::SYS_mremap),
    call(libc::SYS_madvise),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open),
    call(libc::SYS_openat),
    call(libc::SYS_close),
    call(libc::SYS_fcntl).of(1, libc::F_GETFD),
    call(libc::SYS_fcntl).of(1, libc::F_SETFD),
    call(libc::SYS_getdents64),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_stat),
    call(libc::SYS_fstat),
    call(libc::SYS_newfstatat),
    call(libc::SYS_statx),
    call(libc::SYS_getpid),
    // Rust's handler of stack overflows, and abort(3).
    call(libc::SYS_rt_sigaction),
    call(libc::SYS_rt_sigprocmask),
    call(libc::SYS_rt_sigreturn),
    call(libc::SYS_sigaltstack),
    call(libc::SYS_exit),
    call(libc::SYS_exit_group),
];

/// A conversation with the TPM, without how it is reached ([`link`]).
pub const TPM: &[Call] = &[
    call(libc::SYS_epoll_create1),
    call(libc::SYS_epoll_ctl),
    call(libc::SYS_epoll_pwait),
    call(libc::SYS_ppoll),
    call(libc::SYS_getrandom),
];

/// How the TPM is reached: a device is a file.
pub const fn link(address: &Address) -> &'static [Call] {
    match address {
        Address::Device(_) => &[],
        Address::SwtpmUnix(_) => UNIX,
        Address::SwtpmTcp(_) | Address::Mssim(_) => INET,
    }
}

const UNIX: &[Call] = &[call(libc::SYS_connect), call(libc::SYS_socket).of(0, libc::AF_UNIX)];
const INET: &[Call] = &[
    call(libc::SYS_connect),
    call(libc::SYS_socket).of(0, libc::AF_INET),
    call(libc::SYS_socket).of(0, libc::AF_INET6),
];

/// The lock: no other process extends a PCR meanwhile, and a machine on which it cannot be proven is switched off.
pub const LOCK: &[Call] = &[
    call(libc::SYS_flock).of(1, libc::LOCK_EX | libc::LOCK_NB),
    call(libc::SYS_ftruncate),
    call(libc::SYS_reboot).of(2, libc::RB_POWER_OFF),
];

/// The kernel's asymmetric keys, when an authority must vouch for the TPM's storage root key.
pub const CHECK_SIGNATURE: &[Call] = &[call(libc::SYS_add_key), call(libc::SYS_keyctl).of(0, KEYCTL_PKEY_VERIFY)];

/// The keyring, when the passphrase is published, and when that fails halfway.
pub const ADD_KEYS: &[Call] = &[
    call(libc::SYS_add_key),
    call(libc::SYS_keyctl).of(0, GET_KEYRING_ID),
    call(libc::SYS_keyctl).of(0, SET_TIMEOUT),
    call(libc::SYS_keyctl).of(0, REVOKE),
];

/// The keyring, when it is asked which volumes have been opened.
pub const SEARCH_KEYS: &[Call] = &[call(libc::SYS_keyctl).of(0, GET_KEYRING_ID), call(libc::SYS_keyctl).of(0, SEARCH)];

/// The keyring, when the passphrase is withdrawn.
pub const REVOKE_KEYS: &[Call] = &[
    call(libc::SYS_keyctl).of(0, GET_KEYRING_ID),
    call(libc::SYS_keyctl).of(0, SEARCH),
    call(libc::SYS_keyctl).of(0, REVOKE),
    call(libc::SYS_keyctl).of(0, UNLINK),
];

/// The tmpfs, when certificate and key are published.
pub const ATTACH_FILES: &[Call] = &[
    call(libc::SYS_fsopen),
    call(libc::SYS_fsconfig),
    call(libc::SYS_fsmount),
    call(libc::SYS_open_tree),
    call(libc::SYS_move_mount),
    call(libc::SYS_mount).of(3, libc::MS_PRIVATE as c_int),
    call(libc::SYS_umount2),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mkdir),
    call(libc::SYS_mkdirat),
];

/// The running system's policies, when they are left for it.
pub const KEEP_POLICIES: &[Call] = &[
    call(libc::SYS_umask),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mkdir),
    call(libc::SYS_mkdirat),
];

/// The tmpfs, when a file in it is replaced, or all of it is withdrawn.
pub const REMOVE_FILES: &[Call] = &[
    call(libc::SYS_statfs),
    call(libc::SYS_ftruncate),
    call(libc::SYS_renameat2),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_unlink),
    call(libc::SYS_unlinkat),
    call(libc::SYS_umount2),
];
