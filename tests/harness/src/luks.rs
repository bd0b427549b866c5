//! Headers of LUKS2 volumes, changed as an attacker with the disk can.

use crate::keyset::sha256;

/// Size of each of the two copies, as cryptsetup makes them.
const COPY: usize = 0x4000;

/// Makes both copies of a header name the null cipher for the data, with valid checksums. Panics if it is not a header.
pub fn with_null_cipher(header: &mut [u8]) {
    with_json(header, "\"segments\":{", "aes-xts-plain64", "cipher_null-ecb");
}

/// Replaces a word in the JSON areas of both copies, the first one behind another, by one of the same length, with
/// checksums that are right. Panics where the words are not there.
pub fn with_json(header: &mut [u8], behind: &str, word: &str, other: &str) {
    assert_eq!(word.len(), other.len());
    let find = |bytes: &[u8], what: &str| {
        bytes.windows(what.len()).position(|window| window == what.as_bytes()).expect("words of a header")
    };
    for copy in header.chunks_mut(COPY) {
        let at = find(copy, behind);
        let at = at + find(&copy[at..], word);
        copy[at..at + word.len()].copy_from_slice(other.as_bytes());
        copy[448..512].fill(0);
        let checksum = sha256(&[copy]);
        copy[448..480].copy_from_slice(&checksum);
    }
}
