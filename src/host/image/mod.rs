//! Images that a firmware starts.
//!
//! - [`pe`], [`cpio`]: what others have laid down;
//! - [`authenticode`]: signed and verified.

pub mod authenticode;
pub mod cpio;
pub mod pe;
