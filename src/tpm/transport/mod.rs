//! The way to the TPM: an address from argv, a link to the device, and the C
//! structure (TCTI) by which tpm2-tss uses the link.
//!
//! tpm2-tss brings its own; ours knows deadlines, never reads the
//! environment, keeps no descriptor open over exec, and checks every response
//! ([`response`]) before C sees it.

mod address;
mod fault;
mod link;
#[cfg(feature = "host")]
mod missing;
mod response;
mod tcti;

pub use address::Address;
pub(super) use fault::{Fault, TPM12_REMEDY};
pub(super) use link::{LEAST_PATIENCE, Link};
pub(super) use tcti::{Wire, hand_over};
