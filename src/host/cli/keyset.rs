//! `trust initkeyset`, `trust keyset …`.

use super::{arguments, output};
use crate::{
    error::Result,
    host::{
        key::KeyType,
        keyset::{self, Keys, Keyset},
        profile::Owner,
        signed_policy::{self, Policies, Values},
    },
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    #[command(name = "pcr7data")]
    Pcr7Data(Pcr7Data),
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
}

/// `trust keyset pcr7data`
#[derive(Args)]
pub struct Pcr7Data {
    /// Name of the keyset
    name: String,
    /// PCR 7 of TPM administration boots, 32 bytes
    #[arg(long, value_name = "FILE")]
    pcr7_tpm: PathBuf,
    /// PCR 7 of production boots, 32 bytes
    #[arg(long, value_name = "FILE", alias = "pcr7-production")]
    pcr7_prod: PathBuf,
    /// PCR 7 of limited boots, 32 bytes
    #[arg(long, value_name = "FILE")]
    pcr7_limited: PathBuf,
    /// Sign this policy for the TPM admin password [default: the one for --pcr7-tpm]
    #[arg(long = "passwdPolicy", value_name = "FILE", alias = "passwd-policy")]
    passwd_policy: Option<PathBuf>,
    /// Sign this policy for the machine's secrets [default: the one for --pcr7-prod]
    #[arg(long = "luksPolicy", value_name = "FILE", alias = "luks-policy")]
    luks_policy: Option<PathBuf>,
    /// What the policy version of a TPM must be for the production policy to hold: four digits
    #[arg(long, value_name = "DIGITS", default_value = "0001", value_parser = arguments::policy_version)]
    policy_version: [u8; 4],
    /// What info.json says about the values
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
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

impl Pcr7Data {
    fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.name)?;
        let values = Values {
            production: arguments::digest(&self.pcr7_prod)?,
            limited: arguments::digest(&self.pcr7_limited)?,
            tpm: arguments::digest(&self.pcr7_tpm)?,
        };
        let computed = Policies::of(&values, self.policy_version);
        let policies = Policies {
            luks: self.luks_policy.as_deref().map_or(Ok(computed.luks), arguments::digest)?,
            passwd: self.passwd_policy.as_deref().map_or(Ok(computed.passwd), arguments::digest)?,
            version: self.policy_version,
        };
        signed_policy::add(&keyset, &values, &policies, &self.comment)
    }
}
