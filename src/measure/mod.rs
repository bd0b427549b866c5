//! What was measured, and what that means. Pure: bytes in, value or error out, for both programs.
//!
//! - [`pcr`]: what extending does to a PCR, and which extensions of PCR 7 are known.

pub mod pcr;
