//! The policies that are known without being told: those of keysets, and some that are the same everywhere. By its digest
//! a policy is found among them; a digest alone does not tell its policy.

use super::{
    Assertion, Policy,
    approved::ApprovedPolicy,
    assertion::Operand,
    boot_kind::BootKind,
    delegation,
    entry_kind::EntryKind,
    pcr_values::{PcrName, PcrValues},
    pcr7data::Pcr7Data,
};
use crate::tpm2::constants::{alg, rh};

/// A policy, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPolicy {
    /// What it is: `what the keyset acme has signed for production boots`.
    pub what: String,
    /// The policy.
    pub policy: Policy,
    /// The values behind the digests of its PCRs, where they are known.
    pub values: Option<PcrValues>,
    /// Its signature, if it is signed.
    pub approved: Option<ApprovedPolicy>,
}

impl KnownPolicy {
    fn new(what: impl Into<String>, policy: Policy) -> Self {
        Self { what: what.into(), policy, values: None, approved: None }
    }

    /// One that a key has signed.
    #[must_use]
    pub fn signed(what: impl Into<String>, approved: ApprovedPolicy) -> Self {
        Self { approved: Some(approved.clone()), ..Self::new(what, approved.policy) }
    }
}

/// Those that are the same everywhere.
#[must_use]
pub fn everywhere() -> Vec<KnownPolicy> {
    let endorsement = Assertion::Secret { hierarchy: rh::ENDORSEMENT, policy_ref: Operand::new() };
    vec![
        KnownPolicy::new("the empty policy", Policy::default()),
        KnownPolicy::new("a password or PIN, and nothing else", Policy::of([Assertion::AuthValue])),
        KnownPolicy::new("the policy of endorsement keys (TCG EK Credential Profile)", Policy::of([endorsement])),
    ]
}

/// Those of the keysets whose signed policies these are: what is signed, what that opens, and what it delegates. What cannot
/// be read is left out.
#[must_use]
pub fn of_keysets(data: &Pcr7Data) -> Vec<KnownPolicy> {
    let mut known: Vec<KnownPolicy> = Vec::new();
    let mut values = data.values();
    values.sort_unstable();
    for pcr7 in values {
        let Ok(Some(entry)) = data.entry(&pcr7) else { continue };
        let (kind, keyset) = (entry.info.kind, &entry.info.keyset);
        let Ok(approved) = entry.approved() else { continue };
        let opens = Policy::authorized_by(approved.signer.name(), approved.policy_ref.clone());
        let mut others = vec![KnownPolicy::new(opened(kind, keyset), opens)];
        if kind == EntryKind::System {
            let what = format!("what the owner of a TPM of the keyset {keyset} delegates to the running system");
            others.push(KnownPolicy::new(what, delegation::policy(approved.signer.name())));
        }
        let values = PcrValues::new(vec![(PcrName { bank: alg::SHA256, number: 7 }, pcr7.to_vec())]);
        let what = format!("what the keyset {keyset} has signed for {}", whom(kind));
        known.push(KnownPolicy { values: Some(values), ..KnownPolicy::signed(what, approved) });
        // Of the same key there are several.
        others.retain(|other| !known.contains(other));
        known.extend(others);
    }
    known
}

fn whom(kind: EntryKind) -> String {
    match kind {
        EntryKind::Boot(kind) => format!("{} boots", kind.as_str()),
        EntryKind::System => "the running system".to_owned(),
    }
}

fn opened(kind: EntryKind, keyset: &str) -> String {
    let what = match kind {
        EntryKind::Boot(BootKind::Production) => "the secrets of a machine",
        EntryKind::Boot(BootKind::Admin) => "the TPM admin password of a machine",
        EntryKind::Boot(BootKind::Limited) => "nothing",
        EntryKind::System => "what the running system of a machine seals",
    };
    format!("what opens {what} of the keyset {keyset}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn the_policy_of_endorsement_keys_is_that_of_the_profile() {
        // TCG EK Credential Profile 2.5, section B.3.
        let digest = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
        let known: Vec<_> = everywhere().into_iter().filter(|known| hex(&known.policy.digest()) == digest).collect();
        assert_eq!(known.len(), 1);
    }
}
