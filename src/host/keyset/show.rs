//! The contents of a keyset, as far as they can be read: damage does not hide the rest.

use super::{Keyset, KeysetItem, Place, Role, check::is_private};
use crate::{
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        fs::atomic,
        keyset::{project, srk},
        pki::{credentials, facts::CertificateFacts},
    },
    policy::pcr7data::{self, Pcr7Data},
};
use serde::{Deserialize, Serialize};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The kinds of PCR 7 values, in the order in which they are shown.
const KINDS: [&str; 5] = ["production", "tpm", "limited", "system", "unknown"];

/// A whole keyset.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// Name of the keyset.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// The keys that every keyset has.
    pub keys: Vec<ShownKey>,
    /// Its projects.
    pub projects: Vec<ShownKey>,
    /// The PCR 7 values that it has signed policies or further facts for.
    pub pcr7data: Vec<ShownValue>,
    /// Whether its boots require sudi-ca's signature of the TPM's storage root key.
    pub pins_tpm: bool,
}

/// A key: of the keyset, a project or a machine.
#[derive(Debug, Serialize)]
pub struct ShownKey {
    /// `uefi-db`; `default`; `SN0042`.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// The facts of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Why that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Where the private key is.
    pub private_key: Whereabouts,
    /// The owner of the certificate in signature lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// How many machines a project has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machines: Option<usize>,
}

/// Where a private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whereabouts {
    /// In its file.
    File,
    /// In a token, which the file names.
    Token,
    /// Missing.
    Absent,
    /// In a file that the user cannot read.
    Unreadable,
}

/// A PCR 7 value.
#[derive(Debug, Serialize)]
pub struct ShownValue {
    /// The value in hex.
    pub pcr7: String,
    /// `production`, `limited`, `tpm`, `system`, or `unknown`.
    pub kind: &'static str,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whose keys sign the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyset: Option<String>,
    /// What a TPM's policy version must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// When it was added: `YYYYMMDD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub est_date: Option<String>,
    /// The comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Reads a whole keyset.
#[must_use]
pub fn overview(keyset: &Keyset) -> Overview {
    let keys = Role::ALL.into_iter().map(|role| key(keyset, &Place::Role(role)));
    Overview {
        name: keyset.name().to_owned(),
        path: keyset.path().to_owned(),
        keys: keys.collect(),
        projects: projects(keyset).unwrap_or_default(),
        pcr7data: values(keyset),
        pins_tpm: srk::is_pinned(keyset),
    }
}

/// The projects of a keyset.
///
/// # Errors
/// Those of reading the directory.
pub fn projects(keyset: &Keyset) -> Result<Vec<ShownKey>> {
    Ok(project::list(keyset)?.into_iter().map(|name| key(keyset, &Place::Project(name))).collect())
}

/// Reads one key.
#[must_use]
pub fn key(keyset: &Keyset, place: &Place) -> ShownKey {
    let path = place.path(keyset);
    let certificate = credentials::load_certificate(&path);
    let text = |item: KeysetItem| atomic::read(&path.join(item.file())).ok().map(|text| words(&text));
    ShownKey {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        problem: certificate.as_ref().err().map(Error::cause),
        certificate: certificate.as_ref().ok().map(CertificateFacts::of),
        private_key: Whereabouts::of(&path.join(KeysetItem::PrivateKey.file())),
        guid: text(KeysetItem::Guid),
        uuid: text(KeysetItem::Uuid),
        machines: match place {
            Place::Project(name) => Some(project::machines(keyset, name).map_or(0, |machines| machines.len())),
            _ => None,
        },
        path,
    }
}

impl Whereabouts {
    /// Reads the file of a private key.
    pub(super) fn of(path: &Path) -> Self {
        const TOKEN: &[u8] = b"-----BEGIN PKCS#11 PROVIDER URI-----";
        match crate::files::read(path, 64 * 1024).map(Zeroizing::new) {
            Ok(pem) if pem.windows(TOKEN.len()).any(|window| window == TOKEN) => Self::Token,
            Ok(_) => Self::File,
            Err(e) if e.kind() == ErrorKind::NotFound => Self::Absent,
            Err(_) => Self::Unreadable,
        }
    }

    /// A word or two.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "in its file",
            Self::Token => "in a token",
            Self::Absent => "not here",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The path of a private key, for its users.
///
/// # Errors
/// [`Kind::Usage`] when it is not here.
pub fn whereabouts(path: &Path) -> Result<Whereabouts> {
    match Whereabouts::of(path) {
        Whereabouts::Absent => Err(Error::new(Kind::Usage, format!("find {}", path.display()), "it is not here")
            .remedy("restore it from a backup, or ask who keeps it")),
        found => Ok(found),
    }
}

/// The PCR 7 values of a keyset, by kind.
#[must_use]
pub fn values(keyset: &Keyset) -> Vec<ShownValue> {
    let Ok(data) = Pcr7Data::open(&keyset.pcr7data()) else {
        return Vec::new();
    };
    let mut values: Vec<_> = data.values().iter().map(|pcr7| value(data.dir(), pcr7)).collect();
    let rank = |kind| KINDS.iter().position(|known| *known == kind);
    values.sort_by(|a, b| (rank(a.kind), &a.pcr7).cmp(&(rank(b.kind), &b.pcr7)));
    values
}

fn value(policies: &Path, pcr7: &Digest) -> ShownValue {
    /// Facts that targets do not need.
    #[derive(Default, Deserialize)]
    struct More {
        est_date: Option<String>,
        comment: Option<String>,
        policy_version: Option<String>,
    }
    let json = atomic::read(&policies.join(pcr7data::path_of(pcr7)).join("info.json"));
    let info = json.as_ref().map_err(Error::cause).and_then(|json| pcr7data::parse_info(json).map_err(|e| e.cause()));
    let more: More = json.ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    ShownValue {
        pcr7: hex(pcr7),
        kind: info.as_ref().map_or("unknown", |info| info.kind.as_str()),
        problem: info.as_ref().err().cloned(),
        keyset: info.ok().map(|info| info.keyset),
        policy_version: more.policy_version.as_deref().map(printable),
        est_date: more.est_date.as_deref().map(printable),
        comment: more.comment.as_deref().map(printable).filter(|comment| !comment.is_empty()),
    }
}

/// The contents of a file beside a key.
///
/// # Errors
/// [`Kind::Usage`]: it is not there, or is the private key, which is not for printing.
pub fn contents(path: &Path, item: KeysetItem) -> Result<Vec<u8>> {
    let path = path.join(item.file());
    let contents = if item == KeysetItem::PrivateKey { None } else { Some(atomic::read(&path)?) };
    // There may be one beside a certificate, or behind a link.
    contents.filter(|contents| !is_private(contents)).ok_or_else(|| {
        let why = "a private key is not for terminals, logs and command lines";
        Error::new(Kind::Usage, "print a private key", why)
            .remedy(format!("give the program that needs it the file: {}", path.display()))
    })
}

/// Text from a file, without surrounding white space.
fn words(text: &[u8]) -> String {
    printable(String::from_utf8_lossy(text).trim())
}
