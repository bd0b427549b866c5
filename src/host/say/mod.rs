//! Results on standard output, for users and programs ([`output`]); progress on standard error ([`progress`]).

pub mod output;
pub mod progress;
