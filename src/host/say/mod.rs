//! What people and programs are shown: [`output`] on standard output, [`progress`] meanwhile.

pub mod output;
pub mod progress;
