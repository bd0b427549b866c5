//! Which indices a TPM has, as it tells anyone. Not authenticated: what is shown or asked for again, and nothing is decided by it.

use super::{connection::Tpm, response_code};
use crate::{
    error::{Error, Kind, Result},
    tpm2::{
        NvPublic,
        capability::{self, Page},
        constants::cap,
        nv::attribute,
        query,
    },
};

/// The first of all NV indices, and the last.
pub(super) const FIRST: u32 = 0x0100_0000;
pub(super) const LAST: u32 = 0x01ff_ffff;
/// More indices than any TPM has room for.
const MOST: usize = 4096;

impl Tpm {
    /// All indices, in the order of their numbers.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a response that is malformed; else those of a TPM that does not answer.
    pub fn nv_indices(&mut self) -> Result<Vec<NvPublic>> {
        let mut found = Vec::new();
        for handle in self.nv_handles()? {
            // One that is gone by now was another program's.
            found.extend(self.nv_public(handle)?);
        }
        Ok(found)
    }

    /// Their numbers, ascending.
    pub(super) fn nv_handles(&mut self) -> Result<Vec<u32>> {
        const WHAT: &str = "list the TPM's indices";
        let malformed = || Error::new(Kind::Corrupt, WHAT, "the response is malformed");
        let (mut handles, mut first) = (Vec::new(), FIRST);
        loop {
            let response = self.run_raw(WHAT, &capability::get(cap::HANDLES, first, capability::AT_ONCE))?;
            let Page { items, more } = capability::numbers(&response, cap::HANDLES).ok_or_else(malformed)?;
            if items.is_empty() && more {
                return Err(malformed());
            }
            for handle in items {
                if !(first..=LAST).contains(&handle) || handles.len() == MOST {
                    return Err(malformed());
                }
                handles.push(handle);
                first = handle + 1;
            }
            if !more || first > LAST {
                return Ok(handles);
            }
        }
    }

    /// The public area of an index; `None` where it is not defined. Not authenticated.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: a response that is malformed; else those of a TPM that does not answer.
    pub fn nv_public(&mut self, index: u32) -> Result<Option<NvPublic>> {
        const WHAT: &str = "look at an index of the TPM";
        let response = match self.run_raw(WHAT, &query::nv_public(index)) {
            Err(_) if self.last_code() == response_code::HANDLE => return Ok(None),
            other => other?,
        };
        let public = query::parse_nv_public(&response).filter(|public| public.index == index);
        public.map(Some).ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the response is malformed"))
    }

    /// The same of an index that has been written: what a policy that compares it has of it.
    ///
    /// # Errors
    /// [`Kind::Unprovisioned`]: there is no such index, or it was never written.
    pub fn written_index(&mut self, index: u32) -> Result<NvPublic> {
        let missing = |why: &str| {
            Error::new(Kind::Unprovisioned, "look at an index of the TPM", format!("{index:#x} {why}"))
                .remedy("write it first")
        };
        let public = self.nv_public(index)?.ok_or_else(|| missing("is not there: the TPM does not hold it"))?;
        let is_written = public.attributes & attribute::WRITTEN != 0;
        is_written.then_some(public).ok_or_else(|| missing("has never been written"))
    }
}
