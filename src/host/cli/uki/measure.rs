//! `trust uki measure`.

use super::{open, parse};
use crate::{
    digest::hex,
    error::Result,
    host::{
        say::output,
        uki::{
            measured::Measured,
            pcrs::{self, Measurements},
        },
    },
    measure::bank::{Bank, Pcr},
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

pub const HELP: &str = "\
PCR 4 is for a boot with Secure Boot on that goes from a boot entry of the firmware to the
image. PCR 11 is without the sections that the machine chooses among several (.dtbauto, .efifw).

Example:
  trust uki measure acme.efi --bank sha256 --bank sha384 --json";

/// `trust uki measure`
#[derive(Args)]
pub struct Measure {
    /// The image
    file: PathBuf,
    /// Version of the stub [default: as the image says]
    #[arg(long, value_name = "NUMBER")]
    stub_version: Option<u16>,
    /// Bank of PCRs; may be repeated
    #[arg(long, default_value = "sha256")]
    bank: Vec<Bank>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Measure {
    pub(super) fn run(self) -> Result<()> {
        let input = open(&self.file)?;
        let image = parse(&self.file, &input)?;
        let Measurements { stub: (stub, version), pcr4, profiles } =
            pcrs::measure(&image, self.stub_version, &self.bank)?;
        let pcr4 = hex(pcr4.value());
        if self.json {
            let profiles: Vec<_> =
                profiles.iter().enumerate().map(|(profile, sections)| self.to_json(profile, sections)).collect();
            let pcr4 = json!([{ "bank": "sha256", "hash": pcr4 }]);
            return output::json(&json!({ "stub": stub, "stub_version": version, "pcr4": pcr4, "profiles": profiles }));
        }
        output::line(format_args!("systemd-stub {stub}"))?;
        output::line(format_args!("PCR 4: {pcr4}"))?;
        for (profile, sections) in profiles.iter().enumerate() {
            if profiles.len() > 1 {
                output::line(format_args!("profile {profile}:"))?;
            }
            self.show(sections)?;
        }
        Ok(())
    }

    /// PCR 11 at the start of the kernel, with an empty path, and after each phase, in each bank.
    fn pcr11(&self, sections: &[Measured]) -> Vec<(String, Bank, Pcr)> {
        let mut values = Vec::new();
        for bank in &self.bank {
            let start = pcrs::pcr11(sections, *bank);
            values.push((String::new(), *bank, start.clone()));
            values.extend(pcrs::phases(start).into_iter().map(|(path, pcr)| (path, *bank, pcr)));
        }
        values
    }

    fn to_json(&self, profile: usize, sections: &[Measured]) -> Value {
        let values = self.pcr11(sections).into_iter();
        let values =
            values.map(|(phase, bank, pcr)| json!({ "phase": phase, "bank": bank.name(), "hash": hex(pcr.value()) }));
        let sections = sections.iter().map(|section| {
            json!({ "name": section.name, "size": section.size(), "sha256": hex(&section.digest(Bank::Sha256)) })
        });
        json!({
            "profile": profile,
            "sections": sections.collect::<Vec<_>>(),
            "pcr11": values.collect::<Vec<_>>(),
        })
    }

    fn show(&self, sections: &[Measured]) -> Result<()> {
        for section in sections {
            let digest = hex(&section.digest(Bank::Sha256));
            output::line(format_args!("  {:<9}{:>12}  {digest}", section.name, section.size()))?;
        }
        for (phase, bank, pcr) in self.pcr11(sections) {
            let bank = if bank == Bank::Sha256 { String::new() } else { format!(" {}", bank.name()) };
            let phase = if phase.is_empty() { phase } else { format!(" after {phase}") };
            output::line(format_args!("PCR 11{bank}{phase}: {}", hex(pcr.value())))?;
        }
        Ok(())
    }
}
