//! `trust keyset …`.

use super::{
    HostCommand,
    arguments::OutputDir,
    check,
    keys::{NewKeys, UseKey},
    pcr7data, show,
};
use crate::{
    console,
    error::Result,
    host::{
        keyset::{self, Keyset, profile::Owner},
        predict::{self, databases::Chain, profile::Machine},
        say::output,
    },
};
use clap::{Args, Parser};

/// Where an exported keyset can be used.
const EXPORT_HELP: &str = "Examples:\n  trust keyset export-public acme -o ./public/acme\n  \
    trust keyset check ./public/acme\n\n\
    The directory is a keyset: commands that need no private key take its path, or its name\n\
    when it lies in $XDG_DATA_HOME/machine/trust/keys.\n\
    Certificates of machines are left out.";

/// Keysets: make, list, show, check, export, add signed policies
#[derive(Parser)]
#[command(name = "keyset")]
pub enum Keysets {
    /// Make a keyset: authorities, Secure Boot keys, image and policy keys, a first project
    #[command(after_help = "Example:\n  trust keyset add acme --org 'Acme Ltd'")]
    Add {
        /// Name of the new keyset
        keyset: String,
        #[command(flatten)]
        new: NewKeyset,
    },
    /// List the keysets
    #[command(after_help = "Examples:\n  trust keyset list\n  trust keyset list --json")]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show what a keyset holds: all of it, a key, or one file
    Show(show::Show),
    /// Look for what is missing, broken, expired or open to others
    Check(check::Check),
    /// Write what a build pipeline may have to a new directory: everything but private keys
    #[command(
        name = "export-public",
        after_help = EXPORT_HELP,
        override_usage = "trust keyset export-public [OPTIONS] --output <DIR> <KEYSET>"
    )]
    ExportPublic {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        #[command(flatten)]
        output: OutputDir,
    },
    /// Sign the policies for three PCR 7 values and add them to those that the keyset has
    #[command(name = "pcr7data", after_help = pcr7data::HELP)]
    Pcr7Data(pcr7data::AddPcr7Data),
    /// Use a key in a token in place of the one in the keyset's file
    UseKey(UseKey),
}

/// What a new keyset is like.
#[derive(Args)]
pub struct NewKeyset {
    /// Organization in the certificates' names; may be repeated
    #[arg(long, value_name = "ORG", aliases = ["Org", "organization"])]
    org: Vec<String>,
    #[command(flatten)]
    keys: NewKeys,
    /// Who verifies the images of its machines: their PCR 7 is computed and policies signed for it; may be repeated
    #[arg(long, value_name = "CHAIN", default_value = "direct")]
    chain: Vec<Chain>,
    /// Accepted for old scripts: no boot kit is fetched
    #[arg(long, value_name = "VERSION", hide = true)]
    bootkit_version: Option<String>,
}

impl NewKeyset {
    fn make(self, keyset: String) -> Result<()> {
        if self.bootkit_version.is_some() {
            console::warn("--bootkit-version does nothing: no boot kit is fetched or made");
        }
        let keys = self.keys.open()?;
        let dir = keyset::create(&Owner { keyset, organizations: self.org }, keys, |keyset| {
            self.chain.iter().try_for_each(|chain| predict::sign(keyset, &Machine::new(*chain)))
        })?;
        output::line(dir.display())
    }
}

impl HostCommand for Keysets {
    fn run(self) -> Result<()> {
        match self {
            Self::Add { keyset, new } => new.make(keyset),
            Self::List { json: true } => output::json(&keyset::list()?),
            Self::List { json: false } => output::lines(keyset::list()?),
            Self::Show(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::ExportPublic { keyset, output } => {
                output::line(keyset::export_public(&Keyset::open(&keyset)?, &output.path())?.display())
            }
            Self::Pcr7Data(command) => command.run(),
            Self::UseKey(command) => command.run(),
        }
    }
}
