//! Sealed data opened by what its file says: the alternatives that can hold tried, the others explained.

use super::{
    assert::Approval,
    connection::Tpm,
    parent::{Parent, ParentAccess},
    policy_signer::PolicySigner,
    seal::{Opening, PinSource, SealedBlob},
};
use crate::{
    console,
    error::{Error, Kind, Result},
    foreign::printable,
    measure::history::Logs,
    policy::{
        Assertion, Policy, approved::ApprovedPolicy, pcr_set::NvPolicy, pcr_values::PcrValues,
        statements::PolicyRecipe, verdict::Judgement,
    },
    secret::Secret,
    tpm2::{Name, Selection, constants::alg, sealed::SealedPublic},
};

/// What a policy is judged by, beside the TPM.
#[derive(Default)]
pub struct Evidence {
    /// The values behind the digests of PCRs, where they are known.
    pub values: Vec<PcrValues>,
    /// What keys have signed, or are said to have: the TPM has yet to verify it.
    pub authorizations: Vec<ApprovedPolicy>,
    /// Why something that a key has signed is missing, where that is known.
    pub missing: Option<String>,
    /// What indices hold the policies of, as far as that is known.
    pub nv_policies: Vec<NvPolicy>,
    /// Keys that sign for policies.
    pub signers: Vec<PolicySigner>,
    /// The logs of this machine, where they can be read.
    pub logs: Logs,
    /// What cannot be read, and why: `FILE: WHY`.
    pub unreadable: Vec<String>,
}

impl Evidence {
    /// What this key is said to have signed for this.
    pub(super) fn signed_by<'a>(
        &'a self,
        signer: &Name,
        policy_ref: &[u8],
    ) -> impl Iterator<Item = &'a ApprovedPolicy> {
        self.authorizations
            .iter()
            .filter(move |signed| signed.signer.name() == *signer && signed.policy_ref == *policy_ref)
    }
}

/// What has been signed for a policy.
#[derive(Default)]
pub(super) struct Approvals {
    /// What holds now, as the TPM has verified.
    pub(super) sound: Vec<Approval>,
    /// What would hold and is not signed by its key: `FILE: WHY`.
    pub(super) forged: Vec<String>,
}

impl Tpm {
    /// What a file says of sealed data, where it leaves out the values of PCRs: with those of now, if these are the ones that
    /// the data are sealed for. With others nothing that is left out holds.
    ///
    /// # Errors
    /// Those of reading PCRs.
    pub fn complete(&mut self, recipe: PolicyRecipe, blob: &SealedBlob) -> Result<PolicyRecipe> {
        let mut read = |selections: &[Selection]| Ok(self.read_pcrs(selections)?.values.digest());
        let Some(complete) = recipe.with_current_pcrs(&mut read)? else { return Ok(recipe) };
        let fits = SealedPublic::parse(&blob.public).is_some_and(|public| public.policy == complete.policy.digest());
        Ok(if fits { complete } else { recipe })
    }

    /// Unseals what `recipe` opens: by the first of its alternatives that holds. `parents` are tried in their order.
    ///
    /// # Errors
    /// [`Kind::Refused`]: none holds, and why; [`Kind::LockedOut`]; [`Kind::Corrupt`].
    pub fn unseal(
        &mut self,
        blob: &SealedBlob,
        parents: &[Parent],
        access: &ParentAccess,
        recipe: &PolicyRecipe,
        evidence: &Evidence,
        pin: PinSource<'_>,
    ) -> Result<Secret> {
        const WHAT: &str = "unseal";
        let public = SealedPublic::parse(&blob.public)
            .ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "it is a key and not sealed data"))?;
        if public.policy.is_empty() && public.opens_by_password() {
            return self.open_sealed(blob, parents, access, PinSource { may_exist: true, ..pin }, &[Opening::Password]);
        }
        if recipe.leaves_values_out() {
            return Err(self.why_not(recipe, evidence, &[])?);
        }
        if public.name_algorithm == alg::SHA256 && public.policy != recipe.policy.digest() {
            let why = "its policy is not the one that is given with it";
            return Err(Error::new(Kind::Refused, WHAT, why)
                .remedy("give the policy that it was sealed with, in the same order of options"));
        }
        let alternatives: Vec<_> = recipe.alternatives().collect();
        let mut chosen = Vec::new();
        match &alternatives[..] {
            // The TPM will say so if it does not hold, and then it is asked why.
            [(only, _)] if !asks_for_signature(only) => {
                chosen.push((0, *only));
            }
            _ => {
                for (number, (alternative, _)) in alternatives.iter().enumerate() {
                    if self.judge_policy(alternative, evidence)?.may_hold() {
                        chosen.push((number, *alternative));
                    }
                }
            }
        }
        if chosen.is_empty() {
            return Err(self.why_not(recipe, evidence, &[])?);
        }
        let (mut ways, mut forged) = (Vec::new(), Vec::new());
        for (choice, alternative) in chosen {
            let approvals = self.approvals_of(alternative, evidence)?;
            forged.extend(approvals.forged);
            // Of several signatures for the same, the TPM may say of the first alone that it does not hold.
            let each = approvals.sound.into_iter().map(|approval| vec![approval]);
            let each: Vec<_> = if asks_for_signature(alternative) { each.collect() } else { vec![Vec::new()] };
            ways.extend(each.into_iter().map(|approvals| (choice, alternative, approvals)));
        }
        if ways.is_empty() {
            return Err(self.why_not(recipe, evidence, &forged)?);
        }
        let grounds: Vec<Vec<&Approval>> = ways.iter().map(|(_, _, approvals)| approvals.iter().collect()).collect();
        let openings: Vec<_> = ways
            .iter()
            .zip(&grounds)
            .map(|((choice, alternative, _), approvals)| Opening::Policy {
                policy: &recipe.policy,
                approvals,
                evidence,
                choice: *choice,
                needs_pin: alternative.assertions().contains(&Assertion::AuthValue),
            })
            .collect();
        let opened = self.open_sealed(blob, parents, access, pin, &openings);
        // A power cut would count as a failed attempt, where an index was compared that minds those.
        let compared = |policy: &Policy| policy.assertions().iter().any(|one| matches!(one, Assertion::Nv { .. }));
        if compared(&recipe.policy) || evidence.authorizations.iter().any(|signed| compared(&signed.policy)) {
            self.expect_power_cut();
        }
        match opened {
            Err(error) if error.kind() == Kind::Refused && !self.judge_policy(&recipe.policy, evidence)?.may_hold() => {
                Err(self.why_not(recipe, evidence, &forged)?)
            }
            other => other,
        }
    }

    /// That none of the alternatives holds, and why: what was passed over may be the reason.
    fn why_not(&mut self, recipe: &PolicyRecipe, evidence: &Evidence, forged: &[String]) -> Result<Error> {
        let (mut reasons, mut is_signed) = (Vec::new(), false);
        for (alternative, name) in recipe.alternatives() {
            if let Judgement::Fails(why) = self.judge_policy(alternative, evidence)? {
                reasons.push(name.map_or_else(|| why.clone(), |name| format!("{}: {why}", printable(name))));
            }
            is_signed |= signatures_for(alternative)
                .any(|(signer, policy_ref)| evidence.signed_by(signer, policy_ref).next().is_some());
        }
        let unreadable =
            if recipe.alternatives().any(|(one, _)| asks_for_signature(one)) { &evidence.unreadable[..] } else { &[] };
        reasons.extend(forged.iter().chain(unreadable).cloned());
        let why = format!("its policy does not hold: {}", reasons.join("; "));
        if !forged.is_empty() || !unreadable.is_empty() && !is_signed {
            return Ok(Error::new(Kind::Corrupt, "unseal", why)
                .remedy("get the signed policies anew from the one who signs them"));
        }
        Ok(Error::new(Kind::Refused, "unseal", why)
            .remedy("see which part fails: `trust policy show FILE`; boot what it was sealed for, or seal it anew"))
    }

    /// What has been signed for a policy and holds now. What the TPM does not verify is passed over.
    pub(super) fn approvals_of(&mut self, policy: &Policy, evidence: &Evidence) -> Result<Approvals> {
        let mut approvals = Approvals::default();
        for (signer, policy_ref) in signatures_for(policy) {
            for signed in evidence.signed_by(signer, policy_ref) {
                if !self.judge_policy(&signed.policy, evidence)?.may_hold() {
                    continue;
                }
                match self.approve(signed.clone()) {
                    Ok(approval) => approvals.sound.push(approval),
                    // The TPM has said so, or the key is none that it knows.
                    Err(error) if error.kind() == Kind::Corrupt && self.has_answered() => {
                        let why = printable(error.why());
                        console::note(&format!("passed over: {why}"));
                        approvals.forged.push(why);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(approvals)
    }
}

/// What keys must have signed for a policy: their Names, and what for.
fn signatures_for(policy: &Policy) -> impl Iterator<Item = (&Name, &[u8])> {
    policy.assertions().iter().filter_map(|assertion| match assertion {
        Assertion::Authorize { signer, policy_ref } => Some((signer, policy_ref.as_slice())),
        _ => None,
    })
}

/// Whether something that a key has signed must hold.
fn asks_for_signature(policy: &Policy) -> bool {
    signatures_for(policy).next().is_some()
}
