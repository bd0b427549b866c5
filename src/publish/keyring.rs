//! The kernel keyring (keyrings(7)): `user` keys in the user keyring `@u`,
//! where cryptsetup and systemd-cryptsetup look.

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    store::Locked,
};
use hmac::{Hmac, KeyInit, Mac};
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use sha2::Sha256;
use zeroize::Zeroizing;

/// More is no passphrase of ours.
const MAX_PASSPHRASE: usize = 512;

/// What a luks2-keyring token names.
pub const DESCRIPTION: &str = "machine:luks";

/// Under which descriptions the passphrase is added, and for how long.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Further descriptions beside [`DESCRIPTION`]: systemd-cryptsetup looks for `cryptsetup`.
    pub also_as: &'a [String],
    /// Seconds until the kernel drops the keys by itself.
    pub timeout: Option<u32>,
}

impl<'a> Options<'a> {
    fn descriptions(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(DESCRIPTION).chain(self.also_as.iter().map(String::as_str))
    }
}

/// Keys that have been added.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Makes them unusable, for whoever holds them as well.
    pub fn withdraw(&self) {
        for key in &self.0 {
            // A key that cannot be revoked has expired or has been revoked by somebody else.
            let _ = key.revoke();
        }
    }
}

/// Adds the passphrase to the user keyring, all keys or none.
///
/// # Errors
/// [`Kind::System`].
pub fn add(_: &Locked, passphrase: &Secret, options: &Options<'_>) -> Result<Keys> {
    let what = "put the passphrase into the kernel keyring";
    let failed = |error: KeyError| Error::new(Kind::System, what, error.to_string());
    let ring = KeyRing::from_special_id(KeyRingIdentifier::User, true).map_err(failed)?;
    let mut keys = Keys(Vec::new());
    for description in options.descriptions() {
        let added = ring.add_key(description, passphrase.expose()).and_then(|key| {
            keys.0.push(key);
            options.timeout.map_or(Ok(()), |seconds| key.set_timeout(seconds as usize))
        });
        if let Err(error) = added {
            keys.withdraw();
            return Err(failed(error));
        }
    }
    Ok(keys)
}

/// Revokes the keys in the user keyring that have these descriptions, and returns how many there were.
///
/// # Errors
/// [`Kind::System`]: one may still be there.
pub fn revoke(options: &Options<'_>) -> Result<usize> {
    let failed =
        |error: KeyError| Error::new(Kind::System, "revoke the passphrase in the kernel keyring", error.to_string());
    let ring = KeyRing::from_special_id(KeyRingIdentifier::User, true).map_err(failed)?;
    let mut revoked = 0;
    for description in options.descriptions() {
        match ring.search(description) {
            Ok(key) => {
                gone(key.revoke()).and_then(|()| gone(ring.unlink_key(key))).map_err(failed)?;
                revoked += 1;
            }
            Err(error) => gone(Err(error)).map_err(failed)?,
        }
    }
    Ok(revoked)
}

/// Of a key that is to go: that there is none will do. Somebody else may be revoking it at this moment.
fn gone(outcome: std::result::Result<(), KeyError>) -> std::result::Result<(), KeyError> {
    match outcome {
        Err(
            KeyError::KeyDoesNotExist
            | KeyError::KeyExpired
            | KeyError::KeyRevoked
            // It is in the keyring no more.
            | KeyError::MissingFileOrDirectory,
        ) => Ok(()),
        other => other,
    }
}

/// A key for `purpose`, derived from the passphrase in the user keyring: HMAC-SHA-256 under the passphrase.
///
/// Who knows it learns nothing of the passphrase, whose 136 bits are random.
///
/// # Errors
/// [`Kind::Refused`] when there is no passphrase, else [`Kind::System`].
pub fn derive(purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let what = "use the passphrase in the kernel keyring";
    let failed = |error: KeyError| match error {
        KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked => {
            Error::new(Kind::Refused, what, "there is none").remedy("run `trust setup` or `trust preinit` first")
        }
        other => Error::new(Kind::System, what, other.to_string()),
    };
    let ring = KeyRing::from_special_id(KeyRingIdentifier::User, true).map_err(failed)?;
    let key = ring.search(DESCRIPTION).map_err(failed)?;
    let mut size = 0;
    let passphrase = Secret::filled(MAX_PASSPHRASE, |mut buffer| {
        size = key.read(&mut buffer).map_err(failed)?;
        Ok(())
    })?;
    let passphrase =
        passphrase.expose().get(..size).ok_or_else(|| Error::new(Kind::Corrupt, what, "it is too long"))?;
    let mac = Hmac::<Sha256>::new_from_slice(passphrase).map_err(|e| Error::new(Kind::System, what, e.to_string()))?;
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(&mac.chain_update(purpose).finalize().into_bytes());
    Ok(derived)
}
