//! Event logs looked into: what they hold, in words; what PCRs become of them; whether a TPM's PCRs are theirs. Pure.
//!
//! - [`read`]: a log as far as it can be understood, and where it cannot be;
//! - [`words`]: what an event means; [`measured`]: what its digests are of;
//! - [`replay`]: the PCRs behind the events, in every bank; [`check`]: compared with those of a TPM;
//! - [`stages`]: the programs that were started, one after the other;
//! - [`differences`]: between two boots;
//! - [`ima`]: what the kernel has measured beside files;
//! - [`values`]: values of PCRs as files have them.

pub mod check;
pub mod differences;
pub mod ima;
pub mod measured;
pub mod read;
pub mod replay;
pub mod stages;
pub mod values;
pub mod words;
