//! Virtual machines with the lifecycle of a device: QEMU, a firmware with Secure Boot, a software TPM.
//!
//! - [`lifecycle`]: the steps from making a machine to running it, and which of them are done;
//! - [`directory`], [`facts`]: where a machine is kept between its boots, and what is recorded of it;
//! - [`disks`]: its boot medium, the disk with its identity, and its own disk;
//! - [`firmware`], [`accelerator`]: what it uses of the host;
//! - [`tpm`], [`qemu`], [`process`]: the processes of a running machine, none of which outlives this one;
//! - [`boot`], [`monitor`], [`console`]: one boot, from power-on to power-off, and how it is observed.

pub mod accelerator;
pub mod boot;
mod console;
pub mod directory;
mod disks;
pub mod facts;
pub mod firmware;
pub mod lifecycle;
mod monitor;
mod process;
mod qemu;
mod tpm;
