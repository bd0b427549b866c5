//! The UEFI variables of this machine, as efivarfs has them.

use crate::{
    error::Result,
    host::{
        fs::atomic,
        kexec::judge::{self, Trusted},
        predict::live::{self, LiveVariables},
        uefi::{
            signature_list,
            variable::{DB, DBX},
        },
    },
};
use std::path::Path;

/// Where Linux shows them.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";
/// What comes before the contents of a variable there: its attributes.
const ATTRIBUTES: usize = 4;
/// Upper bound in bytes of a variable.
const MAX_VARIABLE: u64 = 1 << 20;

/// Those of these names in a directory like it.
///
/// # Errors
/// Those of reading.
pub fn of_directory(dir: &Path, names: &[&str]) -> Result<LiveVariables> {
    let mut variables = Vec::new();
    for file in atomic::list(dir)? {
        let Some((name, vendor)) = live::of_file_name(&file).filter(|(name, _)| names.contains(name)) else { continue };
        let bytes = atomic::read_up_to(&dir.join(&file), MAX_VARIABLE)?;
        variables.push((name.to_owned(), vendor, bytes.get(ATTRIBUTES..).unwrap_or_default().to_vec()));
    }
    Ok(LiveVariables::new(variables))
}

/// Whom the firmware of this machine trusts.
///
/// # Errors
/// Those of reading, and of [`judge::of_firmware`].
pub fn trusted() -> Result<Trusted> {
    let dir = Path::new(EFIVARS);
    let variables = if dir.is_dir() { of_directory(dir, &[DB.name, DBX.name])? } else { LiveVariables::default() };
    let lists = |variable| signature_list::parse(variables.get(variable).unwrap_or_default());
    judge::of_firmware(&lists(DB)?, lists(DBX)?)
}
