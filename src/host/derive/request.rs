//! What is asked for, and what comes of it.

use super::{Executable, ForeignNamespace, KeyContext, KeySize, Mode, Prf, Requester, key};
use crate::{digest::hex, error::Result, secret::Secret};
use std::num::NonZeroU32;

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// What it belongs to.
    pub mode: Mode,
    /// Its size.
    pub size: KeySize,
    /// Which of several for the same.
    pub version: NonZeroU32,
    /// Whether only a running system that is signed for derives it.
    pub bound: bool,
}

impl KeyRequest {
    /// What the key of a requester is derived from.
    ///
    /// # Errors
    /// Those of looking at the requester, and at its executable.
    pub fn context_of(&self, requester: &Requester, foreign: ForeignNamespace) -> Result<KeyContext> {
        match &self.mode {
            Mode::Label(label) => self.context(requester.uid(), label.as_bytes()),
            _ => self.context_for(requester.uid(), &requester.executable(foreign)?),
        }
    }

    /// What the key of an executable is derived from, if a user runs it.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn context_for(&self, uid: u32, executable: &Executable) -> Result<KeyContext> {
        match &self.mode {
            Mode::Path => self.context(uid, executable.path()),
            Mode::Csum => self.context(uid, &executable.csum()?),
            Mode::Verity => self.context(uid, &executable.verity()?),
            Mode::Label(label) => self.context(uid, label.as_bytes()),
        }
    }

    /// What a key is derived from.
    ///
    /// # Errors
    /// As [`KeyContext::new`].
    pub fn context(&self, uid: u32, basis: &[u8]) -> Result<KeyContext> {
        KeyContext::new(self.mode.clone(), uid, self.version, basis)
    }
}

/// A key, and what it comes from.
pub struct DerivedKey {
    /// The key.
    pub key: Secret,
    /// What it comes from.
    pub origin: KeyOrigin,
}

/// What a key comes from, for those who look for the reason why it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrigin {
    /// Name of the TPM's key, in hexadecimal: another one on another TPM, and after a clear.
    pub primary: String,
    /// The user's number.
    pub uid: u32,
    /// The path, the digest or the label.
    pub basis: String,
}

impl DerivedKey {
    /// That of `request` and `context`, from what the TPM gives for the context.
    ///
    /// # Errors
    /// Those of [`key`].
    pub fn new(request: &KeyRequest, context: &KeyContext, prf: &Prf) -> Result<Self> {
        let origin = KeyOrigin { primary: hex(&prf.of), uid: context.uid(), basis: context.basis() };
        Ok(Self { key: key(&prf.value, request.size)?, origin })
    }
}
