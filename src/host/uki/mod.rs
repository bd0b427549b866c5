//! Unified kernel images: built, measured, looked into (UAPI.5 Unified Kernel Image).
//!
//! - [`assemble`]: sections put on a stub; [`kernel`]: what a kernel says of itself;
//! - [`measure`]: what systemd-stub extends PCR 11 with, and what the firmware extends PCR 4 with;
//! - [`initrd`]: a look into archives, compressed or not.
//!
//! These are bytes in, value or error out.

pub mod assemble;
pub mod initrd;
pub mod kernel;
pub mod measure;
