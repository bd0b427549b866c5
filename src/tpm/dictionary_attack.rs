//! That power cuts do not lock a machine out.
//!
//! Index 0x1500020 cannot be exempt from dictionary attack protection: its
//! attributes enter every signed policy. A TPM counts a power cut after its
//! use as a failed attempt (TPM 2.0 Library part 1, section 19.8.5), so that a
//! machine whose power fails a few times ends in lockout, for hours. Two things
//! are done about it: after the lock the TPM is told that it may be switched
//! off, and provisioning makes the protection forget quickly. What it protects
//! here, a password of 128 bits, needs none.

use super::connection::Tpm;
use crate::{error::Result, tpm2::command};
use tss_esapi::constants::StartupType;

/// Failed attempts until the lockout begins.
const MAX_TRIES: u32 = 256;
/// Seconds until one failed attempt is forgotten.
const RECOVERY_TIME: u32 = 30;
/// Seconds until the lockout password may be tried again after it was wrong.
const LOCKOUT_RECOVERY: u32 = 24 * 60 * 60;

impl Tpm {
    /// Sets the parameters above; the lockout password must still be empty.
    pub(super) fn forget_failures_quickly(&mut self) -> Result<()> {
        let command = command::dictionary_attack_parameters(MAX_TRIES, RECOVERY_TIME, LOCKOUT_RECOVERY);
        self.run_raw("set how quickly the TPM forgets failed attempts", &command).map(|_| ())
    }

    /// Tells the TPM that the power may go (`TPM2_Shutdown`): as long as nobody
    /// uses it in a way that it must remember, a power cut is then no failure.
    ///
    /// Best effort: the boot does not depend on it.
    pub(super) fn expect_power_cut(&mut self) {
        let _ = self.run("tell the TPM that the power may go", |c| {
            c.execute_without_session(|c| c.shutdown(StartupType::Clear))
        });
    }
}
