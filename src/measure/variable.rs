//! `UEFI_VARIABLE_DATA` (TCG PC Client Platform Firmware Profile 1.06, section 10.2.6): what is measured of a variable.

use crate::{bytes::Reader, foreign};

/// Characters of a name that are shown.
pub(super) const MAX_NAME: usize = 64;

/// A measured variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableData<'a> {
    /// `EFI_GUID` of its vendor, as it lies in memory.
    pub vendor: &'a [u8; 16],
    /// Its name. Of one that was parsed the first 64 characters, printable.
    pub name: String,
    /// What it held.
    pub contents: &'a [u8],
}

impl<'a> VariableData<'a> {
    /// Reads one; what follows it is left alone.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(data);
        let vendor = fields.take(16)?.try_into().ok()?;
        let (characters, size) = (fields.le64()?, fields.le64()?);
        let name = fields.take(usize::try_from(characters).ok()?.checked_mul(2)?)?;
        let units = name.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
        let name = char::decode_utf16(units)
            .map(|c| c.map_or(char::REPLACEMENT_CHARACTER, foreign::shown))
            .take(MAX_NAME)
            .collect();
        Some(Self { vendor, name, contents: fields.take(usize::try_from(size).ok()?)? })
    }

    /// The structure.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let name: Vec<u8> = self.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (characters, size) = ((name.len() / 2) as u64, self.contents.len() as u64);
        [&self.vendor[..], &characters.to_le_bytes(), &size.to_le_bytes(), &name, self.contents].concat()
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn encoded_variables_are_decoded() {
        let variable = VariableData { vendor: &[9; 16], name: "dbx😀".to_owned(), contents: b"contents" };
        let bytes = variable.to_bytes();
        assert_eq!(bytes[16..34], [5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, b'd', 0]);
        assert_eq!(VariableData::parse(&bytes), Some(variable));
        for len in 0..bytes.len() {
            assert_eq!(VariableData::parse(&bytes[..len]), None, "{len}");
        }
    }

    #[test]
    fn false_sizes_are_refused() {
        let bytes = VariableData { vendor: &[9; 16], name: "db".to_owned(), contents: b"contents" }.to_bytes();
        for (at, size) in [(16, 3), (16, u64::MAX), (16, 1 << 63), (24, 9), (24, u64::MAX)] {
            let mut lying = bytes.clone();
            lying[at..at + 8].copy_from_slice(&u64::to_le_bytes(size));
            assert_eq!(VariableData::parse(&lying), None, "{at} {size}");
        }
    }
}
