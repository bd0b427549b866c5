//! Trust carries the disk key and the machine's identity out of the TPM in the
//! first moments of the initrd, hands them over, and shuts the door.
//!
//! The way of a secret through the rooms: [`tpm`] reads it into a
//! [`secret::Secret`] while [`store::read_then_lock`] holds the bracket open,
//! the bracket locks PCR 7, and only with its [`store::Locked`] in hand does
//! [`publish`] put it into the kernel keyring and a private tmpfs.

// A panic is a defect: what can fail returns an error.
#![deny(
    clippy::expect_used,
    clippy::get_unwrap,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::panic_in_result_fn,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod authority;
mod bytes;
pub mod commands;
pub mod console;
pub mod digest;
mod early;
pub mod error;
mod files;
mod foreign;
pub mod guard;
#[cfg(feature = "host")]
pub mod host;
pub mod identity;
mod keyring;
pub mod luks;
pub mod measure;
mod measure_log;
pub mod memory;
mod pem;
pub mod policy;
mod private_key;
pub mod process;
#[allow(clippy::disallowed_methods, reason = "plaintext leaves the program here")]
pub mod publish;
mod seccomp;
pub mod secret;
pub mod store;
#[allow(clippy::disallowed_methods, reason = "plaintext comes from and goes to the TPM here")]
pub mod tpm;
pub mod tpm2;
mod x509;
