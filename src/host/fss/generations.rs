//! What the TPM holds of the verification keys.

use super::{COUNTER, KeyRecord, MOST, key_index, record_index};
use crate::{
    bytes::Reader,
    error::{Kind, Result},
    secret::Secret,
    tpm::{NvForm, NvKey, NvSpace},
    tpm2::{
        NvPublic,
        nv::{attribute, kind},
        nv_registry::SEALED_JOURNALS,
    },
};

/// All that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generations {
    /// The counter's index, if it is defined.
    pub counter_index: Option<NvPublic>,
    /// What it has come to, if it was ever counted up.
    pub counter: Option<u64>,
    /// Those of which at least one index is defined, ascending.
    pub all: Vec<Generation>,
}

/// What there is of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: u32,
    /// The index of its key, if it is defined.
    pub key: Option<NvPublic>,
    /// The index of what is said of it, if that is defined.
    pub record_index: Option<NvPublic>,
    /// What is said of it, where that is readable and whole.
    pub record: Option<KeyRecord>,
}

/// How far a generation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// Its key is not locked: it can be replaced, and was not used yet.
    Begun,
    /// Its key is locked and what is said of it is not.
    KeyLocked,
    /// Both are locked for good.
    Locked,
}

impl Generation {
    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> GenerationState {
        match (is_locked(self.key.as_ref()), is_locked(self.record_index.as_ref())) {
            (true, true) => GenerationState::Locked,
            (true, false) => GenerationState::KeyLocked,
            (false, _) => GenerationState::Begun,
        }
    }
}

/// Whether an index has been written, and never will be again.
fn is_locked(public: Option<&NvPublic>) -> bool {
    const FOR_GOOD: u32 = attribute::WRITEDEFINE | attribute::WRITTEN | attribute::WRITELOCKED;
    public.is_some_and(|public| public.attributes & FOR_GOOD == FOR_GOOD && kind(public.attributes) == "ordinary")
}

impl Generations {
    /// Reads what may be known of them.
    ///
    /// # Errors
    /// Those of a TPM that does not answer, or answers nonsense.
    pub fn read(space: &mut NvSpace<'_>) -> Result<Self> {
        let defined = space.defined(&(SEALED_JOURNALS.0..=SEALED_JOURNALS.1))?;
        let counter_index = space.public(COUNTER)?;
        let is_counter = |public: &NvPublic| kind(public.attributes) == "counter";
        let is_written = |public: &NvPublic| public.attributes & attribute::WRITTEN != 0;
        let counter = match &counter_index {
            Some(public) if is_counter(public) && is_written(public) => Some(read_counter(space)?),
            _ => None,
        };
        let mut all = Vec::new();
        for number in (0..MOST).filter(|n| defined.contains(&key_index(*n)) || defined.contains(&record_index(*n))) {
            let (key, record_index) = (space.public(key_index(number))?, space.public(record_index(number))?);
            let record = match &record_index {
                Some(public) if is_written(public) => read_record(space, number)?,
                _ => None,
            };
            all.push(Generation { number, key, record_index, record });
        }
        Ok(Self { counter_index, counter, all })
    }

    /// The newest one that is locked.
    #[must_use]
    pub fn newest(&self) -> Option<&Generation> {
        self.all.iter().rev().find(|generation| generation.state() == GenerationState::Locked)
    }

    /// What is said of those that are locked.
    pub fn records(&self) -> impl Iterator<Item = &KeyRecord> {
        self.all.iter().filter(|one| one.state() == GenerationState::Locked).filter_map(|one| one.record.as_ref())
    }
}

#[allow(clippy::disallowed_methods, reason = "what anyone may read")]
pub(super) fn plain(secret: &Secret) -> &[u8] {
    secret.expose()
}

fn read_counter(space: &mut NvSpace<'_>) -> Result<u64> {
    let read = space.read(COUNTER, NvForm::Raw, NvKey::default())?;
    Ok(Reader::new(plain(&read.content)).array().map_or(0, u64::from_be_bytes))
}

/// `None`: what is there is not a record.
fn read_record(space: &mut NvSpace<'_>, number: u32) -> Result<Option<KeyRecord>> {
    match space.read(record_index(number), NvForm::Framed, NvKey::default()) {
        Ok(read) => Ok(KeyRecord::parse(plain(&read.content))),
        Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::Refused) => Ok(None),
        Err(error) => Err(error),
    }
}
