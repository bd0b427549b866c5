//! `trust fss …`.

mod certify;
mod check_statement;
mod journalctl;
mod setup;
mod status;
mod verify;

use super::{
    HostCommand,
    owner_password::OwnerPasswordOptions,
    policy_options::{GivenPolicy, PolicyOptions},
    signed_policies::SignedPolicyOptions,
    tpm_options::TpmArguments,
};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::fss::KeyPolicy,
    tpm::{NvSpace, Tpm},
};
use clap::{Args, Parser};

/// Sealed journals: show that nobody has altered them, with a key in the TPM
#[derive(Parser)]
#[command(name = "fss")]
pub enum FssCommand {
    /// Make the keys, and keep the one that verifies in the TPM
    #[command(after_help = setup::SETUP_HELP)]
    Setup(setup::FssSetup),
    /// Make new keys, and keep the older ones
    #[command(after_help = setup::ROTATE_HELP)]
    Rotate(setup::FssRotate),
    /// Show which keys there are, and whether anything is wrong with them
    #[command(after_help = status::HELP)]
    Status(status::FssStatus),
    /// Verify journal files: every seal, and whatever is not under one
    #[command(after_help = verify::HELP)]
    Verify(verify::FssVerify),
    /// Have the TPM sign a statement of what it holds, which shows elsewhere that nothing was replaced
    #[command(after_help = certify::HELP)]
    Certify(certify::FssCertify),
    /// Verify such a statement, elsewhere, and compare it with an earlier one
    #[command(after_help = check_statement::HELP)]
    CheckStatement(check_statement::FssCheckStatement),
}

impl HostCommand for FssCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Setup(command) => command.run(),
            Self::Rotate(command) => command.run(),
            Self::Status(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Certify(command) => command.run(),
            Self::CheckStatement(command) => command.run(),
        }
    }
}

/// The policy of verification keys, and the TPM that has them.
#[derive(Args)]
pub(super) struct FssOptions {
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    password: OwnerPasswordOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl FssOptions {
    /// The TPM's indices, and the policies that may be those of the keys: the one that is given; else that of the running
    /// system of a keyset's machine, then PCR 7 as it is now.
    pub(super) fn open(&self) -> Result<(NvSpace<'_>, Vec<KeyPolicy>)> {
        let mut tpm = self.tpm.connect()?;
        let system = &self.signed;
        let given = match self.policy.policy(&mut tpm, system)? {
            Some(given) => vec![given],
            None => {
                let of_system = PolicyOptions::system().policy(&mut tpm, system);
                let now = PolicyOptions::pcr7().policy(&mut tpm, system)?;
                of_system.ok().flatten().into_iter().chain(now).collect()
            }
        };
        let policies = given.into_iter().map(|given| self.judged(&mut tpm, given)).collect::<Result<_>>()?;
        let delegation = if self.password.is_given() { None } else { self.signed.system.delegation(&mut tpm) };
        let space = NvSpace::new(tpm, Box::new(|| self.password.get())).delegated_by(delegation);
        Ok((space, policies))
    }

    fn judged(&self, tpm: &mut Tpm, given: GivenPolicy) -> Result<KeyPolicy> {
        if given.asks_for_pin {
            let why = "journals are verified while nobody is there to give a PIN";
            return Err(Error::new(Kind::Usage, "use --pin", why).remedy("leave --pin out"));
        }
        let evidence = self.signed.evidence(tpm, &given.recipe, &given.values)?;
        Ok(KeyPolicy { recipe: given.recipe, evidence })
    }

    /// Says which policy is taken where none is given.
    pub(super) fn say_default(&self, policies: &[KeyPolicy]) {
        if !self.policy.is_given() {
            console::note(if policies.len() > 1 {
                "the verification key is for the running system of this keyset's machines, in every boot that is signed (--system)"
            } else {
                "the verification key is for PCR 7 as it is now: a new db, dbx or Secure Boot key closes it (--pcr 7)"
            });
        }
    }
}
