//! What of a keyset others may have.

use super::{
    Item, Keyset, Place, Role,
    check::{is_policy_file, is_private},
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        atomic::{self, PUBLIC, Staging},
        certificate, credentials,
        key::PublicKey,
        project,
    },
    policy::pcr7data::AUTHORITIES,
};
use std::path::{Path, PathBuf};

/// Writes the certificates, GUIDs, UUIDs and signed policies of a keyset to a new directory, and returns where that is.
///
/// The layout is that of a keyset. Nothing is copied as it is that could hold more than it should: certificates
/// and public keys are written anew. The machines of the projects stay behind.
///
/// # Errors
/// [`Kind::Usage`]: the directory exists; [`Kind::Corrupt`]: a file is not what it should be; else those of reading and writing.
pub fn export_public(keyset: &Keyset, dir: &Path) -> Result<PathBuf> {
    let staging = Staging::begin(dir.to_owned())?;
    let to = staging.path();
    for role in Role::ALL {
        let from = Place::Role(role).path(keyset);
        let into = new_dir(to, Path::new(role.dir()))?;
        certificate(&from, &into)?;
        if role.has_guid() {
            text(&from, &into, Item::Guid)?;
        }
    }
    for name in project::list(keyset)? {
        let from = Place::Project(name.clone()).path(keyset);
        let into = new_dir(to, &Path::new("manifest").join(name))?;
        certificate(&from, &into)?;
        text(&from, &into, Item::Uuid)?;
    }
    policies(&keyset.pcr7data(), &new_dir(to, Path::new("pcr7data"))?)?;
    staging.finish()
}

fn new_dir(root: &Path, dir: &Path) -> Result<PathBuf> {
    let dir = root.join(dir);
    atomic::make_dirs(&dir)?;
    Ok(dir)
}

/// The certificate, and nothing that may lie around it.
fn certificate(from: &Path, to: &Path) -> Result<()> {
    let pem = certificate::to_pem(&credentials::load_certificate(from)?)?;
    atomic::create(&to.join(Item::Certificate.file()), PUBLIC, pem.as_bytes())
}

/// A GUID or UUID.
fn text(from: &Path, to: &Path, item: Item) -> Result<()> {
    let path = from.join(item.file());
    let uuid = project::read_uuid(&path)?;
    atomic::create(&to.join(item.file()), PUBLIC, uuid.to_string().as_bytes())
}

/// The versions of the signed policies.
fn policies(from: &Path, to: &Path) -> Result<()> {
    for version in atomic::list(from)?.iter().filter(|name| name.starts_with("policy-")) {
        for name in atomic::list(&from.join(version))? {
            let (from, to) = (from.join(version).join(&name), to.join(version).join(&name));
            if name == "pubkeys" {
                atomic::make_dirs(&to)?;
                public_keys(&from, &to)?;
            } else if name == AUTHORITIES {
                atomic::make_dirs(&to)?;
                authorities(&from, &to)?;
            } else if from.is_dir() {
                for rest in atomic::list(&from)? {
                    value(&from.join(&rest), &to.join(&rest))?;
                }
            }
        }
    }
    Ok(())
}

fn public_keys(from: &Path, to: &Path) -> Result<()> {
    for name in atomic::list(from)?.iter().filter(|name| name.ends_with(".pem")) {
        let path = from.join(name);
        let key = atomic::read(&path).and_then(|pem| PublicKey::from_pem(&pem));
        let key = key.map_err(|e| e.within(format!("use {}", path.display())))?;
        atomic::create(&to.join(name), PUBLIC, key.to_pem()?.as_bytes())?;
    }
    Ok(())
}

/// The certificates of who vouches for storage root keys.
fn authorities(from: &Path, to: &Path) -> Result<()> {
    for name in atomic::list(from)?.iter().filter(|name| name.ends_with(".pem")) {
        let path = from.join(name);
        let found = atomic::read(&path).and_then(|pem| certificate::from_pem(&pem));
        let found = found.map_err(|e| e.within(format!("use {}", path.display())))?;
        atomic::create(&to.join(name), PUBLIC, certificate::to_pem(&found)?.as_bytes())?;
    }
    Ok(())
}

/// The files of a PCR 7 value.
fn value(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    atomic::make_dirs(to)?;
    for name in atomic::list(from)?.iter().filter(|name| is_policy_file(name)) {
        let path = from.join(name);
        let contents = atomic::read(&path)?;
        if is_private(&contents) {
            return Err(Error::new(Kind::Corrupt, format!("export {}", path.display()), "it holds a private key")
                .remedy("restore the keyset from a backup"));
        }
        atomic::create(&to.join(name), PUBLIC, &contents)?;
    }
    Ok(())
}
