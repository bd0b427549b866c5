//! `trust policy show DIGEST`: which of the known policies a digest is that of.

use super::{
    policy_show::{Judge, judged},
    signed_policies::SignedPolicyOptions,
};
use crate::{
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    host::say::output,
    policy::known::KnownPolicy,
};
use serde_json::json;

/// Shows the policy of this digest, and what in the TPM has it.
///
/// # Errors
/// [`Kind::Usage`]: nothing is known of it.
pub fn show_known(digest: &Digest, signed: &SignedPolicyOptions, judge: &mut Judge, as_json: bool) -> Result<()> {
    let all = signed.known()?;
    let (known, others): (Vec<KnownPolicy>, _) = all.into_iter().partition(|known| known.policy.digest() == *digest);
    let users = judge.tpm.as_mut().map(|tpm| tpm.users_of_policy(digest)).transpose()?.unwrap_or_default();
    if known.is_empty() && users.is_empty() {
        let why =
            format!("{} is not among those that are known here, and a digest does not tell its policy", hex(digest));
        return Err(Error::new(Kind::Usage, "show the policy", why)
            .remedy("name where it may be from: --pcr7data DIR, --signed-policy DIR, or the file that it seals"));
    }
    let policy = known.first().map(|known| &known.policy);
    let asserts = |other: &KnownPolicy| other.approved.is_some();
    // What it opens is judged by what is signed for it.
    judge.evidence.values = known.iter().chain(&others).filter_map(|known| known.values.clone()).collect();
    judge.evidence.authorizations = others.into_iter().filter(asserts).filter_map(|other| other.approved).collect();
    let names: Vec<_> = known.iter().map(|known| known.what.as_str()).collect();
    if as_json {
        let whole = policy.map(|policy| judge.judge_policy(policy)).transpose()?.flatten();
        let assertions = policy.map(|policy| judge.assertions(policy)).transpose()?;
        let shown = json!({
            "format": 1, "policy": hex(digest), "known_as": names, "used_by": users, "assertions": assertions,
        });
        return output::json(&judged(shown, whole.as_ref()));
    }
    output::line(format_args!("policy       {}", hex(digest)))?;
    for name in &names {
        output::line(format_args!("which is     {name}"))?;
    }
    if names.is_empty() {
        output::line("which is     none that is known here; a digest does not tell its policy")?;
    }
    if !users.is_empty() {
        output::line(format_args!("used by      {}", users.join(", ")))?;
    }
    let Some(policy) = policy else { return Ok(()) };
    output::line("")?;
    output::lines(judge.tree(policy)?)
}
