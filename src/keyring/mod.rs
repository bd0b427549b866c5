//! The kernel's keys (keyrings(7)): how they are added, found, used and revoked. What may be published in them, and when,
//! is for [`crate::publish`] to say.

pub mod asymmetric;
#[cfg(feature = "host")]
pub mod request_key;
pub mod user;
