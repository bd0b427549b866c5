//! The kernel keyring (keyrings(7)): `user` keys in the user keyring `@u`,
//! where cryptsetup and systemd-cryptsetup look.

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    store::Locked,
};
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};

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
    let descriptions = std::iter::once(DESCRIPTION).chain(options.also_as.iter().map(String::as_str));
    for description in descriptions {
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
