//! Creates keysets.

use super::{GUID, Keyset, Role, fit, path_of};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic::{self, Staging},
        keyset::{
            profile::{self, Owner, Valid},
            project, signed_policy,
        },
        pki::{
            credentials::Credentials,
            key::{KeyType, PrivateKey},
            key_maker,
        },
    },
};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The project that every keyset begins with.
const DEFAULT_PROJECT: &str = "default";

/// The keys of a new keyset.
#[derive(Default)]
pub struct RoleKeys {
    /// The kind of keys to make, where their verifiers support it.
    pub kind: KeyType,
    /// Existing keys.
    pub given: Vec<(Role, PrivateKey)>,
}

impl RoleKeys {
    /// Refuses keys that their roles cannot use.
    fn check(&self) -> Result<()> {
        self.given.iter().try_for_each(|(role, key)| fit::check(*role, key.public()))
    }

    /// Makes the keys that are not given, and one for the first project.
    fn complete(mut self) -> Result<(Self, PrivateKey)> {
        let missing: Vec<_> =
            Role::ALL.into_iter().filter(|role| self.given.iter().all(|(given, _)| given != role)).collect();
        fit::explain(&missing, self.kind);
        let mut kinds: Vec<_> = missing.iter().map(|role| fit::kind_for(*role, self.kind)).collect();
        kinds.push(self.kind);
        let mut made = key_maker::make(&kinds)?;
        let project = made.pop().ok_or_else(lost)?;
        self.given.extend(missing.into_iter().zip(made));
        Ok((self, project))
    }

    fn take(&mut self, role: Role) -> Result<PrivateKey> {
        let place = self.given.iter().position(|(given, _)| *given == role).ok_or_else(lost)?;
        Ok(self.given.swap_remove(place).1)
    }
}

fn lost() -> Error {
    Error::new(Kind::System, "make a keyset", "a key is missing")
}

/// Makes a keyset, all or nothing, and returns its path. `sign` adds signed policies before it is there for others.
///
/// # Errors
/// [`Kind::Usage`]: the name is taken or invalid, or a key does not fit its role; otherwise [`Kind::System`]. Nothing is left then.
pub fn create(owner: &Owner, keys: RoleKeys, sign: impl FnOnce(&Keyset) -> Result<()>) -> Result<PathBuf> {
    keys.check()?;
    let staging = Staging::begin(path_of(&owner.keyset)?)?;
    let dir = staging.path();
    let (mut keys, project_key) = keys.complete()?;

    let root = |name, valid, key| Credentials::self_signed(key, &profile::root(name, owner, valid)?);
    let signer = |name, key| Credentials::self_signed(key, &profile::code_signer(name, owner, Valid::Years(25))?);
    let mut save = |role, make: &dyn Fn(PrivateKey) -> Result<Credentials>| save(dir, role, make(keys.take(role)?)?);

    let manifest_ca = save(Role::ManifestCa, &|key| root("Manifest CA", Valid::Years(25), key))?;
    save(Role::SudiCa, &|key| root("SUDI CA", Valid::Until2099, key))?;
    let pk = save(Role::UefiPk, &|key| root("UEFI PK", Valid::Years(50), key))?;
    let kek = profile::update_signer("UEFI KEK", owner, Valid::Years(50))?;
    save(Role::UefiKek, &|key| Credentials::issued(key, &kek, &pk))?;
    save(Role::UefiDb, &|key| signer("UEFI DB", key))?;
    save(Role::UkiProduction, &|key| signer("UKI Production", key))?;
    save(Role::UkiLimited, &|key| signer("UKI Limited", key))?;
    save(Role::UkiTpm, &|key| signer("UKI TPM", key))?;
    let admin = save(Role::TpmpolAdmin, &|key| signer("TPM Policy Admin", key))?;
    let luks = save(Role::TpmpolLuks, &|key| signer("TPM Policy LUKS", key))?;
    signed_policy::publish_keys(&dir.join("pcr7data"), &owner.keyset, luks.key.public(), admin.key.public())?;

    let project = dir.join("manifest").join(DEFAULT_PROJECT);
    atomic::make_dirs(&project)?;
    project::fill(&project, project_key, &manifest_ca)?;

    let keyset = Keyset { name: owner.keyset.clone(), dir: dir.to_owned() };
    sign(&keyset)?;
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
