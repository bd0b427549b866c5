//! `raise VERSION`: a TPM administration boot, after which policies that were signed for an older version open nothing.

use super::{harden, open_store, options::Options};
use crate::{
    console,
    error::{Error, Kind, Result},
    policy::version,
    seccomp::calls,
    store::read_then_lock,
};

pub fn run(options: &Options) -> Result<()> {
    // Before the TPM is touched: then there is nothing to lock yet.
    let version = options.operands.first().and_then(|operand| operand.to_str()).and_then(version::parse);
    let version =
        version.ok_or_else(|| Error::new(Kind::Usage, "run raise", "VERSION is not four digits, like 0002"))?;
    let hardened = harden(options, &[calls::CHECK_SIGNATURE]);
    let mut store = open_store(options)?;
    let (raised, _locked) = read_then_lock(&mut store, options.on_lock_failure, |store| {
        hardened?;
        store.raise_policy_version(version)
    })?;
    let version = String::from_utf8_lossy(&version);
    console::note(&if raised {
        format!("the policy version is {version}; policies for an older one open nothing any more")
    } else {
        format!("the policy version has been {version} before; nothing was changed")
    });
    Ok(())
}
