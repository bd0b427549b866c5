//! Sealed journals of systemd: a reader of journal files that believes nothing they say, and the seals in them, verified
//! with a key that no command line shows. No TPM, no command line, no printing.
//!
//! - [`VerificationKey`]: what `journalctl --setup-keys` prints; `fsprg`: the keys of the epochs that follow from it;
//! - `window`, `format`: a file in constant memory, and what its bytes mean;
//! - [`files`]: which files there are, each verified while journald may write to it; [`chains`]: the numbers that none has;
//! - [`reseal()`]: other seals for a copy, so that journalctl can be asked about it;
//! - [`verify()`]: a walk through it; `entry_list`, `seal`: what it compares on its way; [`JournalReport`]: the result.

mod chain;
mod entry_list;
pub mod files;
mod format;
mod fsprg;
mod key;
mod report;
mod reseal;
mod seal;
mod seal_keys;
mod stop;
mod verify;
mod window;

pub use chain::{JournalChain, SeqnumGap, chains};
pub use key::{MOST as MOST_OF_A_KEY, VerificationKey};
pub use report::{
    ClockSteps, JournalFacts, JournalReport, JournalTime, JournalVerdict, Misfit, SealedPart, UnsealedPart,
};
pub use reseal::{reseal, resealed};
pub use seal_keys::SealKeys;
pub use verify::{Circumstances, verify};
