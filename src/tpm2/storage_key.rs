//! The storage key that sessions are salted to, and that a private key is wrapped for. Pure.

use super::{
    Public,
    constants::curve,
    name,
    public::{AsymmetricKey, attribute},
};
use crate::{bytes::Reader, digest::hex};

/// Bytes of a coordinate.
const FIELD: usize = 32;

/// The public area of an ECC P-256 storage key with SHA-256 and AES-128-CFB that never leaves its TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageKey {
    /// `TPMT_PUBLIC`.
    area: Vec<u8>,
    /// Its point, big endian.
    pub(super) x: [u8; FIELD],
    /// As `x`.
    pub(super) y: [u8; FIELD],
}

impl StorageKey {
    /// That of a `TPMT_PUBLIC` (part 2, section 12.2.4), if it is such a key.
    #[must_use]
    pub fn parse(area: &[u8]) -> Option<Self> {
        const WANTED: u32 = attribute::FIXED_TPM | attribute::FIXED_PARENT | attribute::RESTRICTED | attribute::DECRYPT;
        let public = Public::parse_storage_key(area)?;
        let AsymmetricKey::Ecc { curve: curve::NIST_P256, x, y } = public.key else { return None };
        let fits = public.attributes & (WANTED | attribute::SIGN) == WANTED;
        fits.then_some(Self { area: area.to_vec(), x: pad(x)?, y: pad(y)? })
    }

    /// That of a `TPM2B_PUBLIC`, as `tpm2_readpublic --output` writes it.
    #[must_use]
    pub fn from_tpm2b(file: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(file);
        let key = Self::parse(reader.tpm2b()?)?;
        reader.is_empty().then_some(key)
    }

    /// As a `TPM2B_PUBLIC`.
    #[must_use]
    pub fn to_tpm2b(&self) -> Vec<u8> {
        // What came in such a structure goes into one.
        let size = u16::try_from(self.area.len()).unwrap_or_default();
        [&size.to_be_bytes()[..], &self.area].concat()
    }

    /// Its Name (part 1, section 16), 34 bytes, in hex.
    #[must_use]
    pub fn name(&self) -> String {
        hex(&name::of(&self.area))
    }

    /// What an authority signs to vouch for it: a line of text, so that it is like nothing else that an authority signs.
    #[must_use]
    pub fn statement(&self) -> String {
        statement(&self.name())
    }
}

/// The same, of a Name that is already in hex.
#[must_use]
pub fn statement(name: &str) -> String {
    format!("storage root key {name}\n")
}

/// A coordinate of the TPM's, which may have lost its leading zeros, at the size of the field.
fn pad(short: &[u8]) -> Option<[u8; FIELD]> {
    let mut padded = [0; FIELD];
    padded.get_mut(FIELD.checked_sub(short.len())?..)?.copy_from_slice(short);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key as a TPM makes it, whose point need not be one.
    fn area() -> Vec<u8> {
        let mut area = vec![0x00, 0x23, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00];
        area.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10]);
        for coordinate in [[1; 32], [2; 32]] {
            area.extend([0x00, 0x20]);
            area.extend(coordinate);
        }
        area
    }

    #[test]
    fn only_a_storage_key_is_accepted() {
        let key = StorageKey::parse(&area()).unwrap();
        assert_eq!((key.x, key.y), ([1; 32], [2; 32]));
        assert_eq!(StorageKey::from_tpm2b(&key.to_tpm2b()), Some(key.clone()));
        assert!(key.statement().starts_with("storage root key 000b") && key.statement().len() == 86);
        for end in 0..area().len() {
            assert_eq!(StorageKey::parse(&area()[..end]), None);
        }
        assert_eq!(StorageKey::parse(&[area(), vec![0]].concat()), None);
        // Another algorithm, hash or curve, one that can be duplicated or signs.
        for (at, byte) in [(1, 1), (3, 4), (15, 0), (19, 4), (7, 0x60), (5, 7)] {
            let mut other = area();
            other[at] = byte;
            assert_eq!(StorageKey::parse(&other), None, "{at}");
        }
    }
}
