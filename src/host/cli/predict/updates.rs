//! The options that say what is going to change, for predictions of one machine and of many.

use crate::{
    error::{Error, Kind, Result},
    host::{
        cli::arguments,
        fleet::judge::SignedValues,
        fs::data::{Input, MAX_IMAGE},
        image::pe::Image,
        predict::{shim::Shim, update::Update, update_file},
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, KEK, PK, Variable},
        },
        uki::{inspect, started},
    },
    policy::pcr_values::{PcrName, WantedPcrs, WantedValue},
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// What changes before the next boot.
#[derive(Args)]
#[command(next_help_heading = "Updates")]
pub struct UpdateOptions {
    /// db is appended to: a file of signature lists (.esl), or a signed one (.auth, .bin); may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    db_append: Vec<PathBuf>,
    /// dbx is appended to: such a file, as vendors and fwupd have them; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    dbx_append: Vec<PathBuf>,
    /// KEK is appended to: such a file; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kek_append: Vec<PathBuf>,
    /// PK is replaced: such a file; one that removes the PK switches Secure Boot off
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pk: Option<PathBuf>,
    /// Another unified kernel image, or another EFI program, is started in the end
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    uki: Option<PathBuf>,
    /// Another shim is started
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    shim: Option<PathBuf>,
    /// The owner's keys in shim (MokList), all of them: a file of signature lists; empty for none
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    mok_list: Option<PathBuf>,
    /// Secure Boot is switched on or off
    #[arg(long, value_name = "STATE", value_parser = ["on", "off"])]
    secure_boot: Option<String>,
    /// The initrd gets systemd 261 or later, which extends PCRs 0 to 7, 9 and 12 to 14 with os-separator
    #[arg(long)]
    os_separator: bool,
    /// A value that a PCR will have, as its vendor has published it, as in sha256:0=HEX; may be repeated
    #[arg(long, value_name = "PCR=HEX")]
    value: Vec<String>,
}

/// What was read of them.
pub struct Updates {
    /// The updates, in their order.
    pub made: Vec<Update>,
    /// What the new image knows of boots, if it brings any signed policies.
    pub boots: Vec<inspect::KnownBoot>,
}

impl Updates {
    /// The PCRs whose values are published, as bits.
    pub fn published_pcrs(&self) -> u32 {
        let published = self.made.iter().filter_map(|update| match update {
            Update::Published { pcr, .. } => Some(1 << pcr.number),
            _ => None,
        });
        published.fold(0, |all, one| all | one)
    }

    /// For people who read a list of policies.
    pub fn describe(&self) -> String {
        let mut all: Vec<String> = self.made.iter().map(ToString::to_string).collect();
        all.dedup();
        all.join(", ")
    }

    /// What a new image brings that is signed, if any.
    pub fn signed(&self) -> Option<SignedValues> {
        let mut values = SignedValues::default();
        for boot in &self.boots {
            values.add(boot.pcr7, boot.info.kind, boot.info.policy_version);
        }
        (!self.boots.is_empty()).then_some(values)
    }
}

impl UpdateOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// Those of reading them; [`Kind::Usage`]: one is not an update of the variable that it is given for.
    pub fn read(&self) -> Result<Updates> {
        let (mut made, mut boots) = (Vec::new(), Vec::new());
        for (variable, paths) in [(DB, &self.db_append), (DBX, &self.dbx_append), (KEK, &self.kek_append)] {
            for path in paths {
                made.push(Update::Append { variable, lists: lists(path, variable)? });
            }
        }
        if let Some(path) = &self.pk {
            made.push(Update::Replace { variable: PK, lists: lists(path, PK)? });
        }
        if let Some(path) = &self.shim {
            let shim = arguments::parsed(path, Shim::parse)?;
            let input = Input::open(path, MAX_IMAGE)?;
            let image = in_file(path, Image::parse(&input).and_then(|image| started::image(&image)))?;
            made.push(Update::Shim { shim, image });
        }
        if let Some(path) = &self.mok_list {
            made.push(Update::MokList(arguments::parsed(path, signature_list::parse_file)?));
        }
        if let Some(path) = &self.uki {
            let input = Input::open(path, MAX_IMAGE)?;
            let image = in_file(path, Image::parse(&input))?;
            made.push(Update::Image(in_file(path, started::image(&image))?));
            if let Some(Ok(initrd)) = in_file(path, inspect::inspect(&image))?.initrd {
                boots = initrd.policies;
            }
        }
        made.extend(self.secure_boot.as_deref().map(|state| Update::SecureBoot(state == "on")));
        made.extend(self.os_separator.then_some(Update::OsSeparator));
        for text in &self.value {
            let (pcr, value) = published(text)?;
            made.push(Update::Published { pcr, value });
        }
        Ok(Updates { made, boots })
    }
}

fn lists(path: &Path, variable: Variable<'_>) -> Result<Vec<SignatureList>> {
    arguments::parsed(path, |bytes| update_file::parse(bytes, variable))
}

fn in_file<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.within(format!("use {}", path.display())))
}

/// One value: `sha256:0=HEX`.
fn published(text: &str) -> Result<(PcrName, Vec<u8>)> {
    let bad = |why: String| {
        Error::new(Kind::Usage, format!("use --value {text:?}"), why).remedy("give one PCR and its value: sha256:0=HEX")
    };
    match WantedPcrs::parse(text).map_err(bad)?.0.as_slice() {
        [(pcr, WantedValue::Literal(value))] => Ok((*pcr, value.clone())),
        _ => Err(bad("it is not one value in hex".into())),
    }
}
