//! Data of any length, encrypted with a key that a TPM seals: AES-256-GCM in chunks of 64 KiB (the STREAM construction of
//! Hoang, Reyhanitabar, Rogaway and Vizár), in constant memory.
//!
//! The nonce of a chunk is seven zeros, its number in four bytes and whether it is the last: chunks that are left out,
//! exchanged, repeated or cut off are noticed. Each chunk authenticates the SHA-256 of all that stands before the first.
//! A key encrypts one stream, so that no nonce is used twice.

use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    host::fs::interrupt,
    secret::Secret,
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::io::{self, Read};
use zeroize::Zeroizing;

/// Bytes of a chunk of plaintext; only the last may be shorter.
const CHUNK: usize = 64 * 1024;
/// Bytes of a tag.
const TAG: usize = 16;
/// Bytes of a key.
const KEY: usize = 32;
/// What stands before a key where it is sealed: a key whose stream is missing must not be taken for the secret.
pub const KEY_MARK: &[u8; 16] = b"trust stream key";

/// The key of one stream.
pub struct StreamKey(LessSafeKey);

impl StreamKey {
    /// A new one, and what is sealed of it.
    ///
    /// # Errors
    /// [`Kind::System`]: there is no randomness.
    pub fn make() -> Result<(Self, Secret)> {
        let sealed = Secret::filled(KEY_MARK.len() + KEY, |buffer| {
            let (mark, key) = buffer.split_at_mut(KEY_MARK.len());
            mark.copy_from_slice(KEY_MARK);
            getrandom::fill(key).map_err(|e| Error::new(Kind::System, "make a key", e.to_string()))
        })?;
        let key = Self::of(&sealed).ok_or_else(|| Error::new(Kind::System, "make a key", "it is not one"))?;
        Ok((key, sealed))
    }

    /// The key that was sealed so; `None` where it is none.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the key goes to the cipher")]
    pub fn of(sealed: &Secret) -> Option<Self> {
        Self::from_bytes(sealed.expose().strip_prefix(KEY_MARK)?)
    }

    /// One that was derived for a single stream; `None` where it is not of 32 bytes.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the key goes to the cipher")]
    pub fn new(key: &Secret) -> Option<Self> {
        Self::from_bytes(key.expose())
    }

    fn from_bytes(key: &[u8]) -> Option<Self> {
        Some(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?)))
    }

    fn nonce(number: u32, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let (_, rest) = nonce.split_at_mut(NONCE_LEN - 5);
        rest.copy_from_slice(&[&number.to_be_bytes()[..], &[u8::from(last)]].concat());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Encrypts all that `input` gives, and hands each chunk to `output`. `head` stands before the first chunk.
///
/// # Errors
/// Those of both; [`Kind::Usage`]: it is longer than 256 TiB.
pub fn encrypt(
    key: &StreamKey,
    head: &[u8],
    input: &mut dyn Read,
    output: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let aad = hash(&[head]);
    chunks(input, CHUNK, |number, last, chunk| {
        let tag = key.0.seal_in_place_separate_tag(StreamKey::nonce(number, last), Aad::from(aad), chunk);
        let tag = tag.map_err(|e| Error::new(Kind::System, "encrypt", e.to_string()))?;
        output(chunk)?;
        output(tag.as_ref())
    })
}

/// Decrypts all that `input` gives, and hands each chunk to `output` once it has been verified.
///
/// # Errors
/// [`Kind::Corrupt`]: it has been altered, or its end is missing: what was handed over before is right, but not all.
pub fn decrypt(
    key: &StreamKey,
    head: &[u8],
    input: &mut dyn Read,
    output: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let aad: Digest = hash(&[head]);
    chunks(input, CHUNK + TAG, |number, last, chunk| {
        let nonce = StreamKey::nonce(number, last);
        let plain = key.0.open_in_place(nonce, Aad::from(aad), chunk).map_err(|_| {
            let why = if last { "its end is missing, or it has been altered" } else { "it has been altered" };
            Error::new(Kind::Corrupt, "decrypt", format!("{why} (at byte {})", u64::from(number) * CHUNK as u64))
                .remedy("get the file anew from where it was sealed; nothing that was written is to be used")
        })?;
        output(plain)
    })
}

/// Hands over what `input` gives in chunks of `size` bytes, with their number, and whether it is the last.
fn chunks(input: &mut dyn Read, size: usize, mut each: impl FnMut(u32, bool, &mut [u8]) -> Result<()>) -> Result<()> {
    let (mut chunk, mut next) = (Zeroizing::new(vec![0; size]), Zeroizing::new(vec![0; size]));
    let mut length = fill(input, &mut chunk)?;
    let mut number = 0_u32;
    loop {
        interrupt::check()?;
        let following = if length == size { fill(input, &mut next)? } else { 0 };
        each(number, following == 0, chunk.get_mut(..length).unwrap_or_default())?;
        if following == 0 {
            return Ok(());
        }
        std::mem::swap(&mut chunk, &mut next);
        length = following;
        number = number
            .checked_add(1)
            .ok_or_else(|| Error::new(Kind::Usage, "seal", "it is longer than 256 TiB").remedy("seal it in parts"))?;
    }
}

/// Reads until `buffer` is full or nothing is left; how many bytes.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(size) => length += size,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => interrupt::check()?,
            Err(e) => return Err(Error::system("read the input", e).remedy("check the file")),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(key: &StreamKey, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encrypt(key, b"head", &mut &data[..], &mut |bytes| {
            out.extend(bytes);
            Ok(())
        })
        .unwrap();
        out
    }

    /// What comes out, and whether it was all.
    fn decrypted(key: &StreamKey, head: &[u8], data: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let whole = decrypt(key, head, &mut &data[..], &mut |bytes| {
            out.extend(bytes);
            Ok(())
        });
        (out, whole.is_ok())
    }

    #[test]
    fn streams_of_any_length_come_back_and_none_is_longer_than_its_tags() {
        let (key, sealed) = StreamKey::make().unwrap();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
            let data: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let out = encrypted(&key, &data);
            assert_eq!(out.len(), length + length.div_ceil(CHUNK).max(1) * TAG);
            assert_eq!(decrypted(&StreamKey::of(&sealed).unwrap(), b"head", &out), (data, true));
        }
    }

    #[test]
    fn streams_that_are_cut_reordered_or_altered_are_refused() {
        let key = StreamKey::make().unwrap().0;
        let data = vec![7; 3 * CHUNK];
        let out = encrypted(&key, &data);
        let parts: Vec<_> = out.chunks(CHUNK + TAG).collect();
        for bad in [
            parts[..2].concat(),
            [parts[0], parts[2]].concat(),
            [parts[1], parts[0], parts[2]].concat(),
            [parts[0], parts[1], parts[1], parts[2]].concat(),
            [&out[..], &[0]].concat(),
            [&out[..], parts[2]].concat(),
            out[..out.len() - 1].to_vec(),
            Vec::new(),
        ] {
            let (some, whole) = decrypted(&key, b"head", &bad);
            assert!(!whole && data.starts_with(&some));
        }
        for at in [0, CHUNK, CHUNK + TAG, out.len() - 1] {
            let mut altered = out.clone();
            altered[at] ^= 1;
            assert!(!decrypted(&key, b"head", &altered).1);
        }
        assert_eq!(decrypted(&key, b"Head", &out), (Vec::new(), false));
        assert!(!decrypted(&StreamKey::make().unwrap().0, b"head", &out).1);
    }
}
