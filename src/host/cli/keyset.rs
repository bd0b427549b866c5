//! `trust initkeyset`, `trust keyset …`.

use super::{
    keys::{NewKeys, UseKey},
    output, pcr7data,
};
use crate::{
    error::Result,
    host::{keyset, pcr7::databases::Chain, profile::Owner},
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
    /// Use a key in a token in place of the one in the keyset's file
    UseKey(UseKey),
}

/// What a new keyset is like.
#[derive(Args)]
pub struct New {
    /// Organization in the certificates' names; may be repeated
    #[arg(long, value_name = "ORG", aliases = ["Org", "organization"])]
    org: Vec<String>,
    #[command(flatten)]
    keys: NewKeys,
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
        let keys = self.keys.open()?;
        let dir = keyset::create(&Owner { keyset, organizations: self.org }, keys, &self.chain)?;
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
            Self::UseKey(command) => command.run(),
        }
    }
}
