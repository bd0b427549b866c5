//! A new generation: in an order in which the power may fail anywhere.
//!
//! 1. the counter, counted up once so that it has a value; both indices of the generation, so that there is room for them;
//! 2. journalctl makes the key pair: the sealing key goes to the disk, the verification key through a pipe to here;
//! 3. what is said of the key is written, then the key itself;
//! 4. the key is locked, then what is said of it;
//! 5. the counter is counted up.
//!
//! As long as the key is not locked, it is made and written anew. Once it is, the record is complete, and what is left to do
//! needs no key. Cut off between steps 2 and 4, the sealing key on disk is of no generation: `trust fss status` says so, and the
//! next run replaces it.

use super::{
    COUNTER, Generation, GenerationState, Generations, KeyPolicy, KeyRecord, MOST, SealingKey, key_index, record,
    record_index,
};
use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::journal::{MOST_OF_A_KEY, VerificationKey, files::JOURNALS},
    secret::Secret,
    tpm::{NvDefinition, NvForm, NvKey, NvSpace},
    tpm2::{
        NvPublic,
        nv::{attribute, kind},
    },
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    process::{Command, Stdio},
};

/// What is being done, in messages.
const WHAT: &str = "make keys for sealed journals";
/// Bytes of journalctl's complaints that are shown.
const COMPLAINT: u64 = 1024;

/// What a new generation is made with.
pub struct NewSealingKeys<'a> {
    /// The machine-id(5) of this machine.
    pub machine: [u8; 16],
    /// How long each key is to seal, in words of systemd.time(7); by default journalctl's fifteen minutes.
    pub interval: Option<&'a str>,
    /// What is to open the verification key, then what else may open one that was begun.
    pub policies: &'a [KeyPolicy],
    /// Replaces a sealing key whose verification key is not in the TPM.
    pub replace: bool,
}

/// What has been done.
pub enum KeysOutcome {
    /// New keys.
    Made(KeyRecord, VerificationKey),
    /// Those that an earlier run had made were locked and counted.
    Completed(KeyRecord),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    Make(u32),
    Complete(u32),
}

impl NewSealingKeys<'_> {
    /// Makes the first generation.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there are keys already; [`Kind::Refused`]: the owner or the policy does not allow it; [`Kind::System`]:
    /// there is no room in the TPM, or journalctl fails.
    pub fn set_up(&self, space: &mut NvSpace<'_>) -> Result<KeysOutcome> {
        let _lock = self.lock()?;
        let generations = Generations::read(space)?;
        let step = next(&generations);
        if generations.newest().is_some() && !matches!(step, NextStep::Complete(0)) {
            let why = "the TPM holds a verification key already";
            return Err(Error::new(Kind::Usage, WHAT, why).remedy("have new keys made beside it: `trust fss rotate`"));
        }
        let is_begun = !generations.all.is_empty();
        if !self.replace && !is_begun && SealingKey::read(&self.machine)?.is_some() {
            let path = SealingKey::path(&self.machine);
            let why = format!("{} is there, and its verification key is not in the TPM", path.display());
            return Err(Error::new(Kind::Usage, WHAT, why).remedy(
                "keep its verification key for what it has sealed, and have it replaced: `trust fss setup --replace`",
            ));
        }
        self.take(space, &generations, step)
    }

    /// Makes a generation beside those that there are.
    ///
    /// # Errors
    /// [`Kind::Unprovisioned`]: there is none; as [`Self::set_up`].
    pub fn rotate(&self, space: &mut NvSpace<'_>) -> Result<KeysOutcome> {
        let _lock = self.lock()?;
        let generations = Generations::read(space)?;
        if generations.newest().is_none() {
            return Err(super::keys::no_keys());
        }
        let step = next(&generations);
        self.take(space, &generations, step)
    }

    fn take(&self, space: &mut NvSpace<'_>, generations: &Generations, step: NextStep) -> Result<KeysOutcome> {
        let of = |number: u32| generations.all.iter().find(|generation| generation.number == number);
        match step {
            NextStep::Complete(number) => {
                let record = of(number).and_then(|generation| generation.record.clone());
                let record = record.ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "its record is gone"))?;
                self.complete(space, of(number), &record).map(|()| KeysOutcome::Completed(record))
            }
            NextStep::Make(number) => {
                let made = self.make(space, of(number), number)?;
                let generations = Generations::read(space)?;
                let generation = generations.all.iter().find(|generation| generation.number == number);
                self.complete(space, generation, &made.0)?;
                Ok(KeysOutcome::Made(made.0, made.1))
            }
        }
    }

    /// Steps 1 to 3.
    fn make(
        &self,
        space: &mut NvSpace<'_>,
        begun: Option<&Generation>,
        number: u32,
    ) -> Result<(KeyRecord, VerificationKey)> {
        if number >= MOST {
            let why = format!("there are {MOST} generations, and no number for another one");
            return Err(Error::new(Kind::Usage, WHAT, why).remedy("go on with the newest one"));
        }
        let policy = self.policies.first().ok_or_else(|| Error::new(Kind::Usage, WHAT, "no policy is given"))?;
        let counter = ready_counter(space)?;
        let (key, said) = shapes(number, space.is_delegated()?, policy);
        let definition = |public: &NvPublic, policy| NvDefinition {
            index: Some(public.index),
            attributes: public.attributes,
            policy,
            password: None,
        };
        let by_policy = Some((&policy.recipe, &policy.evidence));
        define(space, begun.and_then(|one| one.key.as_ref()), &key, &definition(&key, by_policy))?;
        let is_new = begun.is_none_or(|one| one.key.is_none());
        let room = define(space, begun.and_then(|one| one.record_index.as_ref()), &said, &definition(&said, None));
        if let Err(error) = room {
            // There is no room for both: nothing is left behind, where it can be taken away.
            if is_new && !space.is_delegated()? {
                let _ = space.remove(key.index);
            }
            return Err(error);
        }
        let (sealing, verification) = self.have_keys_made()?;
        let record = KeyRecord {
            number,
            counter: counter + 1,
            machine: self.machine,
            start: sealing.start,
            interval: sealing.interval,
            fingerprint: sealing.fingerprint,
            digest: verification.digest(),
            key_name: record::locked_name(&key),
        };
        let bytes = record.to_bytes();
        let plain = Secret::filled(bytes.len(), |buffer| {
            buffer.copy_from_slice(&bytes);
            Ok(())
        })?;
        space.write(said.index, &plain, NvForm::Framed, NvKey::default())?;
        space.write(key.index, &verification.to_secret()?, NvForm::Framed, policy.open())?;
        Ok((record, verification))
    }

    /// Steps 4 and 5, as far as they have not been done.
    fn complete(&self, space: &mut NvSpace<'_>, generation: Option<&Generation>, record: &KeyRecord) -> Result<()> {
        let state = generation.map_or(GenerationState::Begun, Generation::state);
        if state == GenerationState::Begun {
            let public = generation.and_then(|generation| generation.key.as_ref());
            let opened_by = public.and_then(|public| KeyPolicy::of(self.policies, public));
            space.lock_for_good(key_index(record.number), opened_by.map(KeyPolicy::open).unwrap_or_default())?;
        }
        if state != GenerationState::Locked {
            space.lock_for_good(record_index(record.number), NvKey::default())?;
        }
        if Generations::read(space)?.counter.is_some_and(|counter| counter + 1 == record.counter) {
            space.increment(COUNTER)?;
        }
        Ok(())
    }

    /// Step 2.
    fn have_keys_made(&self) -> Result<(SealingKey, VerificationKey)> {
        let mut journalctl = Command::new("journalctl");
        journalctl.args(["--setup-keys", "--force", "--quiet"]).env("LC_ALL", "C");
        journalctl.args(self.interval.map(|interval| format!("--interval={interval}")));
        journalctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = journalctl.spawn().map_err(|e| {
            let error = Error::system("start journalctl", std::io::Error::from(e.kind()));
            if e.kind() == ErrorKind::NotFound { error.remedy("install systemd's journalctl") } else { error }
        })?;
        let failed = |why: String| Error::new(Kind::System, "have journalctl make a key pair", why);
        let printed = child.stdout.take().map(|mut pipe| Secret::read_from(&mut pipe));
        let mut complaint = Vec::new();
        if let Some(pipe) = child.stderr.take() {
            let _ = pipe.take(COMPLAINT).read_to_end(&mut complaint);
        }
        let status = child.wait().map_err(|e| Error::system("wait for journalctl", e))?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint);
            let why = complaint.lines().last().map_or_else(|| status.to_string(), printable);
            return Err(
                failed(why).remedy("do as it says: it needs root, and a systemd that was built with gcrypt or OpenSSL")
            );
        }
        let printed = printed.transpose().map_err(|e| Error::system("read from journalctl", e))?.flatten();
        let printed = printed.ok_or_else(|| failed("it prints more than a key".into()))?;
        let verification = VerificationKey::parse(&printed).ok_or_else(|| {
            // Not a word of it: it may be a key all the same.
            failed("what it prints is not a verification key".into()).remedy("report it, with the version of systemd")
        })?;
        let sealing = SealingKey::read(&self.machine)?;
        match sealing {
            Some(sealing) if sealing.machine == self.machine && sealing.is_of(&verification) => {
                Ok((sealing, verification))
            }
            _ => Err(failed("the sealing key on disk is not the one that it has made".into())
                .remedy("see that nothing else makes keys, and run it again")),
        }
    }

    /// Keeps another run out until this one ends.
    fn lock(&self) -> Result<File> {
        let path = SealingKey::path(&self.machine);
        let directory = path.parent().unwrap_or(&path);
        let open = || format!("open {}", directory.display());
        let file = File::open(directory).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                let why = format!("there is none: the journal of this machine is not kept in {JOURNALS}");
                Error::new(Kind::Usage, open(), why).remedy(
                    "have journald keep it on disk: Storage=persistent in journald.conf(5), and restart the machine",
                )
            }
            _ => Error::system(open(), e),
        })?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|e| Error::system(format!("lock {}", directory.display()), e))?;
        Ok(file)
    }
}

/// Has journald begin a new file; whether it has.
#[must_use]
pub fn begin_new_file() -> bool {
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--rotate", "--quiet"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    journalctl.status().is_ok_and(|status| status.success())
}

/// What is left to do of the newest generation; or the number of the next one.
fn next(generations: &Generations) -> NextStep {
    let Some(last) = generations.all.last() else { return NextStep::Make(0) };
    let is_sound = match (&last.record, &last.key) {
        (Some(record), Some(key)) => record.number == last.number && record.key_name == record::locked_name(key),
        _ => false,
    };
    let behind =
        |record: &KeyRecord| generations.counter.and_then(|counter| counter.checked_add(1)) == Some(record.counter);
    match last.state() {
        GenerationState::Begun => NextStep::Make(last.number),
        GenerationState::KeyLocked if is_sound => NextStep::Complete(last.number),
        GenerationState::Locked if is_sound && last.record.as_ref().is_some_and(behind) => {
            NextStep::Complete(last.number)
        }
        GenerationState::KeyLocked | GenerationState::Locked => NextStep::Make(last.number + 1),
    }
}

/// The value of the counter, which is defined and counted up once if that has not been done.
fn ready_counter(space: &mut NvSpace<'_>) -> Result<u64> {
    let found = Generations::read(space)?;
    match &found.counter_index {
        None => {
            let by = if space.is_delegated()? { attribute::AUTHWRITE } else { attribute::OWNERWRITE };
            let attributes = attribute::COUNTER | attribute::AUTHREAD | attribute::NO_DA | by;
            let definition = NvDefinition { index: Some(COUNTER), attributes, policy: None, password: None };
            space.define(&definition, 8, NvForm::Raw)?;
        }
        Some(public) if kind(public.attributes) != "counter" => {
            let why = format!("index {COUNTER:#x} is not a counter, but another program's, or an attacker's");
            return Err(Error::new(Kind::Refused, WHAT, why)
                .remedy(format!("find out whose it is, and remove it: `trust nv remove --force {COUNTER:#x}`")));
        }
        Some(_) => {}
    }
    if let Some(counter) = found.counter {
        return Ok(counter);
    }
    space.increment(COUNTER)?;
    let counter = Generations::read(space)?.counter;
    counter.ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the TPM does not count"))
}

/// The indices of a generation as they are defined: of its key, and of what is said of it.
fn shapes(number: u32, is_delegated: bool, policy: &KeyPolicy) -> (NvPublic, NvPublic) {
    const ALWAYS: u32 = attribute::WRITEDEFINE | attribute::NO_DA;
    let (key_writer, said_writer) = if is_delegated {
        (attribute::POLICYWRITE, attribute::AUTHWRITE)
    } else {
        (attribute::OWNERWRITE, attribute::OWNERWRITE)
    };
    let size = |content: usize| u16::try_from(NvForm::Framed.index_size(content)).unwrap_or(u16::MAX);
    let policy = policy.recipe.policy.digest();
    let key = ALWAYS | attribute::POLICYREAD | key_writer;
    let said = ALWAYS | attribute::AUTHREAD | said_writer;
    (
        NvPublic::new(key_index(number), key, Some(&policy), size(MOST_OF_A_KEY)),
        NvPublic::new(record_index(number), said, None, size(record::SIZE)),
    )
}

/// Defines an index, if it is not there already as it is to be. What an attacker has left there in its place, readable or with
/// another policy, is removed, which takes the owner's authorization.
fn define(
    space: &mut NvSpace<'_>,
    found: Option<&NvPublic>,
    wanted: &NvPublic,
    definition: &NvDefinition<'_>,
) -> Result<()> {
    if let Some(found) = found {
        let attributes = found.attributes & !attribute::WRITTEN;
        if (NvPublic { attributes, ..found.clone() }) == *wanted {
            return Ok(());
        }
        space.remove(wanted.index)?;
    }
    let content = usize::from(wanted.size).saturating_sub(NvForm::Framed.index_size(0));
    space.define(definition, content, NvForm::Framed).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_the_one_before_was_cut_off() {
        let policy = KeyPolicy { recipe: Default::default(), evidence: Default::default() };
        let (key, said) = shapes(2, true, &policy);
        let with =
            |public: &NvPublic, more: u32| Some(NvPublic { attributes: public.attributes | more, ..public.clone() });
        let locked = attribute::WRITTEN | attribute::WRITELOCKED;
        let record = KeyRecord {
            number: 2,
            counter: 12,
            machine: [0; 16],
            start: 0,
            interval: 1,
            fingerprint: [0; 32],
            digest: [0; 32],
            key_name: record::locked_name(&key),
        };
        let at = |counter, key: Option<NvPublic>, record_index: Option<NvPublic>, record: Option<&KeyRecord>| {
            let generation = Generation { number: 2, key, record_index, record: record.cloned() };
            next(&Generations { counter_index: None, counter, all: vec![generation] })
        };
        let none = Generations { counter_index: None, counter: None, all: Vec::new() };
        assert_eq!(next(&none), NextStep::Make(0));
        let written = with(&said, attribute::WRITTEN);
        assert_eq!(at(Some(11), Some(key.clone()), None, None), NextStep::Make(2));
        assert_eq!(at(Some(11), with(&key, attribute::WRITTEN), written.clone(), Some(&record)), NextStep::Make(2));
        assert_eq!(at(Some(11), with(&key, locked), written.clone(), Some(&record)), NextStep::Complete(2));
        assert_eq!(at(Some(11), with(&key, locked), with(&said, locked), Some(&record)), NextStep::Complete(2));
        assert_eq!(at(Some(12), with(&key, locked), with(&said, locked), Some(&record)), NextStep::Make(3));
        // Another one's record, or none: what was begun cannot be completed.
        let other = KeyRecord { number: 1, ..record };
        assert_eq!(at(Some(11), with(&key, locked), written.clone(), Some(&other)), NextStep::Make(3));
        assert_eq!(at(Some(11), with(&key, locked), written, None), NextStep::Make(3));
    }
}
