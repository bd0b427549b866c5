//! PCRs with the values that a policy asks for, as people write them: `sha256:0,7=locked+sha1:2`. Pure.

use super::Assertion;
use crate::{
    digest::{Digest, hash, hex, unhex},
    measure::{
        bank::{Bank, Pcr},
        pcr::LOCK_EVENT,
    },
    tpm2::{
        Selection, bank,
        constants::alg,
        selection::{ALL_PCRS, pcr_number},
    },
};
use std::{fmt, path::PathBuf};

/// A PCR of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PcrName {
    /// `TPM_ALG_ID` of the bank.
    pub bank: u16,
    /// 0 to 23.
    pub number: u8,
}

/// As people write it: `sha256:7`.
impl fmt::Display for PcrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bank::name(self.bank), self.number)
    }
}

/// Which value a PCR must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedValue {
    /// The one that it has now.
    Now,
    /// The one that it will have once it has been locked: extended by what Trust extends PCR 7 with.
    Locked,
    /// This one.
    Literal(Vec<u8>),
    /// The one in a file, in binary.
    File(PathBuf),
}

/// PCRs, and which value each must have, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedPcrs(pub Vec<(PcrName, WantedValue)>);

impl WantedPcrs {
    /// Reads a list of banks, each with its PCRs: `sha256:0,2,7=locked+sha1:all`. Without a bank it is sha256.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut wanted = Vec::new();
        for part in text.split('+') {
            let (bank, pcrs) = match part.split_once(':') {
                Some((name, pcrs)) if !name.contains('=') => (
                    bank::by_name(name).ok_or_else(|| {
                        format!("there is no bank {name:?}, but {}", bank::ALL.map(|bank| bank.name).join(", "))
                    })?,
                    pcrs,
                ),
                _ => (bank::by_id(alg::SHA256).ok_or("there is no bank sha256")?, part),
            };
            for item in pcrs.split(',') {
                let (numbers, value) = item.split_once('=').map_or((item, None), |(n, value)| (n, Some(value)));
                let value = value.map_or(Ok(WantedValue::Now), |value| wanted_value(value, bank))?;
                let numbers = match numbers {
                    "all" => (0..24).filter(|number| ALL_PCRS >> number & 1 == 1).collect(),
                    _ => vec![pcr_number(numbers)?],
                };
                for number in numbers {
                    let name = PcrName { bank: bank.id, number };
                    if wanted.iter().any(|(other, _)| *other == name) {
                        return Err(format!("PCR {name} is there twice"));
                    }
                    wanted.push((name, value.clone()));
                }
            }
        }
        Ok(Self(wanted))
    }

    /// All of them, where those of `others` are others.
    ///
    /// # Errors
    /// That a PCR is in both, as a clause.
    pub fn and(mut self, others: Self) -> Result<Self, String> {
        for (name, value) in others.0 {
            if self.0.iter().any(|(other, _)| *other == name) {
                return Err(format!("PCR {name} is there twice"));
            }
            self.0.push((name, value));
        }
        Ok(self)
    }

    /// Which PCRs these are, a selection for each bank.
    #[must_use]
    pub fn selections(&self) -> Vec<Selection> {
        selections(self.0.iter().map(|(name, _)| *name))
    }

    /// The values that they must have, where `now` says which they have. A file's must have been read before.
    ///
    /// # Errors
    /// That a value cannot be had, as a clause.
    pub fn resolve(&self, now: &dyn Fn(PcrName) -> Option<Vec<u8>>) -> Result<PcrValues, String> {
        let current = |name: PcrName| now(name).ok_or_else(|| format!("the TPM has no PCR {name}"));
        let mut values = Vec::new();
        for (name, wanted) in &self.0 {
            let value = match wanted {
                WantedValue::Now => current(*name)?,
                WantedValue::Locked => locked(*name, &current(*name)?)?,
                WantedValue::Literal(value) => value.clone(),
                WantedValue::File(path) => return Err(format!("{} has not been read", path.display())),
            };
            values.push((*name, value));
        }
        Ok(PcrValues::new(values))
    }
}

fn wanted_value(text: &str, bank: bank::BankAlgorithm) -> Result<WantedValue, String> {
    if let Some(path) = text.strip_prefix('@') {
        return Ok(WantedValue::File(path.into()));
    }
    match text {
        "now" => Ok(WantedValue::Now),
        "locked" => Ok(WantedValue::Locked),
        _ => {
            let value = unhex(text)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{text:?} is not now, locked, @FILE or a value in hex"))?;
            if value.len() != bank.size {
                return Err(format!("a value of {} has {} and not {} bytes", bank.name, bank.size, value.len()));
            }
            Ok(WantedValue::Literal(value))
        }
    }
}

/// What a PCR is once it has been locked.
fn locked(name: PcrName, now: &[u8]) -> Result<Vec<u8>, String> {
    let bank = Bank::by_id(name.bank).ok_or_else(|| format!("the hash of the bank of {name} is not known here"))?;
    let mut pcr = Pcr::at(bank, now);
    pcr.measure(LOCK_EVENT);
    Ok(pcr.value().to_vec())
}

/// One selection for each bank, in the order in which the banks come.
fn selections(names: impl Iterator<Item = PcrName>) -> Vec<Selection> {
    let mut selections: Vec<Selection> = Vec::new();
    for name in names {
        let bit = 1_u32 << name.number;
        match selections.iter_mut().find(|selection| selection.bank == name.bank) {
            Some(selection) => selection.pcrs |= bit,
            None => selections.push(Selection { bank: name.bank, pcrs: bit }),
        }
    }
    selections
}

/// PCRs and values, in the order in which a TPM hashes them: by bank as they came first, then by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcrValues(Vec<(PcrName, Vec<u8>)>);

impl PcrValues {
    /// These values.
    #[must_use]
    pub fn new(values: Vec<(PcrName, Vec<u8>)>) -> Self {
        let selections = selections(values.iter().map(|(name, _)| *name));
        let mut values = values;
        let rank = |name: &PcrName| selections.iter().position(|selection| selection.bank == name.bank);
        values.sort_by_key(|(name, _)| (rank(name), name.number));
        Self(values)
    }

    /// The PCRs that they are of.
    #[must_use]
    pub fn selections(&self) -> Vec<Selection> {
        selections(self.0.iter().map(|(name, _)| *name))
    }

    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = (PcrName, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, value.as_slice()))
    }

    /// The value of one of them.
    #[must_use]
    pub fn get(&self, wanted: PcrName) -> Option<Vec<u8>> {
        self.0.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
    }

    /// SHA-256 over them: what `TPM2_PolicyPCR` compares.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let values: Vec<&[u8]> = self.0.iter().map(|(_, value)| value.as_slice()).collect();
        hash(&values)
    }

    /// That the PCRs have them; `None` where these are more banks than a policy can name.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        let selections = self.selections().into_iter().try_fold(heapless::Vec::new(), |mut list, selection| {
            list.push(selection).ok()?;
            Some(list)
        })?;
        Some(Assertion::Pcr { selections, values: self.digest() })
    }
}

/// As [`WantedPcrs::parse`] reads it, each value in hex.
impl fmt::Display for PcrValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |selection: Selection| {
            let items = self.0.iter().filter(|(name, _)| name.bank == selection.bank);
            let items: Vec<_> = items.map(|(name, value)| format!("{}={}", name.number, hex(value))).collect();
            format!("{}:{}", bank::name(selection.bank), items.join(","))
        };
        f.write_str(&self.selections().into_iter().map(of).collect::<Vec<_>>().join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(name: PcrName) -> Option<Vec<u8>> {
        Some(vec![name.number; bank::by_id(name.bank)?.size])
    }

    #[test]
    fn values_are_read_as_they_are_written_and_hashed_in_the_order_of_the_tpm() {
        let wanted = WantedPcrs::parse(&format!("sha1:2+7=locked,0,4={}", "aB".repeat(32))).unwrap();
        let values = wanted.resolve(&now).unwrap();
        let names: Vec<_> = values.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["sha1:2", "sha256:0", "sha256:4", "sha256:7"]);
        let seven = crate::measure::pcr::locked(&[7; 32]);
        assert_eq!(values.digest(), hash(&[&[2; 20], &[0; 32], &[0xab; 32], &seven]));
        let again = WantedPcrs::parse(&values.to_string()).unwrap().resolve(&|_| None).unwrap();
        assert_eq!(again, values);
        assert_eq!(
            WantedPcrs::parse("sha256:7").unwrap().resolve(&now).unwrap().assertion().unwrap(),
            Assertion::pcr7(&[7; 32])
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("", "\"\" is not the number"),
            ("24", "is not the number"),
            ("md5:1", "no bank \"md5\""),
            ("7=", "is not now"),
            ("7=zz", "is not now"),
            ("7=aabb", "has 32 and not 2 bytes"),
            ("sha256:7,7", "twice"),
            ("7+sha256:7=now", "twice"),
        ] {
            let error = WantedPcrs::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
