//! `trust luks …`, but for `luks open`, which is a command of the target.

use super::HostCommand;
use crate::{
    error::Result,
    host::{machine::luks, say::output},
};
use clap::{Parser, ValueHint};
use std::path::PathBuf;

/// LUKS2 volumes whose headers only this machine can change
#[derive(Parser)]
#[command(name = "luks")]
pub enum Luks {
    /// Bind the header of a LUKS2 volume to the passphrase in the keyring, as it is now
    #[command(after_help = "\
The volume must be encrypted with a cipher that is known, must not be in the middle of a re-encryption, and must
have a luks2-keyring token for machine:luks whose keyslot opens with the passphrase in the keyring.

Example, in an installer after `trust preinit`:
  cryptsetup token add --key-description machine:luks /dev/vda2
  trust luks seal /dev/vda2

After every wanted change of the header it is sealed again, in a maintenance image: `trust setup` has published
the passphrase there, where `trust preinit` would have made another one. To re-encrypt the volume then:
  keyctl pipe \"$(keyctl search @u user machine:luks)\" >/run/passphrase
  cryptsetup reencrypt --key-file /run/passphrase /dev/vda2
  trust luks seal /dev/vda2")]
    Seal {
        /// The volume
        #[arg(value_hint = ValueHint::FilePath)]
        device: PathBuf,
        /// The program that writes headers
        #[arg(long, value_name = "FILE", default_value = "cryptsetup", value_hint = ValueHint::FilePath)]
        cryptsetup: PathBuf,
    },
}

impl HostCommand for Luks {
    fn run(self) -> Result<()> {
        match self {
            Self::Seal { device, cryptsetup } => {
                let sealed = luks::seal_header(&device, &cryptsetup)?;
                output::line(format_args!("{}: {sealed}", device.display()))
            }
        }
    }
}
