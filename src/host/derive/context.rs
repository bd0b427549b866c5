//! What a key is derived from, and how, bit by bit. Pure.
//!
//! ```text
//! PRF     = HMAC-SHA-256 with the TPM's key (src/tpm2/derivation.rs), of this message:
//!           "trust derived key 1" NUL, mode NUL, uid, version, length of the context, the context
//! key     = PRF, where 32 bytes are asked for
//!         = HKDF-Expand-SHA-256 (RFC 5869, section 2.3) of the PRF, info = size in bytes, for any other size
//! ```
//!
//! Numbers have four bytes, big endian. A mode is `path`, `csum`, `verity` or `label`.

use crate::{
    bytes::bounded,
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    foreign::printable,
    secret::Secret,
    tpm::derive::MAX_MESSAGE,
};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use std::{fmt, num::NonZeroU32, str::FromStr};

/// What every message begins with: another derivation would have another number.
const LABEL: &[u8] = b"trust derived key 1";
/// Bytes of a context at most: with all that stands before it, a TPM takes it at once.
pub const MAX_CONTEXT: usize = MAX_MESSAGE - 64;
/// What fails, in messages.
const WHAT: &str = "derive a key";

/// What a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The path of the executable that asks.
    Path,
    /// The SHA-256 of its content, as IMA has measured it.
    Csum,
    /// Its fs-verity digest.
    Verity,
    /// A name that the administrator has chosen.
    Label(String),
}

impl Mode {
    /// As messages and requests have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Csum => "csum",
            Self::Verity => "verity",
            Self::Label(_) => "label",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    /// `path`, `csum`, `csum=verity` or `label=NAME`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.strip_prefix("label=")) {
            ("path", _) => Ok(Self::Path),
            ("csum", _) => Ok(Self::Csum),
            ("csum=verity", _) => Ok(Self::Verity),
            (_, Some(name)) if !name.is_empty() && name.len() <= MAX_CONTEXT && !name.contains(char::is_control) => {
                Ok(Self::Label(name.to_owned()))
            }
            (_, Some(_)) => Err(format!("a label is text of 1 to {MAX_CONTEXT} bytes on one line")),
            _ => Err(format!("{text:?} is not path, csum, csum=verity or label=NAME")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verity => f.write_str("csum=verity"),
            Self::Label(name) => write!(f, "label={name}"),
            _ => f.write_str(self.name()),
        }
    }
}

/// Bytes of a key: 16 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySize(usize);

impl KeySize {
    /// What is asked for unless another size is.
    pub const USUAL: Self = Self(32);
    /// The largest.
    pub const MOST: usize = 1024;

    /// As a number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }

    /// `None`: out of range.
    #[must_use]
    pub fn new(size: u64) -> Option<Self> {
        usize::try_from(size).ok().filter(|size| (16..=Self::MOST).contains(size)).map(Self)
    }
}

impl FromStr for KeySize {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let size = text.parse().ok().and_then(Self::new);
        size.ok_or_else(|| format!("a key has 16 to {} bytes, and not {text:?}", Self::MOST))
    }
}

/// What a key is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyContext {
    mode: Mode,
    uid: u32,
    version: NonZeroU32,
    bytes: Vec<u8>,
}

impl KeyContext {
    /// Of a user, and of what the mode says: a path, a digest, or the label.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is empty, or longer than [`MAX_CONTEXT`].
    pub fn new(mode: Mode, uid: u32, version: NonZeroU32, bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() || bytes.len() > MAX_CONTEXT {
            let why = format!("a {} of {} bytes is not one of 1 to {MAX_CONTEXT}", mode.name(), bytes.len());
            return Err(Error::new(Kind::Usage, WHAT, why));
        }
        Ok(Self { mode, uid, version, bytes: bytes.to_vec() })
    }

    /// The user's number.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// The path, the digest or the label.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The path, the digest or the label, as it can be shown.
    #[must_use]
    pub fn basis(&self) -> String {
        match self.mode {
            Mode::Csum | Mode::Verity => hex(&self.bytes),
            Mode::Path | Mode::Label(_) => printable(&String::from_utf8_lossy(&self.bytes)),
        }
    }

    /// What the TPM computes an HMAC of.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let message = bounded::<MAX_MESSAGE>(|writer| {
            let writer = writer.bytes(LABEL).bytes(&[0]).bytes(self.mode.name().as_bytes()).bytes(&[0]);
            writer.be32(self.uid).be32(self.version.get()).be32(length).bytes(&self.bytes)
        });
        message.map(|message| message.to_vec()).unwrap_or_default()
    }
}

/// The key of this size that comes from a PRF's value.
///
/// # Errors
/// [`Kind::Corrupt`]: the value is not of 32 bytes.
#[allow(clippy::disallowed_methods, reason = "it is derived from")]
pub fn key(prf: &Secret, KeySize(size): KeySize) -> Result<Secret> {
    let prf: &Digest =
        prf.expose().try_into().map_err(|_| Error::new(Kind::Corrupt, WHAT, "the PRF's value is not of 32 bytes"))?;
    if size == prf.len() {
        return Secret::filled(size, |buffer| {
            buffer.copy_from_slice(prf);
            Ok(())
        });
    }
    let info = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
    expand(prf, &[&info], size)
}

/// HKDF-Expand-SHA-256.
///
/// # Errors
/// [`Kind::System`]: the size is more than the function gives.
pub fn expand(key: &Digest, info: &[&[u8]], size: usize) -> Result<Secret> {
    let bad = |_| Error::new(Kind::System, WHAT, "it cannot be expanded to this size");
    let prk = Prk::new_less_safe(HKDF_SHA256, key);
    let expanded = prk.expand(info, Length(size)).map_err(bad)?;
    Secret::filled(size, |buffer| expanded.fill(buffer).map_err(bad))
}

/// How much is expanded to.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "keys are compared")]
mod tests {
    use super::*;
    use crate::digest::unhex;

    fn context(mode: Mode, bytes: &[u8]) -> KeyContext {
        KeyContext::new(mode, 1000, NonZeroU32::MIN, bytes).unwrap()
    }

    #[test]
    fn messages_are_what_the_documentation_says() {
        let message = context(Mode::Path, b"/usr/bin/foo").message();
        let expected = "trust derived key 1\0path\0\0\0\x03\u{0}";
        assert!(message.starts_with(&expected.as_bytes()[..26]));
        let tail = "000003e8 00000001 0000000c 2f7573722f62696e2f666f6f".replace(' ', "");
        assert_eq!(hex(&message), format!("{}{tail}", hex(b"trust derived key 1\0path\0")));
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [Mode::Path, Mode::Csum, Mode::Verity, Mode::Label("a=b".into())] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for text in ["", "paht", "label", "label=", "label=a\nb", "csum=sha1", "verity"] {
            assert!(text.parse::<Mode>().is_err(), "{text:?}");
        }
        assert!(format!("label={}", "x".repeat(MAX_CONTEXT + 1)).parse::<Mode>().is_err());
    }

    #[test]
    fn no_two_contexts_have_one_message() {
        let version = NonZeroU32::new(2).unwrap();
        let all = [
            context(Mode::Path, b"/a"),
            context(Mode::Label("/a".into()), b"/a"),
            context(Mode::Csum, b"/a"),
            context(Mode::Verity, b"/a"),
            context(Mode::Path, b"/a\0"),
            KeyContext::new(Mode::Path, 1001, NonZeroU32::MIN, b"/a").unwrap(),
            KeyContext::new(Mode::Path, 1000, version, b"/a").unwrap(),
        ];
        let mut messages: Vec<_> = all.iter().map(KeyContext::message).collect();
        messages.sort();
        messages.dedup();
        assert_eq!(messages.len(), all.len());
        let longest = context(Mode::Verity, &[7; MAX_CONTEXT]).message();
        assert!(longest.ends_with(&[7; MAX_CONTEXT]));
        for bytes in [&b""[..], &[7; MAX_CONTEXT + 1]] {
            assert!(KeyContext::new(Mode::Csum, 0, NonZeroU32::MIN, bytes).is_err());
        }
    }

    /// RFC 5869, appendix A.1: its PRK, info and length.
    #[test]
    fn expansion_is_that_of_the_rfc() {
        let key = unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5").unwrap();
        let info = unhex("f0f1f2f3f4f5f6f7f8f9").unwrap();
        let expanded = expand(key.as_slice().try_into().unwrap(), &[&info], 42).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(hex(expanded.expose()), expected);
    }

    #[test]
    fn keys_have_the_size_that_is_asked_for() {
        let prf = Secret::filled(32, |buffer| {
            buffer.fill(7);
            Ok(())
        });
        let prf = prf.unwrap();
        assert_eq!(key(&prf, KeySize::USUAL).unwrap().expose(), prf.expose());
        for size in [16, 31, 33, 64, 1024] {
            let key = key(&prf, KeySize::new(size).unwrap()).unwrap();
            assert!(key.len() == usize::try_from(size).unwrap() && !key.expose().starts_with(&prf.expose()[..16]));
        }
        assert!([0, 15, 1025, u64::MAX].into_iter().all(|size| KeySize::new(size).is_none()));
        assert!("a".parse::<KeySize>().is_err() && "64".parse::<KeySize>().is_ok());
    }
}
