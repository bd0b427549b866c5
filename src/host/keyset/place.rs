//! Places in a keyset, as users name them.

use super::{Keyset, Role, check_name};
use crate::error::{Error, Kind, Result};
use std::path::PathBuf;

/// A directory of a keyset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `uefi-db` and similar: a key that every keyset has.
    Role(Role),
    /// `manifest`: the projects.
    Projects,
    /// `manifest/PROJECT`, or `manifest:PROJECT`.
    Project(String),
    /// `manifest/PROJECT/SERIAL`, or as the directories are: `manifest/PROJECT/sudi/SERIAL`.
    Machine(String, String),
    /// `pcr7data`: the signed policies.
    Policies,
}

impl Place {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Kind::Usage`]: no keyset has a place of this name.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(role) = Role::ALL.into_iter().find(|role| role.dir() == text) {
            return Ok(Self::Role(role));
        }
        let project = |name: &str| check_name("project", name).map(|()| name.to_owned());
        let machine = |name: &str| check_name("machine", name).map(|()| name.to_owned());
        if let Some(name) = text.strip_prefix("manifest:") {
            return project(name).map(Self::Project);
        }
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["manifest"] => Ok(Self::Projects),
            ["pcr7data"] => Ok(Self::Policies),
            ["manifest", name] => project(name).map(Self::Project),
            ["manifest", name, "sudi", serial] | ["manifest", name, serial] => {
                Ok(Self::Machine(project(name)?, machine(serial)?))
            }
            _ => Err(Error::new(Kind::Usage, format!("find {text:?}"), "no keyset has a key of this name").remedy(
                format!("give one of {}, manifest, manifest/PROJECT or pcr7data", Role::ALL.map(Role::dir).join(", ")),
            )),
        }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self, keyset: &Keyset) -> PathBuf {
        match self {
            Self::Role(role) => keyset.path().join(role.dir()),
            Self::Projects => keyset.projects(),
            Self::Project(project) => keyset.projects().join(project),
            Self::Machine(project, serial) => keyset.projects().join(project).join("sudi").join(serial),
            Self::Policies => keyset.pcr7data(),
        }
    }
}

/// A file beside a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysetItem {
    /// The certificate.
    Certificate,
    /// The private key, or the name of the one in a token.
    PrivateKey,
    /// The owner of the certificate in signature lists.
    Guid,
    /// The product that a project is.
    Uuid,
}

impl KeysetItem {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Certificate, Self::PrivateKey, Self::Guid, Self::Uuid];

    /// Reads a name: `cert`, or that of the file, `cert.pem`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|item| text == item.file() || text == item.name());
        found.ok_or_else(|| {
            Error::new(Kind::Usage, format!("find {text:?}"), "no key has an item of this name")
                .remedy("give one of cert, privkey, guid or uuid")
        })
    }

    /// Its name without an extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.file().trim_end_matches(".pem")
    }

    /// Name of the file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Certificate => "cert.pem",
            Self::PrivateKey => "privkey.pem",
            Self::Guid => "guid",
            Self::Uuid => "uuid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_of_places_are_parsed_and_others_refused() {
        let project = || Place::Project("a:b".into());
        for (text, place) in [
            ("uefi-db", Place::Role(Role::UefiDb)),
            ("manifest", Place::Projects),
            ("pcr7data", Place::Policies),
            ("manifest/a:b", project()),
            ("manifest:a:b", project()),
            ("manifest/p/s", Place::Machine("p".into(), "s".into())),
            ("manifest/p/sudi/s", Place::Machine("p".into(), "s".into())),
        ] {
            assert_eq!(Place::parse(text).unwrap(), place);
        }
        for text in ["", "uefi", "manifest/", "manifest/..", "manifest/p/..", "manifest/p/s/s", "/", "..", "pcr7data/x"]
        {
            assert_eq!(Place::parse(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn names_of_items_are_parsed() {
        for (text, item) in
            [("cert", KeysetItem::Certificate), ("privkey.pem", KeysetItem::PrivateKey), ("guid", KeysetItem::Guid)]
        {
            assert_eq!(KeysetItem::parse(text).unwrap(), item);
        }
        assert!(KeysetItem::parse("../uefi-db/cert.pem").is_err());
    }
}
