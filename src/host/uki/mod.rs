//! Unified kernel images: built, measured, looked into (UAPI.5 Unified Kernel Image).
//!
//! - [`assemble`]: sections put on a stub; [`kernel`]: what a kernel says of itself;
//! - [`measured`]: the sections that systemd-stub measures; [`pcrs`]: what PCRs 4 and 11 become;
//! - [`text`]: the ingredients that are text, as people have them; [`cmdline`]: what a command line lets others do;
//! - [`initrd`]: a look into archives, compressed or not; [`inspect`]: into a whole image.
//!
//! But for [`text`] these are bytes in, value or error out. [`ingredients`] reads what an image is made of, [`additions`]
//! what a keyset adds to it, and [`build`] makes a signed image of them and predicts its PCRs.
//! [`started`] reads what a prediction of a machine's next boot needs.

pub mod additions;
pub mod assemble;
pub mod build;
pub mod cmdline;
pub mod ingredients;
pub mod initrd;
pub mod inspect;
pub mod kernel;
pub mod measured;
pub mod pcrs;
pub mod started;
pub mod stub;
pub mod text;
