//! Images that a firmware starts.
//!
//! - [`pe`], [`cpio`]: what others have laid down;
//! - [`authenticode`]: signed and verified;
//! - [`uki`]: built, measured, looked into.

pub mod authenticode;
pub mod cpio;
pub mod pe;
pub mod uki;
