//! Sealed secrets as files: what the TPM seals itself, and what is larger behind a key that it seals.

mod file;
mod stream;

pub use file::{MAX_HEAD, SealedFile, StreamStart};
pub use stream::{KEY_MARK, StreamKey, decrypt, encrypt};
