//! `trust initkeyset`, `trust keyset …`.

use super::{output, pcr7data};
use crate::{
    error::Result,
    host::{
        key::KeyType,
        keyset::{self, Keys},
        pcr7::databases::Chain,
        profile::Owner,
    },
};
use clap::{Args, Subcommand};

/// `trust initkeyset`
#[derive(Args)]
pub struct InitKeyset {
    /// Name of the new keyset
    #[arg(long, value_name = "NAME", alias = "keyset-name")]
    keysetname: String,
    #[command(flatten)]
    new: New,
}

/// `trust keyset …`
#[derive(Subcommand)]
pub enum Keysets {
    /// Make a keyset, as `trust initkeyset` does
    Add {
        /// Name of the new keyset
        name: String,
        #[command(flatten)]
        new: New,
    },
    /// List the keysets
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Sign the policies for three PCR 7 values and add them to those that the keyset has
    #[command(name = "pcr7data", after_help = pcr7data::HELP)]
    Pcr7Data(pcr7data::Pcr7Data),
}

/// What a new keyset is like.
#[derive(Args)]
pub struct New {
    /// Organization in the certificates' names; may be repeated
    #[arg(long, value_name = "ORG", aliases = ["Org", "organization"])]
    org: Vec<String>,
    /// Kind of the keys. Those that a firmware verifies are RSA in any case, those that a TPM verifies RSA 2048
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    key_type: KeyType,
    /// Who verifies the images of its machines: their PCR 7 is computed and policies signed for it; may be repeated
    #[arg(long, value_name = "CHAIN", default_value = "direct")]
    chain: Vec<Chain>,
}

impl InitKeyset {
    pub(super) fn run(self) -> Result<()> {
        self.new.make(self.keysetname)
    }
}

impl New {
    fn make(self, keyset: String) -> Result<()> {
        let dir = keyset::create(
            &Owner { keyset, organizations: self.org },
            Keys { kind: self.key_type, given: Vec::new() },
            &self.chain,
        )?;
        output::line(dir.display())
    }
}

impl Keysets {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Add { name, new } => new.make(name),
            Self::List { json: true } => output::json(&keyset::list()?),
            Self::List { json: false } => output::lines(keyset::list()?),
            Self::Pcr7Data(command) => command.run(),
        }
    }
}
