//! journald's forward secure sealing: the verification key in the TPM, replaced by nobody unnoticed.
//!
//! Each verification key is a *generation*, and has two indices of the TPM, both written once and locked for good:
//!
//! | index | holds | read by |
//! |---|---|---|
//! | `0x1500050` | a counter, which no one can set back | anyone |
//! | `0x1500051` + n | the verification key of generation n, as `journalctl --setup-keys` prints it | a policy |
//! | `0x1500071` + n | its [`KeyRecord`]: what may be known of it | anyone |
//!
//! The record names the Name of the key's index, attributes and policy included, and the digest of the key: whoever defines
//! either anew changes the record. The counter is counted up with each generation, and the newest record says to what.
//!
//! - [`KeyRecord`], [`SealingKey`]: what is in the TPM and on the disk, as values; [`picture()`]: a key for a camera;
//! - [`Generations`]: what the TPM holds of them, and [`FssFinding`] what is wrong with it;
//! - [`setup`]: a new generation, in an order in which the power may fail anywhere; [`keys()`]: all keys, for whoever verifies;
//! - [`statement`]: what the TPM says of them, signed; [`report`]: what a verification has come to, for the journal.

mod findings;
mod generations;
mod keys;
mod picture;
mod record;
pub mod report;
mod sealing_key;
pub mod setup;
pub mod statement;

pub use findings::{FssFinding, findings, owner, sealing_findings};
pub use generations::{Generation, GenerationState, Generations};
pub use keys::{GenerationKey, KeyPolicy, key, keys, no_keys};
pub use picture::picture;
pub use record::KeyRecord;
pub use sealing_key::SealingKey;

use crate::tpm2::nv_registry::SEALED_JOURNALS;

/// The counter.
pub const COUNTER: u32 = SEALED_JOURNALS.0;
/// More generations than there is room for in any TPM.
pub const MOST: u32 = 32;
/// The key of the first generation.
const FIRST_KEY: u32 = COUNTER + 1;
/// What is said of it.
const FIRST_RECORD: u32 = FIRST_KEY + MOST;

/// The index of a generation's key.
#[must_use]
pub const fn key_index(number: u32) -> u32 {
    FIRST_KEY + number
}

/// The index of what is said of it.
#[must_use]
pub const fn record_index(number: u32) -> u32 {
    FIRST_RECORD + number
}
