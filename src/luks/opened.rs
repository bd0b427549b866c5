//! Which volumes this boot has opened: a note in root's user keyring, where no udev rule and no disk can write.

use crate::error::{Error, Kind, Result};
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};

/// What the device-mapper UUID of a LUKS2 volume begins with, as cryptsetup sets it.
pub const UUID_PREFIX: &str = "CRYPT-LUKS2-";
/// What the description of such a key begins with; the device-mapper UUID follows.
const DESCRIPTION: &str = "trust:opened:";

/// The UUID that cryptsetup gives the device of a LUKS2 volume: the volume's without dashes, then the device's name.
#[must_use]
pub fn dm_uuid(volume: &str, name: &str) -> String {
    format!("{UUID_PREFIX}{}-{name}", volume.replace('-', ""))
}

/// Notes that the volume of this device-mapper UUID is being opened.
///
/// # Errors
/// [`Kind::System`].
pub fn record(uuid: &str) -> Result<()> {
    let added = keyring().and_then(|ring| ring.add_key(&format!("{DESCRIPTION}{uuid}"), "opened"));
    added.map(|_| ()).map_err(|why| failed("note which volume is opened", why))
}

/// Whether that has been noted.
///
/// # Errors
/// [`Kind::System`].
pub fn is_recorded(uuid: &str) -> Result<bool> {
    match keyring().and_then(|ring| ring.search(&format!("{DESCRIPTION}{uuid}"))) {
        Ok(_) => Ok(true),
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => Ok(false),
        Err(why) => Err(failed("ask which volumes have been opened", why)),
    }
}

fn keyring() -> std::result::Result<KeyRing, KeyError> {
    KeyRing::from_special_id(KeyRingIdentifier::User, true)
}

fn failed(what: &'static str, why: KeyError) -> Error {
    Error::new(Kind::System, what, why.to_string())
}
