//! What the TPM's owner delegates to the running system, by a policy of the owner hierarchy. Pure.

use super::{
    assertion::{Assertion, Operand, Policy},
    entry_kind::SYSTEM_REF,
};
use crate::tpm2::{Name, constants::cc};

/// The commands: primary keys and new indices can be made with them, and nothing be overwritten or removed.
pub const COMMANDS: [u32; 2] = [cc::CREATE_PRIMARY, cc::NV_DEFINE_SPACE];

/// The owner's policy: one of [`COMMANDS`], and what the keyset's key for the machine's secrets, which has this Name, has
/// signed for the running system.
#[must_use]
pub fn policy(signer: Name) -> Policy {
    let branches = COMMANDS.map(|command| branch(signer, command));
    Policy::of([Assertion::Or(branches.into())])
}

fn branch(signer: Name, command: u32) -> Policy {
    let policy_ref = Operand::from_slice(SYSTEM_REF).unwrap_or_default();
    Policy::of([Assertion::Authorize { signer, policy_ref }, Assertion::CommandCode(command)])
}
