//! Where the running system has its own signed policies, and which of them is for this boot.

use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    host::fs::xdg,
    measure::pcr,
    policy::{approved::ApprovedPolicy, pcr_values::PcrName, pcr7data::Pcr7Data, public_key::PolicyKey},
    tpm::{
        Tpm,
        delegation::Delegation,
        parent::{Parent, ParentAccess},
        tickets::Tickets,
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

/// Where to look for what is signed for the running system.
#[derive(Args)]
pub struct SystemPolicyOptions {
    /// The signed policies of the running system [default: /run/trust/pcr7data, /usr/lib/trust/pcr7data, or
    /// loader/trust/pcr7data on the ESP]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pcr7data: Option<PathBuf>,
}

impl SystemPolicyOptions {
    /// Whether a directory is named.
    pub const fn is_given(&self) -> bool {
        self.pcr7data.is_some()
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there are none here; those of a directory that cannot be read.
    pub fn data(&self) -> Result<Pcr7Data> {
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

    /// What is signed for this boot; the inner error says why nothing is.
    ///
    /// # Errors
    /// Those of the TPM, when PCR 7 is read.
    pub fn approved(&self, tpm: &mut Tpm) -> Result<Result<ApprovedPolicy>> {
        // Where there are none, the TPM need not be asked.
        match self.data() {
            Ok(data) => Ok(data.system(&pcr7(tpm)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The key whose signatures speak for this running system, as a `TPMT_PUBLIC`.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there are several, and PCR 7 does not tell which.
    pub fn signer(&self, tpm: &mut Tpm) -> Result<Vec<u8>> {
        let data = self.data()?;
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
    pub fn delegation(&self, tpm: &mut Tpm) -> Option<Delegation> {
        let signed = self.approved(tpm).ok()?.ok()?;
        let places = xdg::caches().into_iter().map(|cache| cache.join("tickets")).collect();
        Some(Delegation::new(signed, Tickets::in_directories(places)))
    }

    /// Has a parent that is made of the owner's hierarchy be made by what the owner delegates, if that is needed.
    pub fn delegate_to(&self, access: &mut ParentAccess, tpm: &mut Tpm, parents: &[Parent]) {
        let is_made = matches!(parents.first(), Some(Parent::Primary { hierarchy: rh::OWNER, .. }));
        if is_made && access.hierarchy.password.is_none() {
            access.hierarchy.delegation = self.delegation(tpm);
        }
    }
}

/// PCR 7 of the sha256 bank.
fn pcr7(tpm: &mut Tpm) -> Result<Digest> {
    let read = tpm.read_pcrs(&[Selection::SHA256_7])?.values;
    let value = read.get(PcrName { bank: alg::SHA256, number: 7 }).and_then(|value| value.try_into().ok());
    value.ok_or_else(|| Error::new(Kind::Corrupt, "read PCR 7", "it is not of 32 bytes"))
}
