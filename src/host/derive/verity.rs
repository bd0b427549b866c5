//! What fs-verity has of a file (fs-verity.rst of the kernel, `FS_IOC_MEASURE_VERITY`).

#![allow(unsafe_code, reason = "ioctl(2) for the digest of fs-verity, which no library here wraps")]

use rustix::{
    io::Result,
    ioctl::{Updater, ioctl, opcode},
};
use std::os::fd::AsFd;

/// `struct fsverity_digest` without the digest, which counts for the number of the call.
#[repr(C)]
struct Head {
    algorithm: u16,
    size: u16,
}

/// The same with room for the largest digest.
#[repr(C)]
struct FsverityDigest {
    head: Head,
    digest: [u8; MAX_DIGEST],
}

/// Bytes of the largest digest.
const MAX_DIGEST: usize = 64;
/// `FS_IOC_MEASURE_VERITY`.
const MEASURE_VERITY: u32 = opcode::read_write::<Head>(b'f', 134);

/// The digest of a file, with the number of its algorithm (1 is SHA-256, 2 is SHA-512): the kernel compares with it whatever
/// it reads of the file.
///
/// # Errors
/// `ENODATA`: the file has none; `ENOTTY`, `EOPNOTSUPP`: its file system, or the kernel, has no fs-verity.
pub fn measure(file: impl AsFd) -> Result<(u16, Vec<u8>)> {
    let room = Head { algorithm: 0, size: MAX_DIGEST as u16 };
    let mut answer = FsverityDigest { head: room, digest: [0; MAX_DIGEST] };
    // SAFETY: the call reads and writes this structure, whose `size` says how much room the digest has.
    unsafe { ioctl(file, Updater::<MEASURE_VERITY, _>::new(&mut answer))? };
    let digest = answer.digest.get(..answer.head.size.into()).unwrap_or_default();
    Ok((answer.head.algorithm, digest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_has_the_number_of_the_kernel() {
        assert_eq!(MEASURE_VERITY, 0xc004_6686);
    }
}
