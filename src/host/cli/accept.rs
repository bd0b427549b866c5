//! `--accept`: what may be signed for though a log shows it.

use super::arguments;
use crate::{
    error::Result,
    host::predict::accepted::{Accepted, FirmwareFault},
};
use clap::ValueEnum;
use std::path::Path;

/// Reads what is accepted: names of faults, else files of certificates.
///
/// # Errors
/// As [`arguments::certificates`].
pub fn read(all: &[String]) -> Result<Accepted> {
    let mut accepted = Accepted::default();
    for one in all {
        match FirmwareFault::from_str(one, false) {
            Ok(fault) => accepted.faults.push(fault),
            Err(_) => accepted.certificates.extend(arguments::certificates(Path::new(one))?),
        }
    }
    Ok(accepted)
}
