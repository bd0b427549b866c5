//! Keysets: directories of keys and certificates with fixed names.
//!
//! ```text
//! ${XDG_DATA_HOME:-~/.local/share}/machine/trust/keys/NAME/
//!   manifest-ca sudi-ca uefi-pk … each: privkey.pem cert.pem, uefi-* and uki-* also: guid
//!   manifest/PROJECT/: uuid privkey.pem cert.pem sudi/SERIAL/
//!   pcr7data/
//! ```

pub mod bulk;
pub mod check;
mod create;
mod export;
mod fit;
mod inside;
mod nearest;
mod place;
pub mod profile;
pub mod project;
pub mod purpose;
mod running_systems;
pub mod show;
pub mod signed_policy;
pub mod srk;
mod use_key;

pub use create::{RoleKeys, create};
pub use export::export_public;
pub use fit::check as check_fit;
pub use inside::Inside;
pub use nearest::nearest;
pub use place::{KeysetItem, Place};
pub use use_key::use_key;

use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{atomic, xdg},
        pki::{
            credentials::{self, Credentials},
            key::PrivateKey,
        },
    },
    policy::{boot_kind::BootKind, pcr7data::is_keyset_name},
};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};
use uuid::Uuid;
use x509_cert::Certificate;

/// The file with the owner GUID of a certificate in signature lists.
const GUID: &str = "guid";

/// The keys that every keyset has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Issues the certificates of projects.
    ManifestCa,
    /// Issues the certificates of machines.
    SudiCa,
    /// The UEFI platform key.
    UefiPk,
    /// Signs updates of UEFI's db and dbx.
    UefiKek,
    /// Signs programs that the firmware may start.
    UefiDb,
    /// Signs images that may read a machine's secrets.
    UkiProduction,
    /// Signs images that may read nothing.
    UkiLimited,
    /// Signs images that may read the TPM admin password.
    UkiTpm,
    /// Signs policies for the TPM admin password.
    TpmpolAdmin,
    /// Signs policies for a machine's secrets.
    TpmpolLuks,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ManifestCa,
        Self::SudiCa,
        Self::UefiPk,
        Self::UefiKek,
        Self::UefiDb,
        Self::UkiProduction,
        Self::UkiLimited,
        Self::UkiTpm,
        Self::TpmpolAdmin,
        Self::TpmpolLuks,
    ];

    /// The role of the key that signs the images of a kind of boots.
    #[must_use]
    pub const fn of_images(kind: BootKind) -> Self {
        match kind {
            BootKind::Production => Self::UkiProduction,
            BootKind::Limited => Self::UkiLimited,
            BootKind::Admin => Self::UkiTpm,
        }
    }

    /// Its directory in the keyset.
    #[must_use]
    pub const fn dir(self) -> &'static str {
        match self {
            Self::ManifestCa => "manifest-ca",
            Self::SudiCa => "sudi-ca",
            Self::UefiPk => "uefi-pk",
            Self::UefiKek => "uefi-kek",
            Self::UefiDb => "uefi-db",
            Self::UkiProduction => "uki-production",
            Self::UkiLimited => "uki-limited",
            Self::UkiTpm => "uki-tpm",
            Self::TpmpolAdmin => "tpmpol-admin",
            Self::TpmpolLuks => "tpmpol-luks",
        }
    }

    /// The role of this directory.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is no such role.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|role| role.dir() == name).ok_or_else(|| {
            let roles = Self::ALL.map(Self::dir).join(", ");
            Error::new(Kind::Usage, format!("use {name:?} as role of a key"), "there is no such role")
                .remedy(format!("give one of {roles}"))
        })
    }

    /// Whether it goes into signature lists of UEFI or a shim, whose entries name an owner by GUID.
    #[must_use]
    pub const fn has_guid(self) -> bool {
        match self {
            Self::UefiPk | Self::UefiKek | Self::UefiDb | Self::UkiProduction | Self::UkiLimited | Self::UkiTpm => true,
            Self::ManifestCa | Self::SudiCa | Self::TpmpolAdmin | Self::TpmpolLuks => false,
        }
    }
}

/// A keyset that exists.
#[derive(Debug)]
pub struct Keyset {
    name: String,
    dir: PathBuf,
}

impl Keyset {
    /// Finds a keyset by its name, or by its directory, which contains a slash.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is no keyset of this name or in this directory.
    pub fn open(name: &str) -> Result<Self> {
        if name.contains('/') {
            return Self::open_dir(name);
        }
        let dir = path_of(name)?;
        if !dir.is_dir() {
            return Err(Error::new(
                Kind::Usage,
                format!("open keyset {name:?}"),
                format!("{} is not a directory", dir.display()),
            )
            .remedy(instead(name)));
        }
        Ok(Self { name: name.to_owned(), dir })
    }

    fn open_dir(path: &str) -> Result<Self> {
        let no = |why: String| {
            Error::new(Kind::Usage, format!("open keyset {path:?}"), why)
                .remedy("give the name of a keyset, or the directory of one")
        };
        let dir = Path::new(path).canonicalize().map_err(|e| no(e.to_string()))?;
        if !Role::ALL.iter().any(|role| dir.join(role.dir()).is_dir()) {
            return Err(no("it holds no directory of a key".into()));
        }
        let name = dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
        check_name("keyset", name)?;
        Ok(Self { name: name.to_owned(), dir })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signed policies.
    #[must_use]
    pub fn pcr7data(&self) -> PathBuf {
        self.dir.join("pcr7data")
    }

    /// The directory of its projects.
    #[must_use]
    pub fn projects(&self) -> PathBuf {
        self.dir.join("manifest")
    }

    /// Whether a private key is available, in a file or in a token that the file names.
    #[must_use]
    pub fn has_key(&self, role: Role) -> bool {
        self.dir.join(role.dir()).join(credentials::KEY).exists()
    }

    /// A key and its certificate.
    ///
    /// # Errors
    /// Those of [`Credentials::load`].
    pub fn credentials(&self, role: Role) -> Result<Credentials> {
        Credentials::load(&self.dir.join(role.dir()))
    }

    /// A certificate; its private key may be elsewhere.
    ///
    /// # Errors
    /// Those of [`credentials::load_certificate`].
    pub fn certificate(&self, role: Role) -> Result<Certificate> {
        credentials::load_certificate(&self.dir.join(role.dir()))
    }

    /// A certificate as it is encoded in DER: what signature lists hold and a firmware measures.
    ///
    /// # Errors
    /// Those of [`credentials::load_certificate_der`].
    pub fn certificate_der(&self, role: Role) -> Result<Vec<u8>> {
        credentials::load_certificate_der(&self.dir.join(role.dir()))
    }

    /// The owner GUID of a key's certificate in signature lists of UEFI.
    ///
    /// # Errors
    /// Those of reading; [`Kind::Corrupt`] when it is no GUID.
    pub fn guid(&self, role: Role) -> Result<Uuid> {
        let path = self.dir.join(role.dir()).join(GUID);
        let bytes = atomic::read(&path)?;
        let guid = str::from_utf8(&bytes).ok().and_then(|text| Uuid::try_parse(text.trim()).ok());
        guid.ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("use {}", path.display()), "it holds no GUID")
                .remedy("restore the keyset from a backup")
        })
    }

    /// A key alone.
    ///
    /// # Errors
    /// Those of [`credentials::load_key`].
    pub fn key(&self, role: Role) -> Result<PrivateKey> {
        credentials::load_key(&self.dir.join(role.dir()))
    }
}

/// The remedy if there is no keyset of this name.
fn instead(name: &str) -> String {
    let create = format!("create it with `trust keyset add {name}`");
    let names = list().unwrap_or_default();
    match (nearest(name, &names), &*names) {
        (Some(near), _) => format!("use {near} if that is what you mean; `trust keyset list` shows all"),
        (None, []) => create,
        (None, _) => format!("use one of those that `trust keyset list` shows, or {create}"),
    }
}

/// The names of all keysets.
///
/// # Errors
/// Those of reading the directory.
pub fn list() -> Result<Vec<String>> {
    let root = root()?;
    if root.is_dir() { atomic::list(&root) } else { Ok(Vec::new()) }
}

/// The directory of a keyset of this name, whether it exists or not.
fn path_of(name: &str) -> Result<PathBuf> {
    check_name("keyset", name)?;
    Ok(root()?.join(name))
}

/// Refuses invalid names of keysets, projects and machines, such as paths that lead out of the keyset.
///
/// # Errors
/// [`Kind::Usage`].
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if is_keyset_name(name) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("use {name:?} as name of a {what}"), "it is not a plain file name")
        .remedy("give at most 100 bytes without `/`, `\\`, `\"` and control characters, not beginning with `.` or `-`"))
}

/// The directory of all keysets.
fn root() -> Result<PathBuf> {
    Ok(xdg::data()?.join("machine/trust/keys"))
}
