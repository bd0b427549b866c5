//! Unified kernel images: built, measured, looked into (UAPI.5 Unified Kernel Image).
//!
//! - [`assemble`]: sections put on a stub; [`kernel`]: what a kernel says of itself;
//! - [`measure`]: what systemd-stub extends PCR 11 with, and what the firmware extends PCR 4 with;
//! - [`text`]: the ingredients that are text, as people have them; [`cmdline`]: what a command line lets others do;
//! - [`initrd`]: a look into archives, compressed or not; [`inspect`]: into a whole image.
//!
//! But for [`text`] these are bytes in, value or error out. [`build`] reads what an image is made of, and [`additions`]
//! what a keyset adds to it.

pub mod additions;
pub mod assemble;
pub mod build;
pub mod cmdline;
pub mod initrd;
pub mod inspect;
pub mod kernel;
pub mod measure;
mod stub;
pub mod text;
