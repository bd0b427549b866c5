//! A new set of values into an index: in an order in which the power may fail anywhere.
//!
//! 1. the file says that the index holds the old set or the new one;
//! 2. the index is written, in one command;
//! 3. the file says that it holds the new one.
//!
//! An index is made likewise: the file comes first, which says that it was never written; then the index is defined, and written.
//! Cut off before that, nothing can have been sealed with it, and the next run begins anew.
//!
//! What the index holds cannot be part of the policy by which it is written, which is part of its Name, which is part of what it
//! is to hold. So that policy asks for a signature, and the key is sealed with what the index holds.

use super::NvPolicyFile;
use crate::{
    error::{Error, Kind, Result},
    host::{fs::atomic, seal::SealedFile},
    policy::{
        pcr_set::{NvPolicy, PcrSet},
        pcr_values::PcrValues,
        statements::PolicyRecipe,
    },
    secret::Secret,
    tpm::{
        NvDefinition, NvForm, NvKey, NvSpace, PolicySigner, Tpm,
        parent::{Parent, ParentAccess},
        seal::PinSource,
        unseal::Evidence,
    },
    tpm2::{NvPublic, nv::attribute},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    path::Path,
};

/// What is being done, in messages.
const WHAT: &str = "store a policy in the TPM";

/// A set of values that an index is to hold the policy of.
pub struct NvPolicyUpdate<'a> {
    /// The directory of the files.
    pub dir: &'a Path,
    /// The index.
    pub index: u32,
    /// The values.
    pub set: PcrSet,
    /// Whether it is to hold these alone, and not those that the PCRs have now besides.
    pub is_final: bool,
    /// The keyset's key whose signatures are to let the running system write a new index, too.
    pub system_signer: Option<Vec<u8>>,
    /// Keys to seal the key of a new index under: the first that is there is taken.
    pub parents: &'a [Parent],
    /// Their passwords.
    pub access: &'a ParentAccess,
    /// What keys have signed for a policy, as far as it is known here.
    pub evidence: &'a dyn Fn(&mut Tpm, &PolicyRecipe) -> Result<Evidence>,
    /// Whether the owner's password is given.
    pub is_owner: bool,
}

/// What an index holds now.
pub struct StoredSet {
    /// The values.
    pub set: PcrSet,
    /// Those that the PCRs have.
    pub now: PcrValues,
    /// Whether it held them before.
    pub is_unchanged: bool,
}

impl NvPolicyUpdate<'_> {
    /// Has the index hold it, which is defined if it is not there.
    ///
    /// # Errors
    /// [`Kind::Refused`]: what the index holds does not admit this boot, nor may the running system or the owner write it; or
    /// the index is another program's. [`Kind::Usage`]: as [`PcrSet::with`]. [`Kind::Corrupt`]: its file is damaged.
    pub fn store(mut self, space: &mut NvSpace<'_>) -> Result<StoredSet> {
        let usage = |why: String| Error::new(Kind::Usage, WHAT, why);
        let _lock = self.lock()?;
        let now = space.tpm().read_pcrs(&self.set.selections())?.values;
        if !self.is_final {
            self.set = self.set.with(&now).map_err(usage)?;
        }
        let file = NvPolicyFile::read(self.dir, self.index)?;
        let there = space.tpm().nv_public(self.index)?;
        let is_unchanged = match (file, there) {
            (None, None) => self.begin(space).map(|()| false)?,
            (Some(file), None) if !file.is_written => self.begin(space).map(|()| false)?,
            (Some(_), None) => return Err(self.lost()),
            (None, Some(_)) => return Err(self.foreign("it is there already, and no file here is of it")),
            (Some(file), Some(there)) if there == file.index => self.rewrite(space, file)?,
            (Some(file), Some(there)) if !file.is_written && there == unwritten(&file.index) => {
                self.begin_again(space, file).map(|()| false)?
            }
            (Some(_), Some(_)) => return Err(self.foreign("it is not the one that its file is of")),
        };
        Ok(StoredSet { set: self.set, now, is_unchanged })
    }

    /// Makes the index, and the key that writes it.
    fn begin(&self, space: &mut NvSpace<'_>) -> Result<()> {
        let (signer, private) = PolicySigner::make()?;
        // Without a password the owner is anyone.
        let owner_writes = space.owner_has_password()?;
        let system_signer = self.system_signer.clone();
        let index = NvPolicyFile::public(self.index, signer.area(), system_signer.as_deref(), owner_writes);
        let recipe = PolicyRecipe { policy: policy_of(&index), ..PolicyRecipe::default() };
        let (blob, parent) = space.tpm().seal(self.parents, self.access, Some(&recipe.policy), None, &private)?;
        drop(private);
        let description = Some(format!("the key that writes index {:#010x}", self.index));
        let key = SealedFile { blob, parent, recipe, values: Vec::new(), has_pin: false, description };
        let area = signer.area().to_vec();
        let sets = vec![self.set.clone()];
        let file = NvPolicyFile { index, signer: area, system_signer, key, is_written: false, sets };
        file.write(self.dir)?;
        let write = file.write_recipe();
        let evidence = Evidence { signers: vec![signer], ..Evidence::default() };
        let definition = NvDefinition {
            index: Some(self.index),
            attributes: unwritten(&file.index).attributes,
            policy: Some((&write, &evidence)),
            password: None,
        };
        space.define(&definition, NvPolicy::SIZE.into(), NvForm::Raw)?;
        self.write(space, &write, &evidence)?;
        NvPolicyFile { is_written: true, ..file }.write(self.dir)
    }

    /// Completes an index that was defined and never written, whose key is sealed with nothing yet.
    fn begin_again(&self, space: &mut NvSpace<'_>, file: NvPolicyFile) -> Result<()> {
        let write = file.write_recipe();
        let evidence = (self.evidence)(space.tpm(), &write)?;
        if file.system_signer.is_some() && space.why_closed(&write, &evidence)?.is_none() {
            let file = NvPolicyFile { sets: vec![self.set.clone()], ..file };
            file.write(self.dir)?;
            self.write(space, &write, &evidence)?;
            return NvPolicyFile { is_written: true, ..file }.write(self.dir);
        }
        space.remove(self.index)?;
        self.begin(space)
    }

    /// Exchanges what it holds; whether it held the same before.
    fn rewrite(&self, space: &mut NvSpace<'_>, file: NvPolicyFile) -> Result<bool> {
        let known = [file.known()];
        let held = space.tpm().stored_set(&file.index, &known)?.cloned();
        let done = NvPolicyFile { is_written: true, sets: vec![self.set.clone()], ..file.clone() };
        if held.as_ref().is_ok_and(|held| *held == self.set) {
            if done != file {
                done.write(self.dir)?;
            }
            return Ok(true);
        }
        let write = file.write_recipe();
        let mut evidence = (self.evidence)(space.tpm(), &write)?;
        let refused = match self.signer(space.tpm(), &file) {
            Ok(signer) => {
                evidence.signers.push(signer);
                None
            }
            Err(error) if error.kind() == Kind::Refused => Some(error.why().to_owned()),
            Err(error) => return Err(error),
        };
        let closed = space.why_closed(&write, &evidence)?;
        let by_owner = closed.is_some() && self.is_owner && file.owner_writes();
        if let Some(closed) = closed.filter(|_| !by_owner) {
            let why = refused.unwrap_or(closed);
            return Err(Error::new(Kind::Refused, self.what(), why).remedy(
                "boot what it admits, and store the new policy there; where the owner has a password, give that: \
                 --owner-password-file FILE",
            ));
        }
        let sets = held.into_iter().chain([self.set.clone()]).collect();
        NvPolicyFile { sets, ..file.clone() }.write(self.dir)?;
        if by_owner {
            space.write(self.index, &content(&self.set)?, NvForm::Raw, NvKey::default())?;
        } else {
            self.write(space, &write, &evidence)?;
        }
        done.write(self.dir).map(|()| false)
    }

    /// The key that writes it, which comes out where what it holds admits this boot.
    fn signer(&self, tpm: &mut Tpm, file: &NvPolicyFile) -> Result<PolicySigner> {
        let evidence = Evidence { nv_policies: vec![file.known()], ..Evidence::default() };
        let pin = PinSource { ask: &mut || Ok(None), may_exist: false };
        let parents = file.key.parent.candidates();
        let key = tpm.unseal(&file.key.blob, &parents, self.access, &file.read_recipe(), &evidence, pin)?;
        PolicySigner::of(&key, &file.signer)
    }

    fn write(&self, space: &mut NvSpace<'_>, by: &PolicyRecipe, evidence: &Evidence) -> Result<()> {
        let key = NvKey { policy: Some((by, evidence)), pin: None };
        space.write(self.index, &content(&self.set)?, NvForm::Raw, key)
    }

    /// One at a time: the directory is locked, and made where it is missing.
    fn lock(&self) -> Result<File> {
        if !self.dir.exists() {
            atomic::make_dirs(self.dir)?;
            // Whoever unseals reads the files, which keep no secret.
            let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
            fs::set_permissions(self.dir, mode).map_err(|e| atomic::cannot("make the directory", self.dir, &e))?;
        }
        let dir = File::open(self.dir).map_err(|e| atomic::cannot("open", self.dir, &e))?;
        flock(&dir, FlockOperation::LockExclusive)
            .map_err(|e| Error::system(format!("lock {}", self.dir.display()), e))?;
        Ok(dir)
    }

    fn what(&self) -> String {
        format!("store a policy in index {:#010x}", self.index)
    }

    fn foreign(&self, why: &str) -> Error {
        let why = format!("{why}: another program has defined it, and may write it");
        Error::new(Kind::Refused, self.what(), why)
            .remedy("choose another index; or, where nothing needs it, remove it first: `trust nv remove`")
    }

    fn lost(&self) -> Error {
        let file = NvPolicyFile::path(self.dir, self.index);
        let why = format!("it is gone, though {} is there: what was sealed with it is lost", file.display());
        Error::new(Kind::Refused, self.what(), why)
            .remedy("find out who removed it; then remove the file, store the policy anew, and seal anew")
    }
}

/// The policy of what is sealed with an index.
fn policy_of(index: &NvPublic) -> crate::policy::Policy {
    crate::policy::Policy::of([crate::policy::Assertion::AuthorizeNv { index: index.clone() }])
}

/// The index before it is written.
fn unwritten(index: &NvPublic) -> NvPublic {
    NvPublic { attributes: index.attributes & !attribute::WRITTEN, ..index.clone() }
}

fn content(set: &PcrSet) -> Result<Secret> {
    let content = NvPolicy::content(set);
    Secret::filled(content.len(), |buffer| {
        buffer.copy_from_slice(&content);
        Ok(())
    })
}
