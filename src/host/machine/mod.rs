//! One machine at a time.
//!
//! - [`launch`]: virtual machines that live a machine's life;
//! - [`enroll`]: how a firmware gets the keys of a keyset;
//! - [`luks`]: the header of its disk, sealed.

pub mod enroll;
pub mod launch;
pub mod luks;
