//! Searches for secrets where none may be.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The smallest piece of a secret that counts, in bytes. Eight bytes are a serious leak; and they do not turn up by
/// chance.
const PIECE: usize = 8;

/// The name of a secret, and the piece of it.
type Piece = (String, Vec<u8>);

/// Every piece of eight bytes of every secret, wherever it begins, as it is, as hex digits of both cases, and in base64.
///
/// The whole of a secret need not be looked for besides: it has its pieces in it. Public text must not be part
/// of what is added: not the prefix that all passphrases have, nor what PEM and DER have around a private number.
#[derive(Clone, Debug, Default)]
pub struct SecretSearch {
    secrets: BTreeMap<String, HashSet<Vec<u8>>>,
    /// By how long they are and what they are; then whose piece it is.
    needles: BTreeMap<usize, HashMap<Vec<u8>, Piece>>,
}

impl SecretSearch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret; a name may have several.
    pub fn add(&mut self, name: &str, secret: &[u8]) -> &mut Self {
        for piece in secret.windows(PIECE) {
            self.secrets.entry(name.to_owned()).or_default().insert(piece.to_vec());
            for form in forms(piece) {
                let owner = (name.to_owned(), piece.to_vec());
                self.needles.entry(form.len()).or_default().insert(form, owner);
            }
        }
        self
    }

    /// Which part of each secret's pieces is in there, in percent; what is not there at all is left out.
    #[must_use]
    pub fn found(&self, haystack: &[u8]) -> BTreeMap<&str, usize> {
        let mut found: BTreeMap<&str, HashSet<&[u8]>> = BTreeMap::new();
        for (length, needles) in &self.needles {
            for (name, piece) in haystack.windows(*length).filter_map(|window| needles.get(window)) {
                found.entry(name).or_default().insert(piece);
            }
        }
        let percent = |(name, pieces): (_, HashSet<_>)| (name, (pieces.len() * 100).div_ceil(self.secrets[name].len()));
        found.into_iter().map(percent).collect()
    }
}

/// A piece as it is, as hex digits, and what it certainly is in base64, wherever it begins in what is encoded.
fn forms(piece: &[u8]) -> Vec<Vec<u8>> {
    let hex = crate::hex(piece);
    let mut forms = vec![piece.to_vec(), hex.to_uppercase().into(), hex.into()];
    for before in 0..3 {
        // As many bytes before it; the digits that these, or what follows, have a part in say nothing of it.
        let encoded = base64(&[&vec![0; before][..], piece].concat());
        forms.push(encoded[(before * 8).div_ceil(6)..].to_vec());
    }
    forms
}

/// The digits of base64 that are full.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let digit = |at: usize| DIGITS[(at..at + 6).fold(0, |digit, at| digit << 1 | bit(at))];
    (0..bytes.len() * 8 / 6).map(|at| digit(at * 6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"\xfb\xff\x00 a secret of thirty bytes\x01";

    fn needles() -> SecretSearch {
        let mut needles = SecretSearch::new();
        needles.add("it", SECRET);
        needles
    }

    #[test]
    fn a_secret_is_found_in_every_encoding() {
        assert_eq!(base64(b"any carnal pleas"), b"YW55IGNhcm5hbCBwbGVhc");
        for before in 0..7 {
            let text = [&vec![b'x'; before][..], SECRET, b"yyy"].concat();
            let forms =
                [text.clone(), crate::hex(&text).into(), crate::hex(&text).to_uppercase().into(), base64(&text)];
            for form in forms {
                assert_eq!(needles().found(&form), [("it", 100)].into(), "{}", String::from_utf8_lossy(&form));
            }
        }
    }

    #[test]
    fn eight_bytes_are_found_and_seven_are_not() {
        for at in 0..SECRET.len() - PIECE {
            assert!(!needles().found(&SECRET[at..at + 8]).is_empty(), "{at}");
            assert!(needles().found(&SECRET[at..at + 7]).is_empty(), "{at}");
        }
    }
}
