//! `trust policy sign`.

use super::{arguments, policy_options::read_files, tpm_options::TpmArguments};
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        keyset::{Keyset, Role, signed_policy},
        say::output,
    },
    policy::{
        pcr_values::{PcrValues, WantedPcrs, WantedValue},
        signed_file::{MAX_REF, SignedPolicyFile},
        version::Version,
    },
};
use clap::{Args, ValueHint};
use std::path::PathBuf;

pub const HELP: &str = "\
Examples:
  trust policy sign acme --pcr sha256:7=locked,11 -o policies/
  trust policy sign acme --pcr sha256:4=@pcr4.bin --ref backup -o policies/

What the policy opens: whatever is sealed with --signed-by luks-acme.pem:REF, for the reference that it is signed for;
for the reference system, which is the default, all that the running system keeps with --system. `trust unseal` finds
it with --signed-policy DIR.";

/// `trust policy sign`
#[derive(Args)]
pub struct PolicySign {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// These PCRs have the values that they have now, as in sha256:0,7; or others: 7=HEX, 7=@FILE, 7=locked (once Trust
    /// has locked it); may be repeated
    #[arg(long, value_name = "BANK:PCRS", required = true, value_parser = WantedPcrs::parse)]
    pcr: Vec<WantedPcrs>,
    /// What the policy is signed for: 1 to 32 letters, digits, dots, dashes
    #[arg(long = "ref", value_name = "REF", default_value = "system")]
    policy_ref: String,
    /// What the policy version of a TPM must be for it to hold: four digits [default: the newest that the keyset has signed
    /// for]
    #[arg(long, value_name = "DIGITS", value_parser = arguments::policy_version)]
    policy_version: Option<Version>,
    /// The directory that the file goes into
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    output: PathBuf,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl PolicySign {
    pub(super) fn run(self) -> Result<()> {
        check_reference(&self.policy_ref)?;
        let keyset = Keyset::open(&self.keyset)?;
        let values = self.values()?;
        let key = keyset.key(Role::TpmpolLuks)?;
        let (name, pem) = (keyset.name(), key.public().to_pem());
        let version = self.policy_version.unwrap_or_else(|| signed_policy::newest_version(&keyset));
        let file = SignedPolicyFile::new(name, pem, &self.policy_ref, &values, version);
        let approved = file.approved()?;
        let file = file.signed(&signed_policy::sign_approved(&key, &approved)?);
        let json = serde_json::to_vec_pretty(&file)
            .map_err(|why| Error::new(Kind::System, "write a signed policy", why.to_string()))?;
        atomic::make_dirs(&self.output)?;
        let path = self.output.join(format!("{}-{}.json", self.policy_ref, hex(&approved.policy.digest())));
        atomic::replace(&path, atomic::PUBLIC, &[&json[..], b"\n"].concat())?;
        output::line(path.display())
    }

    fn values(&self) -> Result<PcrValues> {
        let usage = |why| Error::new(Kind::Usage, "use --pcr", why);
        let mut wanted = WantedPcrs::default();
        for pcrs in &self.pcr {
            wanted = wanted.and(read_files(pcrs)?).map_err(usage)?;
        }
        let needs_tpm = wanted.0.iter().any(|(_, value)| !matches!(value, WantedValue::Literal(_)));
        let now =
            if needs_tpm { self.tpm.connect()?.read_pcrs(&wanted.selections())?.values } else { PcrValues::default() };
        wanted.resolve(&|name| now.get(name)).map_err(usage)
    }
}

/// Refuses what is no name, and nothing at all: what is signed for nothing opens the machine's secrets.
fn check_reference(policy_ref: &str) -> Result<()> {
    let what = "sign a policy";
    if policy_ref.is_empty() {
        let why = "for an empty reference it would be one of production boots: whoever brings these PCRs about, \
                   whatever PCR 7 is, would be given the disk's passphrase and the machine's private key";
        return Err(
            Error::new(Kind::Usage, what, why).remedy("name what it is for: --ref system, or a word of your own")
        );
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if policy_ref.len() > MAX_REF || policy_ref.starts_with('.') || !policy_ref.chars().all(is_plain) {
        let why = format!("{policy_ref:?} is not a reference of 1 to {MAX_REF} letters, digits, dots and dashes");
        return Err(Error::new(Kind::Usage, what, why));
    }
    Ok(())
}
