//! PCR 7: what booted, and the door that it is.

use super::{connection::Tpm, response_code, session::Protect};
use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    measure::pcr::LOCK_EVENT,
    measure_log::MeasureLog,
    tpm2::Selection,
};
use tss_esapi::{
    WrapperErrorKind,
    handles::PcrHandle,
    interface_types::{algorithm::HashingAlgorithm, session_handles::AuthSession},
    structures::{DigestValues, Event, PcrSelectionList},
    tss2_esys::TPML_PCR_SELECTION,
};

/// As tss-esapi has them, in this order, which enters a policy: its own builder has them in any.
pub(super) fn selection_list(selections: &[Selection]) -> tss_esapi::Result<PcrSelectionList> {
    let mut list = TPML_PCR_SELECTION::default();
    for (place, selection) in list.pcrSelections.iter_mut().zip(selections) {
        let [first, second, third, _] = selection.pcrs.to_le_bytes();
        (place.hash, place.sizeofSelect, place.pcrSelect) = (selection.bank, 3, [first, second, third, 0]);
    }
    list.count = u32::try_from(selections.len()).unwrap_or(u32::MAX);
    list.try_into()
}

impl Tpm {
    /// The value of PCR 7 in the sha256 bank; `None` where there is no such bank.
    pub(super) fn read_pcr7(&mut self) -> Result<Option<Digest>> {
        const WHAT: &str = "read PCR 7";
        let response = self.run(WHAT, |c| {
            let selection = selection_list(&[Selection::SHA256_7])?;
            c.execute_without_session(|c| c.pcr_read(selection))
        });
        let (_, _, digests) = match response {
            // A TPM that does not know SHA-256 at all refuses the selection itself.
            Err(_) if self.last_code() == response_code::VALUE => return Ok(None),
            other => other?,
        };
        let value = digests.value().first().map(|value| Digest::try_from(value.as_bytes()));
        value.transpose().map_err(|_| Error::new(Kind::Corrupt, WHAT, "it is not of 32 bytes"))
    }

    /// Extends PCR 7 of every active bank with the bank's hash of [`LOCK_EVENT`].
    ///
    /// `TPM2_PCR_Event` does so by itself for all banks, whichever they are.
    /// Its response is authenticated by `session`, which ends with it.
    pub(super) fn extend_pcr7(&mut self, session: AuthSession, log: &mut MeasureLog) -> Result<()> {
        let what = "extend PCR 7";
        let digests = self.run_protected(what, session, Protect::CommandAndEnd, |c| {
            let event = Event::from_bytes(LOCK_EVENT)?;
            let sessions = (Some(AuthSession::Password), Some(session), None);
            match c.execute_with_sessions(sessions, |c| c.pcr_event(PcrHandle::Pcr7, event)) {
                // An authentic response that names a bank which tss-esapi does not know: extended all the same.
                Err(tss_esapi::Error::WrapperError(WrapperErrorKind::WrongValueFromTpm)) => Ok(None),
                other => other.map(Some),
            }
        })?;
        if let Some(digests) = &digests {
            record(digests, log);
        }
        let expected = hash(&[LOCK_EVENT]);
        let sha256 = digests.as_ref().and_then(|d| d.value().get(&HashingAlgorithm::Sha256));
        match sha256 {
            Some(digest) if digest.as_bytes() != expected => {
                Err(Error::new(Kind::Corrupt, what, "the TPM says that it extended something else"))
            }
            _ => Ok(()),
        }
    }

    /// Extends PCR 7 with nothing to authenticate the response: better than not at all, and no proof.
    pub(super) fn extend_pcr7_unauthenticated(&mut self, log: &mut MeasureLog) -> Result<()> {
        let digests = self.run("extend PCR 7", |c| {
            let event = Event::from_bytes(LOCK_EVENT)?;
            c.execute_with_session(Some(AuthSession::Password), |c| c.pcr_event(PcrHandle::Pcr7, event))
        })?;
        record(&digests, log);
        Ok(())
    }
}

/// Puts into the log what PCR 7 has been extended with.
fn record(digests: &DigestValues, log: &mut MeasureLog) {
    const BANKS: [(HashingAlgorithm, &str); 4] = [
        (HashingAlgorithm::Sha1, "sha1"),
        (HashingAlgorithm::Sha256, "sha256"),
        (HashingAlgorithm::Sha384, "sha384"),
        (HashingAlgorithm::Sha512, "sha512"),
    ];
    let digest = |(algorithm, name)| Some((name, digests.value().get(&algorithm)?.as_bytes()));
    log.append(BANKS.into_iter().filter_map(digest));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_keep_their_order() {
        let selections = [0x000c, 0x000b, 0x0004, 0x000d].map(|bank| Selection { bank, pcrs: 0x81_0001 });
        for _ in 0..20 {
            let list = TPML_PCR_SELECTION::from(selection_list(&selections).unwrap());
            let sent = list.pcrSelections.map(|one| (one.hash, one.sizeofSelect, one.pcrSelect));
            assert_eq!((list.count, sent[1]), (4, (0x000b, 3, [1, 0, 0x81, 0])));
            assert_eq!(sent[..4].iter().map(|one| one.0).collect::<Vec<_>>(), [0x000c, 0x000b, 0x0004, 0x000d]);
        }
    }
}
