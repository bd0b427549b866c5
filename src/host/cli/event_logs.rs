//! The logs of this machine, by which is said since when a PCR is not what was expected.

use super::{arguments, tpm_options::TpmArguments};
use crate::{error::Result, measure::history::Logs, measure_log};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// Where the kernel shows the firmware's log, to root.
pub const FIRMWARE: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";

/// Which logs those are.
#[derive(Args)]
pub struct EventLogOptions {
    /// The firmware's event log, which says since when a PCR is not what it was [default: binary_bios_measurements, as the
    /// kernel has it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 795)]
    event_log: Option<PathBuf>,
    /// The log of what the system has measured since [default: /run/log/systemd/tpm2-measure.log]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 796)]
    measure_log: Option<PathBuf>,
}

impl EventLogOptions {
    /// The logs. Those of this machine tell nothing of a TPM that is somewhere else; and who may not read them is told less.
    ///
    /// # Errors
    /// Those of reading a file that is named.
    pub fn read(&self, tpm: &TpmArguments) -> Result<Logs> {
        let read = |given: &Option<PathBuf>, place| match given {
            Some(path) => arguments::image(path),
            None if tpm.is_a_device() => Ok(arguments::image(Path::new(place)).unwrap_or_default()),
            None => Ok(Vec::new()),
        };
        Ok(Logs {
            firmware: read(&self.event_log, FIRMWARE)?,
            user_space: read(&self.measure_log, measure_log::PLACE)?,
        })
    }
}
