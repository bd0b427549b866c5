//! `/pcr7data`: the signed policies of a keyset's boots, found by PCR 7.
//!
//! `policy-N/XX/Y…Y/` holds `info.json` and the signed policies of one PCR 7
//! value; XXY…Y is its hex with the bytes of every pair swapped. With several
//! `policy-N` the highest N counts. `policy-N/pubkeys/` holds the keys, and
//! `policy-N/authorities/` the certificates of the authorities that must vouch for the TPM, if any.

use super::{
    approved::{ApprovedPolicy, PolicySignature},
    assertion::Operand,
    entry_kind::EntryKind,
    public_key::PolicyKey,
    version::{self, Version},
};
use crate::{
    digest::{self, Digest},
    error::{Error, Kind, Result},
    files,
    measure::pcr,
};
use serde::Deserialize;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Larger files are not what they should be.
const MAX_FILE: usize = 64 * 1024;
/// Opening brackets that an info.json may hold.
const MAX_BRACKETS: usize = 64;

/// How often PCR 7 may be extended in a boot: `setup` locks it once, what comes before every prompt or shell twice, and
/// systemd extends it once.
const MOST_MOVES: u8 = 8;
/// What there is to say, and to do, when PCR 7 has moved on: by our lock first, or by a word of systemd's.
const LOCKED: (&str, &str) =
    ("PCR 7 has already been locked in this boot", "restart the machine; every boot can read the secrets once");
const SEPARATED: (&str, &str) = (
    "systemd has already extended PCR 7 with os-separator (systemd-pcrosseparator.service)",
    "build an image in which trust comes before that unit, as trust-setup.service says with Before=",
);
/// When it never moved.
const UNMEASURED: (&str, &str) = (
    "PCR 7 is zero: the firmware measures nothing into the SHA-256 bank of the TPM",
    "switch that bank on in the firmware setup (PCR banks, SHA-256), or update the firmware",
);

/// Beside the policy of a production boot: its events, for [`crate::measure::explain`]. May be missing.
pub const EVENTS: &str = "pcr7.events";

/// Holds the certificates of authorities that must vouch for storage root keys; missing where none must.
pub const AUTHORITIES: &str = "authorities";

/// The contents of an info.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Name of the keyset; safe to be part of a file name.
    pub keyset: String,
    /// What this PCR 7 value stands for.
    pub kind: EntryKind,
    /// What the TPM's policy version must be for the signed policy to hold; [`version::FIRST`] where info.json does not say.
    pub policy_version: Version,
}

/// Parses info.json; unknown members are ignored.
///
/// # Errors
/// [`Kind::Corrupt`]: not JSON, an unknown key type, a keyset name that cannot be a file name.
pub fn parse_info(json: &[u8]) -> Result<Info> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        // As they are written: names with escapes are refused below.
        key: &'a str,
        key_type: &'a str,
        policy_version: Option<&'a str>,
    }
    let bad = |why: String| Error::new(Kind::Corrupt, "read info.json", why);
    // The parser recurses; a flat object has no use for that.
    if json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS {
        return Err(bad("it nests too deeply".into()));
    }
    let (raw, _) = serde_json_core::from_slice::<Raw<'_>>(json).map_err(|e| bad(e.to_string()))?;
    let kind = EntryKind::named(raw.key_type).ok_or_else(|| bad(format!("unknown key_type {:?}", raw.key_type)))?;
    if !is_keyset_name(raw.key) {
        return Err(bad(format!("{:?} is not the name of a keyset", raw.key)));
    }
    let policy_version = match raw.policy_version.map(|digits| version::parse(digits).ok_or(digits)) {
        None => version::FIRST,
        Some(Ok(version)) => version,
        Some(Err(digits)) => return Err(bad(format!("policy_version {digits:?} is not four digits"))),
    };
    Ok(Info { keyset: raw.key.to_owned(), kind, policy_version })
}

/// Whether `name` can name a keyset, a project or a machine: a file name of at
/// most 100 bytes that is not hidden and holds no control characters, and
/// nothing that JSON would escape.
#[must_use]
pub fn is_keyset_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && !name.contains(|c: char| matches!(c, '/' | '\\' | '"') || c.is_control())
}

/// The directory of a PCR 7 value below `policy-N`: `XX/Y…Y`.
#[must_use]
pub fn path_of(pcr7: &Digest) -> String {
    let mut path = String::with_capacity(65);
    for pair in pcr7.chunks_exact(2) {
        for byte in pair.iter().rev() {
            path.push_str(&format!("{byte:02x}"));
            if path.len() == 2 {
                path.push('/');
            }
        }
    }
    path
}

/// The PCR 7 value of a directory `XX/Y…Y`, if it is one.
#[must_use]
pub fn value_of(xx: &str, rest: &str) -> Option<Digest> {
    let hex = format!("{xx}{rest}");
    if xx.len() != 2 || hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut value: Digest = [0; 32];
    for (i, byte) in value.iter_mut().enumerate() {
        let at = (i ^ 1) * 2;
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(value)
}

/// N of a directory `policy-N`, in that spelling only.
fn version_of(name: &str) -> Option<u32> {
    let version = name.strip_prefix("policy-")?.parse().ok()?;
    (name == format!("policy-{version}")).then_some(version)
}

/// The policy directory of the highest version.
#[derive(Debug)]
pub struct Pcr7Data {
    policy: PathBuf,
}

impl Pcr7Data {
    /// Finds the highest `policy-N` in `dir`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when there is none.
    pub fn open(dir: &Path) -> Result<Self> {
        let what = || format!("find the signed policies in {}", dir.display());
        let remedy = "boot an image that was built with its keyset's pcr7data";
        let listing =
            std::fs::read_dir(dir).map_err(|e| Error::new(Kind::Corrupt, what(), e.to_string()).remedy(remedy))?;
        let highest = listing
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| version_of(entry.file_name().to_str()?))
            .max();
        match highest {
            Some(n) => Ok(Self { policy: dir.join(format!("policy-{n}")) }),
            None => Err(Error::new(Kind::Corrupt, what(), "it holds no directory policy-N").remedy(remedy)),
        }
    }

    /// The directory `policy-N` itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.policy
    }

    /// What is known of boots with this PCR 7.
    ///
    /// # Errors
    /// [`Kind::Refused`] when nothing is, [`Kind::Corrupt`] when it cannot be understood.
    pub fn find(&self, pcr7: &Digest) -> Result<Entry> {
        match self.entry(pcr7)? {
            Some(entry) if entry.info.kind != EntryKind::System => Ok(entry),
            _ => Err(self.unknown(pcr7)),
        }
    }

    /// What is signed for the running system with this PCR 7: after a production boot has locked it.
    ///
    /// # Errors
    /// [`Kind::Refused`] when nothing is, [`Kind::Corrupt`] when it cannot be understood.
    #[cfg(feature = "host")]
    pub fn system(&self, pcr7: &Digest) -> Result<ApprovedPolicy> {
        let what = "find a signed policy for the running system";
        match self.entry(pcr7)? {
            Some(entry) if entry.info.kind == EntryKind::System => entry.approved(),
            Some(entry) => {
                let why =
                    format!("PCR 7 is still that of a {} boot, which has not locked it", entry.info.kind.as_str());
                Err(Error::new(Kind::Refused, what, why))
            }
            None => {
                let (directory, hex) = (self.policy.display(), digest::hex(pcr7));
                Err(Error::new(Kind::Refused, what, format!("none in {directory} is for PCR 7 = {hex}")))
            }
        }
    }

    /// The keys that sign for running systems: one for each keyset.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when one cannot be read.
    #[cfg(feature = "host")]
    pub fn system_signers(&self) -> Result<Vec<PolicyKey>> {
        let (directory, prefix) = (self.policy.join("pubkeys"), EntryKind::System.signed_policy()?.public_key);
        let of_system = |name: &String| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
        let paths = list(&directory).into_iter().filter(of_system).map(|name| directory.join(name));
        paths.map(|path| PolicyKey::from_pem(&files::read(&path, MAX_FILE).map_err(|e| corrupt(&path, &e))?)).collect()
    }

    /// What there is for this PCR 7, whatever it stands for.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it cannot be understood.
    pub fn entry(&self, pcr7: &Digest) -> Result<Option<Entry>> {
        let dir = self.policy.join(path_of(pcr7));
        let json = match files::read(&dir.join("info.json"), MAX_FILE) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| corrupt(&dir.join("info.json"), &e))?,
        };
        Ok(Some(Entry { info: parse_info(&json)?, pcr7: *pcr7, policy: self.policy.clone(), dir }))
    }

    /// Why no policy fits: PCR 7 has moved on in this boot, or it is an unknown one.
    fn unknown(&self, pcr7: &Digest) -> Error {
        let what = "find a signed policy for this boot";
        // Seen from the running system's values alone, a separator after the lock would be all that there was.
        if let Some(locked) = self.values().iter().filter_map(|known| pcr::moved_on(known, pcr7, MOST_MOVES)).max() {
            let (why, remedy) = if locked { LOCKED } else { SEPARATED };
            return Error::new(Kind::Refused, what, why).remedy(remedy);
        }
        if *pcr7 == [0; 32] {
            let (why, remedy) = UNMEASURED;
            return Error::new(Kind::Refused, what, why).remedy(remedy);
        }
        let hex = digest::hex(pcr7);
        Error::new(Kind::Refused, what, format!("none of {} is for PCR 7 = {hex}", self.policy.display()))
    }

    /// The lists of events that production policies were signed for, where they have any.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        let read = |value| files::read(&self.policy.join(path_of(value)).join(EVENTS), MAX_FILE).ok();
        self.values().iter().filter_map(read).filter_map(|text| String::from_utf8(text).ok()).collect()
    }

    /// The certificates of all keysets' authorities for storage root keys, in PEM: for a boot whose keyset PCR 7 no
    /// longer tells.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when one cannot be read.
    pub fn srk_authorities(&self) -> Result<Vec<Vec<u8>>> {
        let directory = self.policy.join(AUTHORITIES);
        let paths = list(&directory).into_iter().map(|name| directory.join(name));
        paths.map(|path| files::read(&path, MAX_FILE).map_err(|e| corrupt(&path, &e))).collect()
    }

    /// The files of the running system's entries and of the keys that have signed them, by their paths from `policy-N` on;
    /// of an entry, info.json comes last.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when one cannot be read.
    pub fn of_running_system(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let signed = EntryKind::System.signed_policy()?;
        let mut files = Vec::new();
        for pcr7 in self.values() {
            // What cannot be understood is nothing of the running system's.
            let Ok(Some(Entry { info: Info { keyset, kind: EntryKind::System, .. }, .. })) = self.entry(&pcr7) else {
                continue;
            };
            let entry = path_of(&pcr7);
            let key = format!("pubkeys/{}", signed.key_of(&keyset));
            for name in [key, format!("{entry}/{}", signed.signature), format!("{entry}/info.json")] {
                let path = self.policy.join(&name);
                let content = files::read(&path, MAX_FILE).map_err(|why| corrupt(&path, &why))?;
                files.push((Path::new(self.policy.file_name().unwrap_or_default()).join(name), content));
            }
        }
        Ok(files)
    }

    /// The PCR 7 values that have an entry, in no order.
    #[must_use]
    pub fn values(&self) -> Vec<Digest> {
        let mut values = Vec::new();
        for xx in list(&self.policy).into_iter().filter(|name| name.len() == 2) {
            values.extend(list(&self.policy.join(&xx)).iter().filter_map(|rest| value_of(&xx, rest)));
        }
        values
    }
}

/// What is known of one PCR 7 value.
#[derive(Debug)]
pub struct Entry {
    /// The contents of its info.json.
    pub info: Info,
    pcr7: Digest,
    dir: PathBuf,
    policy: PathBuf,
}

impl Entry {
    /// The policy of this entry, and its signature.
    ///
    /// # Errors
    /// As [`Self::signature`] and [`Self::public_key`].
    pub fn approved(&self) -> Result<ApprovedPolicy> {
        let kind = self.info.kind;
        Ok(ApprovedPolicy {
            policy: kind.policy(&self.pcr7, self.info.policy_version)?,
            policy_ref: Operand::from_slice(kind.signed_policy()?.policy_ref).unwrap_or_default(),
            signer: self.public_key(kind)?,
            signature: PolicySignature::RsaSsa(self.signature(kind)?),
            source: self.dir.to_string_lossy().into_owned(),
        })
    }

    /// The signature over such a policy: 256 bytes for a key of 2048 bits.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it cannot be read; [`Kind::Refused`]: such boots have none.
    pub fn signature(&self, kind: EntryKind) -> Result<Vec<u8>> {
        let path = self.dir.join(kind.signed_policy()?.signature);
        files::read(&path, MAX_FILE).map_err(|e| corrupt(&path, &e))
    }

    /// The keyset's public key that signs such policies.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it cannot be read or is no such key; [`Kind::Refused`]: such boots have none.
    pub fn public_key(&self, kind: EntryKind) -> Result<PolicyKey> {
        let path = self.policy.join("pubkeys").join(kind.signed_policy()?.key_of(&self.info.keyset));
        let pem = files::read(&path, MAX_FILE).map_err(|e| corrupt(&path, &e))?;
        PolicyKey::from_pem(&pem)
    }

    /// The certificate, in PEM, of the authority that must vouch for the TPM's storage root key, if the keyset asks for it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it cannot be read.
    pub fn srk_authority(&self) -> Result<Option<Vec<u8>>> {
        let path = self.policy.join(authority(&self.info.keyset));
        match files::read(&path, MAX_FILE) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|why| corrupt(&path, &why)),
        }
    }
}

/// The file below `policy-N` that [`Entry::srk_authority`] reads.
#[must_use]
pub fn authority(keyset: &str) -> String {
    format!("{AUTHORITIES}/{keyset}.pem")
}

/// The names in a directory; of one that cannot be read, none.
fn list(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn corrupt(path: &Path, why: &std::io::Error) -> Error {
    Error::new(Kind::Corrupt, format!("read {}", path.display()), why.to_string())
}
