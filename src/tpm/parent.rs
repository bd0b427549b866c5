//! The storage keys that sealed data has for a parent: a persistent one, or a primary key made from a template.

use super::{connection::Tpm, esys_resource, layout::SRK_HANDLE, primary::HierarchyAccess};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tpm2::{
        self,
        constants::{curve, rh},
        public::{AsymmetricKey, attribute},
    },
};
use std::{fmt, str::FromStr};
use tss_esapi::{
    handles::{KeyHandle, ObjectHandle},
    structures::{Auth, Public},
    traits::UnMarshall,
};

/// What a persistent handle begins with.
const PERSISTENT: u32 = 0x81;
/// What fails, in messages.
const WHAT: &str = "use the parent of sealed data";

/// A storage key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The one at this handle.
    Persistent(u32),
    /// The primary key of a hierarchy that a template gives, made for the occasion.
    Primary {
        /// `TPM_RH`.
        hierarchy: u32,
        /// From which it is made.
        template: ParentTemplate,
    },
}

/// Templates of primary storage keys. From the same one a TPM makes the same key, until its seed is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentTemplate {
    /// The storage root key of the TCG's provisioning guidance: ECC P-256. Also the one of the draft for key files.
    Ecc,
    /// The same with RSA 2048, as GRUB, systemd and the OpenSSL engine make it: with nothing in `unique`.
    Rsa,
    /// The same with 256 zeros in `unique`, as go-tpm and Windows make it.
    RsaZeros,
    /// What `tpm2_createprimary` makes unless told otherwise: RSA 2048.
    ToolsRsa,
    /// What `tpm2_createprimary -G ecc` makes: ECC P-256.
    ToolsEcc,
}

impl ParentTemplate {
    /// All of them, the quickest first.
    pub const ALL: [Self; 5] = [Self::Ecc, Self::ToolsEcc, Self::Rsa, Self::ToolsRsa, Self::RsaZeros];

    fn public(self) -> tpm2::Public<'static> {
        let root = tpm2::Public::STORAGE_ROOT_KEY;
        // tpm2-tools have the key count wrong passwords, of which it has none.
        let tools = root.attributes & !attribute::NO_DA;
        let rsa = |zeros| AsymmetricKey::NewRsa { bits: 2048, zeros };
        match self {
            Self::Ecc => root,
            Self::Rsa => tpm2::Public { key: rsa(0), ..root },
            Self::RsaZeros => tpm2::Public { key: rsa(256), ..root },
            Self::ToolsRsa => tpm2::Public { attributes: tools, key: rsa(0), ..root },
            Self::ToolsEcc => tpm2::Public {
                attributes: tools,
                key: AsymmetricKey::Ecc { curve: curve::NIST_P256, x: &[], y: &[] },
                ..root
            },
        }
    }

    /// Whether it is of the kind that key files call `rsaParent`.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa | Self::RsaZeros | Self::ToolsRsa)
    }
}

/// The hierarchies that have primary keys, as people call them.
const HIERARCHIES: [(&str, u32); 3] = [("owner", rh::OWNER), ("endorsement", rh::ENDORSEMENT), ("null", rh::NULL)];
/// The templates, as people call them.
const TEMPLATES: [(&str, ParentTemplate); 5] = [
    ("ecc", ParentTemplate::Ecc),
    ("rsa", ParentTemplate::Rsa),
    ("rsa-zeros", ParentTemplate::RsaZeros),
    ("tools-ecc", ParentTemplate::ToolsEcc),
    ("tools-rsa", ParentTemplate::ToolsRsa),
];

impl FromStr for Parent {
    type Err = String;

    /// A persistent handle, or a hierarchy, and after a colon the template.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = || format!("{text:?} is not a handle like 0x81000001, or owner, endorsement or null[:TEMPLATE]");
        if let Some(digits) = text.strip_prefix("0x") {
            let handle = u32::from_str_radix(digits, 16).ok().filter(|handle| handle >> 24 == PERSISTENT);
            return handle.map(Self::Persistent).ok_or_else(bad);
        }
        let (name, template) = text.split_once(':').unwrap_or((text, "ecc"));
        let hierarchy = HIERARCHIES.iter().find(|(known, _)| *known == name).ok_or_else(bad)?.1;
        let template = TEMPLATES.iter().find(|(known, _)| *known == template);
        let template = template.ok_or_else(|| {
            format!("there is no template {text:?}, but {}", TEMPLATES.map(|(name, _)| name).join(", "))
        })?;
        Ok(Self::Primary { hierarchy, template: template.1 })
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persistent(handle) => write!(f, "{handle:#010x}"),
            Self::Primary { hierarchy, template } => {
                let hierarchy =
                    HIERARCHIES.iter().find(|(_, handle)| handle == hierarchy).map_or("?", |(name, _)| name);
                let template = TEMPLATES.iter().find(|(_, other)| other == template).map_or("?", |(name, _)| name);
                write!(f, "{hierarchy}:{template}")
            }
        }
    }
}

impl Parent {
    /// The storage root key at its usual place.
    pub const STORAGE_ROOT_KEY: Self = Self::Persistent(SRK_HANDLE);

    /// As a key file has it: handle, and whether it means an RSA key.
    #[must_use]
    pub const fn in_file(self) -> (u32, bool) {
        match self {
            Self::Persistent(handle) => (handle, false),
            Self::Primary { hierarchy, template } => (hierarchy, template.is_rsa()),
        }
    }

    /// That of a key file. `None`: it is neither persistent nor a hierarchy.
    #[must_use]
    pub fn of_file(handle: u32, rsa: bool) -> Option<Self> {
        if handle >> 24 == PERSISTENT {
            return Some(Self::Persistent(handle));
        }
        let template = if rsa { ParentTemplate::Rsa } else { ParentTemplate::Ecc };
        HIERARCHIES.iter().any(|(_, known)| *known == handle).then_some(Self::Primary { hierarchy: handle, template })
    }

    /// What sealed data has for a parent unless told otherwise, the first that there is: the storage root key, else the
    /// primary key of the owner that it would be.
    pub const USUAL: [Self; 2] =
        [Self::STORAGE_ROOT_KEY, Self::Primary { hierarchy: rh::OWNER, template: ParentTemplate::Ecc }];

    /// Those that it may have been where only its kind is known: the templates of the same hierarchy.
    #[must_use]
    pub fn candidates(self) -> Vec<Self> {
        match self {
            Self::Persistent(_) => vec![self],
            Self::Primary { hierarchy, template } => {
                let others = ParentTemplate::ALL.into_iter().filter(|other| *other != template);
                std::iter::once(template).chain(others).map(|template| Self::Primary { hierarchy, template }).collect()
            }
        }
    }
}

/// What a parent is used with.
#[derive(Default)]
pub struct ParentAccess {
    /// The parent's password, where that is persistent and has one.
    pub password: Option<Secret>,
    /// What it is made with, where it is made.
    pub hierarchy: HierarchyAccess,
}

/// A parent in use.
#[derive(Clone, Copy)]
pub(super) struct LoadedParent {
    pub handle: KeyHandle,
    /// Whether a session can be salted to it.
    pub salts: bool,
    /// Whether it must be flushed.
    transient: bool,
}

impl Tpm {
    /// The first of `parents` that there is.
    pub(super) fn load_first(&mut self, parents: &[Parent], access: &ParentAccess) -> Result<(LoadedParent, Parent)> {
        let mut last = Error::new(Kind::Usage, WHAT, "none is named");
        for parent in parents {
            match self.load_parent(*parent, access) {
                Ok(loaded) => return Ok((loaded, *parent)),
                Err(error) if error.kind() == Kind::Unprovisioned => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Finds or makes a parent, and has ESYS know its password.
    pub(super) fn load_parent(&mut self, parent: Parent, access: &ParentAccess) -> Result<LoadedParent> {
        match parent {
            Parent::Persistent(handle) => {
                let Some(object) = self.find_persistent(handle)? else {
                    let why = format!("the TPM has no key at {handle:#010x}");
                    return Err(Error::new(Kind::Unprovisioned, WHAT, why)
                        .remedy("name the parent that it was sealed under: --parent owner, or a handle"));
                };
                if let Some(password) = &access.password {
                    self.run(WHAT, |c| c.tr_set_auth(object, Auth::from_bytes(password.expose())?))?;
                }
                let salts = self.salts(object)?;
                Ok(LoadedParent { handle: KeyHandle::from(object), salts, transient: false })
            }
            Parent::Primary { hierarchy, template } => self.make_parent(hierarchy, template, &access.hierarchy),
        }
    }

    fn make_parent(
        &mut self,
        hierarchy: u32,
        template: ParentTemplate,
        access: &HierarchyAccess,
    ) -> Result<LoadedParent> {
        let template = template.public().area().unwrap_or_default();
        let template = Public::unmarshall(&template).map_err(|e| Error::new(Kind::System, WHAT, e.to_string()))?;
        let made = self.make_primary("make the parent of sealed data", hierarchy, &template, access)?.key_handle;
        let salts = self.salts(made.into())?;
        Ok(LoadedParent { handle: made, salts, transient: true })
    }

    fn salts(&mut self, object: ObjectHandle) -> Result<bool> {
        let resource = self.run(WHAT, |c| c.tr_serialize(object))?;
        Ok(esys_resource::storage_key(&resource).is_some())
    }

    /// Has the TPM forget what was made for the occasion.
    pub(super) fn release_parent(&mut self, parent: LoadedParent) -> Result<()> {
        if parent.transient { self.flush(parent.handle) } else { Ok(()) }
    }
}
