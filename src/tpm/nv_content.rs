//! What we keep in an index of our own: a header, by which half of a content is told from a whole one, then the content.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `TNV1`, or `TNV0` as long as it is being written |
//! | 2 | length of the content, big-endian |
//! | 32 | SHA-256 of the content |
//!
//! What follows the content in the index means nothing.

use crate::{
    bytes::Reader,
    digest::hash,
    error::{Error, Kind, Result},
    secret::Secret,
};

/// Bytes of the header.
pub const HEADER: u16 = 38;
/// What is whole begins with this.
const WHOLE: &[u8; 4] = b"TNV1";
/// What is being written begins with this.
const UNFINISHED: &[u8; 4] = b"TNV0";

/// What an index holds.
pub enum NvContent {
    /// All that was written.
    Whole(Secret),
    /// It was begun to be written, and that was cut off.
    Unfinished,
    /// It is not what its header says.
    Damaged,
    /// It has no header: another program's, or written as it is.
    Bare(Secret),
}

/// The content with its header.
///
/// # Errors
/// [`Kind::Usage`]: it is longer than any index.
pub(super) fn framed(content: &Secret) -> Result<Secret> {
    let length = u16::try_from(content.len())
        .map_err(|_| Error::new(Kind::Usage, "write an index of the TPM", "that is more than any index holds"))?;
    Secret::filled(usize::from(HEADER) + content.len(), |buffer| {
        let (header, rest) = buffer.split_at_mut(usize::from(HEADER));
        let parts: [&[u8]; 3] = [WHOLE, &length.to_be_bytes(), &hash(&[content.expose()])];
        for (byte, value) in header.iter_mut().zip(parts.concat()) {
            *byte = value;
        }
        rest.copy_from_slice(content.expose());
        Ok(())
    })
}

/// The header as long as the content is being written.
pub(super) fn unfinished() -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    for (byte, value) in header.iter_mut().zip(UNFINISHED) {
        *byte = *value;
    }
    header
}

/// Whether an index that begins with these bytes is one of ours.
pub(super) fn is_framed(start: &[u8]) -> bool {
    start.starts_with(WHOLE) || start.starts_with(UNFINISHED)
}

/// What an index holds.
///
/// # Errors
/// Those of [`Secret::filled`].
pub fn open(index: Secret) -> Result<NvContent> {
    let bytes = index.expose();
    if bytes.starts_with(UNFINISHED) {
        return Ok(NvContent::Unfinished);
    }
    if !bytes.starts_with(WHOLE) {
        return Ok(NvContent::Bare(index));
    }
    match content(bytes) {
        Some(content) => {
            let copy = |buffer: &mut [u8]| {
                buffer.copy_from_slice(content);
                Ok(())
            };
            Secret::filled(content.len(), copy).map(NvContent::Whole)
        }
        None => Ok(NvContent::Damaged),
    }
}

/// The content of an index with a header that describes it.
fn content(index: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(index);
    reader.take(WHOLE.len())?;
    let (length, digest) = (reader.be16()?, reader.array::<32>()?);
    let content = reader.take(usize::from(length))?;
    (hash(&[content]) == digest).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        let copy = |buffer: &mut [u8]| {
            buffer.copy_from_slice(bytes);
            Ok(())
        };
        Secret::filled(bytes.len(), copy).unwrap()
    }

    #[test]
    fn a_content_comes_back_whole_or_is_said_not_to_be() {
        for length in [0, 1, 1000] {
            let content = vec![7; length];
            let mut framed = framed(&secret(&content)).unwrap().expose().to_vec();
            assert!(is_framed(&framed));
            let more = [&framed[..], &[9; 5]].concat();
            assert!(matches!(open(secret(&more)).unwrap(), NvContent::Whole(found) if found.expose() == content));
            for end in 4..framed.len() {
                assert!(matches!(open(secret(&framed[..end])).unwrap(), NvContent::Damaged));
            }
            let last = framed.len() - 1;
            framed[last] ^= 1;
            assert!(matches!(open(secret(&framed)).unwrap(), NvContent::Damaged));
        }
        assert!(matches!(open(secret(&unfinished())).unwrap(), NvContent::Unfinished));
        assert!(matches!(open(secret(b"TNV")).unwrap(), NvContent::Bare(_)));
        assert!(framed(&secret(&[0; 70_000])).is_err());
    }
}
