//! `trust predict --sign`: policies that hold today and after the updates.

use super::{unknown, updates::Updates};
use crate::{
    console,
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        keyset::Keyset,
        predict::{
            accepted::Accepted,
            approve,
            next_boot::{self, MachineState, NextBoot, PredictedPcr},
        },
    },
    policy::version::Version,
    tpm2::constants::alg,
};

const WHAT: &str = "sign policies for the next boot";

/// With what is signed.
pub struct SigningTerms<'a> {
    /// Though it is not as it should be.
    pub accepted: &'a Accepted,
    /// What the policy version of a TPM must be.
    pub version: Version,
}

/// Signs for what the machine measures today, and for all that it may measure next.
///
/// # Errors
/// [`Kind::Refused`]: PCR 7 is not known, the machine would not start, or nothing should be signed for such a boot; those of
/// [`approve::sign`].
pub fn run(
    keyset: &Keyset,
    state: MachineState<'_>,
    next: &NextBoot,
    updates: &Updates,
    terms: &SigningTerms<'_>,
) -> Result<()> {
    if let Some(obstacle) = next.obstacles.first() {
        return Err(Error::new(Kind::Refused, WHAT, obstacle.clone())
            .remedy("leave that update, or give one that lets the machine start"));
    }
    // As the log has it, whatever has been changed since.
    let today = next_boot::predict(MachineState { variables: None, ..state }, &[], alg::SHA256);
    let mut signed = Vec::new();
    for (boot, comment) in [(&today, "as its event log shows".to_owned()), (next, after(updates))] {
        let predicted = boot.of(7).ok_or_else(|| unknown(WHAT, "the log says nothing of it"))?;
        if let Some(why) = &predicted.unknown {
            return Err(unknown(WHAT, why));
        }
        sign(keyset, predicted, terms, &comment, &mut signed)?;
    }
    Ok(())
}

fn sign(
    keyset: &Keyset,
    predicted: &PredictedPcr,
    terms: &SigningTerms<'_>,
    comment: &str,
    signed: &mut Vec<Vec<u8>>,
) -> Result<()> {
    if predicted.values.iter().any(|value| value.events.is_empty()) {
        return Err(unknown(WHAT, "a value that is published does not say by which events"));
    }
    for value in &predicted.values {
        if signed.contains(&value.value) {
            continue;
        }
        let prediction = approve::sign(keyset, value, terms.accepted, terms.version, comment)?;
        console::note(&format!("signed for production boots with PCR 7 = {}", hex(&prediction.values().production)));
        signed.push(value.value.clone());
    }
    Ok(())
}

/// What info.json says of values that are predicted.
fn after(updates: &Updates) -> String {
    match updates.describe() {
        none if none.is_empty() => "as its event log and its variables show".to_owned(),
        what => format!("as its event log shows, behind an update: {what}"),
    }
}
