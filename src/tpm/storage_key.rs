//! The storage key that sessions are salted to, and that a private key is wrapped for. Pure.

use super::esys_resource::ALG_SHA256;
use crate::{
    bytes::Reader,
    digest::{hash, hex},
};

/// The public area of an ECC P-256 storage key with SHA-256 and AES-128-CFB that never leaves its TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageKey {
    /// `TPMT_PUBLIC`.
    area: Vec<u8>,
    /// As the TPM gives it, perhaps without leading zeros.
    pub(super) x: Vec<u8>,
    /// As `x`.
    pub(super) y: Vec<u8>,
}

impl StorageKey {
    /// That of a `TPMT_PUBLIC` (part 2, section 12.2.4), if it is such a key.
    #[must_use]
    pub fn parse(area: &[u8]) -> Option<Self> {
        const ECC: u16 = 0x0023;
        const NIST_P256: u16 = 0x0003;
        const AES_128_CFB: [u16; 3] = [0x0006, 128, 0x0043];
        /// fixedTPM, fixedParent, restricted, decrypt (part 2, section 8.3).
        const WANTED: u32 = 1 << 1 | 1 << 4 | 1 << 16 | 1 << 17;
        const SIGN: u32 = 1 << 18;
        let mut public = Reader::new(area);
        let algorithms = [public.be16()?, public.be16()?];
        let attributes = public.be32()?;
        public.tpm2b()?;
        let symmetric = [public.be16()?, public.be16()?, public.be16()?];
        let (_scheme, curve, _kdf) = (public.be16()?, public.be16()?, public.be16()?);
        let fits = algorithms == [ECC, ALG_SHA256] && symmetric == AES_128_CFB && curve == NIST_P256;
        let (x, y) = (public.tpm2b()?.to_vec(), public.tpm2b()?.to_vec());
        let fits = fits && attributes & (WANTED | SIGN) == WANTED && public.is_empty();
        fits.then(|| Self { area: area.to_vec(), x, y })
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
        format!("{ALG_SHA256:04x}{}", hex(&hash(&[&self.area])))
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
    fn a_storage_key_and_nothing_else() {
        let key = StorageKey::parse(&area()).unwrap();
        assert_eq!((&key.x, &key.y), (&vec![1; 32], &vec![2; 32]));
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
