//! Puts the keys of a keyset into a firmware.
//!
//! - [`variables`]: into the variable store of a virtual machine;
//! - [`signed`]: as signed files for a real one.

pub mod signed;
pub mod variables;
