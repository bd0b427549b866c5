//! Headers of LUKS2 volumes, changed as somebody can who has the disk.

use crate::keyset::sha256;

/// Size of each of the two copies, as cryptsetup makes them.
const COPY: usize = 0x4000;

/// Has both copies of a header name no cipher for the data, with checksums that are right. Panics over what is no header.
pub fn with_null_cipher(header: &mut [u8]) {
    for copy in header.chunks_mut(COPY) {
        let segments = copy.windows(12).position(|window| window == b"\"segments\":{").expect("a JSON area");
        let cipher = copy[segments..].windows(15).position(|window| window == b"aes-xts-plain64").expect("a cipher");
        copy[segments + cipher..][..15].copy_from_slice(b"cipher_null-ecb");
        copy[448..512].fill(0);
        let checksum = sha256(&[copy]);
        copy[448..480].copy_from_slice(&checksum);
    }
}
