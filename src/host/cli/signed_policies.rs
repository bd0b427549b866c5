//! Where signed policies are, and which of them are for now.

use super::arguments;
use crate::{
    console,
    error::{Error, Kind, Result},
    foreign::printable,
    host::fs::atomic,
    measure::pcr,
    policy::{
        Assertion, Policy,
        approved::ApprovedPolicy,
        entry_kind::SYSTEM_REF,
        known::{self, KnownPolicy},
        pcr_values::{PcrName, PcrValues},
        pcr7data::Pcr7Data,
        public_key::PolicyKey,
        signed_file,
        statements::PolicyRecipe,
        verdict,
    },
    tpm::{
        Tpm,
        parent::{Parent, ParentAccess},
        unseal::Evidence,
    },
    tpm2::{
        Selection,
        constants::{alg, rh},
    },
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// Where the running system has its signed policies: left by `setup` or `finish`, part of the system, on the ESP. The first
/// that is there counts.
const PLACES: [&str; 5] = [
    "/run/trust/pcr7data",
    "/usr/lib/trust/pcr7data",
    "/efi/loader/trust/pcr7data",
    "/boot/loader/trust/pcr7data",
    "/boot/efi/loader/trust/pcr7data",
];

/// Where to look for what has been signed.
#[derive(Args)]
pub struct SignedPolicyOptions {
    /// The signed policies of the running system [default: /run/trust/pcr7data, /usr/lib/trust/pcr7data, or
    /// loader/trust/pcr7data on the ESP]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pcr7data: Option<PathBuf>,
    /// A directory of what `trust policy sign` has signed, beside that
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    signed_policy: Option<PathBuf>,
}

impl SignedPolicyOptions {
    fn system(&self) -> Result<Pcr7Data> {
        if let Some(dir) = &self.pcr7data {
            return Pcr7Data::open(dir);
        }
        let place = PLACES.iter().map(Path::new).find(|place| place.is_dir());
        place.map_or_else(
            || {
                let why = "this system has none: neither in /run/trust, nor in /usr/lib/trust, nor on the ESP";
                Err(Error::new(Kind::Usage, "find the signed policies of the running system", why).remedy(
                    "name the directory with --pcr7data, or have it left in /run: `trust finish --keep-policies`",
                ))
            },
            Pcr7Data::open,
        )
    }

    /// The key whose signatures speak for this running system, as a `TPMT_PUBLIC`.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there are several, and PCR 7 does not tell which.
    pub fn system_signer(&self, tpm: &mut Tpm) -> Result<Vec<u8>> {
        let data = self.system()?;
        let now = pcr7(tpm)?;
        let locked = pcr::locked(&now);
        let of_this = [now, locked].iter().find_map(|value| data.system(value).ok());
        let area = |key: &PolicyKey| key.area().to_vec();
        if let Some(approved) = of_this {
            return Ok(area(&approved.signer));
        }
        match &data.system_signers()?[..] {
            [only] => Ok(area(only)),
            signers => {
                let why =
                    format!("{} keysets are in {}, and PCR 7 is none of theirs", signers.len(), data.dir().display());
                Err(Error::new(Kind::Usage, "use --system", why)
                    .remedy("seal in the running system itself, or name its keyset's key: --signed-by KEY:system"))
            }
        }
    }

    /// What is signed for this running system, by which the TPM's owner delegates; `None` where there is nothing.
    pub fn delegation(&self, tpm: &mut Tpm) -> Option<ApprovedPolicy> {
        let data = self.system().ok()?;
        data.system(&pcr7(tpm).ok()?).ok()
    }

    /// Has a parent that is made of the owner's hierarchy be made by what the owner delegates, if that is needed.
    pub fn delegate_to(&self, access: &mut ParentAccess, tpm: &mut Tpm, parents: &[Parent]) {
        let is_made = matches!(parents.first(), Some(Parent::Primary { hierarchy: rh::OWNER, .. }));
        if is_made && access.hierarchy.password.is_none() {
            access.hierarchy.delegation = self.delegation(tpm);
        }
    }

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
        if asks_for_system(recipe) {
            let now = pcr7(tpm)?;
            match self.system().and_then(|data| data.system(&now)) {
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
        match self.system() {
            Ok(data) => known.extend(known::of_keysets(&data)),
            Err(error) if self.pcr7data.is_some() => return Err(error),
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

fn asks_for_system(recipe: &PolicyRecipe) -> bool {
    let asks = |policy: &Policy| {
        policy.assertions().iter().any(
            |assertion| matches!(assertion, Assertion::Authorize { policy_ref, .. } if policy_ref.as_slice() == SYSTEM_REF),
        )
    };
    verdict::alternatives(&recipe.policy).iter().any(asks)
}

/// PCR 7 of the sha256 bank.
fn pcr7(tpm: &mut Tpm) -> Result<crate::digest::Digest> {
    let read = tpm.read_pcrs(&[Selection::SHA256_7])?.values;
    let value = read.get(PcrName { bank: alg::SHA256, number: 7 }).and_then(|value| value.try_into().ok());
    value.ok_or_else(|| Error::new(Kind::Corrupt, "read PCR 7", "it is not of 32 bytes"))
}
