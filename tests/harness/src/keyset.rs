//! A keyset for tests: policy keys, PCR 7 values, `pcr7data`, made with the
//! openssl command and arithmetic of its own, apart from the programs under test.

use crate::identity::openssl;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tempfile::TempDir;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// What a boot may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// May read the secrets.
    Production,
    /// May read nothing.
    Limited,
    /// May read the TPM admin password.
    Tpm,
}

impl Boot {
    /// As info.json spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Limited => "limited",
            Self::Tpm => "tpm",
        }
    }

    /// What this boot's firmware extends into a PCR 7 of zeros.
    #[must_use]
    pub fn event(self) -> Digest {
        sha256(&[b"boot of a ", self.name().as_bytes(), b" image"])
    }

    /// PCR 7 of this boot.
    #[must_use]
    pub fn pcr7(self) -> Digest {
        extend(&[0; 32], &self.event())
    }
}

/// A keyset: two keys that sign policies, and the directory of the signed policies.
#[derive(Debug)]
pub struct Keyset {
    dir: TempDir,
    name: String,
}

/// Name of an NV index of version digits (index 0x1500020), written: what every policy refers to.
const VERSION_INDEX_NAME: &str = "000b9a2a448f2272a89720c1f37eef785dea317a40ef975bb78de155234f60c66a1a";
/// Policy version that a keyset signs for.
const VERSION: &str = "0001";

impl Keyset {
    /// A keyset with signed policies for the three boots, and the keys of every other one of this name in this program:
    /// new ones take a second.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static KEYS: Mutex<BTreeMap<String, [String; 2]>> = Mutex::new(BTreeMap::new());
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = keys.entry(name.to_owned()).or_insert_with(private_keys).clone();
        drop(keys);
        Self::with(name, &pair)
    }

    /// A keyset with keys that no other one has.
    #[must_use]
    pub fn foreign(name: &str) -> Self {
        Self::with(name, &private_keys())
    }

    fn with(name: &str, keys: &[String; 2]) -> Self {
        let dir = TempDir::with_prefix("keyset-").expect("a temporary directory");
        let keyset = Self { dir, name: name.to_owned() };
        fs::create_dir_all(keyset.pubkeys()).expect("a writable directory");
        for ([key, public], pem) in [["luks", "luks"], ["admin", "tpmpass"]].into_iter().zip(keys) {
            let key = keyset.key(key);
            fs::write(&key, pem).expect("a writable directory");
            let public = keyset.pubkeys().join(format!("{public}-{name}.pem"));
            openssl(&["pkey", "-in", text(&key), "-pubout", "-out", text(&public)]);
        }
        for boot in [Boot::Production, Boot::Limited, Boot::Tpm] {
            keyset.describe(&boot.pcr7(), boot);
        }
        keyset.sign_luks(&Boot::Production.pcr7(), VERSION);
        keyset.sign_admin(&Boot::Tpm.pcr7());
        keyset
    }

    /// Its name, as info.json and the public keys have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to give to `--pcr7data`.
    #[must_use]
    pub fn pcr7data(&self) -> PathBuf {
        self.dir.path().join("pcr7data")
    }

    /// The private key `luks` or `admin`, PEM.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    /// The public keys, PEM.
    #[must_use]
    pub fn pubkeys(&self) -> PathBuf {
        self.pcr7data().join("policy-2/pubkeys")
    }

    /// The directory of a PCR 7 value: its hex with the two bytes of every pair swapped, after two digits a slash.
    #[must_use]
    pub fn entry(&self, pcr7: &Digest) -> PathBuf {
        let swapped: Vec<u8> = pcr7.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
        let name = hex(&swapped);
        self.pcr7data().join("policy-2").join(&name[..2]).join(&name[2..])
    }

    /// Writes the info.json of a PCR 7 value.
    pub fn describe(&self, pcr7: &Digest, boot: Boot) {
        let entry = self.entry(pcr7);
        fs::create_dir_all(&entry).expect("a writable directory");
        let info = format!(
            "{{\"key\": \"{}\", \"key_type\": \"{}\", \"est_date\": \"20260101\", \"comment\": \"for tests\"}}\n",
            self.name,
            boot.name()
        );
        fs::write(entry.join("info.json"), info).expect("a writable directory");
        if boot == Boot::Limited {
            let values = [("limited", Boot::Limited), ("tpm", Boot::Tpm), ("prod", Boot::Production)];
            for (name, boot) in values {
                fs::write(entry.join(format!("pcr_{name}.bin")), boot.pcr7()).expect("a writable directory");
            }
        }
    }

    /// Signs the policy that opens the LUKS secrets at a PCR 7 value and policy version.
    pub fn sign_luks(&self, pcr7: &Digest, version: &str) {
        self.sign("luks", &luks_policy(pcr7, version), &self.entry(pcr7).join("tpm_luks.policy.signed"));
    }

    /// Signs the policy of production boots anew, for another policy version.
    pub fn sign_for_version(&self, version: &str) {
        let pcr7 = Boot::Production.pcr7();
        self.sign_luks(&pcr7, version);
        self.describe(&pcr7, Boot::Production);
        let info = self.entry(&pcr7).join("info.json");
        let text = fs::read_to_string(&info).expect("written");
        let text = text.replacen('{', &format!("{{\"policy_version\": \"{version}\", "), 1);
        fs::write(&info, text).expect("a writable directory");
    }

    /// Signs the policy that opens the TPM admin password at a PCR 7 value.
    pub fn sign_admin(&self, pcr7: &Digest) {
        self.sign("admin", &pcr_policy(pcr7), &self.entry(pcr7).join("tpm_passwd.policy.signed"));
    }

    /// Signs the policies of the running system after a production boot, for what the lock makes of its PCR 7, and for what
    /// systemd makes of that.
    pub fn sign_system(&self, version: &str) {
        for pcr7 in running_system(&Boot::Production.pcr7()) {
            let entry = self.entry(&pcr7);
            fs::create_dir_all(&entry).expect("a writable directory");
            let info = format!(r#"{{"key": "{}", "key_type": "system", "policy_version": "{version}"}}"#, self.name);
            fs::write(entry.join("info.json"), info).expect("a writable directory");
            let signed = [&luks_policy(&pcr7, version)[..], b"system"].concat();
            self.sign("luks", &signed, &entry.join("tpm_system.policy.signed"));
        }
    }

    /// Signs a policy digest, and a policyRef if one follows it: RSASSA-PKCS1-v1_5 with SHA-256 over these bytes.
    pub fn sign(&self, key: &str, policy: &[u8], signature: &Path) {
        let message = self.dir.path().join("policy");
        fs::write(&message, policy).expect("a writable directory");
        let key = self.key(key);
        openssl(&["dgst", "-sha256", "-sign", text(&key), "-out", text(signature), text(&message)]);
    }
}

/// The private keys `luks` and `admin`, PEM.
fn private_keys() -> [String; 2] {
    ["luks", "admin"].map(|_| openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]))
}

/// TPM2_PolicyPCR of sha256:7 in a fresh session (part 3, section 23.7).
#[must_use]
pub fn pcr_policy(pcr7: &Digest) -> Digest {
    let selection = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x80, 0, 0];
    sha256(&[&[0; 32], &0x17f_u32.to_be_bytes(), &selection, &sha256(&[pcr7])])
}

/// Then TPM2_PolicyNV: index 0x1500020 equals `version` (part 3, section 23.9).
#[must_use]
pub fn luks_policy(pcr7: &Digest, version: &str) -> Digest {
    let (offset, equal) = ([0; 2], [0; 2]);
    let arguments = sha256(&[version.as_bytes(), &offset, &equal]);
    sha256(&[&pcr_policy(pcr7), &0x149_u32.to_be_bytes(), &arguments, &unhex(VERSION_INDEX_NAME)])
}

/// PCR 7 after a boot with this value has locked it, and after systemd has extended it as well.
#[must_use]
pub fn running_system(pcr7: &Digest) -> [Digest; 2] {
    let locked = extend(pcr7, &sha256(&[b"atomix\n"]));
    [locked, extend(&locked, &sha256(&[b"os-separator"]))]
}

/// A PCR of the sha256 bank after an extend.
#[must_use]
pub fn extend(pcr: &Digest, digest: &Digest) -> Digest {
    sha256(&[pcr, digest])
}

/// SHA-256 of the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hex digits stand for.
#[must_use]
pub fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
