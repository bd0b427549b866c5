//! The passphrase in the kernel keyring: published for the programs that open the disk, and withdrawn again.

use crate::{
    error::{Error, Kind, Result},
    keyring::user::UserKeyring,
    secret::Secret,
    store::Locked,
};
use hmac::{Hmac, KeyInit, Mac};
use linux_keyutils::Key;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Upper bound of a passphrase in bytes.
const MAX_PASSPHRASE: usize = 512;

/// What a luks2-keyring token names.
pub const DESCRIPTION: &str = "machine:luks";

/// Under which descriptions the passphrase is added, and for how long.
#[derive(Clone, Copy, Default)]
pub struct KeyOptions<'a> {
    /// Further descriptions beside [`DESCRIPTION`]: systemd-cryptsetup looks for `cryptsetup`.
    pub also_as: &'a [String],
    /// Seconds until the kernel drops the keys by itself.
    pub timeout: Option<u32>,
}

impl<'a> KeyOptions<'a> {
    fn descriptions(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(DESCRIPTION).chain(self.also_as.iter().map(String::as_str))
    }
}

/// Keys that have been added.
pub struct PublishedKeys(Vec<Key>);

impl PublishedKeys {
    /// Makes them unusable, for processes that hold them as well.
    pub fn withdraw(&self) {
        for key in &self.0 {
            // A key that cannot be revoked has expired, or another process has revoked it.
            let _ = key.revoke();
        }
    }
}

/// Adds the passphrase to the user keyring, all keys or none.
///
/// # Errors
/// [`Kind::System`].
pub fn publish(_: &Locked, passphrase: &Secret, options: &KeyOptions<'_>) -> Result<PublishedKeys> {
    let ring = UserKeyring::open("put the passphrase into the kernel keyring")?;
    let mut keys = PublishedKeys(Vec::new());
    for description in options.descriptions() {
        let key = ring.add(description, passphrase.expose(), options.timeout).inspect_err(|_| keys.withdraw())?;
        keys.0.push(key);
    }
    Ok(keys)
}

/// Revokes the keys in the user keyring that have these descriptions, and returns how many there were.
///
/// # Errors
/// [`Kind::System`]: one may still be there.
pub fn revoke(options: &KeyOptions<'_>) -> Result<usize> {
    let ring = UserKeyring::open("revoke the passphrase in the kernel keyring")?;
    let mut revoked = 0;
    for description in options.descriptions() {
        if let Some(key) = ring.search(description)? {
            ring.revoke(key)?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

/// A key for `purpose`, derived from the passphrase in the user keyring: HMAC-SHA-256 under the passphrase.
///
/// Knowing it tells nothing of the passphrase, whose 136 bits are random.
///
/// # Errors
/// [`Kind::Refused`] when there is no passphrase, else [`Kind::System`].
pub fn derive(purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let what = "use the passphrase in the kernel keyring";
    let ring = UserKeyring::open(what)?;
    let key = ring.search(DESCRIPTION)?.ok_or_else(|| {
        Error::new(Kind::Refused, what, "there is none").remedy("run `trust setup` or `trust preinit` first")
    })?;
    let mut size = 0;
    let passphrase = Secret::filled(MAX_PASSPHRASE, |buffer| {
        size = ring.read(key, buffer)?;
        Ok(())
    })?;
    let passphrase =
        passphrase.expose().get(..size).ok_or_else(|| Error::new(Kind::Corrupt, what, "it is too long"))?;
    let mac = Hmac::<Sha256>::new_from_slice(passphrase).map_err(|e| Error::new(Kind::System, what, e.to_string()))?;
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(&mac.chain_update(purpose).finalize().into_bytes());
    Ok(derived)
}
