//! PCR selections: `TPML_PCR_SELECTION` (part 2, section 10.9.7).

use super::constants::alg;
use crate::bytes::Writer;

/// Octets of a bit map of PCRs: a PC Client TPM has 24.
const OCTETS: usize = 3;

/// PCRs of one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `TPM_ALG_ID` of the bank.
    pub bank: u16,
    /// Bit n selects PCR n, 0 to 23.
    pub pcrs: u32,
}

impl Selection {
    /// `sha256:7`.
    pub const SHA256_7: Self = Self { bank: alg::SHA256, pcrs: 1 << 7 };

    /// The numbers of its PCRs, in the order in which their values are hashed.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..24).filter(move |number| self.pcrs >> number & 1 == 1)
    }
}

/// Writes a `TPML_PCR_SELECTION`.
#[must_use]
pub fn write<'a>(selections: &[Selection], writer: Writer<'a>) -> Writer<'a> {
    let count = u32::try_from(selections.len()).unwrap_or(u32::MAX);
    selections.iter().fold(writer.be32(count), |writer, selection| {
        let [first, second, third, _] = selection.pcrs.to_le_bytes();
        writer.be16(selection.bank).bytes(&[OCTETS as u8, first, second, third])
    })
}
