//! Sets of values that PCRs may have, as one policy. Pure.
//!
//! PCRs of one value each are one `PolicyPCR`; each of the others follows with a `PolicyOR` of its values, nested where there
//! are more than the eight that a TPM takes. A policy grows with the number of values and not of their combinations. For up
//! to eight values a PCR, systemd-pcrlock comes to the same digest.

use super::{
    Assertion, Policy,
    pcr_values::{PcrName, PcrValues},
};
use crate::{
    digest::{hex, unhex},
    tpm2::{NvPublic, Selection, bank},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values of one PCR at most: three levels of eight.
pub const MAX_VALUES: usize = 512;
/// Values of all PCRs at most.
const MAX_ALL: usize = 4096;
/// Alternatives of one `PolicyOR` at most.
const BRANCHES: usize = 8;

/// Which values PCRs may have: each its own, in any combination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenSet", into = "WrittenSet")]
pub struct PcrSet(BTreeMap<PcrName, Vec<Vec<u8>>>);

/// `{"sha256": {"7": ["hex", …]}}`.
type WrittenSet = BTreeMap<String, BTreeMap<u8, Vec<String>>>;

impl PcrSet {
    /// These values; several of one PCR are alternatives, in their order.
    ///
    /// # Errors
    /// As a clause: a value is not of its bank's size, or there are none, or too many.
    pub fn new(values: impl IntoIterator<Item = (PcrName, Vec<u8>)>) -> Result<Self, String> {
        let mut set = Self::default();
        for (name, value) in values {
            set.add(name, value)?;
        }
        if set.0.is_empty() {
            return Err("it has no PCRs".into());
        }
        Ok(set)
    }

    fn add(&mut self, name: PcrName, value: Vec<u8>) -> Result<(), String> {
        let size = bank::by_id(name.bank).map(|bank| bank.size);
        if size != Some(value.len()) || name.number > 23 {
            return Err(format!("a value of {} bytes is none of PCR {name}", value.len()));
        }
        let total: usize = self.0.values().map(Vec::len).sum();
        let values = self.0.entry(name).or_default();
        if values.contains(&value) {
            return Ok(());
        }
        if values.len() == MAX_VALUES || total == MAX_ALL {
            return Err(format!(
                "more than {MAX_VALUES} values of a PCR, or {MAX_ALL} in all, are not predicted but guessed"
            ));
        }
        values.push(value);
        Ok(())
    }

    /// With the values that its PCRs have, where they are not in it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(mut self, now: &PcrValues) -> Result<Self, String> {
        for (name, value) in now.iter() {
            if self.0.contains_key(&name) {
                self.add(name, value.to_vec())?;
            }
        }
        Ok(self)
    }

    /// Its PCRs, each with its values.
    pub fn iter(&self) -> impl Iterator<Item = (PcrName, &[Vec<u8>])> {
        self.0.iter().map(|(name, values)| (*name, values.as_slice()))
    }

    /// Its PCRs, a selection for each bank.
    #[must_use]
    pub fn selections(&self) -> Vec<Selection> {
        PcrValues::new(self.0.keys().map(|name| (*name, Vec::new())).collect()).selections()
    }

    /// The policy that holds where each PCR has one of its values.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let of = |values: Vec<(PcrName, Vec<u8>)>| PcrValues::new(values).assertion();
        let only = self.0.iter().filter_map(|(name, values)| match &values[..] {
            [only] => Some((*name, only.clone())),
            _ => None,
        });
        let only: Vec<_> = only.collect();
        let mut assertions = Vec::new();
        if !only.is_empty() {
            assertions.extend(of(only));
        }
        for (name, values) in self.0.iter().filter(|(_, values)| values.len() > 1) {
            let branches = values.iter().filter_map(|value| of(vec![(*name, value.clone())]));
            assertions.push(one_of(branches.map(|branch| Policy::of([branch])).collect()));
        }
        Policy::of(assertions)
    }

    /// Which of the alternatives of [`Self::policy`] hold: a number for each `PolicyOR` on the way; `None` where it does not hold.
    #[must_use]
    pub fn choices(&self, now: &PcrValues) -> Option<Vec<usize>> {
        choices(&self.policy(), now)
    }

    /// The PCRs that have none of their values, with the one that they have.
    #[must_use]
    pub fn differing(&self, now: &PcrValues) -> Vec<(PcrName, Option<Vec<u8>>)> {
        let now = self.0.iter().map(|(name, values)| (*name, values, now.get(*name)));
        let differ = now.filter(|(_, values, now)| now.as_ref().is_none_or(|now| !values.contains(now)));
        differ.map(|(name, _, now)| (name, now)).collect()
    }
}

/// One of these holds: alternatives of alternatives where they are more than a TPM takes at once.
fn one_of(mut branches: Vec<Policy>) -> Assertion {
    while branches.len() > BRANCHES {
        let group = |group: &[Policy]| match group {
            [only] => only.clone(),
            several => Policy::of([Assertion::Or(several.to_vec())]),
        };
        branches = branches.chunks(BRANCHES).map(group).collect();
    }
    Assertion::Or(branches)
}

fn choices(policy: &Policy, now: &PcrValues) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for assertion in policy.assertions() {
        match assertion {
            Assertion::Or(branches) => {
                let taken =
                    branches.iter().enumerate().find_map(|(number, branch)| Some((number, choices(branch, now)?)));
                let (number, within) = taken?;
                all.push(number);
                all.extend(within);
            }
            Assertion::Pcr { selections, values } => {
                let names = selections
                    .iter()
                    .flat_map(|selection| selection.numbers().map(|number| PcrName { bank: selection.bank, number }));
                let now = names.map(|name| Some((name, now.get(name)?))).collect::<Option<Vec<_>>>()?;
                (PcrValues::new(now).digest() == *values).then_some(())?;
            }
            _ => return None,
        }
    }
    Some(all)
}

impl From<PcrSet> for WrittenSet {
    fn from(set: PcrSet) -> Self {
        let mut written = Self::new();
        for (name, values) in &set.0 {
            let values = values.iter().map(|value| hex(value)).collect();
            written.entry(bank::name(name.bank)).or_default().insert(name.number, values);
        }
        written
    }
}

impl TryFrom<WrittenSet> for PcrSet {
    type Error = String;

    fn try_from(written: WrittenSet) -> Result<Self, String> {
        let mut values = Vec::new();
        for (bank, pcrs) in written {
            let bank = bank::by_name(&bank).ok_or_else(|| format!("there is no bank {bank:?}"))?.id;
            for (number, texts) in pcrs {
                let name = PcrName { bank, number };
                if texts.is_empty() {
                    return Err(format!("PCR {name} has no values"));
                }
                for text in texts {
                    values.push((name, unhex(&text).ok_or_else(|| format!("a value of PCR {name} is not in hex"))?));
                }
            }
        }
        Self::new(values)
    }
}

/// What an index of the TPM holds the policy of, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPolicy {
    /// The index, as it is when it has been written.
    pub index: NvPublic,
    /// The sets of which it holds one: while it is being written, both the old and the new one.
    pub sets: Vec<PcrSet>,
}

impl NvPolicy {
    /// Bytes of such an index: an algorithm and a digest of SHA-256.
    pub const SIZE: u16 = 34;

    /// What the index holds for a set: a `TPMT_HA` (part 3, section 23.22).
    #[must_use]
    pub fn content(set: &PcrSet) -> Vec<u8> {
        [&crate::tpm2::constants::alg::SHA256.to_be_bytes()[..], &set.policy().digest()].concat()
    }

    /// The set that the index holds with this content, if it is one of those that are known.
    #[must_use]
    pub fn held(&self, content: &[u8]) -> Option<&PcrSet> {
        self.sets.iter().find(|set| Self::content(set) == content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::hash, tpm2::constants::alg};

    const fn pcr(number: u8) -> PcrName {
        PcrName { bank: alg::SHA256, number }
    }

    fn value(number: u16) -> Vec<u8> {
        hash(&[&number.to_be_bytes()]).to_vec()
    }

    #[test]
    fn every_value_of_a_set_is_found_in_its_policy_and_no_other() {
        for count in [1, 2, 8, 9, 16, 17, 64, 65, 100, 512] {
            let many = (0..count).map(|number| (pcr(7), value(number)));
            let set = PcrSet::new(many.chain([(pcr(4), value(1000)), (pcr(0), value(1)), (pcr(0), value(2))])).unwrap();
            for number in 0..=count {
                let now = PcrValues::new(vec![(pcr(7), value(number)), (pcr(4), value(1000)), (pcr(0), value(2))]);
                let choices = set.choices(&now);
                assert_eq!(choices.is_some(), number < count, "{number} of {count}");
                assert_eq!(set.differing(&now).is_empty(), number < count);
            }
            let now = PcrValues::new(vec![(pcr(7), value(0)), (pcr(4), value(1)), (pcr(0), value(2))]);
            assert_eq!(set.choices(&now), None);
            assert_eq!(set.differing(&now), [(pcr(4), Some(value(1)))]);
        }
    }

    /// No `PolicyOR` has fewer than two branches or more than eight.
    #[test]
    fn alternatives_are_as_many_as_a_tpm_takes() {
        fn check(policy: &Policy) -> usize {
            let of = |assertion: &Assertion| match assertion {
                Assertion::Or(branches) => {
                    assert!((2..=8).contains(&branches.len()));
                    branches.iter().map(check).sum()
                }
                _ => 1,
            };
            policy.assertions().iter().map(of).sum()
        }
        for count in 2..=512 {
            let set = PcrSet::new((0..count).map(|number| (pcr(7), value(number)))).unwrap();
            assert_eq!(check(&set.policy()), usize::from(count));
        }
    }

    #[test]
    fn sets_are_read_as_they_are_written_and_odd_ones_refused() {
        let set =
            PcrSet::new([(pcr(7), value(1)), (pcr(7), value(2)), (pcr(7), value(1)), (pcr(14), value(3))]).unwrap();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<PcrSet>(&text).unwrap(), set);
        for (text, why) in [
            ("{}", "no PCRs"),
            (r#"{"sha256":{}}"#, "no PCRs"),
            (r#"{"sha256":{"7":[]}}"#, "no values"),
            (r#"{"sha256":{"7":["00"]}}"#, "1 bytes"),
            (r#"{"sha256":{"7":["x"]}}"#, "not in hex"),
            (r#"{"md5":{"7":["00"]}}"#, "no bank"),
        ] {
            let error = serde_json::from_str::<PcrSet>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(PcrSet::new([(pcr(24), value(1))]).is_err());
        assert!(PcrSet::new((0..513).map(|number| (pcr(7), value(number)))).is_err());
        let now = PcrValues::new(vec![(pcr(7), value(9)), (pcr(0), value(9))]);
        let with = set.with(&now).unwrap();
        assert_eq!(
            with.iter().map(|(name, values)| (name.number, values.len())).collect::<Vec<_>>(),
            [(7, 3), (14, 1)]
        );
    }
}
