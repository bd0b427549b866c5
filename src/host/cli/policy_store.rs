//! `trust policy store`.

use super::{
    nv, nv_policies::NvPolicyPlace, policy_options::read_files, secrets::PasswordOptions,
    system_policies::SystemPolicyOptions, tpm_options::TpmArguments,
};
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        nv_policy::{NvPolicyUpdate, StoredSet},
        say::output,
    },
    policy::{
        entry_kind::SYSTEM_REF,
        pcr_set::PcrSet,
        pcr_values::{PcrName, WantedPcrs},
        statements::PolicyRecipe,
    },
    tpm::{NvSpace, Tpm, parent::Parent, unseal::Evidence},
};
use clap::Args;
use serde_json::json;

pub const HELP: &str = "\
Examples:
  trust policy store 0x01810001 --pcr sha256:4,7
  trust policy store 0x01810001 --pcr 4,7 --pcr 7=HEX    # after the update, too
  trust seal --nv-policy 0x01810001 -o db.sealed db.key
  trust unseal db.sealed

Values of the same PCR are alternatives; those that the PCRs have now are among them, unless --final is given. What is
sealed with --nv-policy stays as it is, however often the values are exchanged.

The index is defined when it is not there. Whoever exchanges the values does so in a boot that it admits, or in the
running system where it was defined with --system, or as the owner of the TPM, if the owner had a password then.

The values themselves are in a file below /var/lib/trust/nv-policies, without which nothing that is sealed with the
index can be opened. It is not secret.";

/// `trust policy store`
#[derive(Args)]
pub struct PolicyStore {
    #[command(flatten)]
    target: StoreTarget,
    /// These PCRs have the values that they have now, as in sha256:0,7; or others: 7=HEX, 7=@FILE, 7=locked (once Trust
    /// has locked it); may be repeated: of a PCR that is there again, each value is an alternative
    #[arg(long, value_name = "BANK:PCRS", required = true, value_parser = WantedPcrs::parse)]
    pcr: Vec<WantedPcrs>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    signed: SystemPolicyOptions,
    #[command(flatten)]
    options: StoreOptions,
}

/// The index.
#[derive(Args)]
pub struct StoreTarget {
    /// The NV index, 0x01800000 to 0x01bfffff
    #[arg(value_parser = nv::index)]
    index: u32,
}

/// How a policy is stored.
#[derive(Args)]
pub struct StoreOptions {
    /// These values alone: not those that the PCRs have now, if they are others
    #[arg(long = "final")]
    is_final: bool,
    /// Let the running system of production boots of this machine's keyset write a new index, too
    #[arg(long)]
    system: bool,
    #[command(flatten)]
    place: NvPolicyPlace,
    /// The key to seal the index's own key under: a handle, or owner, endorsement or null for one that is made
    /// [default: 0x81000001 if it is there, else owner]
    #[arg(long, value_name = "KEY")]
    parent: Option<Parent>,
    #[command(flatten)]
    passwords: PasswordOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl PolicyStore {
    pub(super) fn run(self) -> Result<()> {
        let Self { target, pcr, json, signed, options } = self;
        let mut tpm = options.connect()?;
        let mut values = Vec::new();
        for wanted in &pcr {
            let wanted = read_files(wanted)?;
            let now = tpm.read_pcrs(&wanted.selections())?.values;
            let resolved = wanted.resolve(&|name| now.get(name));
            let resolved = resolved.map_err(|why| Error::new(Kind::Usage, "use --pcr", why))?;
            values.extend(resolved.iter().map(|(name, value)| (name, value.to_vec())));
        }
        options.store(tpm, target.index, values, &signed, json)
    }
}

impl StoreOptions {
    /// Whether today's values are left out.
    pub const fn is_final(&self) -> bool {
        self.is_final
    }

    /// The TPM.
    ///
    /// # Errors
    /// As [`TpmArguments::connect`].
    pub fn connect(&self) -> Result<Tpm> {
        self.tpm.connect()
    }

    /// Has the index hold these values, and says so. `signed` is for the running system.
    ///
    /// # Errors
    /// As [`NvPolicyUpdate::store`].
    pub fn store(
        &self,
        mut tpm: Tpm,
        index: u32,
        values: Vec<(PcrName, Vec<u8>)>,
        signed: &SystemPolicyOptions,
        json: bool,
    ) -> Result<()> {
        let usage = |why| Error::new(Kind::Usage, "store a policy in the TPM", why);
        let set = PcrSet::new(values).map_err(usage)?;
        let system_signer = if self.system { Some(signed.signer(&mut tpm)?) } else { None };
        let parents = self.parent.map_or_else(|| Parent::USUAL.to_vec(), |parent| vec![parent]);
        let mut access = self.passwords.get()?;
        signed.delegate_to(&mut access, &mut tpm, &parents);
        let is_owner = access.hierarchy.password.is_some();
        let delegation = if is_owner { None } else { signed.delegation(&mut tpm) };
        let ask = || self.passwords.ask_owner();
        let mut space = NvSpace::new(tpm, Box::new(ask)).delegated_by(delegation);
        let evidence = |tpm: &mut Tpm, recipe: &PolicyRecipe| evidence(signed, tpm, recipe);
        let update = NvPolicyUpdate {
            dir: self.place.dir(),
            index,
            set,
            is_final: self.is_final,
            system_signer,
            parents: &parents,
            access: &access,
            evidence: &evidence,
            is_owner,
        };
        let stored = update.store(&mut space)?;
        if json { output::json(&to_json(index, &stored)) } else { show(index, &stored) }
    }
}

/// What is signed for the running system, where that may write the index.
fn evidence(signed: &SystemPolicyOptions, tpm: &mut Tpm, recipe: &PolicyRecipe) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    if !recipe.signers.is_empty() {
        match signed.approved(tpm)? {
            Ok(approved) if approved.policy_ref == SYSTEM_REF => evidence.authorizations.push(approved),
            Ok(_) => {}
            Err(error) => evidence.missing = Some(error.why().to_owned()),
        }
    }
    Ok(evidence)
}

fn show(index: u32, stored: &StoredSet) -> Result<()> {
    let verb = if stored.is_unchanged { "holds already" } else { "now holds" };
    output::line(format_args!("index {index:#010x} {verb} the policy {}", hex(&stored.set.policy().digest())))?;
    for (name, values) in stored.set.iter() {
        let number = values.len();
        let plural = if number == 1 { "" } else { "s" };
        let now = stored.now.get(name);
        let is_now = now.as_ref().is_some_and(|now| values.contains(now));
        let remark = if is_now { "the one of now is among them" } else { "not the one of now" };
        output::line(format_args!("  PCR {name}: {number} value{plural}, {remark}"))?;
    }
    Ok(())
}

fn to_json(index: u32, stored: &StoredSet) -> serde_json::Value {
    let differing = stored.set.differing(&stored.now);
    let not_now: Vec<_> = differing.iter().map(|(name, _)| name.to_string()).collect();
    json!({
        "format": 1,
        "index": format!("{index:#010x}"),
        "policy": hex(&stored.set.policy().digest()),
        "changed": !stored.is_unchanged,
        "pcrs": stored.set,
        "not_now": not_now,
    })
}
