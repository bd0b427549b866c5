//! `trust tpm-policy-gen`.

use super::arguments;
use crate::{error::Result, host::fs::atomic, policy::boot_kind::BootKind};
use clap::Args;
use std::path::PathBuf;

/// `trust tpm-policy-gen`
#[derive(Args)]
pub struct TpmPolicyGen {
    /// PCR 7 of TPM administration boots, 32 bytes
    #[arg(long, value_name = "FILE")]
    pcr7_tpm: PathBuf,
    /// PCR 7 of production boots, 32 bytes
    #[arg(long, value_name = "FILE", alias = "pcr7-prod")]
    pcr7_production: PathBuf,
    /// Where the policy for the TPM admin password goes
    #[arg(long, value_name = "FILE", alias = "pf", default_value = "passwd_policy.out")]
    passwd_policy_file: PathBuf,
    /// Where the policy for the machine's secrets goes
    #[arg(long, value_name = "FILE", alias = "lf", default_value = "luks_policy.out")]
    luks_policy_file: PathBuf,
    /// What the TPM's policy version must be: four digits
    #[arg(long, value_name = "DIGITS", alias = "pv", default_value = "0001", value_parser = arguments::policy_version)]
    policy_version: [u8; 4],
}

impl TpmPolicyGen {
    pub(super) fn run(self) -> Result<()> {
        let policy = |kind: BootKind, pcr7| Ok(kind.policy(&arguments::digest(pcr7)?, self.policy_version)?.digest());
        let passwd = policy(BootKind::Admin, &self.pcr7_tpm)?;
        let luks = policy(BootKind::Production, &self.pcr7_production)?;
        atomic::replace(&self.passwd_policy_file, atomic::PUBLIC, &passwd)?;
        atomic::replace(&self.luks_policy_file, atomic::PUBLIC, &luks)
    }
}
