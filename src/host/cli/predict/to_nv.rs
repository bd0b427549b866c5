//! `trust predict --to-nv`: what PCRs are and will be, into an index of the TPM.

use super::super::{policy_store::StoreOptions, system_policies::SystemPolicyOptions};
use super::{table, warn};
use crate::{
    error::{Error, Kind, Result},
    host::{predict::next_boot::NextBoot, say::output},
    policy::pcr_values::PcrName,
};

const WHAT: &str = "store what is predicted in the TPM";

/// Stores the values of these PCRs (bit n: PCR n) of the boot of the log, and of the next one.
///
/// # Errors
/// [`Kind::Refused`]: the machine would not start, or a PCR is not known; those of [`StoreOptions::store`].
pub fn run(
    index: u32,
    options: &StoreOptions,
    next: &NextBoot,
    pcrs: u32,
    signed: &SystemPolicyOptions,
    json: bool,
) -> Result<()> {
    if let Some(obstacle) = next.obstacles.first() {
        return Err(Error::new(Kind::Refused, WHAT, obstacle.clone())
            .remedy("leave that update, or give one that lets the machine start"));
    }
    let mut values: Vec<(PcrName, Vec<u8>)> = Vec::new();
    for number in (0..24).filter(|number| pcrs >> number & 1 == 1) {
        let unknown = |why: &str| {
            Error::new(Kind::Refused, WHAT, format!("what PCR {number} will be is not known: {why}"))
                .remedy("leave that PCR out, or give the values by hand: `trust policy store`")
        };
        let predicted = next.of(number).ok_or_else(|| unknown("the log says nothing of it"))?;
        if let Some(why) = &predicted.unknown {
            return Err(unknown(why));
        }
        // The next boot may be one without the update.
        let now = predicted.now.iter().filter(|_| !options.is_final());
        let all = now.chain(predicted.values.iter().map(|value| &value.value));
        values.extend(all.map(|value| (predicted.pcr, value.clone())));
    }
    if !json {
        output::lines(table::lines(next, pcrs))?;
    }
    warn(next);
    options.store(options.connect()?, index, values, signed, json)
}
