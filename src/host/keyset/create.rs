//! How a keyset is made.

use super::{GUID, Role, path_of};
use crate::{
    error::{Error, Kind, Result},
    host::{
        atomic::{self, Staging},
        credentials::Credentials,
        key::KeyType,
        key_maker,
        profile::{self, Owner, Valid},
        project, signed_policy,
    },
};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The project that every keyset begins with.
const DEFAULT_PROJECT: &str = "default";

/// Makes a keyset, all or nothing, and returns where it is.
///
/// # Errors
/// [`Kind::Usage`]: the name is taken or impossible; else [`Kind::System`]. Nothing is left then.
pub fn create(owner: &Owner) -> Result<PathBuf> {
    let staging = Staging::begin(path_of(&owner.keyset)?)?;
    let dir = staging.path();
    let mut keys = key_maker::make(&[KeyType::default(); Role::ALL.len() + 1])?;
    let mut take = || keys.pop().ok_or_else(|| Error::new(Kind::System, "make a keyset", "a key is missing"));

    let root = |name, valid, key| Credentials::self_signed(key, &profile::root(name, owner, valid)?);
    let signer = |name, key| Credentials::self_signed(key, &profile::code_signer(name, owner, Valid::Years(25))?);
    let manifest_ca = save(dir, Role::ManifestCa, root("Manifest CA", Valid::Years(25), take()?)?)?;
    save(dir, Role::SudiCa, root("SUDI CA", Valid::Until2099, take()?)?)?;
    let pk = save(dir, Role::UefiPk, root("UEFI PK", Valid::Years(50), take()?)?)?;
    let kek = profile::update_signer("UEFI KEK", owner, Valid::Years(50))?;
    save(dir, Role::UefiKek, Credentials::issued(take()?, &kek, &pk)?)?;
    save(dir, Role::UefiDb, signer("UEFI DB", take()?)?)?;
    save(dir, Role::UkiProduction, signer("UKI Production", take()?)?)?;
    save(dir, Role::UkiLimited, signer("UKI Limited", take()?)?)?;
    save(dir, Role::UkiTpm, signer("UKI TPM", take()?)?)?;
    let admin = save(dir, Role::TpmpolAdmin, signer("TPM Policy Admin", take()?)?)?;
    let luks = save(dir, Role::TpmpolLuks, signer("TPM Policy LUKS", take()?)?)?;

    let project = dir.join("manifest").join(DEFAULT_PROJECT);
    atomic::make_dirs(&project)?;
    project::fill(&project, take()?, &manifest_ca)?;
    signed_policy::publish_keys(&dir.join("pcr7data"), &owner.keyset, luks.key.public(), admin.key.public())?;
    staging.finish()
}

/// Writes one of the keyset's directories.
fn save(dir: &Path, role: Role, credentials: Credentials) -> Result<Credentials> {
    let dir = dir.join(role.dir());
    atomic::make_dirs(&dir)?;
    credentials.save(&dir)?;
    if role.has_guid() {
        atomic::create(&dir.join(GUID), atomic::PUBLIC, Uuid::new_v4().to_string().as_bytes())?;
    }
    Ok(credentials)
}
