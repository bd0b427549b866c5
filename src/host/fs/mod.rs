//! Files on the administrator's side.
//!
//! - [`atomic`]: all of a file or directory, or nothing; [`interrupt`]: Ctrl-C takes back what was begun;
//! - [`data`]: bytes that need not be in memory: files, and parts of them, read piece by piece;
//! - [`xdg`]: where a user's files are.

pub mod atomic;
pub mod data;
pub mod interrupt;
pub mod xdg;
