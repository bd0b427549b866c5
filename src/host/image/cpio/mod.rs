//! cpio archives, "newc", as the kernel unpacks them (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! An initrd is a sequence of them, each begun at a multiple of four bytes,
//! with zeros between, and each may be compressed.

mod compression;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use read::{ArchiveEntry, MAX_SHOWN, Part, next_part};
pub use write::{Archive, append, separator};

/// What a header begins with.
const MAGIC: &[u8] = b"070701";
const ALIGNMENT: usize = 4;
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// The kernel's `PATH_MAX`, the NUL at the end included.
const MAX_NAME: usize = 4096;

/// The bits of a mode that tell kinds of files apart.
pub const KIND: u32 = 0o170_000;
/// The kind of a directory.
pub const DIRECTORY: u32 = 0o040_000;
/// The kind of a regular file.
pub const REGULAR: u32 = 0o100_000;
/// The kind of a symbolic link.
pub const SYMLINK: u32 = 0o120_000;
