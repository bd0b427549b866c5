//! The only owner of plaintext.

use crate::error::Result;
#[cfg(feature = "host")]
use std::io;
use zeroize::Zeroize;

/// The largest secret: a PEM file that fills an NV index, in bytes.
pub const MAX_SECRET: usize = 16 * 1024;

/// A secret in a buffer that never grows, never moves and is wiped when dropped.
///
/// It cannot be cloned, compared or printed. Its pages are locked with all
/// others of the process (`process::harden`).
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Makes a secret of `size` bytes and has `fill` write it in place.
    ///
    /// # Errors
    /// Those of `fill`; what it had written by then is wiped.
    pub fn filled(size: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let mut secret = Self(vec![0; size].into_boxed_slice());
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Size in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The plaintext. For `tpm` and `publish`; clippy.toml forbids it elsewhere.
    pub(crate) const fn expose(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(feature = "host")]
impl Secret {
    /// All that there is to read; `None`: more than [`MAX_SECRET`].
    ///
    /// # Errors
    /// Those of reading.
    pub fn read_from(input: &mut impl io::Read) -> io::Result<Option<Self>> {
        // With room for one byte too many, and to find the end in.
        let mut buffer = Self(vec![0; MAX_SECRET + 1].into_boxed_slice());
        let mut size = 0;
        while let Some(rest) = buffer.0.get_mut(size..).filter(|rest| !rest.is_empty()) {
            match input.read(rest) {
                Ok(0) => return Ok(buffer.0.get(..size).map(|bytes| Self(bytes.into()))),
                Ok(more) => size += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
