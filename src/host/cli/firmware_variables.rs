//! The UEFI variables of this machine, as efivarfs has them.

use crate::{
    error::Result,
    host::{
        fs::atomic,
        predict::live::{self, LiveVariables},
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
