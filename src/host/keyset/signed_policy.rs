//! pcr7data: writes the entries that [`crate::policy::pcr7data`] reads.

use super::running_systems::RunningSystems;
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
        approved::{self, ApprovedPolicy, PolicySignature},
        boot_kind::BootKind,
        entry_kind::EntryKind,
        pcr7data::{self, Entry, Pcr7Data},
        version::{self, Version},
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

    /// The files of a limited boot's entry.
    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let file = |name, value: &Digest| (name, value.to_vec());
        vec![
            file("pcr_limited.bin", &self.limited),
            file("pcr_tpm.bin", &self.tpm),
            file("pcr_prod.bin", &self.production),
        ]
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
    /// For how many successors by kexec in a row the running system's are signed as well, if the keyset has none for more: up to
    /// [`crate::measure::kexec::MOST_SUCCESSORS`].
    pub successors: u8,
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
        Ok(Self { luks, passwd, version, successors: 0 })
    }
}

/// The newest policy version that the keyset has signed for: what is signed for an older one takes the place of the newer
/// policy, and opens nothing where the TPM's version has been raised. What cannot be read does not count; `keyset check` tells
/// of it.
#[must_use]
pub fn newest_version(keyset: &Keyset) -> Version {
    let data = Pcr7Data::open(&keyset.pcr7data()).ok();
    let infos =
        data.iter().flat_map(|data| data.values().into_iter().filter_map(|pcr7| Some(data.entry(&pcr7).ok()??.info)));
    let of_keyset = infos.filter(|info| info.keyset == keyset.name() && info.kind.asks_for_the_version());
    of_keyset.map(|info| info.policy_version).max().unwrap_or(version::FIRST)
}

/// Adds three PCR 7 values and their signed policies to a keyset, and those of the running system behind every production
/// value that it has; existing ones stay valid.
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
    let (version, comment) = (policies.version, note.comment);
    let boot =
        |pcr7, kind: BootKind, files| SignedEntry { pcr7, kind: kind.into(), version, comment, successor: None, files };
    let mut production = vec![sign(&luks, BootKind::Production.into(), &policies.luks)?];
    production.extend(note.events.map(|events| (pcr7data::EVENTS, events.into())));
    let mut entries = vec![
        boot(values.production, BootKind::Production, production),
        boot(values.tpm, BootKind::Admin, vec![sign(&admin, BootKind::Admin.into(), &policies.passwd)?]),
        boot(values.limited, BootKind::Limited, values.files()),
    ];
    entries.extend(running_systems(keyset, &Pcr7Data::open(&keyset.pcr7data())?, &luks, values, policies)?);
    for entry in &entries {
        entry.check(&dir)?;
    }
    // Ctrl-C waits: all entries or none.
    interrupt::defer();
    for entry in &entries {
        entry.write(&dir, keyset.name())?;
    }
    Ok(())
}

/// What is missing of the running systems' entries: of those of the new production value, and of all that the keyset has.
fn running_systems(
    keyset: &Keyset,
    data: &Pcr7Data,
    key: &PrivateKey,
    new: &Values,
    policies: &Policies,
) -> Result<Vec<SignedEntry<'static>>> {
    let mut systems = RunningSystems::of(keyset, data)?;
    systems.successors = systems.successors.max(policies.successors);
    let known = data.values().into_iter().filter_map(|pcr7| Some((pcr7, data.entry(&pcr7).ok()??.info)));
    let known = known.filter(|(pcr7, info)| {
        *pcr7 != new.production && info.kind == BootKind::Production.into() && info.keyset == keyset.name()
    });
    let boots = known.map(|(pcr7, info)| (pcr7, info.policy_version)).chain([(new.production, policies.version)]);
    let mut entries = Vec::new();
    let systems = boots.flat_map(|(boot, version)| {
        systems.values(&boot).into_iter().map(move |(pcr7, successor)| (pcr7, successor, version))
    });
    for (pcr7, successor, version) in systems {
        if !data.entry(&pcr7).is_ok_and(|entry| entry.is_some_and(|entry| is_signed_for(&entry, version, key.public())))
        {
            let kind = EntryKind::System;
            let files = vec![sign(key, kind, &kind.policy(&pcr7, version)?.digest())?];
            entries.push(SignedEntry {
                pcr7,
                kind,
                version,
                comment: "the system that such a boot has started, or one after it",
                successor,
                files,
            });
        }
    }
    Ok(entries)
}

/// Whether this is an entry of the running system, signed by this key for this policy version.
fn is_signed_for(entry: &Entry, version: Version, key: &PublicKey) -> bool {
    (entry.info.kind, entry.info.policy_version) == (EntryKind::System, version)
        && entry.approved().is_ok_and(|approved| verifies(&approved, key))
}

/// Whether this key has signed it, as `TPM2_VerifySignature` would see it.
pub(super) fn verifies(approved: &ApprovedPolicy, key: &PublicKey) -> bool {
    let message = approved::message(&approved.policy.digest(), &approved.policy_ref);
    matches!(&approved.signature, PolicySignature::RsaSsa(bytes) if key.verify(Hash::Sha256, &message, bytes))
}

/// Whether the policy of an entry is signed by the key that is published for it, as a TPM would see it. Limited boots have none,
/// and need none.
#[must_use]
pub fn is_signed(data: &Pcr7Data, entry: &Entry) -> bool {
    let Ok(signed) = entry.info.kind.signed_policy() else { return true };
    let path = data.dir().join("pubkeys").join(signed.key_of(&entry.info.keyset));
    let key = atomic::read(&path).and_then(|pem| PublicKey::from_pem(&pem));
    matches!((key, entry.approved()), (Ok(key), Ok(approved)) if verifies(&approved, &key))
}

/// This key's signature over it.
///
/// # Errors
/// Those of [`PrivateKey::sign`].
pub fn sign_approved(key: &PrivateKey, approved: &ApprovedPolicy) -> Result<Vec<u8>> {
    check_fit(Role::TpmpolLuks, key.public())?;
    key.sign(Hash::Sha256, &approved::message(&approved.policy.digest(), &approved.policy_ref))
}

/// The signature over a policy of such entries, and its file.
fn sign(key: &PrivateKey, kind: EntryKind, policy: &Digest) -> Result<(&'static str, Vec<u8>)> {
    let signed = kind.signed_policy()?;
    Ok((signed.signature, key.sign(Hash::Sha256, &approved::message(policy, signed.policy_ref))?))
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
    /// Of a successor by kexec: which in a row it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<u8>,
}

/// The entry of one PCR 7 value.
struct SignedEntry<'a> {
    pcr7: Digest,
    kind: EntryKind,
    /// What the TPM's policy version must be, where the policy asks for it.
    version: Version,
    comment: &'a str,
    /// Of a successor by kexec: which in a row it is.
    successor: Option<u8>,
    /// Names and contents, without info.json.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl SignedEntry<'_> {
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
    fn write(&self, dir: &Path, keyset: &str) -> Result<()> {
        let dir = dir.join(pcr7data::path_of(&self.pcr7));
        atomic::make_dirs(&dir)?;
        for (name, contents) in &self.files {
            atomic::replace(&dir.join(name), atomic::PUBLIC, contents)?;
        }
        let policy_version = str::from_utf8(&self.version).ok().filter(|_| self.kind.asks_for_the_version());
        let (key_type, comment) = (self.kind.as_str(), self.comment);
        let info =
            InfoJson { key: keyset, key_type, est_date: &today()?, comment, policy_version, successor: self.successor };
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
