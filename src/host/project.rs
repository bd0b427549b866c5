//! Products of a keyset, and the identities (SUDI) of their machines.

use super::{
    atomic::{self, Staging},
    credentials::Credentials,
    key::{KeyType, PrivateKey},
    keyset::{Keyset, Role, check_name},
    profile,
};
use crate::error::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Name of the file that holds the product's UUID.
const PRODUCT: &str = "uuid";
/// Name of the directory that holds its machines.
const MACHINES: &str = "sudi";
/// Longest serial number, in bytes: that of a commonName (RFC 5280, `ub-common-name`).
const MAX_SERIAL: usize = 64;

/// Adds a project to a keyset and returns where it is.
///
/// # Errors
/// [`Kind::Usage`]: the name is taken or impossible; else those of reading the keyset and writing.
pub fn add(keyset: &Keyset, name: &str) -> Result<PathBuf> {
    check_name("project", name)?;
    let staging = Staging::begin(keyset.projects().join(name))?;
    let manifest_ca = keyset.credentials(Role::ManifestCa)?;
    fill(staging.path(), PrivateKey::generate(KeyType::like(manifest_ca.key.public()))?, &manifest_ca)?;
    staging.finish()
}

/// Writes a new project into an empty directory.
///
/// # Errors
/// [`Kind::System`].
pub(super) fn fill(dir: &Path, key: PrivateKey, manifest_ca: &Credentials) -> Result<()> {
    let product = Uuid::new_v4();
    Credentials::issued(key, &profile::manifest(&product)?, manifest_ca)?.save(dir)?;
    atomic::create(&dir.join(PRODUCT), atomic::PUBLIC, product.to_string().as_bytes())?;
    atomic::make_dirs(&dir.join(MACHINES))
}

/// Adds a machine to a project and returns where its credentials are.
///
/// # Errors
/// [`Kind::Usage`]: no such project, or the serial number is taken or impossible; else those of reading the keyset and writing.
pub fn add_machine(keyset: &Keyset, project: &str, serial: &str) -> Result<PathBuf> {
    check_name("machine", serial)?;
    if serial.len() > MAX_SERIAL {
        return Err(Error::new(
            Kind::Usage,
            "add a machine",
            format!("its serial number is longer than {MAX_SERIAL} bytes"),
        )
        .remedy("give a shorter one"));
    }
    let dir = open(keyset, project)?;
    let product = product(&dir)?;
    let staging = Staging::begin(dir.join(MACHINES).join(serial))?;
    let sudi_ca = keyset.credentials(Role::SudiCa)?;
    let key = PrivateKey::generate(KeyType::like(sudi_ca.key.public()))?;
    let template = profile::sudi(&product, serial, key.public().family())?;
    Credentials::issued(key, &template, &sudi_ca)?.save(staging.path())?;
    staging.finish()
}

/// The names of a keyset's projects.
///
/// # Errors
/// Those of reading the directory.
pub fn list(keyset: &Keyset) -> Result<Vec<String>> {
    atomic::list(&keyset.projects())
}

/// The serial numbers of a project's machines.
///
/// # Errors
/// [`Kind::Usage`]: no such project; else those of reading the directory.
pub fn machines(keyset: &Keyset, project: &str) -> Result<Vec<String>> {
    let dir = open(keyset, project)?.join(MACHINES);
    if dir.is_dir() { atomic::list(&dir) } else { Ok(Vec::new()) }
}

/// Finds a project.
fn open(keyset: &Keyset, name: &str) -> Result<PathBuf> {
    check_name("project", name)?;
    let dir = keyset.projects().join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let keyset = keyset.name();
    Err(Error::new(Kind::Usage, format!("open project {name:?}"), format!("keyset {keyset:?} has none of this name"))
        .remedy(format!("add it with `trust project add {keyset} {name}`")))
}

/// The UUID of the product in this directory.
fn product(dir: &Path) -> Result<Uuid> {
    let path = dir.join(PRODUCT);
    let text = atomic::read(&path)?;
    Uuid::try_parse_ascii(text.trim_ascii()).map_err(|e| {
        Error::new(Kind::Corrupt, format!("use {}", path.display()), e.to_string())
            .remedy("restore the keyset from a backup")
    })
}
