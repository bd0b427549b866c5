//! Products of a keyset, and the identities (SUDI) of their machines.

use super::profile;
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::{self, Staging},
            xdg,
        },
        keyset::{Keyset, Role, check_name, nearest},
        pki::{
            credentials::Credentials,
            key::{KeyType, PrivateKey},
        },
    },
};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Name of the file that holds the product's UUID.
const PRODUCT: &str = "uuid";
/// Name of the directory that holds its machines.
pub const MACHINES: &str = "sudi";
/// The directory, in the user's configuration, of products that belong to no project.
const PRODUCTS: &str = "machine/trust/manifest";
/// Longest serial number, in bytes: that of a commonName (RFC 5280, `ub-common-name`).
const MAX_SERIAL: usize = 64;

/// Adds a project to a keyset and returns its path.
///
/// # Errors
/// [`Kind::Usage`]: the name is taken or invalid; otherwise those of reading the keyset and writing.
pub fn add(keyset: &Keyset, name: &str, kind: Option<KeyType>) -> Result<PathBuf> {
    check_name("project", name)?;
    let staging = Staging::begin(keyset.projects().join(name))?;
    let manifest_ca = keyset.credentials(Role::ManifestCa)?;
    fill(staging.path(), new_key(kind, &manifest_ca)?, &manifest_ca)?;
    staging.finish()
}

/// Makes a product of a keyset in the user's configuration, and returns its UUID and path.
///
/// # Errors
/// Those of reading the keyset and writing.
pub fn new_product(keyset: &Keyset, kind: Option<KeyType>) -> Result<(Uuid, PathBuf)> {
    let product = Uuid::new_v4();
    let staging = Staging::begin(xdg::config()?.join(PRODUCTS).join(product.to_string()))?;
    let manifest_ca = keyset.credentials(Role::ManifestCa)?;
    certify(staging.path(), &product, new_key(kind, &manifest_ca)?, &manifest_ca)?;
    Ok((product, staging.finish()?))
}

/// Makes a key of the given kind, or by default of that of the authority.
fn new_key(kind: Option<KeyType>, authority: &Credentials) -> Result<PrivateKey> {
    PrivateKey::generate(kind.unwrap_or_else(|| KeyType::like(authority.key.public())))
}

/// Writes a new project into an empty directory.
///
/// # Errors
/// [`Kind::System`].
pub(super) fn fill(dir: &Path, key: PrivateKey, manifest_ca: &Credentials) -> Result<()> {
    certify(dir, &Uuid::new_v4(), key, manifest_ca)?;
    atomic::make_dirs(&dir.join(MACHINES))
}

/// Writes a product's key, certificate and UUID into an empty directory.
fn certify(dir: &Path, product: &Uuid, key: PrivateKey, manifest_ca: &Credentials) -> Result<()> {
    Credentials::issued(key, &profile::manifest(product)?, manifest_ca)?.save(dir)?;
    atomic::create(&dir.join(PRODUCT), atomic::PUBLIC, product.to_string().as_bytes())
}

/// Adds a machine to a project and returns the directory of its credentials.
///
/// # Errors
/// [`Kind::Usage`]: no such project, or the serial number is taken or invalid; otherwise those of reading the keyset and writing.
pub fn add_machine(keyset: &Keyset, project: &str, serial: &str, kind: Option<KeyType>) -> Result<PathBuf> {
    check_serial(serial)?;
    let dir = open(keyset, project)?;
    let product = product(&dir)?;
    let staging = Staging::begin(dir.join(MACHINES).join(serial))?;
    let sudi_ca = keyset.credentials(Role::SudiCa)?;
    let key = new_key(kind, &sudi_ca)?;
    let template = profile::sudi(&product, serial, key.public().family())?;
    Credentials::issued(key, &template, &sudi_ca)?.save(staging.path())?;
    staging.finish()
}

/// Refuses invalid serial numbers of machines: they must be directory names and commonNames.
///
/// # Errors
/// [`Kind::Usage`].
pub fn check_serial(serial: &str) -> Result<()> {
    check_name("machine", serial)?;
    let no = |why: String, remedy| {
        Err(Error::new(Kind::Usage, format!("use {serial:?} as name of a machine"), why).remedy(remedy))
    };
    if serial.len() > MAX_SERIAL {
        return no(format!("its serial number is longer than {MAX_SERIAL} bytes"), "give a shorter one");
    }
    if serial.trim() != serial {
        return no("it begins or ends with white space".into(), "give it without");
    }
    Ok(())
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
pub fn open(keyset: &Keyset, name: &str) -> Result<PathBuf> {
    check_name("project", name)?;
    let dir = keyset.projects().join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let names = list(keyset).unwrap_or_default();
    let keyset = keyset.name();
    let error =
        Error::new(Kind::Usage, format!("open project {name:?}"), format!("keyset {keyset:?} has none of this name"));
    Err(match nearest(name, &names) {
        Some(near) => {
            error.remedy(format!("use {near} if that is what you mean; `trust project list {keyset}` shows all"))
        }
        None => error.remedy(format!("add it with `trust project add {keyset} {name}`")),
    })
}

/// The UUID of the product in this directory.
pub(super) fn product(dir: &Path) -> Result<Uuid> {
    read_uuid(&dir.join(PRODUCT))
}

/// A UUID, or GUID, in a file.
pub(super) fn read_uuid(path: &Path) -> Result<Uuid> {
    parse_uuid(&atomic::read(path)?).map_err(|e| e.within(format!("use {}", path.display())))
}

/// A UUID, or GUID, as a file holds it.
pub(super) fn parse_uuid(text: &[u8]) -> Result<Uuid> {
    Uuid::try_parse_ascii(text.trim_ascii())
        .map_err(|e| Error::new(Kind::Corrupt, "read a UUID", e.to_string()).remedy("restore the keyset from a backup"))
}
