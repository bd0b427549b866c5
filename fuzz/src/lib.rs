//! What the target `tpm_answers` and the recorder of its conversations share.

mod forger;
mod job;
mod liar;

pub use forger::public_point;
pub use job::Job;
pub use liar::{Answer, Heard, Liar, encode};
