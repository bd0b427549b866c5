//! PK, KEK, db and dbx of a keyset's machines: the one place that says what is in them.

use super::profile;
use crate::{
    error::Result,
    host::{
        keyset::{Keyset, Role},
        uefi::{
            signature_list::{self, SignatureData, SignatureList, X509},
            variable::{DB, DBX, KEK, PK, Variable},
        },
    },
    policy::boot_kind::BootKind,
};
use uuid::Uuid;

/// What verifies an image before it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Chain {
    /// The firmware itself: its db holds the keys of the images
    Direct,
    /// A shim that the firmware starts: db holds the key of the shim, and the shim the keys of the images
    Shim,
}

/// The four variables, as lists in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Databases {
    /// The platform key.
    pub pk: Vec<SignatureList>,
    /// Who may change db and dbx.
    pub kek: Vec<SignatureList>,
    /// What may be started.
    pub db: Vec<SignatureList>,
    /// What may not.
    pub dbx: Vec<SignatureList>,
}

/// What they hold that is not of a keyset.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// What db holds behind the keyset's certificates.
    pub db: Vec<SignatureList>,
    /// What dbx holds, if not the same as that of [`profile`].
    pub dbx: Option<Vec<SignatureList>>,
}

impl Databases {
    /// Those of a keyset.
    ///
    /// # Errors
    /// Those of reading the keyset.
    pub fn of(keyset: &Keyset, chain: Chain, foreign: &Foreign) -> Result<Self> {
        let entry = |role| Ok(SignatureList::x509(keyset.guid(role)?, keyset.certificate_der(role)?));
        let mut db = vec![entry(Role::UefiDb)?];
        if chain == Chain::Direct {
            for kind in BootKind::ALL {
                db.push(entry(Role::of_images(kind))?);
            }
        }
        Ok(Self {
            pk: vec![entry(Role::UefiPk)?],
            kek: vec![entry(Role::UefiKek)?],
            db: signature_list::append(&db, &foreign.db),
            dbx: foreign.dbx.clone().unwrap_or_else(profile::dbx),
        })
    }

    /// The one that this variable holds, if it does.
    #[must_use]
    pub fn of_variable(&self, variable: Variable<'_>) -> Option<&[SignatureList]> {
        let all = [(PK, &self.pk), (KEK, &self.kek), (DB, &self.db), (DBX, &self.dbx)];
        all.into_iter().find_map(|(known, lists)| (known == variable).then_some(lists.as_slice()))
    }

    /// The same, to be changed.
    pub fn of_variable_mut(&mut self, variable: Variable<'_>) -> Option<&mut Vec<SignatureList>> {
        let all = [(PK, &mut self.pk), (KEK, &mut self.kek), (DB, &mut self.db), (DBX, &mut self.dbx)];
        all.into_iter().find_map(|(known, lists)| (known == variable).then_some(lists))
    }
}

/// What a shim for a keyset is built with: the keys of the images, without an owner.
///
/// # Errors
/// Those of reading the keyset.
pub fn vendor_db(keyset: &Keyset) -> Result<Vec<SignatureList>> {
    let certificates = BootKind::ALL.map(|kind| keyset.certificate_der(Role::of_images(kind)));
    certificates.into_iter().map(|certificate| Ok(SignatureList::x509(Uuid::nil(), certificate?))).collect()
}

/// The first entry that holds a certificate: what is measured when an image was verified with it.
#[must_use]
pub fn entry_of<'a>(lists: &'a [SignatureList], certificate: &[u8]) -> Option<&'a SignatureData> {
    let certificates = lists.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
    certificates.into_iter().find(|entry| entry.data == certificate)
}
