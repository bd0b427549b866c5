//! Results on standard output, for users and programs ([`output`]); lines as wide as the terminal ([`wrap`]); progress
//! on standard error ([`progress`]).

pub mod output;
pub mod progress;
pub mod wrap;
