//! Mounts that stay where they are made.

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::stat::Mode,
    unistd::{chdir, chroot, fchdir},
};
use std::{io, os::unix::process::CommandExt, process::Command};

/// Has `command` run in a mount namespace of its own, from which no mount gets out.
///
/// unshare(1) does so too, but not in a plain chroot, whose root is no mount
/// point and cannot be made private; there it gives up.
pub fn keep_mounts_in(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec, system calls alone.
    unsafe { command.pre_exec(|| leave().map_err(io::Error::from)) }
}

fn leave() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    match make_private() {
        Err(Errno::EINVAL) => {}
        other => return other,
    }
    // Out of the chroot, to the root of the namespace, which is ours alone by now; and back in.
    let inside = open("/", OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let from = open(".", OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    chdir("/")?;
    chroot("/tmp")?;
    for _ in 0..64 {
        chdir("..")?;
    }
    chroot(".")?;
    make_private()?;
    fchdir(&inside)?;
    chroot(".")?;
    fchdir(&from)
}

fn make_private() -> nix::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}
