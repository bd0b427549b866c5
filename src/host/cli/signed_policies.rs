//! What has been signed, by whatever a policy asks for: of the running system's own, and of a directory.

use super::{arguments, nv_policies::NvPolicyPlace, system_policies::SystemPolicyOptions};
use crate::{
    console,
    error::{Kind, Result},
    foreign::printable,
    host::fs::atomic,
    policy::{
        Assertion, Policy,
        approved::ApprovedPolicy,
        entry_kind::SYSTEM_REF,
        known::{self, KnownPolicy},
        pcr_values::PcrValues,
        signed_file,
        statements::PolicyRecipe,
        verdict,
    },
    tpm::{Tpm, unseal::Evidence},
};
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Where to look for what has been signed.
#[derive(Args)]
pub struct SignedPolicyOptions {
    /// For the running system.
    #[command(flatten)]
    pub system: SystemPolicyOptions,
    /// A directory of what `trust policy sign` has signed, beside that
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    signed_policy: Option<PathBuf>,
    /// In indices of the TPM.
    #[command(flatten)]
    pub stored: NvPolicyPlace,
}

impl SignedPolicyOptions {
    /// What a policy is judged by, of which the values of PCRs are known.
    ///
    /// # Errors
    /// Those of the TPM, and of policies that cannot be read.
    pub fn evidence(&self, tpm: &mut Tpm, recipe: &PolicyRecipe, values: &[PcrValues]) -> Result<Evidence> {
        let (values, authorizations) = (values.to_vec(), recipe.authorizations.clone());
        let mut evidence = Evidence { values, authorizations, ..Evidence::default() };
        for file in self.files()? {
            match file {
                Ok(approved) => evidence.authorizations.push(approved),
                Err(why) => pass_over(&mut evidence, why),
            }
        }
        for index in indices(recipe) {
            match self.stored.read(index) {
                Ok(file) => evidence.nv_policies.extend(file.map(|file| file.known())),
                Err(error) => pass_over(&mut evidence, printable(&error.cause())),
            }
        }
        if asks_for_system(recipe) {
            match self.system.approved(tpm)? {
                Ok(approved) => evidence.authorizations.push(approved),
                Err(error) if error.kind() == Kind::Corrupt => pass_over(&mut evidence, printable(&error.cause())),
                Err(error) => evidence.missing = Some(error.why().to_owned()),
            }
        }
        Ok(evidence)
    }

    /// What is in the directory of signed policies; of what cannot be read, why: another one may do.
    fn files(&self) -> Result<Vec<std::result::Result<ApprovedPolicy, String>>> {
        let Some(dir) = &self.signed_policy else { return Ok(Vec::new()) };
        let names = atomic::list(dir)?.into_iter().filter(|name| name.ends_with(".json"));
        let read = |name: String| {
            let path = dir.join(name);
            let source = printable(&path.to_string_lossy());
            match arguments::image(&path).and_then(|json| signed_file::parse(&json)) {
                Ok(approved) => Ok(ApprovedPolicy { source, ..approved }),
                Err(error) => Err(format!("{source}: {}", printable(error.why()))),
            }
        };
        Ok(names.map(read).collect())
    }

    /// All policies that are known here.
    ///
    /// # Errors
    /// Those of a directory that is named and cannot be read.
    pub fn known(&self) -> Result<Vec<KnownPolicy>> {
        let mut known = known::everywhere();
        match self.system.data() {
            Ok(data) => known.extend(known::of_keysets(&data)),
            Err(error) if self.system.is_given() => return Err(error),
            Err(_) => {}
        }
        let signed = |approved: ApprovedPolicy| {
            let what = format!("what {} has signed", approved.source);
            KnownPolicy::signed(what, approved)
        };
        known.extend(self.files()?.into_iter().flatten().map(signed));
        Ok(known)
    }
}

fn pass_over(evidence: &mut Evidence, why: String) {
    console::note(&format!("passed over: {why}"));
    evidence.unreadable.push(why);
}

/// The indices whose policies a policy asks for.
fn indices(recipe: &PolicyRecipe) -> impl Iterator<Item = u32> {
    let assertions = verdict::alternatives(&recipe.policy).iter().flat_map(Policy::assertions);
    assertions.filter_map(|assertion| match assertion {
        Assertion::AuthorizeNv { index } => Some(index.index),
        _ => None,
    })
}

fn asks_for_system(recipe: &PolicyRecipe) -> bool {
    let asks = |policy: &Policy| {
        policy.assertions().iter().any(
            |assertion| matches!(assertion, Assertion::Authorize { policy_ref, .. } if policy_ref.as_slice() == SYSTEM_REF),
        )
    };
    verdict::alternatives(&recipe.policy).iter().any(asks)
}
