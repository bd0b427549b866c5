//! Questions to a TPM that need no session, and what it answers: `TPM2_GetCapability` (part 3, section 30.2),
//! `TPM2_PCR_Read` (section 22.4) and `TPM2_NV_ReadPublic` (section 31.6).
//!
//! As bytes, and not by way of tss-esapi, which refuses an answer that names one algorithm that it does not know.

use super::{
    NvPublic, Selection,
    command::{RawCommand, command},
    constants::{cap, cc},
    selection,
};
use crate::bytes::Reader;

/// Bytes of a response's header: tag, size, code.
const HEADER: usize = 10;
/// `TPM_ST_NO_SESSIONS`.
const NO_SESSIONS: u16 = 0x8001;
/// Octets of a bit map of PCRs at most: that of 32.
const MOST_OCTETS: u8 = 4;

/// Asks for handles, from `first` on.
#[must_use]
pub fn handles(first: u32) -> RawCommand {
    capability(cap::HANDLES, first, 64)
}

/// Asks which PCRs are in which bank.
#[must_use]
pub fn banks() -> RawCommand {
    capability(cap::PCRS, 0, 64)
}

/// Asks for the public area of an index.
#[must_use]
pub fn nv_public(index: u32) -> RawCommand {
    command(NO_SESSIONS, cc::NV_READ_PUBLIC, |writer| writer.be32(index))
}

/// Asks for PCRs; the TPM gives eight at most.
#[must_use]
pub fn pcrs(selections: &[Selection]) -> RawCommand {
    command(NO_SESSIONS, cc::PCR_READ, |writer| selection::write(selections, writer))
}

fn capability(capability: u32, property: u32, count: u32) -> RawCommand {
    command(NO_SESSIONS, cc::GET_CAPABILITY, |writer| writer.be32(capability).be32(property).be32(count))
}

/// The answer to [`handles`], and whether there are more of them behind these.
#[must_use]
pub fn parse_handles(response: &[u8]) -> Option<(Vec<u32>, bool)> {
    let (mut reader, more) = data(response, cap::HANDLES)?;
    let count = reader.be32()?;
    let handles = (0..count).map(|_| reader.be32()).collect::<Option<Vec<_>>>()?;
    reader.is_empty().then_some((handles, more))
}

/// The answer to [`banks`]: only banks that have PCRs.
#[must_use]
pub fn parse_banks(response: &[u8]) -> Option<Vec<Selection>> {
    let (mut reader, _) = data(response, cap::PCRS)?;
    let banks = selections(&mut reader)?;
    reader.is_empty().then(|| banks.into_iter().filter(|bank| bank.pcrs != 0).collect())
}

/// The answer to [`nv_public`].
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
    let selections = selections(&mut reader)?;
    let count = reader.be32()?;
    let values = (0..count).map(|_| reader.tpm2b().map(<[u8]>::to_vec)).collect::<Option<Vec<_>>>()?;
    let selected: u32 = selections.iter().map(|selection| selection.pcrs.count_ones()).sum();
    (reader.is_empty() && selected == count).then_some(PcrAnswer { update_counter, selections, values })
}

/// The data of a capability, and whether there is more of it.
fn data(response: &[u8], capability: u32) -> Option<(Reader<'_>, bool)> {
    let mut reader = Reader::new(response.get(HEADER..)?);
    let more = reader.u8()? != 0;
    (reader.be32()? == capability).then_some((reader, more))
}

/// A `TPML_PCR_SELECTION`.
fn selections(reader: &mut Reader<'_>) -> Option<Vec<Selection>> {
    let count = reader.be32()?;
    let mut selections = Vec::new();
    for _ in 0..count {
        let bank = reader.be16()?;
        let octets = reader.u8().filter(|octets| *octets <= MOST_OCTETS)?;
        let bits = reader.take(usize::from(octets))?;
        let pcrs = bits.iter().rev().fold(0, |pcrs, octet| pcrs << 8 | u32::from(*octet));
        selections.push(Selection { bank, pcrs: pcrs & selection::ALL_PCRS });
    }
    Some(selections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn questions_are_those_of_the_specification() {
        assert_eq!(hex(&handles(0x0100_0000)), "8001000000160000017a000000010100000000000040");
        let asked = pcrs(&[Selection { bank: 11, pcrs: 1 << 23 | 1 }]);
        assert_eq!(hex(&asked), "8001000000140000017e00000001000b03010080");
    }

    fn response(body: &[u8]) -> Vec<u8> {
        [&[0; HEADER], body].concat()
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let handles = response(&[1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0x50, 0, 1]);
        assert_eq!(parse_handles(&handles), Some((vec![0x0150_0001], true)));
        let banks = response(&[0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 4, 3, 0, 0, 0, 0, 11, 3, 255, 255, 255]);
        assert_eq!(parse_banks(&banks), Some(vec![Selection { bank: 11, pcrs: selection::ALL_PCRS }]));
        let pcrs = response(&[0, 0, 0, 7, 0, 0, 0, 1, 0, 11, 3, 0x80, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9]);
        let values = parse_pcrs(&pcrs).unwrap();
        assert_eq!((values.update_counter, values.values), (7, vec![vec![9, 9]]));
        for whole in [handles, banks, pcrs] {
            for end in 0..whole.len() {
                assert!(parse_handles(&whole[..end]).is_none());
                assert!(parse_banks(&whole[..end]).is_none());
                assert!(parse_pcrs(&whole[..end]).is_none());
            }
        }
        // More of them than there can be.
        assert_eq!(parse_handles(&response(&[1, 0, 0, 0, 1, 255, 255, 255, 255])), None);
    }
}
