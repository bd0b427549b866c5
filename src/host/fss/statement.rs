//! What the TPM says of the verification keys, signed, in a file that is judged elsewhere and without a TPM.
//!
//! ```json
//! { "format": 1, "statement": "sealed journals", "nonce": "hexadecimal digits",
//!   "attestation_key": "TPMT_PUBLIC",
//!   "certified": [ { "public": "TPMS_NV_PUBLIC", "attest": "TPMS_ATTEST", "signature": "TPMT_SIGNATURE" } ],
//!   "keys": [ "TPMS_NV_PUBLIC" ] }
//! ```
//!
//! What is in capitals is as the TPM has it, in base64. The counter and the records are certified; the indices of the keys, whose
//! content does not leave the TPM, are named by the records. One nonce is in all that is signed: parts of several statements do
//! not make one.

use super::{
    COUNTER, FssFinding, Generation, Generations, KeyRecord, MOST, findings, generations::plain, key_index,
    record_index,
};
use crate::{
    bytes::Reader,
    digest::{hex, unhex},
    error::{Error, Kind, Result},
    secret::Secret,
    tpm::{
        NvCertificate, NvSpace,
        nv_content::{self, NvContent},
    },
    tpm2::{
        NvPublic,
        attest::{self, AttestationKey, ClockInfo, NvAttest},
        nv::{attribute, kind},
    },
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

/// What such a file says it is.
const TITLE: &str = "sealed journals";
/// Bytes of the largest file: all generations that there may be take a tenth.
pub const MOST_BYTES: u64 = 256 * 1024;
/// Bytes of a nonce at most.
pub const MOST_NONCE: usize = 32;

/// What a statement says, whose signatures are those of its key.
#[derive(Clone, Debug)]
pub struct VerifiedStatement {
    /// The attestation key.
    pub key: AttestationKey,
    /// The nonce.
    pub nonce: Vec<u8>,
    /// When it was made, as the TPM has it.
    pub clock: ClockInfo,
    /// What the TPM holds.
    pub generations: Generations,
}

/// Has the TPM say what it holds.
///
/// # Errors
/// As [`NvSpace::certify`]; [`Kind::Unprovisioned`]: it holds nothing.
pub fn make(space: &mut NvSpace<'_>, nonce: &[u8]) -> Result<Value> {
    let found = Generations::read(space)?;
    if found.newest().is_none() {
        return Err(super::no_keys());
    }
    let said = found.all.iter().filter(|one| one.record.is_some()).map(|one| record_index(one.number));
    let indices: Vec<u32> = found.counter.map(|_| COUNTER).into_iter().chain(said).collect();
    let (key, certified) = space.certify(&indices, nonce)?;
    let base64 = |bytes: &[u8]| Base64::encode_string(bytes);
    let certificate = |one: &NvCertificate| {
        json!({
            "public": base64(&one.public.area()),
            "attest": base64(&one.attest),
            "signature": base64(&one.signature),
        })
    };
    let keys: Vec<_> = found.all.iter().filter_map(|one| one.key.as_ref()).map(|key| base64(&key.area())).collect();
    let statement = json!({
        "format": 1,
        "statement": TITLE,
        "nonce": hex(nonce),
        "attestation_key": base64(&key),
        "certified": certified.iter().map(certificate).collect::<Vec<_>>(),
        "keys": keys,
    });
    // On the way from the TPM it may have been altered.
    verify(statement.to_string().as_bytes())?;
    Ok(statement)
}

/// Verifies the signatures of a statement, and that it is one.
///
/// # Errors
/// [`Kind::Corrupt`]: it is not, or was altered.
pub fn verify(file: &[u8]) -> Result<VerifiedStatement> {
    let bad = |why: &str| {
        Error::new(Kind::Corrupt, "believe the statement", why.to_owned())
            .remedy("have a new one made: `trust fss certify`")
    };
    let value: Value = serde_json::from_slice(file).map_err(|_| bad("it is not JSON"))?;
    if value.get("format") != Some(&1.into()) || value.get("statement") != Some(&TITLE.into()) {
        return Err(bad("it is not a statement on sealed journals"));
    }
    let bytes = |value: Option<&Value>| value?.as_str().and_then(|text| Base64::decode_vec(text).ok());
    let list = |name: &str| value.get(name)?.as_array().filter(|list| list.len() <= 1 + MOST as usize);
    let nonce = value.get("nonce").and_then(Value::as_str).and_then(unhex).filter(|nonce| nonce.len() <= MOST_NONCE);
    let key = bytes(value.get("attestation_key")).and_then(|area| AttestationKey::parse(&area));
    let key = key.ok_or_else(|| bad("its key is not one that signs only what a TPM says"))?;
    let (Some(nonce), Some(certified), Some(keys)) = (nonce, list("certified"), list("keys")) else {
        return Err(bad("it is incomplete"));
    };
    let mut generations = Generations { counter_index: None, counter: None, all: Vec::new() };
    let mut clock: Option<ClockInfo> = None;
    for public in keys {
        let public =
            bytes(Some(public)).and_then(|area| NvPublic::parse(&area)).ok_or_else(|| bad("an index is malformed"))?;
        let number = (0..MOST).find(|number| key_index(*number) == public.index);
        let number = number.filter(|number| generations.all.last().is_none_or(|last| last.number < *number));
        let number = number.ok_or_else(|| bad("it names an index that is not one of a key"))?;
        generations.all.push(Generation { number, key: Some(public), record_index: None, record: None });
    }
    for one in certified {
        let part = |name: &str| bytes(one.get(name)).ok_or_else(|| bad("a part of it is malformed"));
        let (area, attest, signature) = (part("public")?, part("attest")?, part("signature")?);
        let public = NvPublic::parse(&area).ok_or_else(|| bad("an index is malformed"))?;
        let signature = attest::signature(&signature).ok_or_else(|| bad("a signature is malformed"))?;
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point);
        verifier.verify(&attest, &signature).map_err(|_| bad("a signature is not its key's: it was altered"))?;
        let said = NvAttest::parse(&attest).ok_or_else(|| bad("what is signed speaks of something else"))?;
        if said.qualifying != nonce || said.name != public.name() || said.content.len() != usize::from(public.size) {
            return Err(bad("what is signed is of another statement, or of another index"));
        }
        let order = clock.is_none_or(|before| {
            (before.resets, before.restarts) == (said.clock.resets, said.clock.restarts)
                && before.clock <= said.clock.clock
        });
        if !order {
            return Err(bad("its parts were not made in one go"));
        }
        clock = Some(said.clock);
        take(&mut generations, public, said.content).ok_or_else(|| bad("it says something twice, or of nothing"))?;
    }
    let clock = clock.ok_or_else(|| bad("nothing in it is signed"))?;
    Ok(VerifiedStatement { key, nonce, clock, generations })
}

/// Takes what is certified of an index; `None`: it is there already, or none of ours.
fn take(generations: &mut Generations, public: NvPublic, content: &[u8]) -> Option<()> {
    if public.index == COUNTER {
        generations.counter_index.is_none().then_some(())?;
        let is_written = public.attributes & attribute::WRITTEN != 0;
        if is_written && kind(public.attributes) == "counter" {
            generations.counter = Some(u64::from_be_bytes(Reader::new(content).array()?));
        }
        generations.counter_index = Some(public);
        return Some(());
    }
    let number = (0..MOST).find(|number| record_index(*number) == public.index)?;
    let at = generations.all.partition_point(|one| one.number < number);
    if generations.all.get(at).is_none_or(|one| one.number != number) {
        generations.all.insert(at, Generation { number, key: None, record_index: None, record: None });
    }
    let generation = generations.all.get_mut(at)?;
    generation.record_index.is_none().then_some(())?;
    generation.record = record(content);
    generation.record_index = Some(public);
    Some(())
}

/// A record behind the header of its index.
fn record(content: &[u8]) -> Option<KeyRecord> {
    let copy = |buffer: &mut [u8]| {
        buffer.copy_from_slice(content);
        Ok(())
    };
    match nv_content::open(Secret::filled(content.len(), copy).ok()?).ok()? {
        NvContent::Whole(record) => KeyRecord::parse(plain(&record)),
        _ => None,
    }
}

impl VerifiedStatement {
    /// What is wrong with what it says.
    #[must_use]
    pub fn findings(&self) -> Vec<FssFinding> {
        findings(&self.generations)
    }

    /// What has happened since an earlier one that should not.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<FssFinding> {
        let mut wrong = Vec::new();
        let mut say = |name, text: String| wrong.push(FssFinding { name, text });
        if self.key != before.key {
            say(
                "attestation_key_changed",
                "it is signed by another key: by another TPM, or this one was cleared".into(),
            );
        } else if self.clock.is_before(&before.clock) {
            say("older_statement", "it was made before the one that it is compared with".into());
        }
        if self.generations.counter < before.generations.counter {
            let text = |counter: Option<u64>| counter.map_or_else(|| "gone".into(), |counter| counter.to_string());
            let (now, then) = (text(self.generations.counter), text(before.generations.counter));
            say("counter_went_back", format!("the counter is {now}, and was {then}: it went back"));
        }
        for old in &before.generations.all {
            let number = old.number;
            match self.generations.all.iter().find(|new| new.number == number) {
                None => say("generation_missing", format!("generation {number} is missing: it was removed")),
                Some(new) if old.record.is_some() && new.record != old.record => {
                    say("key_replaced", format!("the key of generation {number} was replaced"));
                }
                Some(new)
                    if old.record.is_some()
                        && new.key.as_ref().map(NvPublic::name) != old.key.as_ref().map(NvPublic::name) =>
                {
                    say("key_replaced", format!("the index of the key of generation {number} was replaced"));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}
