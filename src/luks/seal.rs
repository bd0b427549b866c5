//! The MAC of a header.

use super::header::Header;
use crate::{
    error::{Error, Kind, Result},
    publish::passphrase,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What the key of the MAC is derived for.
const PURPOSE: &[u8] = b"trust: seal of a LUKS2 header, version 1";

/// What seals the headers of this machine's disks, until another passphrase is in the TPM.
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// Derives it from the passphrase in the keyring.
    ///
    /// # Errors
    /// [`Kind::Refused`]: there is no passphrase; [`Kind::System`].
    pub fn from_keyring() -> Result<Self> {
        passphrase::derive(PURPOSE).map(Self)
    }

    /// HMAC-SHA-256 over what the seal of `header` covers.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the header has no token for a seal.
    pub fn mac(&self, header: &Header) -> Result<Hmac<Sha256>> {
        let sealed = header.sealed().ok_or_else(|| {
            Error::new(Kind::Refused, "use the LUKS2 header", "its seal is missing, or in a form that is not known")
                .remedy("report it, with the version of cryptsetup that has written it")
        })?;
        let mac = Hmac::<Sha256>::new_from_slice(&*self.0)
            .map_err(|e| Error::new(Kind::System, "make the MAC of a header", e.to_string()))?;
        Ok(mac.chain_update(sealed))
    }

    /// Whether the seal of `header` was made with this key, over just this header.
    #[must_use]
    pub fn has_sealed(&self, header: &Header) -> bool {
        let (Some(digits), Ok(mac)) = (header.mac(), self.mac(header)) else { return false };
        let mut expected = [0; 32];
        for (byte, pair) in expected.iter_mut().zip(digits.chunks(2)) {
            let Some(value) = str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()) else {
                return false;
            };
            *byte = value;
        }
        mac.verify_slice(&expected).is_ok()
    }
}
