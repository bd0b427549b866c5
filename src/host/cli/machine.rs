//! The options that say what a machine is like, where several commands take them.

use super::arguments;
use crate::{
    error::{Error, Kind, Result},
    host::{
        format::signature_list::{self, SignatureList},
        pcr7::{databases::Chain, profile::Machine, shim::Shim},
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Who verifies the images, and what its dbx holds.
#[derive(Args)]
pub struct Databases {
    /// Who verifies the images [default: direct, or shim where --shim is given]
    #[arg(long, value_name = "CHAIN")]
    chain: Option<Chain>,
    /// What dbx holds: a file of signature lists, bare (.esl), signed (.auth) or from efivarfs, empty for no dbx; may be
    /// repeated for updates that are appended [default: the SHA-256 of nothing, as a freshly enrolled OVMF has]
    #[arg(long, value_name = "FILE")]
    dbx: Vec<PathBuf>,
}

/// All of what a machine measures that is not in its keyset.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    databases: Databases,
    /// The shim that the machine starts [default: the 15.6 that earlier keysets were used with]
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
    /// The SbatLevel that the machine has, where it is newer than the one that its shim brings
    #[arg(long, value_name = "FILE")]
    sbat_level: Option<PathBuf>,
}

impl Databases {
    /// What dbx holds, if that is said.
    pub fn dbx(&self) -> Result<Option<Vec<SignatureList>>> {
        let mut dbx: Option<Vec<_>> = None;
        for path in &self.dbx {
            let lists = arguments::parsed(path, signature_list::parse_file)?;
            dbx = Some(dbx.map_or_else(|| lists.clone(), |dbx| signature_list::append(&dbx, &lists)));
        }
        Ok(dbx)
    }
}

impl Options {
    /// Whether any of them is given.
    pub fn given(&self) -> bool {
        let Self { databases: Databases { chain, dbx }, shim, sbat_level } = self;
        chain.is_some() || !dbx.is_empty() || shim.is_some() || sbat_level.is_some()
    }

    /// The file of its shim, if that is given.
    pub fn shim(&self) -> Option<&Path> {
        self.shim.as_deref()
    }

    /// The machine that they describe.
    pub fn machine(&self) -> Result<Machine> {
        let about_shim = self.shim.is_some() || self.sbat_level.is_some();
        let chain = self.databases.chain.unwrap_or(if about_shim { Chain::Shim } else { Chain::Direct });
        if chain == Chain::Direct && about_shim {
            return Err(Error::new(Kind::Usage, "use --shim and --sbat-level", "the chain is direct, without a shim")
                .remedy("give --chain shim, or none of them"));
        }
        let shim = self.shim.as_ref().map(|path| arguments::parsed(path, Shim::parse)).transpose()?;
        let sbat_level = self.sbat_level.as_ref().map(|path| arguments::image(path)).transpose()?;
        Ok(Machine { chain, dbx: self.databases.dbx()?, shim, sbat_level })
    }
}
