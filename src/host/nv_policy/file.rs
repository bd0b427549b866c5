//! The file of an index that holds a policy: JSON.
//!
//! ```text
//! { "format": 1,
//!   "index": "TPMS_NV_PUBLIC, as it is when it has been written",
//!   "signer": "TPMT_PUBLIC of the key whose signature lets the index be written",
//!   "system_signer": "TPMT_PUBLIC of the keyset's key, where the running system may write it, too",
//!   "key": "the private half of the first, sealed with what the index holds",
//!   "written": true,
//!   "sets": [ { "sha256": { "7": ["…"] } } ] }
//! ```
//!
//! Of two sets the index holds one: it is being written, or that was cut off.

use crate::{
    digest::{hex, unhex},
    error::{Error, Kind, Result},
    host::{fs::atomic, seal::SealedFile},
    policy::{
        Assertion, Policy,
        assertion::Operand,
        entry_kind::SYSTEM_REF,
        pcr_set::{NvPolicy, PcrSet},
        statements::PolicyRecipe,
    },
    tpm2::{NvPublic, name, nv::attribute},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What such an index is: read by anyone, written by its policy, and its password, which it has none of, not guarded.
const ATTRIBUTES: u32 = attribute::AUTHREAD | attribute::POLICYWRITE | attribute::NO_DA;

/// An index with its policy, as far as it is known outside of the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPolicyFile {
    /// The index, as it is when it has been written.
    pub index: NvPublic,
    /// The key whose signature lets it be written: a `TPMT_PUBLIC`.
    pub signer: Vec<u8>,
    /// The keyset's key whose signatures let the running system write it, where that is so.
    pub system_signer: Option<Vec<u8>>,
    /// The private half of `signer`, sealed with the policy in the index.
    pub key: SealedFile,
    /// Whether the index was written once.
    pub is_written: bool,
    /// The sets of which it holds one.
    pub sets: Vec<PcrSet>,
}

/// As JSON has it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    index: String,
    signer: String,
    system_signer: Option<String>,
    key: String,
    written: bool,
    sets: Vec<PcrSet>,
}

impl NvPolicyFile {
    /// Where it is kept, below a directory.
    #[must_use]
    pub fn path(dir: &Path, index: u32) -> PathBuf {
        dir.join(format!("{index:#010x}.json"))
    }

    /// The index that a key's signature lets be written, or that and the running system, or the owner as well.
    #[must_use]
    pub fn public(index: u32, signer: &[u8], system_signer: Option<&[u8]>, owner_writes: bool) -> NvPublic {
        let policy = write_policy(signer, system_signer).digest();
        let owner = if owner_writes { attribute::OWNERWRITE } else { 0 };
        NvPublic::new(index, ATTRIBUTES | attribute::WRITTEN | owner, Some(&policy), NvPolicy::SIZE)
    }

    /// Reads the one of an index; `None` where there is none.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not such a file, or of another index.
    pub fn read(dir: &Path, index: u32) -> Result<Option<Self>> {
        let path = Self::path(dir, index);
        if !path.exists() {
            return Ok(None);
        }
        let bad = |why: String| {
            Error::new(Kind::Corrupt, format!("read {}", path.display()), why)
                .remedy("restore it from a backup; without it, the index is of no more use")
        };
        let file = Self::parse(&atomic::read(&path)?).map_err(bad)?;
        if file.index.index != index {
            return Err(bad(format!("it is of index {:#010x}", file.index.index)));
        }
        Ok(Some(file))
    }

    /// What such a file says.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(json: &[u8]) -> std::result::Result<Self, String> {
        let written: Written = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if written.format != 1 {
            return Err(format!("its format is {}, and not 1", written.format));
        }
        let bytes = |text: &str| unhex(text).ok_or("a member is not in hex");
        let index = NvPublic::parse(&bytes(&written.index)?).ok_or("its index is malformed")?;
        let signer = bytes(&written.signer)?;
        let system_signer = written.system_signer.as_deref().map(bytes).transpose()?;
        let (key, stream) = SealedFile::parse(written.key.as_bytes()).map_err(|e| e.why().to_owned())?;
        let owner_writes = index.attributes & attribute::OWNERWRITE != 0;
        if index != Self::public(index.index, &signer, system_signer.as_deref(), owner_writes) {
            return Err("its index could be written in other ways than by what it holds".into());
        }
        let file = Self { index, signer, system_signer, key, is_written: written.written, sets: written.sets };
        if stream.is_some() || file.key.recipe != file.read_recipe() || file.key.policy() != file.opens().digest() {
            return Err("its key is not sealed with what the index holds".into());
        }
        if !(1..=2).contains(&file.sets.len()) {
            return Err("it has neither one set of values nor two".into());
        }
        Ok(file)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        let key = String::from_utf8(self.key.to_text(false)?)
            .map_err(|e| Error::new(Kind::System, "write the file of an index", e.to_string()))?;
        let written = Written {
            format: 1,
            index: hex(&self.index.area()),
            signer: hex(&self.signer),
            system_signer: self.system_signer.as_deref().map(hex),
            key,
            written: self.is_written,
            sets: self.sets.clone(),
        };
        let json = serde_json::to_vec_pretty(&written)
            .map_err(|e| Error::new(Kind::System, "write the file of an index", e.to_string()))?;
        atomic::replace(&Self::path(dir, self.index.index), atomic::SHARED, &[&json[..], b"\n"].concat())
    }

    /// The policy of what is sealed with it.
    #[must_use]
    pub fn opens(&self) -> Policy {
        Policy::of([Assertion::AuthorizeNv { index: self.index.clone() }])
    }

    /// The same as a file has it.
    #[must_use]
    pub fn read_recipe(&self) -> PolicyRecipe {
        PolicyRecipe { policy: self.opens(), ..PolicyRecipe::default() }
    }

    /// What lets the index be written, beside the owner.
    #[must_use]
    pub fn write_recipe(&self) -> PolicyRecipe {
        PolicyRecipe {
            policy: write_policy(&self.signer, self.system_signer.as_deref()),
            names: vec![Some("what it holds".into()), Some("system".into())],
            signers: self.system_signer.iter().cloned().collect(),
            authorizations: Vec::new(),
        }
    }

    /// What is known of the index.
    #[must_use]
    pub fn known(&self) -> NvPolicy {
        NvPolicy { index: self.index.clone(), sets: self.sets.clone() }
    }

    /// Whether the owner may write it, too.
    #[must_use]
    pub const fn owner_writes(&self) -> bool {
        self.index.attributes & attribute::OWNERWRITE != 0
    }
}

fn write_policy(signer: &[u8], system_signer: Option<&[u8]>) -> Policy {
    let by_key = Assertion::Signed { signer: name::of(signer), policy_ref: Operand::new() };
    let Some(system) = system_signer else { return Policy::of([by_key]) };
    let by_system = Policy::authorized_by(name::of(system), Operand::from_slice(SYSTEM_REF).unwrap_or_default());
    Policy::of([Assertion::Or(vec![Policy::of([by_key]), by_system])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::pcr_values::PcrName,
        tpm::{PolicySigner, parent::Parent, seal::SealedBlob},
        tpm2::{constants::alg, sealed::SealedPublic},
    };

    fn file(system_signer: Option<Vec<u8>>) -> NvPolicyFile {
        let signer = PolicySigner::make().unwrap().0.area().to_vec();
        let index = NvPolicyFile::public(0x0181_0000, &signer, system_signer.as_deref(), false);
        let policy = Policy::of([Assertion::AuthorizeNv { index: index.clone() }]);
        let public = SealedPublic { unique: vec![1; 32], ..SealedPublic::template(Some(&policy.digest()), false) };
        let key = SealedFile {
            blob: SealedBlob { public: public.area().unwrap(), private: vec![2; 150] },
            parent: Parent::STORAGE_ROOT_KEY,
            recipe: PolicyRecipe { policy, ..PolicyRecipe::default() },
            values: vec![],
            has_pin: false,
            description: None,
        };
        let set = |value| PcrSet::new([(PcrName { bank: alg::SHA256, number: 7 }, vec![value; 32])]).unwrap();
        NvPolicyFile { index, signer, system_signer, key, is_written: true, sets: vec![set(1), set(2)] }
    }

    #[test]
    fn files_are_read_as_they_are_written_and_forged_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for system in [None, Some(vec![7; 60])] {
            let file = file(system);
            file.write(dir.path()).unwrap();
            assert_eq!(NvPolicyFile::read(dir.path(), 0x0181_0000).unwrap(), Some(file));
        }
        assert_eq!(NvPolicyFile::read(dir.path(), 0x0181_0001).unwrap(), None);
        let good = file(None);
        let other = NvPolicyFile { signer: file(None).signer, ..good.clone() };
        let owned = NvPublic { attributes: good.index.attributes | attribute::AUTHWRITE, ..good.index.clone() };
        let wide = NvPolicyFile { index: owned, ..good.clone() };
        let empty = NvPolicyFile { sets: vec![], ..good.clone() };
        let open = NvPolicyFile { key: file(None).key, ..good.clone() };
        for (forged, why) in [(other, "other ways"), (wide, "other ways"), (empty, "neither one"), (open, "not sealed")]
        {
            forged.write(dir.path()).unwrap();
            let error = NvPolicyFile::read(dir.path(), 0x0181_0000).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        good.write(dir.path()).unwrap();
        std::fs::rename(NvPolicyFile::path(dir.path(), 0x0181_0000), NvPolicyFile::path(dir.path(), 0x0181_0002))
            .unwrap();
        let error = NvPolicyFile::read(dir.path(), 0x0181_0002).unwrap_err().to_string();
        assert!(error.contains("it is of index 0x01810000"), "{error}");
    }
}
