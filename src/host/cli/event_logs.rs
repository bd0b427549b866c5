//! The logs of this machine, by which is said since when a PCR is not what was expected.

use super::{arguments, tpm_options::TpmArguments};
use crate::{
    error::{Error, Kind, Result},
    measure::history::Logs,
    measure_log,
};
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
        let unless_named = |given: &Option<PathBuf>, read: Result<Vec<u8>>| match given {
            Some(_) => read,
            None => Ok(read.unwrap_or_default()),
        };
        Ok(Logs {
            firmware: unless_named(&self.event_log, self.firmware(tpm))?,
            user_space: unless_named(&self.measure_log, self.user_space(tpm))?,
        })
    }

    /// The firmware's.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the TPM is somewhere else, and no log is named; those of reading a file.
    pub fn firmware(&self, tpm: &TpmArguments) -> Result<Vec<u8>> {
        read(self.event_log.as_deref(), FIRMWARE, tpm)
    }

    /// The system's.
    ///
    /// # Errors
    /// As [`Self::firmware`].
    pub fn user_space(&self, tpm: &TpmArguments) -> Result<Vec<u8>> {
        read(self.measure_log.as_deref(), measure_log::PLACE, tpm)
    }
}

fn read(given: Option<&Path>, place: &str, tpm: &TpmArguments) -> Result<Vec<u8>> {
    match given {
        Some(path) => arguments::image(path),
        None if tpm.is_a_device() => arguments::image(Path::new(place)),
        None => Err(Error::new(Kind::Usage, format!("read {place}"), "the TPM is not this machine's")),
    }
}
