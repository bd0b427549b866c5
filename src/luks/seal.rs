//! The MAC of a header.

use super::header::Header;
use crate::{
    error::{Error, Kind, Result},
    publish::keyring,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the key of the MAC is derived for.
const PURPOSE: &[u8] = b"trust: seal of a LUKS2 header, version 1";

/// HMAC-SHA-256 over what the seal of `header` covers, under a key derived from the passphrase in the keyring.
///
/// # Errors
/// [`Kind::Refused`]: no passphrase; [`Kind::Corrupt`]: the header has no token for a seal.
pub fn mac(header: &Header) -> Result<Hmac<Sha256>> {
    let sealed = header.sealed().ok_or_else(|| {
        Error::new(Kind::Refused, "use the disk", "its LUKS2 header bears no seal of this machine").remedy(
            "if it is this machine's own disk, seal it with `trust luks seal` from an installer boot; else remove it",
        )
    })?;
    let key = keyring::derive(PURPOSE)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key)
        .map_err(|e| Error::new(Kind::System, "make the MAC of a header", e.to_string()))?;
    mac.update(&sealed);
    Ok(mac)
}

/// Whether the seal of `header` was made with the passphrase in the keyring, over just this header.
///
/// # Errors
/// As [`mac`].
pub fn verify(header: &Header) -> Result<bool> {
    let mac = mac(header)?;
    let Some(digits) = header.mac() else { return Ok(false) };
    let mut expected = [0; 32];
    for (byte, pair) in expected.iter_mut().zip(digits.chunks(2)) {
        let Some(value) = str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()) else {
            return Ok(false);
        };
        *byte = value;
    }
    Ok(mac.verify_slice(&expected).is_ok())
}
