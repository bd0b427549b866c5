//! A file that is encrypted with a derived key: lines of text that say with which, and the stream of sealed secrets.
//!
//! ```text
//! # Wrapped with Trust. To open it: trust derive unwrap FILE
//! trust-wrapped: 1
//! mode: label=backup
//! version: 1
//! bound: no
//! primary: the Name of the TPM's key
//! uid: 1000
//! basis: the path, digest or label that the key was derived from
//! salt: 32 bytes
//! check: 16 bytes
//!
//! the stream
//! ```
//!
//! With K the derived key of 32 bytes, the stream's key is HKDF-Expand-SHA-256 (K, "trust wrap key 1" ‖ salt), and the check
//! that of "trust wrap check 1" ‖ salt: no two files have the same, and a wrong key is known before anything is decrypted.
//! The stream authenticates all lines.

use super::{DerivedKey, KeyOrigin, KeyRequest, KeySize, Mode, expand};
use crate::{
    digest::{Digest, hex, unhex},
    error::{Error, Kind, Result},
    host::seal::StreamKey,
    secret::Secret,
};
use std::num::NonZeroU32;

/// The first line.
const TITLE: &str = "# Wrapped with Trust. To open it: trust derive unwrap FILE";
/// The number of this format.
const FORMAT: &str = "1";
/// Bytes of a salt, and of a check.
const SALT: usize = 32;
const CHECK: usize = 16;
const WHAT: &str = "unwrap";

/// What stands before the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedHead {
    /// Which key it is encrypted with.
    pub request: KeyRequest,
    /// What that came from.
    pub origin: KeyOrigin,
    salt: [u8; SALT],
    check: [u8; CHECK],
}

impl WrappedHead {
    /// Bytes of the lines at most.
    pub const MOST: usize = 8 * 1024;

    /// For a new file, and the key of its stream.
    ///
    /// # Errors
    /// [`Kind::System`]: there is no randomness.
    pub fn make(request: &KeyRequest, derived: &DerivedKey) -> Result<(Self, StreamKey)> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|e| Error::new(Kind::System, "wrap", e.to_string()))?;
        let (check, key) = keys(derived, &salt)?;
        Ok((Self { request: request.clone(), origin: derived.origin.clone(), salt, check }, key))
    }

    /// As text, with the empty line behind it.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        let KeyRequest { mode, version, bound, .. } = &self.request;
        let KeyOrigin { primary, uid, basis } = &self.origin;
        let bound = if *bound { "yes" } else { "no" };
        let (salt, check) = (hex(&self.salt), hex(&self.check));
        format!(
            "{TITLE}\ntrust-wrapped: {FORMAT}\nmode: {mode}\nversion: {version}\nbound: {bound}\nprimary: {primary}\n\
             uid: {uid}\nbasis: {basis}\nsalt: {salt}\ncheck: {check}\n\n"
        )
        .into_bytes()
    }

    /// From the first bytes of a file, and how many of them it has.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is no such file.
    pub fn parse(start: &[u8]) -> Result<(Self, usize)> {
        let bad = |why: &str| {
            Error::new(Kind::Corrupt, "read the wrapped file", why.to_owned())
                .remedy("give the file as `trust derive wrap` has written it")
        };
        let end = start.windows(2).take(Self::MOST).position(|two| two == b"\n\n").map(|at| at + 2);
        let text = end.and_then(|end| str::from_utf8(start.get(..end)?).ok());
        let text = text.ok_or_else(|| bad("it does not begin as one"))?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(bad("it does not begin as one"));
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.ok_or_else(|| bad(&format!("the line {name:?} is missing")))
        };
        if field("trust-wrapped")? != FORMAT {
            return Err(bad("its format is of a later version").remedy("unwrap it with the program that wrapped it"));
        }
        let mode: Mode = field("mode")?.parse().map_err(|why: String| bad(&why))?;
        let version: NonZeroU32 = field("version")?.parse().map_err(|_| bad("its version is not a number"))?;
        let bound = match field("bound")? {
            "yes" => true,
            "no" => false,
            _ => return Err(bad("it does not say whether it is bound")),
        };
        let primary = field("primary")?.to_owned();
        let uid = field("uid")?.parse().map_err(|_| bad("its uid is not a number"))?;
        let basis = field("basis")?.to_owned();
        let bytes = |digits: &str| unhex(digits).unwrap_or_default();
        let salt = bytes(field("salt")?).try_into().map_err(|_| bad("its salt is not of 32 bytes"))?;
        let check = bytes(field("check")?).try_into().map_err(|_| bad("its check is not of 16 bytes"))?;
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(bad("it has more lines than it should"));
        }
        let request = KeyRequest { mode, size: KeySize::USUAL, version, bound };
        Ok((Self { request, origin: KeyOrigin { primary, uid, basis }, salt, check }, text.len()))
    }

    /// The key of the stream, if it was wrapped with this one.
    ///
    /// # Errors
    /// [`Kind::Refused`]: with another one, and why it is another.
    pub fn key(&self, derived: &DerivedKey) -> Result<StreamKey> {
        let (check, key) = keys(derived, &self.salt)?;
        if check == self.check {
            return Ok(key);
        }
        let (then, now) = (&self.origin, &derived.origin);
        if then.primary != now.primary {
            let why =
                "it was wrapped on another machine, or before this TPM was cleared: its key cannot be derived here";
            return Err(Error::new(Kind::Refused, WHAT, why).remedy(
                "unwrap it on the machine that wrapped it; after a clear, only a copy of what is in it helps",
            ));
        }
        if then == now {
            return Err(Error::new(Kind::Corrupt, WHAT, "the lines before its content have been altered")
                .remedy("get the file anew from where it was wrapped"));
        }
        let why = format!(
            "it was wrapped for user {} and {}, and the key is now asked for by user {} and {}",
            then.uid, then.basis, now.uid, now.basis
        );
        Err(Error::new(Kind::Refused, WHAT, why).remedy("unwrap it as that user, from that program"))
    }
}

/// What tells whether the key is the right one, and the key of the stream.
#[allow(clippy::disallowed_methods, reason = "it is expanded")]
fn keys(derived: &DerivedKey, salt: &[u8; SALT]) -> Result<([u8; CHECK], StreamKey)> {
    let bad = || Error::new(Kind::Corrupt, "wrap", "the derived key is not of 32 bytes");
    let key: &Digest = derived.key.expose().try_into().map_err(|_| bad())?;
    let check: Secret = expand(key, &[b"trust wrap check 1", salt], CHECK)?;
    let check = check.expose().try_into().map_err(|_| bad())?;
    let key = expand(key, &[b"trust wrap key 1", salt], key.len())?;
    Ok((check, StreamKey::new(&key).ok_or_else(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(byte: u8, primary: &str, uid: u32) -> DerivedKey {
        let key = Secret::filled(32, |buffer| {
            buffer.fill(byte);
            Ok(())
        });
        let origin = KeyOrigin { primary: primary.into(), uid, basis: "backup".into() };
        DerivedKey { key: key.unwrap(), origin }
    }

    fn head() -> WrappedHead {
        let mode = Mode::Label("backup".into());
        let request = KeyRequest { mode, size: KeySize::USUAL, version: NonZeroU32::MIN, bound: true };
        WrappedHead::make(&request, &derived(1, "aa", 5)).unwrap().0
    }

    #[test]
    fn heads_are_read_as_they_are_written() {
        let (head, text) = (head(), head().to_text());
        assert_eq!(WrappedHead::parse(&text).unwrap().1, text.len());
        let text = head.to_text();
        assert_eq!(WrappedHead::parse(&[&text[..], b"stream"].concat()).unwrap(), (head, text.len()));
        for end in 0..text.len() {
            assert!(WrappedHead::parse(&text[..end]).is_err(), "cut at {end}");
        }
        let text = String::from_utf8(text).unwrap();
        for (old, new) in [
            ("wrapped: 1", "wrapped: 2"),
            ("label=", "paht="),
            ("version: 1", "version: 0"),
            ("bound: yes", "bound: x"),
            ("uid: 5", "uid: -1"),
            ("check: ", "check: 00"),
            ("salt: ", "salt: x"),
            ("\n\n", "\nmore: 1\n\n"),
        ] {
            assert!(WrappedHead::parse(text.replace(old, new).as_bytes()).is_err(), "{new}");
        }
    }

    #[test]
    fn another_key_is_named_by_what_differs() {
        let head = head();
        assert!(head.key(&derived(1, "aa", 5)).is_ok());
        for (other, why) in [
            (derived(2, "bb", 5), "another machine"),
            (derived(2, "aa", 6), "user 5 and backup, and the key is now asked for by user 6"),
            (derived(2, "aa", 5), "altered"),
        ] {
            let error = head.key(&other).err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
