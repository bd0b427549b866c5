//! The verification keys themselves, taken out of the TPM under their policies.

use super::{Generation, GenerationState, Generations, KeyRecord, key_index, record::locked_name};
use crate::{
    error::{Error, Kind, Result},
    host::journal::VerificationKey,
    policy::statements::PolicyRecipe,
    tpm::{NvForm, NvKey, NvSpace, unseal::Evidence},
    tpm2::NvPublic,
};

/// A policy that may be the one of a key, and what that is judged by.
pub struct KeyPolicy {
    /// The policy.
    pub recipe: PolicyRecipe,
    /// What it is judged by.
    pub evidence: Evidence,
}

impl KeyPolicy {
    /// As an index is opened with it.
    #[must_use]
    pub const fn open(&self) -> NvKey<'_> {
        NvKey { policy: Some((&self.recipe, &self.evidence)), pin: None }
    }

    /// The one of an index; the first, where none is, so that the TPM's room says why that one does not open it.
    #[must_use]
    pub fn of<'a>(policies: &'a [Self], public: &NvPublic) -> Option<&'a Self> {
        let fits = |policy: &&Self| public.policy == policy.recipe.policy.digest();
        policies.iter().find(fits).or_else(|| policies.first())
    }
}

/// A verification key, and what is said of it.
pub struct GenerationKey {
    /// What is said of it; it has been compared with the key.
    pub record: KeyRecord,
    /// The key.
    pub key: VerificationKey,
}

/// The keys of all generations that are locked, the oldest first.
///
/// # Errors
/// [`Kind::Unprovisioned`]: there is none; as [`key`].
pub fn keys(space: &mut NvSpace<'_>, policies: &[KeyPolicy]) -> Result<Vec<GenerationKey>> {
    let generations = Generations::read(space)?;
    if generations.newest().is_none() {
        return Err(no_keys());
    }
    let locked = generations.all.iter().filter(|generation| generation.state() == GenerationState::Locked);
    locked.map(|generation| key(space, generation, policies)).collect()
}

/// The key of a generation.
///
/// # Errors
/// [`Kind::Refused`]: no policy opens it now; [`Kind::Corrupt`]: it is not the key that its record speaks of.
pub fn key(space: &mut NvSpace<'_>, generation: &Generation, policies: &[KeyPolicy]) -> Result<GenerationKey> {
    let what = || format!("read the verification key of generation {}", generation.number);
    let corrupt =
        |why: &'static str| Error::new(Kind::Corrupt, what(), why).remedy("see what else is wrong: `trust fss status`");
    let public = generation.key.as_ref().ok_or_else(|| corrupt("its index is not there"))?;
    let record = generation.record.clone().ok_or_else(|| corrupt("what is said of it is not there, or not whole"))?;
    let opened_by = KeyPolicy::of(policies, public).map(KeyPolicy::open).unwrap_or_default();
    let read = space.read(key_index(generation.number), NvForm::Framed, opened_by).map_err(|e| e.within(what()))?;
    let key = VerificationKey::parse(&read.content).ok_or_else(|| corrupt("it is not a verification key"))?;
    if record.number != generation.number || record.digest != key.digest() || record.key_name != locked_name(public) {
        return Err(corrupt("it is another key than its record speaks of: it was replaced"));
    }
    Ok(GenerationKey { record, key })
}

/// That the TPM holds no verification key.
pub fn no_keys() -> Error {
    let why = "the TPM holds no verification key";
    Error::new(Kind::Unprovisioned, "find the keys of sealed journals", why).remedy("make keys: `trust fss setup`")
}
