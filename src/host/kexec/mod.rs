//! A successor by kexec: a signed image whose kernel replaces the running one, without the firmware. Measured first, then
//! loaded.
//!
//! - [`judge`]: whether an image is one that this machine would start;
//! - [`successor`]: what it hands over to its kernel, as systemd-stub would;
//! - [`measurements`]: what is measured of it, and what that makes of the PCRs;
//! - [`disk`] and [`volume_key`]: what it is handed over, so that it needs nothing from the TPM;
//! - [`load`]: the kernel is told, and what it has against that.

pub mod disk;
pub mod judge;
pub mod load;
pub mod measurements;
pub mod successor;
pub mod volume_key;
