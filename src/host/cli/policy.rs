//! `trust policy …`.

use super::{
    HostCommand, arguments,
    policy_show::{self, PolicyShow},
    policy_sign::{self, PolicySign},
    policy_store::{self, PolicyStore},
};
use crate::{error::Result, host::fs::atomic, policy::boot_kind::BootKind};
use clap::{Args, Parser, ValueHint};
use std::path::PathBuf;

/// Policies of a TPM
#[derive(Parser)]
#[command(name = "policy")]
pub enum PolicyCommand {
    /// Compute the digests of the policies for two PCR 7 values, for other signers
    #[command(after_help = "Example:\n  trust policy digest --pcr7-tpm tpm.bin --pcr7-production prod.bin -o .\n\n\
        The files are luks_policy.out, for the machine's secrets, and passwd_policy.out, for the TPM's admin password.")]
    Digest(PolicyDigest),
    /// Show what opens a sealed secret, and whether it holds now
    #[command(after_help = policy_show::HELP)]
    Show(PolicyShow),
    /// Sign a policy over other PCRs than PCR 7 for the running system
    #[command(after_help = policy_sign::HELP)]
    Sign(PolicySign),
    /// Store in an NV index of the TPM which values PCRs may have: for what is sealed with --nv-policy
    #[command(after_help = policy_store::HELP)]
    Store(PolicyStore),
}

/// `trust policy digest`
#[derive(Args)]
pub struct PolicyDigest {
    /// PCR 7 of TPM administration boots, 32 bytes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pcr7_tpm: PathBuf,
    /// PCR 7 of production boots, 32 bytes
    #[arg(long, value_name = "FILE", alias = "pcr7-prod", value_hint = ValueHint::FilePath)]
    pcr7_production: PathBuf,
    /// The directory that the files go into
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    output: PathBuf,
    /// Where the policy for the TPM's admin password goes
    #[arg(long, value_name = "FILE", alias = "pf", hide = true)]
    passwd_policy_file: Option<PathBuf>,
    /// Where the policy for the machine's secrets goes
    #[arg(long, value_name = "FILE", alias = "lf", hide = true)]
    luks_policy_file: Option<PathBuf>,
    /// What the TPM's policy version must be: four digits
    #[arg(long, value_name = "DIGITS", alias = "pv", default_value = "0001", value_parser = arguments::policy_version)]
    policy_version: [u8; 4],
}

impl HostCommand for PolicyCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Digest(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Sign(command) => command.run(),
            Self::Store(command) => command.run(),
        }
    }
}

impl PolicyDigest {
    fn run(self) -> Result<()> {
        let policy = |kind: BootKind, pcr7| Ok(kind.policy(&arguments::digest(pcr7)?, self.policy_version)?.digest());
        let passwd = policy(BootKind::Admin, &self.pcr7_tpm)?;
        let luks = policy(BootKind::Production, &self.pcr7_production)?;
        for (given, name, policy) in
            [(&self.passwd_policy_file, "passwd_policy.out", passwd), (&self.luks_policy_file, "luks_policy.out", luks)]
        {
            let file = given.clone().unwrap_or_else(|| self.output.join(name));
            atomic::replace(&file, atomic::PUBLIC, &policy)?;
        }
        Ok(())
    }
}
