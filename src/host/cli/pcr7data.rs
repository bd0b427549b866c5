//! `trust keyset pcr7data`.

use super::{accept, arguments, machine};
use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::{
            Keyset,
            signed_policy::{self, Note, Policies, Values},
        },
        predict::{self, approve},
    },
    measure::{expected, kexec::MOST_SUCCESSORS},
    policy::version::Version,
};
use clap::{Args, ValueHint};
use std::path::PathBuf;

pub const HELP: &str = "Examples:\n  trust keyset pcr7data acme --dbx dbx.esl --dbx update.auth\n  \
    trust keyset pcr7data acme --chain shim --shim shimx64.efi\n  \
    trust keyset pcr7data acme --log binary_bios_measurements --accept vendor.pem\n  \
    trust keyset pcr7data acme --pcr7-tpm tpm.bin \\\n    --pcr7-production prod.bin --pcr7-limited limited.bin\n\n\
    With --kexec, what was sealed with --system opens in successors by `trust kexec`, too. For each production value of the\n\
    keyset that takes 8 more policies for the first successor, and 32 for each further one; they stay signed.\n\n\
    What is there stays valid: build images with the new pcr7data before dbx, shim or firmware change on the\n\
    machines, and both the old and the new PCR 7 read the secrets.";

/// `trust keyset pcr7data`
#[derive(Args)]
pub struct AddPcr7Data {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// PCR 7 of TPM administration boots, 32 bytes [default: computed]
    #[arg(long, value_name = "FILE", requires_all = ["pcr7_production", "pcr7_limited"])]
    pcr7_tpm: Option<PathBuf>,
    /// PCR 7 of production boots, 32 bytes [default: computed]
    #[arg(long, value_name = "FILE", alias = "pcr7-prod", requires_all = ["pcr7_tpm", "pcr7_limited"])]
    pcr7_production: Option<PathBuf>,
    /// PCR 7 of limited boots, 32 bytes [default: computed]
    #[arg(long, value_name = "FILE", requires_all = ["pcr7_tpm", "pcr7_production"])]
    pcr7_limited: Option<PathBuf>,
    #[command(flatten)]
    machine: machine::MachineOptions,
    /// With --log: sign for what the log shows, though it is not as it should be. A certificate that may let drivers and boot
    /// loaders through, beside the keyset's, such as that of a vendor whose option ROMs are to run; or what the firmware says
    /// of itself: dma (devices may change memory), debugger (it is being debugged), audit (it starts any program); may be
    /// repeated
    #[arg(long, value_name = "CERT|FAULT", value_hint = ValueHint::FilePath, requires = "log")]
    accept: Vec<String>,
    /// Sign this policy for the TPM's admin password [default: the one for PCR 7]
    #[arg(long, value_name = "FILE", alias = "passwdPolicy")]
    passwd_policy: Option<PathBuf>,
    /// Sign this policy for the machine's secrets [default: the one for PCR 7 and the policy version]
    #[arg(long, value_name = "FILE", alias = "luksPolicy")]
    luks_policy: Option<PathBuf>,
    /// What the policy version of a TPM must be for the production policy to hold: four digits [default: the newest that the
    /// keyset has signed for]
    #[arg(long, value_name = "DIGITS", value_parser = arguments::policy_version)]
    policy_version: Option<Version>,
    /// Sign for the running system's successors by `trust kexec` as well, for so many in a row, if they are images of the keyset for
    /// production: 0 to 4 [default: as many as it was done for before]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=i64::from(MOST_SUCCESSORS)))]
    kexec: u8,
    /// What info.json says about the values [default: what machines they are computed for]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
}

impl AddPcr7Data {
    pub(super) fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let (values, comment, events) = self.values(&keyset)?;
        let version = self.policy_version.unwrap_or_else(|| signed_policy::newest_version(&keyset));
        let computed = Policies::of(&values, version)?;
        let policies = Policies {
            luks: self.luks_policy.as_deref().map_or(Ok(computed.luks), arguments::digest)?,
            passwd: self.passwd_policy.as_deref().map_or(Ok(computed.passwd), arguments::digest)?,
            version,
            successors: self.kexec,
        };
        signed_policy::add(&keyset, &values, &policies, Note { comment: &comment, events: events.as_deref() })
    }

    /// Those of the files, or those of the machine, and what to say of them.
    fn values(&self, keyset: &Keyset) -> Result<(Values, String, Option<String>)> {
        let (Some(production), Some(limited), Some(tpm)) = (&self.pcr7_production, &self.pcr7_limited, &self.pcr7_tpm)
        else {
            let machine = self.machine.machine(keyset)?;
            let comment = if self.comment.is_empty() { machine.to_string() } else { self.comment.clone() };
            let accepted = accept::read(&self.accept)?;
            if machine.firmware.is_logged() {
                approve::firmware_alone(keyset, &machine, &accepted)?;
            }
            let prediction = predict::pcr7(keyset, &machine)?;
            return Ok((prediction.values(), comment, Some(expected::write(&prediction.production))));
        };
        if self.machine.given() {
            return Err(Error::new(
                Kind::Usage,
                "add PCR 7 values",
                "they are given, and what to compute them from too",
            )
            .remedy("give files of values, or --chain, --shim, --db, --dbx and --sbat-level"));
        }
        let values = Values {
            production: arguments::digest(production)?,
            limited: arguments::digest(limited)?,
            tpm: arguments::digest(tpm)?,
        };
        Ok((values, self.comment.clone(), None))
    }
}
