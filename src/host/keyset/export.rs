//! Exports the public part of a keyset.

use super::{
    Inside, Keyset, KeysetItem, Role,
    check::{is_policy_file, is_private},
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic::{self, PUBLIC, Staging},
        keyset::project,
        pki::{certificate, key::PublicKey},
    },
    policy::pcr7data::AUTHORITIES,
};
use std::path::{Path, PathBuf};

/// Writes the certificates, GUIDs, UUIDs and signed policies of a keyset to a new directory, and returns its path.
///
/// The layout is that of a keyset. Files that could hold more than they should are not copied verbatim: certificates
/// and public keys are encoded again, and links are not followed. The machines of the projects are not exported.
///
/// # Errors
/// [`Kind::Usage`]: the directory exists; [`Kind::Corrupt`]: a file is malformed, or a link; otherwise those of
/// reading and writing.
pub fn export_public(keyset: &Keyset, dir: &Path) -> Result<PathBuf> {
    let staging = Staging::begin(dir.to_owned())?;
    let (from, to) = (&Inside::of(keyset.path())?, staging.path());
    for role in Role::ALL {
        let dir = new_dir(to, Path::new(role.dir()))?;
        certificate(from, to, &dir.join(KeysetItem::Certificate.file()))?;
        if role.has_guid() {
            text(from, to, &dir.join(KeysetItem::Guid.file()))?;
        }
    }
    for name in from.list(Path::new("manifest"))? {
        let dir = new_dir(to, &Path::new("manifest").join(name))?;
        certificate(from, to, &dir.join(KeysetItem::Certificate.file()))?;
        text(from, to, &dir.join(KeysetItem::Uuid.file()))?;
    }
    policies(from, to, &new_dir(to, Path::new("pcr7data"))?)?;
    staging.finish()
}

/// Makes a directory, and returns its path in the keyset.
fn new_dir(to: &Path, dir: &Path) -> Result<PathBuf> {
    atomic::make_dirs(&to.join(dir))?;
    Ok(dir.to_owned())
}

/// The certificate in a file, without surrounding text.
fn certificate(from: &Inside, to: &Path, path: &Path) -> Result<()> {
    let found = certificate::first(&from.read(path)?).map_err(|e| unfit(path, &e))?;
    atomic::create(&to.join(path), PUBLIC, certificate::to_pem(&found)?.as_bytes())
}

/// A GUID or UUID.
fn text(from: &Inside, to: &Path, path: &Path) -> Result<()> {
    let uuid = project::parse_uuid(&from.read(path)?).map_err(|e| unfit(path, &e))?;
    atomic::create(&to.join(path), PUBLIC, uuid.to_string().as_bytes())
}

/// The versions of the signed policies.
fn policies(from: &Inside, to: &Path, dir: &Path) -> Result<()> {
    for version in from.list(dir)?.iter().filter(|name| name.starts_with("policy-")) {
        let dir = dir.join(version);
        for name in from.list(&dir)? {
            let dir = dir.join(&name);
            if name == "pubkeys" {
                public_keys(from, to, &new_dir(to, &dir)?)?;
            } else if name == AUTHORITIES {
                new_dir(to, &dir)?;
                for name in from.list(&dir)?.iter().filter(|name| name.ends_with(".pem")) {
                    certificate(from, to, &dir.join(name))?;
                }
            } else if from.is_dir(&dir)? {
                for rest in from.list(&dir)? {
                    value(from, to, &dir.join(rest))?;
                }
            }
        }
    }
    Ok(())
}

fn public_keys(from: &Inside, to: &Path, dir: &Path) -> Result<()> {
    for name in from.list(dir)?.iter().filter(|name| name.ends_with(".pem")) {
        let path = dir.join(name);
        let key = PublicKey::from_pem(&from.read(&path)?).map_err(|e| unfit(&path, &e))?;
        atomic::create(&to.join(&path), PUBLIC, key.to_pem().as_bytes())?;
    }
    Ok(())
}

/// The files of a PCR 7 value.
fn value(from: &Inside, to: &Path, dir: &Path) -> Result<()> {
    if !from.is_dir(dir)? {
        return Ok(());
    }
    new_dir(to, dir)?;
    for name in from.list(dir)?.iter().filter(|name| is_policy_file(name)) {
        let path = dir.join(name);
        let contents = from.read(&path)?;
        if is_private(&contents) {
            return Err(Error::new(Kind::Corrupt, format!("export {}", path.display()), "it holds a private key")
                .remedy("restore the keyset from a backup"));
        }
        atomic::create(&to.join(&path), PUBLIC, &contents)?;
    }
    Ok(())
}

fn unfit(path: &Path, why: &Error) -> Error {
    Error::new(Kind::Corrupt, format!("export {}", path.display()), why.cause())
        .remedy("restore the keyset from a backup")
}
