//! `trust derive wrap` and `unwrap`.

use super::{super::seal::open, WhichKey, source::KeySource};
use crate::{
    error::{Error, Result},
    host::{
        derive::{KeySize, WrappedHead},
        fs::atomic::{self, Output},
        say::output,
        seal::{decrypt, encrypt},
    },
};
use clap::{Args, ValueHint};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

pub const WRAP_HELP: &str = "\
Examples:
  trust derive wrap label=notes -o notes.wrapped notes.txt
  tar c /etc/foo | trust derive wrap path --system >foo.wrapped

MODE is as for `trust derive`. AES-256-GCM in chunks of 64 KiB; any length, in constant memory.";
pub const UNWRAP_HELP: &str = "\
Examples:
  trust derive unwrap -o notes.txt notes.wrapped
  trust derive unwrap <foo.wrapped | tar x

The file says which key it needs. A file appears with -o when all of it has been verified; on a pipe a reader must not
act on what comes before this program has ended with status 0.";

/// A file to be encrypted.
#[derive(Args)]
pub struct Wrap {
    #[command(flatten)]
    which: WhichKey,
    /// What to encrypt [default: standard input]
    #[arg(value_name = "IN", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    source: KeySource,
}

/// A file to be decrypted.
#[derive(Args)]
pub struct Unwrap {
    /// The wrapped file [default: standard input]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,
    /// Where its content goes [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    source: KeySource,
}

impl Wrap {
    pub fn run(self) -> Result<()> {
        let mut input = open(self.input.as_deref())?;
        let request = self.which.request(KeySize::USUAL);
        let (head, key) = WrappedHead::make(&request, &self.source.derive(&request)?)?;
        let head = head.to_text();
        to(self.output.as_deref(), |write| {
            write(&head)?;
            encrypt(&key, &head, &mut input, write)
        })
    }
}

impl Unwrap {
    pub fn run(self) -> Result<()> {
        let mut input = open(self.input.as_deref())?;
        let mut start = Vec::new();
        (&mut input)
            .take(WrappedHead::MOST as u64)
            .read_to_end(&mut start)
            .map_err(|e| Error::system("read the wrapped file", e).remedy("check the file"))?;
        let (head, length) = WrappedHead::parse(&start)?;
        let key = head.key(&self.source.derive(&head.request)?)?;
        let (head, begun) = start.split_at_checked(length).unwrap_or((&start, &[]));
        let mut stream = begun.chain(input);
        to(self.output.as_deref(), |write| decrypt(&key, head, &mut stream, write))
    }
}

/// Has `produce` write to a file, which appears when all of it is there, or to standard output.
fn to(path: Option<&Path>, produce: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>) -> Result<()> {
    match path {
        Some(path) => {
            let mut output = Output::begin(path, atomic::PRIVATE)?;
            produce(&mut |bytes| output.append(bytes))?;
            output.finish()
        }
        None => produce(&mut output::bytes),
    }
}
