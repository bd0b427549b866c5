//! PCRs of any bank, for the running system: read at one moment, extended in every bank.

use super::{connection::Tpm, response_code, session::Protect};
use crate::{
    error::{Error, Kind, Result},
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::{Selection, bank, capability, constants::cap, query},
};
use std::time::Instant;
use tss_esapi::{
    handles::PcrHandle,
    interface_types::{algorithm::HashingAlgorithm, session_handles::HmacSession},
    structures::{Digest, DigestValues},
};

/// A digest for each of several banks, by their `TPM_ALG_ID`.
pub type BankDigests = Vec<(u16, Vec<u8>)>;

/// The values of PCRs at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrReading {
    /// How often the TPM's PCRs had changed since it was started, but for those that it does not count (16 and 23).
    pub update_counter: u32,
    /// The values.
    pub values: PcrValues,
}

const EXTEND: &str = "extend a PCR";
const READ: &str = "read PCRs";

impl Tpm {
    /// The banks that are active, each with its PCRs.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a response that is malformed; else those of a TPM that does not answer.
    pub fn active_banks(&mut self) -> Result<Vec<Selection>> {
        const WHAT: &str = "ask for the TPM's banks of PCRs";
        let response = self.run_raw(WHAT, &capability::get(cap::PCRS, 0, capability::AT_ONCE))?;
        let banks =
            capability::banks(&response).ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the response is malformed"))?;
        Ok(banks.items.into_iter().filter(|bank| bank.pcrs != 0).collect())
    }

    /// These PCRs, all of one moment: they are read again where one has changed in between.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the TPM has no such PCR; [`Kind::System`]: they keep changing; [`Kind::Corrupt`]: a response that
    /// is malformed.
    pub fn read_pcrs(&mut self, selections: &[Selection]) -> Result<PcrReading> {
        let deadline = Instant::now() + self.patience();
        loop {
            if let Some(reading) = self.try_to_read_pcrs(selections)? {
                return Ok(reading);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(Kind::System, READ, "they keep changing")
                    .remedy("try again when the kernel (IMA) measures less"));
            }
        }
    }

    /// `None`: one has changed in between.
    fn try_to_read_pcrs(&mut self, selections: &[Selection]) -> Result<Option<PcrReading>> {
        let malformed = || Error::new(Kind::Corrupt, READ, "the response is malformed");
        let mut missing = selections.to_vec();
        let mut found = Vec::new();
        let mut counter = None;
        while !missing.is_empty() {
            let response = self.run_raw(READ, &query::pcrs(&missing)).map_err(|error| match self.last_code() {
                response_code::VALUE => no_such_bank(&missing),
                _ => error,
            })?;
            let answer = query::parse_pcrs(&response).ok_or_else(malformed)?;
            if answer.update_counter != *counter.get_or_insert(answer.update_counter) {
                return Ok(None);
            }
            if answer.values.is_empty() {
                return Err(no_such_bank(&missing));
            }
            let mut values = answer.values.into_iter();
            for selection in answer.selections {
                let asked = missing.iter_mut().find(|asked| asked.bank == selection.bank).ok_or_else(malformed)?;
                let size = bank::by_id(selection.bank).map(|bank| bank.size);
                if selection.pcrs & !asked.pcrs != 0 {
                    return Err(malformed());
                }
                asked.pcrs &= !selection.pcrs;
                for number in selection.numbers() {
                    let value = values.next().filter(|value| size.is_none_or(|size| size == value.len()));
                    found.push((PcrName { bank: selection.bank, number }, value.ok_or_else(malformed)?));
                }
            }
            missing.retain(|selection| selection.pcrs != 0);
        }
        Ok(Some(PcrReading { update_counter: counter.unwrap_or(0), values: PcrValues::new(found) }))
    }

    /// Extends a PCR, 0 to 23, in all of these banks at once. The TPM's response is authenticated: what is said to be
    /// extended is.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the PCR is not the operating system's to extend; else those of a TPM that does not answer.
    pub fn extend_pcr(&mut self, number: u8, digests: &BankDigests) -> Result<()> {
        let session = self.start_session::<HmacSession>()?.session;
        let extended = self.run_protected(EXTEND, session, Protect::Nothing, |c| {
            let mut values = DigestValues::new();
            for (bank, digest) in digests {
                values.set(HashingAlgorithm::try_from(*bank)?, Digest::from_bytes(digest)?);
            }
            let pcr = PcrHandle::try_from(u32::from(number))?;
            c.execute_with_session(Some(session.into()), |c| c.pcr_extend(pcr, values))
        });
        let code = self.last_code();
        let ended = self.end_session(session);
        extended.map_err(|error| match code {
            response_code::LOCALITY => {
                let why =
                    format!("PCR {number} is extended from another locality: by the processor, in a measured launch");
                Error::new(Kind::Refused, EXTEND, why).remedy("extend PCR 0 to 16 or 23")
            }
            _ => error,
        })?;
        ended
    }
}

fn no_such_bank(missing: &[Selection]) -> Error {
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Error::new(Kind::Usage, READ, format!("the TPM has no {}", missing.join("+")))
        .remedy("see which banks are active: `trust pcr read`")
}
