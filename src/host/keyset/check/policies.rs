//! pcr7data: whether the signed policies are those that a target needs, and verify.

use super::{Findings, RESTORE};
use crate::{
    digest::{Digest, hex},
    host::{
        fs::atomic,
        keyset::{Keyset, Role, running_systems::RunningSystems, signed_policy, srk},
        pki::{certificate, key::PublicKey},
    },
    measure::pcr,
    policy::{
        boot_kind::BootKind,
        entry_kind::EntryKind,
        pcr7data::{self, Entry, Pcr7Data},
    },
};
use std::path::{Path, PathBuf};

/// Checks the signed policies of the version that targets use.
pub fn check(keyset: &Keyset, findings: &mut Findings) {
    let dir = keyset.pcr7data();
    let anew = format!("{RESTORE}, or sign it anew: trust keyset pcr7data {}", keyset.name());
    if !dir.is_dir() {
        return findings.error(&dir, "is missing", anew);
    }
    let data = match Pcr7Data::open(&dir) {
        Ok(data) => data,
        Err(e) => return findings.error(&dir, e.cause(), anew),
    };
    for (role, kind) in [(Role::TpmpolLuks, BootKind::Production), (Role::TpmpolAdmin, BootKind::Admin)] {
        let prefix = kind.signed_policy().map_or("", |policy| policy.public_key);
        published(keyset, &data.dir().join("pubkeys"), role, prefix, findings);
    }
    authority(keyset, findings);
    let values = data.values();
    let known: Vec<_> = values.iter().filter_map(|pcr7| Some(data.entry(pcr7).ok()??.info.kind)).collect();
    let kinds = [BootKind::Production, BootKind::Admin, BootKind::Limited].map(EntryKind::Boot);
    let missing: Vec<_> = kinds.iter().filter(|kind| !known.contains(kind)).map(|kind| kind.as_str()).collect();
    if !missing.is_empty() {
        let remedy = format!("add them with `trust keyset pcr7data {}`", keyset.name());
        let what = format!("holds no PCR 7 value of kind {}", missing.join(", "));
        findings.warning(data.dir(), what, remedy);
    }
    // Without the certificate, which is reported with the keys, nothing is known of successors.
    let systems = RunningSystems::of(keyset, &data).ok();
    for pcr7 in &values {
        let dir = data.dir().join(pcr7data::path_of(pcr7));
        EntryCheck { data: &data, systems: systems.as_ref(), pcr7, dir, findings }.entry();
    }
}

/// Whether the public key of a policy key is among those that a target checks signatures with.
fn published(keyset: &Keyset, pubkeys: &Path, role: Role, prefix: &str, findings: &mut Findings) {
    let Ok(certificate) = keyset.certificate(role) else {
        // Reported with the keys.
        return;
    };
    let Ok(expected) = PublicKey::from_info(certificate.tbs_certificate().subject_public_key_info()) else {
        return;
    };
    let names = atomic::list(pubkeys).unwrap_or_default();
    let mut found = false;
    for name in names.iter().filter(|name| name.starts_with(&format!("{prefix}-")) && name.ends_with(".pem")) {
        let path = pubkeys.join(name);
        match atomic::read(&path).and_then(|pem| PublicKey::from_pem(&pem)) {
            Ok(key) if key == expected => found = true,
            Ok(_) if *name == format!("{prefix}-{}.pem", keyset.name()) => {
                findings.error(&path, format!("is not the public key of {}", role.dir()), RESTORE);
            }
            // A target may be allowed the policies of several keysets.
            Ok(_) => {}
            Err(e) => findings.failed(&path, &e),
        }
    }
    if !found {
        let what = format!("holds no public key of {}: targets refuse what it signs", role.dir());
        let remedy = format!("`trust keyset pcr7data {}` writes it with the next values", keyset.name());
        findings.error(pubkeys, what, remedy);
    }
}

/// Whether the authority required for storage root keys is the keyset's own.
fn authority(keyset: &Keyset, findings: &mut Findings) {
    let path = srk::file(keyset);
    if !path.exists() {
        return;
    }
    match (atomic::read(&path).and_then(|pem| certificate::first(&pem)), keyset.certificate(Role::SudiCa)) {
        (Err(e), _) => findings.failed(&path, &e),
        (Ok(found), Ok(own)) if found != own => {
            let remedy = format!("`trust sudi pin-tpm {}` puts that there", keyset.name());
            findings.error(&path, "is not the certificate of sudi-ca: no machine of this keyset boots", remedy);
        }
        // A missing one is reported with the keys.
        _ => {}
    }
}

/// The entry of one PCR 7 value.
struct EntryCheck<'a> {
    data: &'a Pcr7Data,
    systems: Option<&'a RunningSystems>,
    pcr7: &'a Digest,
    dir: PathBuf,
    findings: &'a mut Findings,
}

impl EntryCheck<'_> {
    fn entry(&mut self) {
        match self.data.entry(self.pcr7) {
            Ok(Some(entry)) if entry.info.kind == BootKind::Limited.into() => self.limited(),
            Ok(Some(entry)) => {
                if self.signature(&entry) && entry.info.kind == BootKind::Production.into() {
                    self.running_system(&entry);
                }
            }
            Ok(None) => {
                let remedy = "remove it, or add the value again with `trust keyset pcr7data`";
                self.findings.warning(&self.dir, "has no info.json: it was not finished, and is ignored", remedy);
            }
            Err(e) => self.findings.failed(&self.dir.join("info.json"), &e),
        }
    }

    /// Whether the policy of this value is signed, as TPM2_VerifySignature would see it.
    fn signature(&mut self, entry: &Entry) -> bool {
        let kind = entry.info.kind;
        let Ok(signed) = kind.signed_policy() else { return false };
        let path = self.dir.join(signed.signature);
        let pubkey = self.data.dir().join("pubkeys").join(signed.key_of(&entry.info.keyset));
        // As a target reads it, and then in the form that is verified here.
        let key = entry.public_key(kind).and_then(|_| PublicKey::from_pem(&atomic::read(&pubkey)?));
        match (key, entry.approved()) {
            (Err(e), _) => self.findings.failed(&pubkey, &e),
            (_, Err(e)) => self.findings.failed(&path, &e),
            (Ok(key), Ok(approved)) if signed_policy::verifies(&approved, &key) => return true,
            (Ok(_), Ok(_)) => {
                let version = String::from_utf8_lossy(&entry.info.policy_version).into_owned();
                let of =
                    if kind.asks_for_the_version() { format!(" and policy version {version}") } else { String::new() };
                let what = format!("is not a signature of the policy of this PCR 7 value{of}: a TPM refuses it");
                self.findings.error(&path, what, "sign it again with `trust keyset pcr7data`");
            }
        }
        false
    }

    /// Whether the system that this production boot starts has its policies, and under the same policy version.
    fn running_system(&mut self, boot: &Entry) {
        let keyset = &boot.info.keyset;
        let of_boot = String::from_utf8_lossy(&boot.info.policy_version);
        let mut missing = Vec::new();
        let first = pcr::of_running_system(self.pcr7);
        for pcr7 in self.systems.map_or_else(
            || first.to_vec(),
            |systems| systems.values(self.pcr7).into_iter().map(|(pcr7, _)| pcr7).collect(),
        ) {
            match self.data.entry(&pcr7) {
                Ok(Some(entry)) if entry.info.kind != EntryKind::System => {
                    let what = format!("is of kind {}, and is what a production boot leaves", entry.info.kind.as_str());
                    self.findings.error(&self.data.dir().join(pcr7data::path_of(&pcr7)), what, RESTORE);
                }
                Ok(Some(entry)) if entry.info.policy_version != boot.info.policy_version => {
                    let version = String::from_utf8_lossy(&entry.info.policy_version).into_owned();
                    let what = format!("is for policy version {version}, and the boot that leads to it for {of_boot}");
                    let path = self.data.dir().join(pcr7data::path_of(&pcr7)).join("info.json");
                    self.findings.error(&path, what, "sign it again with `trust keyset pcr7data`");
                }
                Ok(None) => missing.push(pcr7),
                // What cannot be read is reported with its own value.
                Ok(Some(_)) | Err(_) => {}
            }
        }
        if !missing.is_empty() {
            let what = if missing.iter().any(|pcr7| first.contains(pcr7)) {
                "has no policy for the running system: it may use nothing that the TPM keeps for that"
            } else {
                "has not all policies for successors by kexec, as others have: they may use nothing that the TPM keeps for running \
                 systems"
            };
            self.findings.warning(&self.dir, what, format!("add it with `trust keyset pcr7data {keyset}`"));
        }
    }

    /// Whether the three values that it names are what they are said to be.
    fn limited(&mut self) {
        for (file, kind) in [
            ("pcr_limited.bin", BootKind::Limited),
            ("pcr_tpm.bin", BootKind::Admin),
            ("pcr_prod.bin", BootKind::Production),
        ] {
            let path = self.dir.join(file);
            let value = match atomic::read(&path) {
                Ok(bytes) => Digest::try_from(bytes),
                Err(e) => {
                    self.findings.failed(&path, &e);
                    continue;
                }
            };
            let Ok(value) = value else {
                self.findings.error(&path, "does not hold 32 bytes", RESTORE);
                continue;
            };
            if kind == BootKind::Limited && value != *self.pcr7 {
                self.findings.error(&path, format!("is {} and not the value of this entry", hex(&value)), RESTORE);
            } else if !self.data.find(&value).is_ok_and(|entry| entry.info.kind == kind.into()) {
                let what = format!("is {}, which has no entry of kind {}", hex(&value), kind.as_str());
                self.findings.error(&path, what, "add the three values again with `trust keyset pcr7data`");
            }
        }
    }
}
