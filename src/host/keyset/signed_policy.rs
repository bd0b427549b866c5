//! pcr7data: writes the entries that [`crate::policy::pcr7data`] reads.

use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    host::{
        fs::{atomic, interrupt},
        keyset::{Keyset, Role, check_fit},
        pki::key::{Hash, PrivateKey, PublicKey},
    },
    pem,
    policy::{
        boot_kind::BootKind,
        pcr7data::{self, Pcr7Data},
        version::Version,
    },
};
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The version of the format of new directories.
const POLICY_DIR: &str = "policy-2";

/// The PCR 7 values of the three kinds of boots of a keyset.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    /// Of images signed by uki-production.
    pub production: Digest,
    /// Of images signed by uki-limited.
    pub limited: Digest,
    /// Of images signed by uki-tpm.
    pub tpm: Digest,
}

impl Values {
    /// The value of a kind of boots.
    #[must_use]
    pub const fn of(&self, kind: BootKind) -> Digest {
        match kind {
            BootKind::Production => self.production,
            BootKind::Limited => self.limited,
            BootKind::Admin => self.tpm,
        }
    }
}

/// The policies signed for them.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// For the machine's secrets, by tpmpol-luks.
    pub luks: Digest,
    /// For the TPM admin password, by tpmpol-admin.
    pub passwd: Digest,
    /// What a TPM's policy version must be for `luks` to hold.
    pub version: Version,
}

/// Further facts about values, for users.
#[derive(Clone, Copy, Debug, Default)]
pub struct Note<'a> {
    /// The comment in info.json.
    pub comment: &'a str,
    /// The events of production boots, if they are known: a machine uses them to explain why it is not in one.
    pub events: Option<&'a str>,
}

impl Policies {
    /// Those of a policy version; machines are provisioned with [`crate::policy::version::FIRST`].
    ///
    /// # Errors
    /// Those of [`BootKind::policy`].
    pub fn of(values: &Values, version: Version) -> Result<Self> {
        let luks = BootKind::Production.policy(&values.production, version)?.digest();
        let passwd = BootKind::Admin.policy(&values.tpm, version)?.digest();
        Ok(Self { luks, passwd, version })
    }
}

/// Adds three PCR 7 values and their signed policies to a keyset; existing ones stay valid.
///
/// # Errors
/// [`Kind::Usage`]: two values are equal, or one exists with another kind; otherwise those of reading the keyset and writing.
pub fn add(keyset: &Keyset, values: &Values, policies: &Policies, note: Note<'_>) -> Result<()> {
    if values.production == values.limited || values.limited == values.tpm || values.tpm == values.production {
        return Err(Error::new(Kind::Usage, "add PCR 7 values", "two of them are the same")
            .remedy("give the values of three kinds of images"));
    }
    let (luks, admin) = (keyset.key(Role::TpmpolLuks)?, keyset.key(Role::TpmpolAdmin)?);
    check_fit(Role::TpmpolLuks, luks.public())?;
    check_fit(Role::TpmpolAdmin, admin.public())?;
    let dir = publish_keys(&keyset.pcr7data(), keyset.name(), luks.public(), admin.public())?;
    let mut production = SignedEntry::signed(&values.production, BootKind::Production, &luks, &policies.luks)?;
    production.files.extend(note.events.map(|events| (pcr7data::EVENTS, events.into())));
    let entries = [
        production,
        SignedEntry::signed(&values.tpm, BootKind::Admin, &admin, &policies.passwd)?,
        SignedEntry::limited(values),
    ];
    for entry in &entries {
        entry.check(&dir)?;
    }
    // Ctrl-C waits: three entries or none.
    interrupt::defer();
    for entry in &entries {
        entry.write(&dir, keyset.name(), &policies.version, note.comment)?;
    }
    Ok(())
}

/// Writes the public keys that a target checks policies with, and returns the directory of the policies.
///
/// # Errors
/// [`Kind::Usage`]: other keys are published, which have signed the existing policies; otherwise [`Kind::System`].
pub(super) fn publish_keys(pcr7data: &Path, keyset: &str, luks: &PublicKey, admin: &PublicKey) -> Result<PathBuf> {
    let dir = directory(pcr7data);
    let keys = dir.join("pubkeys");
    let file = |kind: BootKind| Ok(keys.join(kind.signed_policy()?.key_of(keyset)));
    let files = [(file(BootKind::Production)?, luks), (file(BootKind::Admin)?, admin)];
    for (path, key) in &files {
        refuse_another(path, key)?;
    }
    atomic::make_dirs(&keys)?;
    for (path, key) in &files {
        atomic::replace(path, atomic::PUBLIC, key.to_pem().as_bytes())?;
    }
    Ok(dir)
}

/// The directory of the policies in use: of several, that of the highest version.
pub(super) fn directory(pcr7data: &Path) -> PathBuf {
    Pcr7Data::open(pcr7data).map_or_else(|_| pcr7data.join(POLICY_DIR), |found| found.dir().to_owned())
}

/// Refuses to replace a published key: targets would no longer accept what that has signed.
fn refuse_another(path: &Path, key: &PublicKey) -> Result<()> {
    if !path.exists()
        || pem::blocks(&atomic::read(path)?).any(|block| block.der.is_some_and(|der| *der == key.as_der()))
    {
        return Ok(());
    }
    let why = format!("{} is another key, which has signed what is there", path.display());
    Err(Error::new(Kind::Usage, "add signed policies", why)
        .remedy("use the private key that belongs to it, or move pcr7data away and sign everything anew"))
}

/// The contents of an info.json.
#[derive(serde::Serialize)]
struct InfoJson<'a> {
    key: &'a str,
    key_type: &'a str,
    /// When the value was established: YYYYMMDD.
    est_date: &'a str,
    comment: &'a str,
    /// What the TPM's policy version must be, where the policy asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_version: Option<&'a str>,
}

/// The entry of one PCR 7 value.
struct SignedEntry {
    pcr7: Digest,
    kind: BootKind,
    /// Names and contents, without info.json.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl SignedEntry {
    fn signed(pcr7: &Digest, kind: BootKind, key: &PrivateKey, policy: &Digest) -> Result<Self> {
        // TPM2_PolicyAuthorize checks SHA-256(policy || policyRef), and our policyRef is empty.
        let signature = (kind.signed_policy()?.signature, key.sign(Hash::Sha256, policy)?);
        Ok(Self { pcr7: *pcr7, kind, files: vec![signature] })
    }

    fn limited(values: &Values) -> Self {
        let file = |name, value: &Digest| (name, value.to_vec());
        let files = vec![
            file("pcr_limited.bin", &values.limited),
            file("pcr_tpm.bin", &values.tpm),
            file("pcr_prod.bin", &values.production),
        ];
        Self { pcr7: values.limited, kind: BootKind::Limited, files }
    }

    /// Refuses to give an existing value another kind.
    fn check(&self, dir: &Path) -> Result<()> {
        let info = dir.join(pcr7data::path_of(&self.pcr7)).join("info.json");
        if !info.exists() {
            return Ok(());
        }
        let known = pcr7data::parse_info(&atomic::read(&info)?)?.kind;
        if known == self.kind {
            return Ok(());
        }
        let why = format!("{} says that this value is of kind {}", info.display(), known.as_str());
        Err(Error::new(Kind::Usage, format!("add a PCR 7 value of kind {}", self.kind.as_str()), why)
            .remedy("check which value is which, or remove that directory"))
    }

    /// Writes it, info.json last: without that file, an entry does not count.
    fn write(&self, dir: &Path, keyset: &str, version: &Version, comment: &str) -> Result<()> {
        let dir = dir.join(pcr7data::path_of(&self.pcr7));
        atomic::make_dirs(&dir)?;
        for (name, contents) in &self.files {
            atomic::replace(&dir.join(name), atomic::PUBLIC, contents)?;
        }
        let policy_version = str::from_utf8(version).ok().filter(|_| self.kind == BootKind::Production);
        let info = InfoJson { key: keyset, key_type: self.kind.as_str(), est_date: &today()?, comment, policy_version };
        let mut json = serde_json::to_vec(&info)
            .map_err(|e| Error::new(Kind::System, "write info.json", e.to_string()).remedy("give another comment"))?;
        json.push(b'\n');
        atomic::replace(&dir.join("info.json"), atomic::PUBLIC, &json)
    }
}

/// The date in UTC, as info.json spells it: YYYYMMDD.
fn today() -> Result<String> {
    let now = der::DateTime::from_system_time(SystemTime::now());
    let now = now.map_err(|e| Error::new(Kind::System, "tell the time", e.to_string()).remedy("set the clock"))?;
    Ok(format!("{:04}{:02}{:02}", now.year(), now.month(), now.day()))
}
