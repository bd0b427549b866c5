//! The file of a sealed secret: a `TSS2 PRIVATE KEY` in PEM, below lines of text that say which values its PCRs must have.
//!
//! ```text
//! # Sealed with Trust. What opens it now: trust policy show FILE
//! # pcr sha256:0=3d45…,7=65ca…
//! -----BEGIN TSS2 PRIVATE KEY-----
//! …
//! -----END TSS2 PRIVATE KEY-----
//! the stream, where the secret is larger than a TPM seals
//! ```
//!
//! The text is no part of the policy, which has a digest of the values: it is believed where it fits that.

use crate::{
    error::{Error, Kind, Result},
    pem,
    policy::{
        pcr_values::{PcrValues, WantedPcrs},
        statements::PolicyRecipe,
    },
    tpm::{parent::Parent, seal::SealedBlob},
    tpm2::{
        key_file::{KeyFile, KeyFileKind, LABEL},
        sealed::SealedPublic,
    },
};

/// Bytes of the largest file but for its stream.
pub const MAX_HEAD: usize = 64 * 1024;
/// What a line with PCRs begins with.
const PCR_LINE: &str = "# pcr ";
/// What a stream begins with.
const STREAM: &[u8; 8] = b"trust\0\x01\n";
const WHAT: &str = "read the sealed secret";

/// A sealed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFile {
    /// What the TPM has sealed.
    pub blob: SealedBlob,
    /// The key that it was sealed under.
    pub parent: Parent,
    /// What opens it.
    pub recipe: PolicyRecipe,
    /// The values that its PCRs must have.
    pub values: Vec<PcrValues>,
    /// Whether a PIN belongs to it.
    pub has_pin: bool,
    /// What people are told.
    pub description: Option<String>,
}

/// Where the stream of a file begins, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart(pub usize);

impl SealedFile {
    /// The digest of its policy: the one that the TPM compares, or where there is none that of no assertions.
    #[must_use]
    pub fn policy(&self) -> Vec<u8> {
        let sealed = SealedPublic::parse(&self.blob.public).map(|public| public.policy);
        sealed.filter(|policy| !policy.is_empty()).unwrap_or_else(|| self.recipe.policy.digest().to_vec())
    }

    /// As a file, without its stream; with `STREAM` at the end where one follows.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the format has nothing for its policy.
    pub fn to_text(&self, stream_follows: bool) -> Result<Vec<u8>> {
        let unfit = || Error::new(Kind::Usage, "write the sealed secret", "the file format has nothing for its policy");
        let (policy, alternatives) = self.recipe.write().ok_or_else(unfit)?;
        let (parent, rsa_parent) = self.parent.in_file();
        let key = KeyFile {
            kind: KeyFileKind::Sealed,
            empty_auth: !self.has_pin,
            policy,
            alternatives,
            description: self.description.clone(),
            rsa_parent,
            parent,
            public: self.blob.public.clone(),
            private: self.blob.private.clone(),
        };
        let mut text = String::from("# Sealed with Trust. What opens it now: trust policy show FILE\n");
        for values in &self.values {
            text.push_str(&format!("{PCR_LINE}{values}\n"));
        }
        text.push_str(&key.to_pem().ok_or_else(unfit)?);
        let mut bytes = text.into_bytes();
        if stream_follows {
            bytes.extend(STREAM);
        }
        Ok(bytes)
    }

    /// From the first bytes of a file, at most [`MAX_HEAD`], or all of it; and where its stream begins, if there is one.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn parse(head: &[u8]) -> Result<(Self, Option<StreamStart>)> {
        let bad = |why: String| {
            Error::new(Kind::Corrupt, WHAT, why).remedy(
                "give the file as `trust seal`, or another program for \
                                                         TSS2 PRIVATE KEY files, has written it",
            )
        };
        let (der, end) = match end_of_block(head) {
            Some(end) => {
                let text = head.get(..end).unwrap_or_default();
                let mut blocks = pem::blocks(text);
                let block = blocks.next().filter(|block| block.label == LABEL);
                let der =
                    block.and_then(|block| block.der).ok_or_else(|| bad(format!("it has no readable {LABEL}")))?;
                if blocks.next().is_some() {
                    return Err(bad("it has something else before the sealed data".into()));
                }
                (der.to_vec(), end)
            }
            // The same without PEM.
            None if head.first() == Some(&0x30) => (head.to_vec(), head.len()),
            None => return Err(bad(format!("it has no {LABEL}"))),
        };
        let key = KeyFile::parse(&der).map_err(bad)?;
        if key.kind != KeyFileKind::Sealed {
            return Err(bad("it is a key and not sealed data".into()));
        }
        let recipe = PolicyRecipe::read(&key.policy, &key.alternatives).map_err(bad)?;
        let parent = Parent::of_file(key.parent, key.rsa_parent)
            .ok_or_else(|| bad(format!("its parent {:#x} is neither persistent nor a hierarchy", key.parent)))?;
        let rest = head.get(end..).unwrap_or_default();
        let stream = rest.starts_with(STREAM).then_some(StreamStart(end + STREAM.len()));
        if stream.is_none() && !rest.iter().all(u8::is_ascii_whitespace) {
            return Err(bad("what follows the sealed data is not a stream of this program's".into()));
        }
        let file = Self {
            blob: SealedBlob { public: key.public, private: key.private },
            parent,
            recipe,
            values: pcr_lines(head.get(..end).unwrap_or_default()),
            has_pin: !key.empty_auth,
            description: key.description,
        };
        Ok((file, stream))
    }
}

/// The end of the PEM block, with its line.
fn end_of_block(head: &[u8]) -> Option<usize> {
    let end = format!("-----END {LABEL}-----");
    let at = head.windows(end.len()).position(|window| window == end.as_bytes())? + end.len();
    let line = head.get(at..).unwrap_or_default();
    Some(at + [&b"\r\n"[..], b"\n"].iter().find(|end| line.starts_with(end)).map_or(0, |end| end.len()))
}

/// The values in the text above the block; lines that are not understood are passed over.
fn pcr_lines(text: &[u8]) -> Vec<PcrValues> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.strip_prefix(PCR_LINE));
    let values = lines.filter_map(|line| WantedPcrs::parse(line.trim()).ok()?.resolve(&|_| None).ok());
    values.take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::{Assertion, Policy, pcr_values::PcrName},
        tpm2::constants::alg,
    };

    fn file() -> SealedFile {
        let values = PcrValues::new(vec![(PcrName { bank: alg::SHA256, number: 7 }, vec![7; 32])]);
        SealedFile {
            blob: SealedBlob { public: vec![1; 60], private: vec![2; 150] },
            parent: Parent::STORAGE_ROOT_KEY,
            recipe: PolicyRecipe {
                policy: Policy::of([values.assertion().unwrap(), Assertion::AuthValue]),
                ..PolicyRecipe::default()
            },
            values: vec![values],
            has_pin: true,
            description: Some("a secret".into()),
        }
    }

    #[test]
    fn files_are_read_as_they_are_written() {
        for stream in [false, true] {
            let text = file().to_text(stream).unwrap();
            let start = stream.then_some(StreamStart(text.len()));
            assert_eq!(SealedFile::parse(&text).unwrap(), (file(), start));
            let windows = String::from_utf8_lossy(&text).replace('\n', "\r\n").into_bytes();
            assert!(stream || SealedFile::parse(&windows).unwrap() == (file(), None));
        }
        let der = pem::blocks(&file().to_text(false).unwrap()).next().unwrap().der.unwrap();
        assert_eq!(SealedFile::parse(&der).unwrap().0, SealedFile { values: vec![], ..file() });
    }

    #[test]
    fn what_is_no_sealed_secret_is_refused() {
        let text = file().to_text(false).unwrap();
        for (bytes, why) in [
            (vec![], "no TSS2 PRIVATE KEY"),
            ([&text[..], &text].concat(), "not a stream"),
            ([&text[..], b"more"].concat(), "not a stream"),
            ([b"-----BEGIN X-----\nAA==\n-----END X-----\n", &text[..]].concat(), "no readable"),
            (crate::tpm2::key_file::encode(0x8100_0001, &[1], &[2]).unwrap().into_bytes(), "a key and not"),
            (vec![0x30, 0x82], "incomplete"),
        ] {
            let error = SealedFile::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        for end in 0..text.len() - 1 {
            assert!(SealedFile::parse(&text[..end]).is_err(), "cut at {end}");
        }
    }
}
