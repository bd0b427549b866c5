//! The lock: PCR 7 extended, so that no signed policy holds any more until the machine is restarted.

use super::store::TpmStore;
use crate::{
    error::{Error, Kind, Result},
    measure::pcr,
    store::Lock,
};

impl Lock for TpmStore {
    /// Locks, and where that fails tries once more on a new link: one bad response spoils the link, not the TPM.
    ///
    /// The second attempt takes nothing over from the first, whose command may have been carried out though its response
    /// was lost: PCR 7 is read again and extended again, even where it seems to be locked by now. What is read is not
    /// authenticated: an attacker on the bus could show the locked value of a PCR that is not locked. The response
    /// to the extension proves it, since the nonces of a new session enter it, and no response of an earlier one fits.
    fn lock(&mut self) -> Result<()> {
        let opened = self.open.take().is_some();
        let locked = self.try_to_lock().or_else(|error| {
            if !self.tpm.reopen() {
                return Err(error);
            }
            (self.session, self.pcr7) = (None, None);
            self.try_to_lock()
        });
        match locked {
            // What has worked in this boot is no TPM 1.2, and has been started. Failure mode it may have fallen into; but
            // so would an attacker say who wants PCR 7 to stay as it is.
            Err(error) if error.kind() == Kind::NoTpm && self.tpm.has_worked() => {
                let why = format!("{}, though it has worked before", error.cause());
                Err(Error::new(Kind::LockNotProven, "believe the TPM", why))
            }
            Ok(()) if opened => {
                self.tpm.expect_power_cut();
                Ok(())
            }
            other => other,
        }
    }
}

impl TpmStore {
    /// Extends PCR 7, has the TPM vouch for it, and sees that it has changed as computed.
    fn try_to_lock(&mut self) -> Result<()> {
        self.log.hold();
        // Even where it cannot be read, it is extended.
        let before = self.pcr7.map_or_else(|| self.tpm.read_pcr7(), |value| Ok(Some(value)));
        let session = match self.any_session() {
            Ok(session) => session,
            Err(error) => {
                let extended = self.tpm.extend_pcr7_unauthenticated()?;
                let _ = self.tpm.read_locked_pcr7(Some(&extended), &mut self.log);
                return Err(error);
            }
        };
        self.session = None;
        self.pcr7 = None;
        let extended = self.tpm.extend_pcr7(session)?;
        let after = self.tpm.read_locked_pcr7(extended.as_ref(), &mut self.log);
        // Without a SHA-256 bank no policy of ours can be satisfied: then the TPM's word is all there is to have.
        if let Some(before) = before?
            && after? != Some(pcr::locked(&before))
        {
            return Err(Error::new(Kind::LockNotProven, "see PCR 7 change", "it is not what extending it must give"));
        }
        Ok(())
    }
}
