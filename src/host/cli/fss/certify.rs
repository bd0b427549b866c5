//! `trust fss certify`.

use super::FssOptions;
use crate::{
    digest::unhex,
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        fss::statement::{self, MOST_NONCE},
        say::output,
    },
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
The TPM signs the counter and what is said of each key; nothing of a key is in the file. Whoever keeps last week's
statement sees by this week's that a key was replaced, whatever has become of the machine.

Examples:
  trust fss certify -o statement.json
  trust fss certify --nonce 5ca1ab1e | ssh logs 'cat >statement.json'

It is judged elsewhere, without a TPM: `trust fss check-statement`.";

/// `trust fss certify`
#[derive(Args)]
pub struct FssCertify {
    /// What whoever asks has made up, 1 to 32 bytes in hexadecimal: it shows that the statement was made afterwards [default:
    /// random]
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// Where the statement goes; by default to standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: FssOptions,
}

/// What shows that something is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(pub Vec<u8>);

/// Its bytes from hexadecimal digits.
pub(super) fn nonce(digits: &str) -> std::result::Result<Nonce, String> {
    let bytes = unhex(digits).filter(|bytes| (1..=MOST_NONCE).contains(&bytes.len()));
    bytes.map(Nonce).ok_or_else(|| format!("{digits:?} is not 1 to 32 bytes in hexadecimal"))
}

impl FssCertify {
    pub(super) fn run(self) -> Result<()> {
        let nonce = match self.nonce {
            Some(Nonce(nonce)) => nonce,
            None => {
                let mut random = vec![0; MOST_NONCE];
                getrandom::fill(&mut random).map_err(|e| Error::new(Kind::System, "make a nonce up", e.to_string()))?;
                random
            }
        };
        let (mut space, _) = self.options.open()?;
        let statement = statement::make(&mut space, &nonce)?;
        match self.output.filter(|path| path != Path::new("-")) {
            Some(path) => atomic::replace(&path, atomic::SHARED, format!("{statement:#}\n").as_bytes()),
            None => output::json(&statement),
        }
    }
}
