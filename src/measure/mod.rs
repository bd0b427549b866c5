//! What was measured, and what that means. Pure: bytes in, value or error out, for both programs.
//!
//! - [`event`]: one measurement, and what it is about;
//! - [`log`]: event logs, as firmware writes them; [`variable`]: what they hold of UEFI variables;
//! - [`pcr`]: what extending does to a PCR, and which extensions of PCR 7 are known; `bank`: PCRs of any bank;
//! - [`expected`]: the events that a policy was signed for, as `pcr7.events` lists them;
//! - [`explain`]: why a boot is not the expected one; `history`: since when a PCR is not; `user_space`: the log of what
//!   the system has measured; `kexec`: what of that is about a successor.
//!
//! Nobody vouches for a log: it explains, and decides nothing.

#[cfg(feature = "host")]
pub mod bank;
pub mod event;
pub mod expected;
pub mod explain;
#[cfg(feature = "host")]
pub mod history;
#[cfg(feature = "host")]
pub mod kexec;
pub mod log;
pub mod pcr;
#[cfg(feature = "host")]
pub mod user_space;
pub mod variable;
