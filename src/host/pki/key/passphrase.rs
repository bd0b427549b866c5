//! The passphrases of encrypted private keys: from a file, or from the user.

use super::{ask, encrypted::Encrypted};
use crate::error::{Error, Kind, Result};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};
use zeroize::Zeroizing;

/// The file with the passphrase, if there is to be no prompt.
static FILE: OnceLock<PathBuf> = OnceLock::new();
/// The last correct one: it is not asked for twice for several keys.
static RIGHT: Mutex<Option<Zeroizing<String>>> = Mutex::new(None);

/// Makes the first line of this file the passphrase from now on.
pub fn is_in(file: PathBuf) {
    let _ = FILE.set(file);
}

/// Decrypts an encrypted PKCS#8 from the file `name`.
///
/// # Errors
/// [`Kind::Usage`]: it is encrypted in an unsupported way, there is no terminal, or the passphrase is wrong.
pub fn open(der: &[u8], name: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let encrypted = Encrypted::read(der)?;
    let mut right = RIGHT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = right.as_ref().and_then(|right| encrypted.open(right.as_bytes())) {
        return Ok(key);
    }
    let (given, remedy) = match FILE.get() {
        Some(file) => (ask::first_line(file, "the passphrase")?, "write the right one into the file"),
        None => (
            ask::terminal(&format!("Passphrase of {}: ", name.display()), "the passphrase")
                .map_err(|e| e.remedy("give it, or a file with it: --passphrase-file FILE"))?,
            "try again",
        ),
    };
    let key = encrypted
        .open(given.as_bytes())
        .ok_or_else(|| Error::new(Kind::Usage, "decrypt a private key", "the passphrase is wrong").remedy(remedy))?;
    *right = Some(given);
    Ok(key)
}
