//! PCR selections: `TPML_PCR_SELECTION` (part 2, section 10.9.7); as people write them: `sha256:0,7+sha1:all`.

#[cfg(feature = "host")]
use super::bank;
use super::constants::alg;
use crate::bytes::{Reader, Writer};
#[cfg(feature = "host")]
use std::fmt;

/// Octets of a bit map of PCRs: a PC Client TPM has 24.
const OCTETS: usize = 3;
/// Octets of a bit map of PCRs at most: that of 32.
const MOST_OCTETS: u8 = 4;
/// All PCRs of a bank.
pub const ALL_PCRS: u32 = 0xff_ffff;

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

    /// Reads a `TPMS_PCR_SELECTION`; PCRs from 24 on are left out.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bank = reader.be16()?;
        let octets = reader.u8().filter(|octets| *octets <= MOST_OCTETS)?;
        let bits = reader.take(usize::from(octets))?;
        let pcrs = bits.iter().rev().fold(0, |pcrs, octet| pcrs << 8 | u32::from(*octet));
        Some(Self { bank, pcrs: pcrs & ALL_PCRS })
    }

    /// Selections as tpm2-tools spell them, in their order: `sha256:0,7+sha1:all`. Each bank is there once, with at least
    /// one PCR of 0 to 23.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    #[cfg(feature = "host")]
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut selections: Vec<Self> = Vec::new();
        for part in text.split('+') {
            let selection = Self::parse(part)?;
            if selections.iter().any(|other| other.bank == selection.bank) {
                return Err(format!("the bank {} is there twice", bank::name(selection.bank)));
            }
            selections.push(selection);
        }
        Ok(selections)
    }

    #[cfg(feature = "host")]
    fn parse(text: &str) -> Result<Self, String> {
        let (name, numbers) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not a bank and its PCRs, like sha256:0,7 or sha256:all"))?;
        let bank = bank::by_name(name).ok_or_else(|| {
            let names = bank::ALL.map(|bank| bank.name).join(", ");
            format!("there is no bank {name:?}, but {names}")
        })?;
        let pcrs = match numbers {
            "all" => ALL_PCRS,
            _ => pcr_list(numbers)?,
        };
        Ok(Self { bank: bank.id, pcrs })
    }
}

/// The number of a PCR, 0 to 23.
///
/// # Errors
/// That it is no such number, as a clause.
#[cfg(feature = "host")]
pub fn pcr_number(text: &str) -> Result<u8, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_plain && *number < 24);
    number.ok_or_else(|| format!("{text:?} is not the number of a PCR, 0 to 23"))
}

/// PCRs without a bank, as in `4,7`: bit n selects PCR n.
///
/// # Errors
/// As [`pcr_number`].
#[cfg(feature = "host")]
pub fn pcr_list(text: &str) -> Result<u32, String> {
    text.split(',').try_fold(0, |pcrs, number| Ok(pcrs | 1 << pcr_number(number)?))
}

/// As tpm2-tools spell it: `sha256:0,7`.
#[cfg(feature = "host")]
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.numbers().map(|number| number.to_string()).collect();
        write!(f, "{}:{}", bank::name(self.bank), numbers.join(","))
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

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read_as_tpm2_tools_write_them() {
        let parsed = Selection::parse_list("sha256:0,2,7+SHA1:all").unwrap();
        assert_eq!(
            parsed,
            [Selection { bank: alg::SHA256, pcrs: 0b1000_0101 }, Selection { bank: alg::SHA1, pcrs: ALL_PCRS }]
        );
        assert_eq!(parsed[0].to_string(), "sha256:0,2,7");
        for selection in parsed {
            assert_eq!(Selection::parse_list(&selection.to_string()).unwrap(), [selection]);
        }
    }

    #[test]
    fn what_is_no_selection_is_refused() {
        for (text, why) in [
            ("", "\"\" is not a bank"),
            ("sha256", "is not a bank"),
            ("sha256:", "\"\" is not the number"),
            ("sha256:24", "\"24\" is not"),
            ("sha256:+7", "\"\" is not the number"),
            ("sha256:7,", "is not the number"),
            ("sha256:-1", "is not the number"),
            ("md5:1", "no bank \"md5\""),
            ("sha256:1+sha256:2", "sha256 is there twice"),
            ("sha256:1++sha1:2", "\"\" is not a bank"),
        ] {
            let error = Selection::parse_list(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
