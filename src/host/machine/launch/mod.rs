//! Virtual machines that live a machine's life: QEMU, a firmware that checks signatures, a TPM of software.
//!
//! - [`story`]: what happens in which order, and what of it has happened already;
//! - [`directory`], [`facts`]: where a machine is kept between its boots, and what is known of it;
//! - [`disks`]: what it boots from, what carries its identity to it, and what it keeps;
//! - [`firmware`], [`accelerator`]: what of the host it runs on;
//! - [`tpm`], [`qemu`], [`process`]: the processes of a machine that is on, none of which outlives this one;
//! - [`boot`], [`monitor`], [`console`]: one boot, from switching it on to its end, and how that is told.

pub mod accelerator;
pub mod boot;
mod console;
pub mod directory;
mod disks;
pub mod facts;
pub mod firmware;
mod monitor;
mod process;
mod qemu;
pub mod story;
mod tpm;
