//! `trust derive`.

mod request_key;
mod serve;
mod source;
mod target;
mod wrap;

use super::HostCommand;
use crate::{
    error::Result,
    host::derive::{KeyRequest, KeySize, Mode},
};
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::num::NonZeroU32;

const HELP: &str = "\
MODE says what the key belongs to, beside the user, who is always part of it:
  path          the path of the program that asks
  csum          its content: that program alone, anywhere; IMA must measure it
  csum=verity   its content, by its fs-verity digest
  label=NAME    a name of your own

Examples:
  trust derive label=backup --base64
  trust derive path --size 64 -o /run/foo/key
  trust derive csum --version 2 --fd 3 3>key
  trust derive label=db --system | cryptsetup open --key-file - /dev/vdb db
  trust derive wrap label=notes -o notes.wrapped notes.txt

The program that asks is the one that has started this one: for a script, that is its interpreter. Where the service
trust-derive.socket runs, it is asked; else the TPM itself, by whoever may use that.

A key is stored nowhere: the same machine gives the same key again, and no other machine does; once its TPM is cleared,
nothing does.";

/// What is done with derived keys: handed over, unless a command says something else.
pub enum Derive {
    Key(Box<DeriveKey>),
    Other(Box<DeriveCommand>),
}

impl CommandFactory for Derive {
    fn command() -> Command {
        let key = DeriveKey::command();
        let about = key.get_about().cloned().unwrap_or_default();
        // With its subcommands it would have their description.
        let command = DeriveCommand::augment_subcommands(key).about(about);
        command.args_conflicts_with_subcommands(true).subcommand_negates_reqs(true).subcommand_required(false)
    }

    fn command_for_update() -> Command {
        Self::command()
    }
}

impl FromArgMatches for Derive {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        match matches.subcommand() {
            Some(_) => DeriveCommand::from_arg_matches(matches).map(Box::new).map(Self::Other),
            None => DeriveKey::from_arg_matches(matches).map(Box::new).map(Self::Key),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        Self::from_arg_matches(matches).map(|new| *self = new)
    }
}

impl Parser for Derive {}

/// What is done with keys beside handing them over.
#[derive(Subcommand)]
pub enum DeriveCommand {
    /// Encrypt a file with a derived key
    #[command(after_help = wrap::WRAP_HELP)]
    Wrap(wrap::Wrap),
    /// Decrypt what `trust derive wrap` has encrypted
    #[command(after_help = wrap::UNWRAP_HELP)]
    Unwrap(wrap::Unwrap),
    /// Answer whoever asks for keys on a socket
    #[command(after_help = serve::HELP)]
    Serve(serve::Serve),
    /// Instantiate a key that a process has asked the kernel for: what request-key(8) starts
    #[command(after_help = request_key::HELP)]
    RequestKey(request_key::RequestKey),
}

/// Derive a key for an application from this machine's TPM
#[derive(Parser)]
#[command(name = "derive", after_help = HELP)]
pub struct DeriveKey {
    #[command(flatten)]
    which: WhichKey,
    /// Bytes of the key: 16 to 1024
    #[arg(long, value_name = "BYTES", default_value = "32")]
    size: KeySize,
    #[command(flatten)]
    target: target::KeyTarget,
    #[command(flatten)]
    source: source::KeySource,
}

/// Which key.
#[derive(Args)]
struct WhichKey {
    /// What it belongs to: path, csum, csum=verity or label=NAME
    #[arg(value_name = "MODE")]
    mode: Mode,
    /// Another key for each number: the next one, when one is to be given up
    #[arg(long, value_name = "N", default_value = "1")]
    version: NonZeroU32,
    /// A key that only the running system of a machine of the keyset derives, in boots that are signed for production
    #[arg(long)]
    system: bool,
}

impl WhichKey {
    fn request(self, size: KeySize) -> KeyRequest {
        KeyRequest { mode: self.mode, size, version: self.version, bound: self.system }
    }
}

impl HostCommand for Derive {
    fn run(self) -> Result<()> {
        match self {
            Self::Key(key) => {
                let DeriveKey { which, size, target, source } = *key;
                target.check()?;
                target.hand_over(&source.derive(&which.request(size))?.key)
            }
            Self::Other(command) => match *command {
                DeriveCommand::Wrap(wrap) => wrap.run(),
                DeriveCommand::Unwrap(unwrap) => unwrap.run(),
                DeriveCommand::Serve(serve) => serve.run(),
                DeriveCommand::RequestKey(request_key) => request_key.run(),
            },
        }
    }
}
