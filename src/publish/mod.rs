//! Handing over: the kernel keyring for the passphrase, a private tmpfs for
//! the certificate and its key. Nothing here runs before the store is locked.

pub mod passphrase;
pub mod policies;
pub mod tmpfs;

use crate::{error::Result, secret::Secret, store::Locked};
use passphrase::PublishedKeys;
use std::path::Path;

/// What `setup` publishes.
pub struct Published<'a> {
    /// The passphrase of the operating system's LUKS volume; a successor by kexec has none.
    pub passphrase: Option<&'a Secret>,
    /// How it is to be found in the keyring.
    pub key: passphrase::KeyOptions<'a>,
    /// The files, by name.
    pub files: &'a [(&'a str, &'a Secret)],
    /// Where they are to be found.
    pub directory: &'a Path,
}

/// Publishes all of it, or nothing: the tmpfs is built where no other process sees it,
/// then the keys are added, and attaching the tmpfs is the last act.
///
/// # Errors
/// [`crate::error::Kind::System`]; what had been published is withdrawn.
pub fn publish(locked: &Locked, what: &Published<'_>) -> Result<()> {
    let mount = if what.files.is_empty() { None } else { Some(tmpfs::build(locked, what.files)?) };
    let keys = what.passphrase.map(|passphrase| passphrase::publish(locked, passphrase, &what.key)).transpose()?;
    let attached = mount.map_or(Ok(()), |mount| mount.attach(what.directory));
    attached.inspect_err(|_| keys.iter().for_each(PublishedKeys::withdraw))
}

/// What has been withdrawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withdrawn {
    /// Keys revoked.
    pub keys: usize,
    /// Mounts removed.
    pub mounts: usize,
}

/// Takes back what [`publish`] has published: the keys, and the tmpfs at `directory` if that is given.
///
/// Nothing there is fine. All of it is tried, whatever fails.
///
/// # Errors
/// [`crate::error::Kind::System`]: something is still there.
pub fn withdraw(key: &passphrase::KeyOptions<'_>, directory: Option<&Path>) -> Result<Withdrawn> {
    let keys = passphrase::revoke(key);
    let mounts = directory.map_or(Ok(0), tmpfs::remove);
    Ok(Withdrawn { keys: keys?, mounts: mounts? })
}
