//! `user` keys in the user keyring `@u` (user-keyring(7)), where cryptsetup and systemd-cryptsetup look.

use crate::error::{Error, Kind, Result};
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};

/// The user keyring, opened for a purpose that its errors name.
pub struct UserKeyring {
    ring: KeyRing,
    what: &'static str,
}

impl UserKeyring {
    /// Opens it; the kernel makes it if need be. `what` continues "cannot …".
    ///
    /// # Errors
    /// [`Kind::System`], as for all of these.
    pub fn open(what: &'static str) -> Result<Self> {
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, true).map_err(|why| failed(what, why))?;
        Ok(Self { ring, what })
    }

    /// Adds a key, or updates the one of this description; after `timeout` seconds the kernel drops it.
    ///
    /// # Errors
    /// As [`Self::open`]; then the key is not there.
    pub fn add(&self, description: &str, payload: &[u8], timeout: Option<u32>) -> Result<Key> {
        let key = self.ring.add_key(description, payload).map_err(|why| self.failed(why))?;
        if let Some(Err(why)) = timeout.map(|seconds| key.set_timeout(seconds as usize)) {
            let _ = key.revoke();
            return Err(self.failed(why));
        }
        Ok(key)
    }

    /// The key of this description. `None`: there is none, or it has expired or been revoked.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn search(&self, description: &str) -> Result<Option<Key>> {
        self.unless_gone(self.ring.search(description))
    }

    /// Reads a key's payload, and returns how many bytes it has: more than the buffer, if it did not fit.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(&self, key: Key, mut buffer: &mut [u8]) -> Result<usize> {
        key.read(&mut buffer).map_err(|why| self.failed(why))
    }

    /// Makes a key unusable, for processes that hold it as well, and takes it out of the keyring. Another process may be
    /// doing the same at this moment.
    ///
    /// # Errors
    /// As [`Self::open`]: it may still be there.
    pub fn revoke(&self, key: Key) -> Result<()> {
        self.unless_gone(key.revoke())?;
        self.unless_gone(self.ring.unlink_key(key)).map(|_| ())
    }

    fn failed(&self, why: KeyError) -> Error {
        failed(self.what, why)
    }

    fn unless_gone<T>(&self, outcome: std::result::Result<T, KeyError>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(
                KeyError::KeyDoesNotExist
                | KeyError::KeyExpired
                | KeyError::KeyRevoked
                // It is not in the keyring any more.
                | KeyError::MissingFileOrDirectory,
            ) => Ok(None),
            Err(why) => Err(self.failed(why)),
        }
    }
}

fn failed(what: &'static str, why: KeyError) -> Error {
    Error::new(Kind::System, what, why.to_string())
}
