//! Policies signed for the running system over other PCRs, as files: JSON, one policy a file. Pure.

use super::{
    Assertion, Policy,
    approved::{ApprovedPolicy, PolicySignature},
    assertion::Operand,
    pcr_values::{PcrName, PcrValues},
    public_key::PolicyKey,
    version::{self, Version},
};
use crate::{
    digest::{hex, unhex},
    error::{Error, Kind, Result},
    tpm2::bank,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest policyRef: a TPM whose largest hash is SHA-256 takes no longer one.
pub const MAX_REF: usize = 32;

/// The contents of such a file. PCRs are hashed in the order of the banks' names, and of their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub struct SignedPolicyFile {
    /// 1.
    format: u32,
    /// The name of the keyset, for messages.
    keyset: String,
    /// In hex.
    policy_ref: String,
    /// By bank and number, in hex.
    pcrs: BTreeMap<String, BTreeMap<u8, String>>,
    /// What index 0x1500020 must hold: four digits.
    policy_version: String,
    /// In PEM.
    public_key: String,
    /// In hex.
    #[serde(default)]
    signature: String,
}

impl SignedPolicyFile {
    /// One that is still to be signed.
    #[must_use]
    pub fn new(keyset: &str, public_key: String, policy_ref: &str, values: &PcrValues, version: Version) -> Self {
        let mut pcrs: BTreeMap<String, BTreeMap<u8, String>> = BTreeMap::new();
        for (name, value) in values.iter() {
            pcrs.entry(bank::name(name.bank)).or_default().insert(name.number, hex(value));
        }
        let policy_version = String::from_utf8_lossy(&version).into_owned();
        let policy_ref = hex(policy_ref.as_bytes());
        let keyset = keyset.to_owned();
        Self { format: 1, keyset, policy_ref, pcrs, policy_version, public_key, signature: String::new() }
    }

    /// With this signature.
    #[must_use]
    pub fn signed(self, signature: &[u8]) -> Self {
        Self { signature: hex(signature), ..self }
    }

    /// The policy with its signature, which the TPM has yet to verify.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: something in it is not what it should be.
    pub fn approved(&self) -> Result<ApprovedPolicy> {
        let bad = |why: &'static str| Error::new(Kind::Corrupt, "read a signed policy", why);
        if self.format != 1 {
            return Err(bad("its format is not 1"));
        }
        let mut values = Vec::new();
        for (bank, pcrs) in &self.pcrs {
            let bank = bank::by_name(bank).ok_or_else(|| bad("it names a bank that there is not"))?;
            for (number, value) in pcrs {
                let value = unhex(value).filter(|value| value.len() == bank.size);
                let value = value.ok_or_else(|| bad("a value in it is not of its bank's size"))?;
                if *number > 23 {
                    return Err(bad("it names a PCR that there is not"));
                }
                values.push((PcrName { bank: bank.id, number: *number }, value));
            }
        }
        if values.is_empty() {
            return Err(bad("it names no PCR"));
        }
        let pcrs = PcrValues::new(values).assertion().ok_or_else(|| bad("it names too many banks"))?;
        let version =
            version::parse(&self.policy_version).ok_or_else(|| bad("its policy_version is not four digits"))?;
        let policy_ref = unhex(&self.policy_ref).filter(|policy_ref| (1..=MAX_REF).contains(&policy_ref.len()));
        let policy_ref = policy_ref.and_then(|policy_ref| Operand::from_slice(&policy_ref).ok());
        Ok(ApprovedPolicy {
            policy: Policy::of([pcrs, Assertion::nv(version::index(), version.into())]),
            policy_ref: policy_ref.ok_or_else(|| bad("its policy_ref is empty, or too long"))?,
            signer: PolicyKey::from_pem(self.public_key.as_bytes())?,
            signature: PolicySignature::RsaSsa(unhex(&self.signature).ok_or_else(|| bad("its signature is not hex"))?),
            source: format!("a signed policy of {}", self.keyset),
        })
    }
}

/// Reads a file of [`SignedPolicyFile`].
///
/// # Errors
/// [`Kind::Corrupt`].
pub fn parse(json: &[u8]) -> Result<ApprovedPolicy> {
    let file: SignedPolicyFile = serde_json::from_slice(json)
        .map_err(|why| Error::new(Kind::Corrupt, "read a signed policy", why.to_string()))?;
    file.approved()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_what_they_should_be_are_corrupt() {
        let values = PcrValues::new(vec![(PcrName { bank: 0x000b, number: 7 }, vec![7; 32])]);
        let json = serde_json::to_string(&SignedPolicyFile::new("k", "PEM".into(), "r", &values, *b"0001")).unwrap();
        for (sound, damaged) in [
            ("\"format\":1", "\"format\":2"),
            ("\"72\"", "\"\""),
            ("\"72\"", "\"7\""),
            ("sha256", "sha257"),
            ("\"7\":", "\"24\":"),
            ("\"7\":", "\"256\":"),
            ("\"0707", "\"07"),
            ("\"0001\"", "\"1\""),
            ("PEM", "PEM"),
            ("{", "["),
        ] {
            let damaged = json.replacen(sound, damaged, 1);
            assert_eq!(parse(damaged.as_bytes()).unwrap_err().kind(), Kind::Corrupt, "{damaged}");
        }
    }
}
