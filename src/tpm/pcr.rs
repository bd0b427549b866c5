//! PCR 7: what booted, and the door that it is.

use super::{connection::Tpm, response_code, session::Protect};
use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    measure::pcr::LOCK_EVENT,
    measure_log::MeasureLog,
    tpm2::{Selection, constants::alg, query},
};
use tss_esapi::{
    WrapperErrorKind,
    handles::PcrHandle,
    interface_types::{algorithm::HashingAlgorithm, session_handles::AuthSession},
    structures::{DigestValues, Event, PcrSelectionList},
    tss2_esys::TPML_PCR_SELECTION,
};

const READ: &str = "read PCR 7";

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

/// The banks that the log is told of: their `TPM_ALG_ID`, and their names there.
const BANKS: [(HashingAlgorithm, u16, &str); 4] = [
    (HashingAlgorithm::Sha1, alg::SHA1, "sha1"),
    (HashingAlgorithm::Sha256, alg::SHA256, "sha256"),
    (HashingAlgorithm::Sha384, alg::SHA384, "sha384"),
    (HashingAlgorithm::Sha512, alg::SHA512, "sha512"),
];

impl Tpm {
    /// The value of PCR 7 in the sha256 bank; `None` where there is no such bank.
    pub(super) fn read_pcr7(&mut self) -> Result<Option<Digest>> {
        self.read_banks(&[Selection::SHA256_7]).and_then(sha256_of)
    }

    /// The same, after PCR 7 has been extended with `digests`, which gets into the log.
    ///
    /// The digests are of all banks that the TPM knows. Where PCR 7 has no value there, the log is not told of it: who replays
    /// it would find another value than the TPM has.
    pub(super) fn read_locked_pcr7(
        &mut self,
        digests: Option<&DigestValues>,
        log: &mut MeasureLog,
    ) -> Result<Option<Digest>> {
        let digest = |(algorithm, bank, name)| Some((bank, name, digests?.value().get(&algorithm)?.as_bytes()));
        let extended: Vec<_> = BANKS.into_iter().filter_map(digest).collect();
        let others = extended.iter().filter(|(bank, ..)| *bank != alg::SHA256);
        let mut banks = vec![Selection::SHA256_7];
        banks.extend(others.map(|(bank, ..)| Selection { bank: *bank, ..Selection::SHA256_7 }));
        let values = self.read_banks(&banks);
        let is_active = |bank| values.as_ref().map_or(true, |values| values.iter().any(|(active, _)| *active == bank));
        if digests.is_some() {
            let active = extended.iter().filter(|(bank, ..)| is_active(*bank));
            log.append(active.map(|(_, name, digest)| (*name, *digest)));
        }
        sha256_of(values?)
    }

    /// The values of PCR 7 in those of the banks that have one, by their `TPM_ALG_ID`.
    fn read_banks(&mut self, banks: &[Selection]) -> Result<Vec<(u16, Vec<u8>)>> {
        let response = match self.run_raw(READ, &query::pcrs(banks)) {
            // A TPM that does not know SHA-256 at all refuses the selection itself.
            Err(_) if self.last_code() == response_code::VALUE => return Ok(Vec::new()),
            other => other?,
        };
        let malformed = || Error::new(Kind::Corrupt, READ, "the response is malformed");
        let answer = query::parse_pcrs(&response).ok_or_else(malformed)?;
        let active = answer.selections.iter().filter(|bank| bank.pcrs != 0).map(|bank| bank.bank);
        Ok(active.zip(answer.values).collect())
    }

    /// Extends PCR 7 of every active bank with the bank's hash of [`LOCK_EVENT`]. Returns these digests; `None` where the TPM
    /// names a bank that is not known here.
    ///
    /// `TPM2_PCR_Event` does so by itself for all banks, whichever they are.
    /// Its response is authenticated by `session`, which ends with it.
    pub(super) fn extend_pcr7(&mut self, session: AuthSession) -> Result<Option<DigestValues>> {
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
        let expected = hash(&[LOCK_EVENT]);
        let sha256 = digests.as_ref().and_then(|d| d.value().get(&HashingAlgorithm::Sha256));
        match sha256 {
            Some(digest) if digest.as_bytes() != expected => {
                Err(Error::new(Kind::Corrupt, what, "the TPM says that it extended something else"))
            }
            _ => Ok(digests),
        }
    }

    /// Extends PCR 7 with nothing to authenticate the response: better than not at all, and no proof.
    pub(super) fn extend_pcr7_unauthenticated(&mut self) -> Result<DigestValues> {
        self.run("extend PCR 7", |c| {
            let event = Event::from_bytes(LOCK_EVENT)?;
            c.execute_with_session(Some(AuthSession::Password), |c| c.pcr_event(PcrHandle::Pcr7, event))
        })
    }
}

fn sha256_of(values: Vec<(u16, Vec<u8>)>) -> Result<Option<Digest>> {
    let value = values.into_iter().find(|(bank, _)| *bank == alg::SHA256);
    let value = value.map(|(_, value)| Digest::try_from(value));
    value.transpose().map_err(|_| Error::new(Kind::Corrupt, READ, "it is not of 32 bytes"))
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
