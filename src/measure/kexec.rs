//! What is measured into PCR 7 when a kernel is about to be replaced by another without the firmware: whose the successor is.
//!
//! Whoever may extend PCRs can claim this, and need not replace anything: no policy opens for it what a boot has locked.

use crate::digest::{Digest, hash, hex};

/// What comes before the signer.
const KIND: &str = "kexec ";

/// The text that is measured: the word, and the SHA-256 of the certificate that the successor's image is signed with, in hex.
#[must_use]
pub fn event(signer: &Digest) -> String {
    format!("{KIND}{}", hex(signer))
}

/// The digest of that in the sha256 bank.
#[must_use]
pub fn digest(signer: &Digest) -> Digest {
    hash(&[event(signer).as_bytes()])
}

/// The signer that such a text names.
#[must_use]
pub fn signer(event: &str) -> Option<&str> {
    let signer = event.strip_prefix(KIND)?;
    (signer.len() == 64 && signer.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_names_the_signer() {
        let text = event(&[0xab; 32]);
        assert_eq!(text, format!("kexec {}", "ab".repeat(32)));
        assert_eq!(digest(&[0xab; 32]), hash(&[text.as_bytes()]));
        assert_eq!(signer(&text), Some("ab".repeat(32).as_str()));
        for other in ["", "kexec ", "kexec zz", "os-separator"] {
            assert_eq!(signer(other), None, "{other}");
        }
    }
}
