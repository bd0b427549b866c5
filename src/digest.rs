//! SHA-256, and hexadecimal.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256 of the concatenation of `parts`.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> Digest {
    let mut h = Sha256::new();
    for part in parts {
        h.update(part);
    }
    h.finalize().into()
}

/// Bytes in hexadecimal: lower case, two digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal digits of either case.
#[cfg(feature = "host")]
#[must_use]
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: &u8| char::from(*digit).to_digit(16);
    let byte = |pair: &[u8]| {
        let [high, low] = pair else { return None };
        u8::try_from(nibble(high)? << 4 | nibble(low)?).ok()
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}
