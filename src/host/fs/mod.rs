//! Files on the administrator's side.
//!
//! - [`atomic`]: all of a file or directory, or nothing; [`interrupt`]: Ctrl-C undoes unfinished work;
//! - [`data`]: bytes that need not be in memory: files, and parts of them, read piece by piece;
//! - [`xdg`]: the directories of a user's files.

pub mod atomic;
pub mod data;
pub mod interrupt;
pub mod xdg;
