//! Questions to a TPM that need no session, and what it answers: `TPM2_PCR_Read` (part 3, section 22.4) and
//! `TPM2_NV_ReadPublic` (section 31.6). For `TPM2_GetCapability` see [`super::capability`].
//!
//! As bytes, and not by way of tss-esapi, which refuses an answer that names one algorithm that it does not know.

#[cfg(feature = "host")]
use super::NvPublic;
use super::{
    Selection,
    command::{HEADER, NO_SESSIONS, RawCommand, command},
    constants::cc,
    selection,
};
use crate::bytes::Reader;

/// Asks for the public area of an index.
#[cfg(feature = "host")]
#[must_use]
pub fn nv_public(index: u32) -> RawCommand {
    command(NO_SESSIONS, cc::NV_READ_PUBLIC, |writer| writer.be32(index))
}

/// Asks for PCRs; the TPM gives eight at most.
#[must_use]
pub fn pcrs(selections: &[Selection]) -> RawCommand {
    command(NO_SESSIONS, cc::PCR_READ, |writer| selection::write(selections, writer))
}

/// The answer to [`nv_public`].
#[cfg(feature = "host")]
#[must_use]
pub fn parse_nv_public(response: &[u8]) -> Option<NvPublic> {
    NvPublic::parse(Reader::new(response.get(HEADER..)?).tpm2b()?)
}

/// Values of PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrAnswer {
    /// How often PCRs have changed: as long as it is the same, values of several answers belong together.
    pub update_counter: u32,
    /// Which PCRs these are.
    pub selections: Vec<Selection>,
    /// Their values, in the order of the selections and of the numbers.
    pub values: Vec<Vec<u8>>,
}

/// The answer to [`pcrs`].
#[must_use]
pub fn parse_pcrs(response: &[u8]) -> Option<PcrAnswer> {
    let mut reader = Reader::new(response.get(HEADER..)?);
    let update_counter = reader.be32()?;
    let count = reader.be32()?;
    let selections = (0..count).map(|_| Selection::read(&mut reader)).collect::<Option<Vec<_>>>()?;
    let count = reader.be32()?;
    let values = (0..count).map(|_| reader.tpm2b().map(<[u8]>::to_vec)).collect::<Option<Vec<_>>>()?;
    let selected: u32 = selections.iter().map(|selection| selection.pcrs.count_ones()).sum();
    (reader.is_empty() && selected == count).then_some(PcrAnswer { update_counter, selections, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn questions_are_those_of_the_specification() {
        let asked = pcrs(&[Selection { bank: 11, pcrs: 1 << 23 | 1 }]);
        assert_eq!(hex(&asked), "8001000000140000017e00000001000b03010080");
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let body = [0, 0, 0, 7, 0, 0, 0, 1, 0, 11, 3, 0x80, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9];
        let whole = [&[0; HEADER][..], &body].concat();
        let values = parse_pcrs(&whole).unwrap();
        assert_eq!((values.update_counter, values.values), (7, vec![vec![9, 9]]));
        for end in 0..whole.len() {
            assert!(parse_pcrs(&whole[..end]).is_none());
        }
    }
}
