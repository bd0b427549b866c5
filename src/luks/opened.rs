//! Which volumes this boot has opened: a note in root's user keyring, where no udev rule and no disk can write.

use crate::{error::Result, keyring::user::UserKeyring};

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
/// [`crate::error::Kind::System`].
pub fn record(uuid: &str) -> Result<()> {
    let ring = UserKeyring::open("note which volume is opened")?;
    ring.add(&format!("{DESCRIPTION}{uuid}"), b"opened", None).map(|_| ())
}

/// Whether that has been noted.
///
/// # Errors
/// [`crate::error::Kind::System`].
pub fn is_recorded(uuid: &str) -> Result<bool> {
    let ring = UserKeyring::open("ask which volumes have been opened")?;
    Ok(ring.search(&format!("{DESCRIPTION}{uuid}"))?.is_some())
}
