//! One machine at a time.
//!
//! - [`launch`]: virtual machines with the lifecycle of a device;
//! - [`enroll`]: putting the keys of a keyset into a firmware;
//! - [`luks`]: sealing the header of its disk.

pub mod enroll;
pub mod launch;
pub mod luks;
