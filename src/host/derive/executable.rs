//! The executable of a process, opened once: what it is called, and what is in it.

use super::{ima, verity};
use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    foreign,
    measure::bank::Bank,
};
use rustix::{
    fs::{AtFlags, CWD, StatxFlags, statx},
    io::Errno,
};
use std::{
    fs::{File, Metadata},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
};

/// What the kernel puts behind the path of a file that has been removed.
const DELETED: &[u8] = b" (deleted)";
/// Bytes of the largest executable that is hashed.
const MAX_HASHED: u64 = 1 << 30;
/// Bytes that are read at once.
const PIECE: usize = 128 << 10;
/// The number of SHA-256 in fs-verity.
const VERITY_SHA256: u16 = 1;
const WHAT: &str = "tell which executable asks";

/// An executable. Whatever happens to its path later, this is the file that was open.
#[derive(Debug)]
pub struct Executable {
    file: File,
    path: PathBuf,
}

impl Executable {
    /// That of a process which is in our mount namespace and has our root, unless another is `allowed`: there a path is what
    /// that namespace calls it.
    ///
    /// The process may be another by now, or have become another program: ask that afterwards.
    ///
    /// # Errors
    /// [`Kind::Refused`]: what is at its path is not this very file, or it is elsewhere; [`Kind::System`].
    pub(super) fn of_process(pid: i32, foreign_is_allowed: bool) -> Result<Self> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let is_foreign = !is_at_home(&process).map_err(|why| Error::system(WHAT, why))?;
        if is_foreign && !foreign_is_allowed {
            return Err(refused("it runs in a container or a chroot, where any file may have any path")
                .remedy("ask from outside of it, or allow foreign namespaces"));
        }
        let file = File::open(process.join("exe")).map_err(|why| Error::system(WHAT, why))?;
        Self::of_file(file, is_foreign)
    }

    /// That at a path, which the caller vouches for.
    ///
    /// # Errors
    /// [`Kind::System`]: there is none; [`Kind::Usage`]: it is not a file that can be executed.
    pub fn at(path: &Path) -> Result<Self> {
        let shown = || foreign::printable(&path.to_string_lossy());
        let file = File::open(path).map_err(|why| Error::system(format!("open {}", shown()), why))?;
        let metadata = file.metadata().map_err(|why| Error::system(format!("open {}", shown()), why))?;
        if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
            return Err(Error::new(Kind::Usage, format!("derive a key for {}", shown()), "it is not an executable")
                .remedy("give the path of the program itself"));
        }
        Self::of_file(file, false)
    }

    fn of_file(file: File, is_foreign: bool) -> Result<Self> {
        // Of the file that is open, and not once more of the process, which may have become another program.
        let path = std::fs::read_link(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))
            .map_err(|why| Error::system(WHAT, why))?;
        let executable = Self { file, path };
        executable.is_where_it_says(is_foreign).map(|()| executable)
    }

    /// Demands that its path leads to it.
    fn is_where_it_says(&self, is_foreign: bool) -> Result<()> {
        let path = self.path();
        if path.ends_with(DELETED) || !path.starts_with(b"/") {
            let shown = foreign::printable(&self.path.to_string_lossy());
            return Err(
                refused(format!("its file has been removed or replaced: {shown}")).remedy("start the program again")
            );
        }
        if is_foreign {
            return Ok(());
        }
        let failed = |why: Errno| Error::system(WHAT, why);
        let ours = statx(&self.file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map_err(failed)?;
        let there = match statx(CWD, &*self.path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            other => Some(other.map_err(failed)?),
        };
        let identity = |x: &rustix::fs::Statx| (x.stx_dev_major, x.stx_dev_minor, x.stx_ino);
        if there.as_ref().map(identity) == Some(identity(&ours)) {
            return Ok(());
        }
        let shown = foreign::printable(&self.path.to_string_lossy());
        Err(refused(format!("something else lies at {shown} by now, or is mounted there"))
            .remedy("start the program again"))
    }

    /// Its path, as bytes: absolute, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.path.as_os_str().as_bytes()
    }

    /// The SHA-256 of its content, which IMA's list must have, with whatever algorithm that has.
    ///
    /// # Errors
    /// [`Kind::System`]: IMA does not vouch for it, and what is missing; or it is being written, or cannot be read.
    pub fn csum(&self) -> Result<Digest> {
        let before = self.stamp()?;
        let mut content = None;
        let digest = |bank| {
            let digest = self.digest(bank)?;
            if bank == Bank::Sha256 {
                content = digest.as_slice().try_into().ok();
            }
            Ok(digest)
        };
        ima::vouch(ima::open, digest)?;
        match content {
            Some(digest) if self.stamp()? == before => Ok(digest),
            _ => Err(changed()),
        }
    }

    /// Its fs-verity digest, which is SHA-256.
    ///
    /// # Errors
    /// [`Kind::System`]: it has none.
    pub fn verity(&self) -> Result<Digest> {
        let failed = |why: String| Error::new(Kind::System, "prove the content of the executable by fs-verity", why);
        let shown = foreign::printable(&self.path.to_string_lossy());
        match verity::measure(&self.file) {
            Ok((VERITY_SHA256, digest)) => {
                digest.try_into().map_err(|_| failed("the kernel's answer is not a digest".into()))
            }
            Ok(_) => Err(failed(format!("that of {shown} is not SHA-256"))
                .remedy("enable it anew on a copy: fsverity enable --hash-alg=sha256 FILE")),
            Err(Errno::NODATA) => {
                Err(failed(format!("{shown} has none")).remedy("enable it for the file: fsverity enable FILE"))
            }
            Err(Errno::NOTTY | Errno::OPNOTSUPP) => Err(failed(format!("the file system of {shown} has none"))
                .remedy("put the file on ext4, btrfs or f2fs with the feature verity, or ask for csum")),
            Err(why) => Err(Error::system("prove the content of the executable by fs-verity", why)),
        }
    }

    fn digest(&self, bank: Bank) -> Result<Vec<u8>> {
        let failed = |why: io::Error| Error::system(format!("read {}", self.path.display()), why);
        let size = self.file.metadata().map_err(failed)?.len();
        if size > MAX_HASHED {
            return Err(Error::new(Kind::Refused, WHAT, "it is larger than 1 GiB").remedy("ask by path"));
        }
        let mut context = bank.begin();
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        // It cannot grow beyond all bounds meanwhile.
        while at <= size {
            match self.file.read_at(&mut buffer, at).map_err(failed)? {
                0 => break,
                read => {
                    context.update(buffer.get(..read).unwrap_or_default());
                    at += read as u64;
                }
            }
        }
        Ok(context.finish().as_ref().to_vec())
    }

    /// What differs where the file has been written.
    fn stamp(&self) -> Result<[i64; 5]> {
        let stamp = |m: Metadata| [m.size().cast_signed(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()];
        self.file.metadata().map(stamp).map_err(|why| Error::system(WHAT, why))
    }
}

/// Whether a process is in our mount namespace, and its root is ours; and in our user namespace, since whoever has one of
/// their own may change what `exe` shows (`PR_SET_MM_MAP`).
fn is_at_home(process: &Path) -> io::Result<bool> {
    let ours = Path::new("/proc/thread-self");
    let namespace = |process: &Path| {
        let of = |name: &str| std::fs::metadata(process.join(name)).map(|found| (found.dev(), found.ino()));
        io::Result::Ok((of("ns/mnt")?, of("ns/user")?))
    };
    let root = |process: &Path| {
        let found = statx(CWD, process.join("root"), AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
        io::Result::Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_ino, found.stx_mnt_id))
    };
    Ok(namespace(process)? == namespace(ours)? && root(process)? == root(ours)?)
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Refused, WHAT, why.into())
}

fn changed() -> Error {
    Error::new(Kind::System, WHAT, "its file is being written").remedy("ask again when that is done")
}
