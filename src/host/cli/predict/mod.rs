//! `trust predict`: what a machine's next boot measures, behind updates.

mod check;
mod fleet;
mod machine_state;
mod sign;
mod table;
mod to_nv;
mod updates;

pub use updates::UpdateOptions;

use super::{HostCommand, accept, arguments, nv, policy_store::StoreOptions, system_policies::SystemPolicyOptions};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        keyset::{Keyset, signed_policy},
        predict::{
            next_boot::{self, NextBoot},
            update::Update,
        },
        say::output,
    },
    measure::bank::Bank,
    policy::version::Version,
    tpm2::{constants::alg, selection::pcr_list},
};
use clap::{Parser, ValueHint};
use std::path::PathBuf;

const HELP: &str = "\
Events that no update touches stay as they are logged; a changed variable is measured anew, and so is what lets something
else through. Where order or presence is uncertain there are several values, each with its reason. The values are those
that the initrd finds, before the system extends anything. Without updates it tells
what has been changed in the variables since that boot.

--check says whether the machine still opens, by the policies that are there: those of KEYSET, of --pcr7data, in the image
of --uki, or of this system. It ends with status 12 if not. --sign has KEYSET sign policies for today's value and the
predicted ones, for the images of all three kinds. --to-nv puts today's values and the predicted ones into an NV index of the
TPM, for what is sealed with --nv-policy: see `trust policy store --help`.

Examples:
  trust predict --dbx-append DBXUpdate.bin
  trust predict --log log --efivars efivars --db-append db.esl --pcr 0,7
  trust predict acme --uki acme.efi --pcr 4,7,11 --json
  trust predict acme --dbx-append DBXUpdate.bin --sign
  trust predict --fleet fleet/ --dbx-append DBXUpdate.bin
  trust predict --dbx-append DBXUpdate.bin --pcr 7 --to-nv 0x01810001
  trust predict --uki acme.efi --check && cp acme.efi /efi/EFI/Linux/";

/// What a machine's next boot measures after updates, and whether it still opens
#[derive(Parser)]
#[command(name = "predict", after_help = HELP)]
pub struct Predict {
    /// Name of the keyset, or its directory if that holds a slash
    #[arg(required_if_eq("sign", "true"))]
    keyset: Option<String>,
    #[command(flatten)]
    machine: machine_state::MachineStateOptions,
    /// Judge many machines by what `trust state` has written on each: a directory of such files, a file with a state on each
    /// line, or - for standard input
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    #[arg(conflicts_with_all = ["log", "efivars", "check", "sign", "bank"])]
    fleet: Option<PathBuf>,
    /// Which PCRs to tell of
    #[arg(long, value_name = "PCRS", value_parser = pcr_list, default_value = "7")]
    pcr: u32,
    /// Bank of PCRs [default: sha256, if the log has it]
    #[arg(long, value_name = "BANK")]
    bank: Option<Bank>,
    /// Say whether the machine would still open, and end with status 12 if not
    #[arg(long, conflicts_with_all = ["sign", "bank"])]
    check: bool,
    #[command(flatten)]
    system: SystemPolicyOptions,
    /// Sign policies for the values of today and those that are predicted, and add them to the keyset's
    #[arg(long, conflicts_with = "bank")]
    sign: bool,
    /// With --sign: sign for what the log shows, though it is not as it should be. A certificate that may let drivers and boot
    /// loaders through, beside the keyset's, such as that of a vendor whose option ROMs are to run; or what the firmware says
    /// of itself: dma (devices may change memory), debugger (it is being debugged), audit (it starts any program); may be
    /// repeated
    #[arg(long, value_name = "CERT|FAULT", value_hint = ValueHint::FilePath, requires = "sign")]
    accept: Vec<String>,
    /// With --sign: what the policy version of a TPM must be for the production policies to hold: four digits [default: the
    /// newest that the keyset has signed for]
    #[arg(long, value_name = "DIGITS", value_parser = arguments::policy_version, requires = "sign")]
    policy_version: Option<Version>,
    /// Have this NV index of the TPM admit the values of today and those that are predicted
    #[arg(long, value_name = "INDEX", value_parser = nv::index, conflicts_with_all = ["check", "sign", "bank"])]
    to_nv: Option<u32>,
    #[command(flatten)]
    store: StoreOptions,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    // Last: its heading is that of all options below it.
    #[command(flatten)]
    updates: updates::UpdateOptions,
}

impl HostCommand for Predict {
    fn run(self) -> Result<()> {
        if let Some(fleet) = &self.fleet {
            let keyset = self.keyset.as_deref().map(Keyset::open).transpose()?;
            return fleet::run(fleet, keyset.as_ref(), &self.system, &self.updates.read()?, self.json);
        }
        let machine = self.machine.read()?;
        let updates = self.updates.read()?;
        let log = machine.log();
        let bank = match self.bank {
            Some(bank) => bank.id(),
            None => machine_state::bank(&log),
        };
        let next = next_boot::predict(machine.state(&log), &updates.made, bank);
        if let Some(index) = self.to_nv {
            return to_nv::run(index, &self.store, &next, self.pcr, &self.system, self.json);
        }
        if self.json {
            output::json(&table::to_json(&next, self.pcr))?;
        } else {
            output::lines(table::lines(&next, self.pcr | updates.published_pcrs()))?;
        }
        // What systemd extends comes after Trust has read.
        let read =
            updates.made.iter().filter(|update| !matches!(update, Update::OsSeparator)).cloned().collect::<Vec<_>>();
        let found = next_boot::predict(machine.state(&log), &read, alg::SHA256);
        if self.check {
            let keyset = self.keyset.as_deref().map(Keyset::open).transpose()?;
            return check::run(&found, keyset.as_ref(), &self.system, &updates);
        }
        if self.sign {
            let name = self.keyset.as_deref().unwrap_or_default();
            let accepted = accept::read(&self.accept)?;
            let keyset = Keyset::open(name)?;
            let version = self.policy_version.unwrap_or_else(|| signed_policy::newest_version(&keyset));
            let terms = sign::SigningTerms { accepted: &accepted, version };
            return sign::run(&keyset, machine.state(&log), &found, &updates, &terms);
        }
        warn(&next);
        Ok(())
    }
}

fn warn(next: &NextBoot) {
    for obstacle in &next.obstacles {
        console::warn(obstacle);
    }
}

/// That nothing can be said of PCR 7.
fn unknown(what: &'static str, why: &str) -> Error {
    Error::new(Kind::Refused, what, format!("what PCR 7 will be is not known: {why}"))
        .remedy("give the files that it asks for, or boot once as it is to be and give that log")
}
