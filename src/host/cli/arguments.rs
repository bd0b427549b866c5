//! What arguments mean, where several commands take the same.

use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    host::{eventlog::values, fs::atomic, pki::certificate},
    policy::{pcr_values::PcrValues, version},
};
use clap::{Args, ValueHint};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Where a new directory goes.
#[derive(Args)]
pub struct OutputDir {
    /// The directory, which is made
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath, required_unless_present = "dir")]
    output: Option<PathBuf>,
    /// Where it stood before
    #[arg(hide = true, conflicts_with = "output")]
    dir: Option<PathBuf>,
}

impl OutputDir {
    /// Its path.
    pub fn path(self) -> PathBuf {
        self.output.or(self.dir).unwrap_or_default()
    }
}

/// The certificates of a file, each in DER: one in DER, or any number in PEM.
pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let found = parsed(path, certificate::all)?;
    if found.is_empty() {
        return Err(Error::new(Kind::Corrupt, format!("use {}", path.display()), "there is no certificate in it")
            .remedy("give an X.509 certificate in PEM or DER"));
    }
    Ok(found)
}

/// Four ASCII digits.
pub fn policy_version(text: &str) -> std::result::Result<[u8; 4], &'static str> {
    version::parse(text).ok_or("give four digits, like 0001")
}

/// The 32 bytes of a file, which may be a pipe.
pub fn digest(path: &Path) -> Result<Digest> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(33).read_to_end(&mut bytes));
    read.map_err(|e| atomic::cannot("read", path, &e))?;
    Digest::try_from(bytes).map_err(|bytes| {
        let size = if bytes.len() > 32 { "more".to_owned() } else { bytes.len().to_string() };
        Error::new(Kind::Usage, format!("use {}", path.display()), format!("it holds {size} and not 32 bytes"))
            .remedy("give a SHA-256 value in binary, not in hex")
    })
}

/// Boot loaders and variable stores are not larger.
const MAX_IMAGE: u64 = 64 * 1024 * 1024;

/// The whole of a file that may be larger than keys and certificates are.
pub fn image(path: &Path) -> Result<Vec<u8>> {
    atomic::read_up_to(path, MAX_IMAGE)
}

/// The whole of a file, or of standard input (`-`), of at most so many bytes.
pub fn input(path: &Path, most: u64) -> Result<Vec<u8>> {
    if path != Path::new("-") {
        return atomic::read_up_to(path, most);
    }
    let mut bytes = Vec::new();
    let read = io::stdin().take(most + 1).read_to_end(&mut bytes);
    match read.map_err(|e| atomic::cannot("read", Path::new("standard input"), &e))? {
        size if size as u64 > most => Err(atomic::too_large(Path::new("standard input"), most)),
        _ => Ok(bytes),
    }
}

/// Values of PCRs are not larger, in bytes.
const MAX_VALUES: u64 = 1024 * 1024;

/// The values of PCRs in a file, or on standard input (`-`).
pub fn pcr_values(path: &Path) -> Result<PcrValues> {
    let text = input(path, MAX_VALUES)?;
    values::parse(&String::from_utf8_lossy(&text)).map_err(|why| {
        Error::new(Kind::Usage, format!("use {}", path.display()), why)
            .remedy("give values as `trust pcr read --json` prints them")
    })
}

/// What a parser says of the file at `path`.
pub fn parsed<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    parse(&image(path)?).map_err(|e| e.within(format!("use {}", path.display())))
}
