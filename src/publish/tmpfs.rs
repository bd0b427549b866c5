//! A tmpfs that no other process sees until it is complete (fsopen(2), fsmount(2), move_mount(2)).

use crate::{
    error::{Error, Result},
    files,
    secret::Secret,
    store::Locked,
};
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, RenameFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
        fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
        unmount,
    },
};
use std::{
    fs::DirBuilder,
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::Path,
};

/// More than the files need, and not much more.
const SIZE: &str = "1m";

/// What statfs(2) says of a tmpfs.
const TMPFS_MAGIC: fs::FsWord = 0x0102_1994;

/// How a file is opened to be overwritten.
const WIPE: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A mount that is attached nowhere; dropped, it is gone with its files.
pub struct Detached(OwnedFd);

/// Makes a tmpfs holding `files` (mode 0400), in a directory of mode 0700 that only its owner enters.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn build(_: &Locked, files: &[(&str, &Secret)]) -> Result<Detached> {
    let step = |errno: Errno| Error::system("make the tmpfs for the secrets", errno);
    // The kernel swaps no tmpfs out that is `noswap` (6.4); older kernels do not know the word,
    // and user namespaces may not say it. In an initrd there is no swap yet.
    let filesystem = configure(true).or_else(|_| configure(false)).map_err(step)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(step)?;
    for (name, content) in files {
        write(&mount, name, content.expose())
            .map_err(|errno| Error::system(format!("write {name} into the tmpfs"), errno))?;
    }
    Ok(Detached(mount))
}

fn configure(noswap: bool) -> rustix::io::Result<OwnedFd> {
    let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&filesystem, "source", "trust")?;
    fsconfig_set_string(&filesystem, "size", SIZE)?;
    fsconfig_set_string(&filesystem, "mode", "0700")?;
    if noswap {
        fsconfig_set_flag(&filesystem, "noswap")?;
    }
    fsconfig_create(&filesystem)?;
    Ok(filesystem)
}

fn write(mount: &OwnedFd, name: &str, mut content: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(mount, name, flags, Mode::RUSR)?;
    while !content.is_empty() {
        let written = rustix::io::write(&file, content)?;
        content = content.get(written..).unwrap_or_default();
    }
    Ok(())
}

impl Detached {
    /// Attaches it at `directory`, which is made if need be.
    ///
    /// What is attached below a shared mount appears in every namespace that
    /// the mount is shared with, and stays there when it is gone here. So the
    /// directory first becomes a mount of its own, which is empty and may be
    /// seen; made private, it carries the tmpfs.
    ///
    /// # Errors
    /// [`crate::error::Kind::System`]; then the tmpfs is gone.
    pub fn attach(self, directory: &Path) -> Result<()> {
        let what = || format!("attach the tmpfs at {}", directory.display());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| Error::system(format!("make {}", directory.display()), error))?;
        let base = bind(directory).map_err(|errno| Error::system(what(), errno))?;
        move_onto(&self.0, &base).map_err(|errno| {
            let _ = unmount(directory, UnmountFlags::DETACH);
            Error::system(what(), errno)
        })
    }
}

/// Makes `directory` a private mount of itself; returns its root.
fn bind(directory: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let copy = open_tree(fs::CWD, directory, flags)?;
    let target =
        fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    move_onto(&copy, &target)?;
    let private = mount_change(directory, MountPropagationFlags::PRIVATE);
    if let Err(errno) = private {
        let _ = unmount(directory, UnmountFlags::DETACH);
        return Err(errno);
    }
    Ok(copy)
}

/// Attaches the mount `what` on top of the directory `target`.
fn move_onto(what: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(what, "", target, "", flags)
}

/// Whether a tmpfs is mounted at `directory`.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn is_attached(directory: &Path) -> Result<bool> {
    let looked = |why| Error::system(format!("look at {}", directory.display()), why);
    Ok(files::is_mount(directory).map_err(looked)? && is_tmpfs(directory).map_err(looked)?)
}

fn is_tmpfs(directory: &Path) -> io::Result<bool> {
    Ok(fs::statfs(directory)?.f_type == TMPFS_MAGIC)
}

/// Puts `content` in the place of the file `name`, at once and as a whole, and wipes what was there.
///
/// # Errors
/// [`crate::error::Kind::System`]: the old file may still be there.
pub fn replace(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let failed = |errno: Errno| Error::system(format!("replace {name} in {}", directory.display()), errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = fs::open(directory, flags, Mode::empty()).map_err(failed)?;
    let new = &*format!(".{name}.new");
    // Of a run that was killed.
    let _ = fs::unlinkat(&directory, new, AtFlags::empty());
    let old = fs::openat(&directory, name, WIPE, Mode::empty()).map_err(failed)?;
    write(&directory, new, content).map_err(failed)?;
    fs::renameat_with(&directory, new, &directory, name, RenameFlags::empty()).map_err(failed)?;
    wipe(&old).map_err(failed)
}

/// Overwrites a file: a process that still has it open, or gets its memory next, finds nothing.
fn wipe(file: &OwnedFd) -> rustix::io::Result<()> {
    let zeros = [0; 4096];
    let mut left = u64::try_from(fs::fstat(file)?.st_size).unwrap_or(0);
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        left -= rustix::io::write(file, zeros.get(..size).unwrap_or_default())? as u64;
    }
    fs::ftruncate(file, 0)
}

/// Overwrites and removes the file at `path`, which may be gone already. What cannot be overwritten can still be removed.
///
/// # Errors
/// Those of removing it.
pub fn destroy(path: &Path) -> io::Result<()> {
    let _ = fs::open(path, WIPE, Mode::empty()).and_then(|file| wipe(&file));
    std::fs::remove_file(path).or_else(absent)
}

/// Does that with all files of a directory without subdirectories.
///
/// # Errors
/// Those of listing and removing.
pub fn empty(directory: &Path) -> io::Result<()> {
    std::fs::read_dir(directory)?.try_for_each(|entry| destroy(&entry?.path()))
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Removes the tmpfs at `directory` and the mount that carries it; returns how many mounts there were.
///
/// The files go first: a process that still has the directory open keeps the mount alive, but finds nothing in it. Another
/// process may be doing the same at the same time, as units of systemd do: what is already gone is no error.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn remove(directory: &Path) -> Result<usize> {
    /// More than there are mounts.
    const RACES: u8 = 16;
    let (mut removed, mut lost) = (0, 0);
    let looked = |why| Error::system(format!("look at {}", directory.display()), why);
    while files::is_mount(directory).map_err(looked)? {
        let failed = |why: io::Error| Error::system(format!("remove the tmpfs at {}", directory.display()), why);
        if is_tmpfs(directory).map_err(failed)? {
            empty(directory).map_err(failed)?;
        }
        match unmount(directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => removed += 1,
            // Another process was quicker with this one; there may be another below it.
            Err(Errno::INVAL) if lost < RACES => lost += 1,
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    Ok(removed)
}
