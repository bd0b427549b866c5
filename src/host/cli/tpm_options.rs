//! Which TPM a command is for.

use crate::{
    error::Result,
    tpm::{Address, Tpm},
};
use clap::Args;
use std::time::Duration;

/// Seconds.
const USUAL_WAIT: u64 = 10;

/// The TPM.
#[derive(Args)]
pub struct TpmArguments {
    /// Where the TPM is: device, device:PATH (the default: /dev/tpmrm0, else /dev/tpm0), swtpm:path=SOCKET,
    /// swtpm:host=IP,port=N or mssim:host=IP,port=N
    #[arg(long, value_name = "TCTI", display_order = 800)]
    tcti: Option<Address>,
    /// How long to wait for the TPM to appear, and three times as long for each of its answers, but at least 3 s [default:
    /// 10; and a TPM that nothing is about to bring is not waited for]
    #[arg(long, value_name = "SECONDS", display_order = 801)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: Option<u64>,
    /// Show every step with the time it took; never a secret
    #[arg(long, display_order = 802)]
    verbose: bool,
}

impl TpmArguments {
    /// Whether it is said where the TPM is.
    pub const fn is_given(&self) -> bool {
        self.tcti.is_some()
    }

    /// Whether it is a device of this machine.
    pub const fn is_a_device(&self) -> bool {
        matches!(self.tcti, None | Some(Address::Device(_)))
    }

    /// Opens a connection. Sends nothing yet.
    ///
    /// # Errors
    /// [`crate::error::Kind::NoTpm`].
    pub fn connect(&self) -> Result<Tpm> {
        let address = self.tcti.clone().unwrap_or_default();
        if self.wait.is_none() && !address.may_appear() {
            // The explanation, at once.
            Tpm::connect(&address, Duration::ZERO, self.verbose)?;
        }
        let wait = self.wait.unwrap_or(USUAL_WAIT);
        Tpm::connect(&address, Duration::from_secs(wait), self.verbose)
    }
}
