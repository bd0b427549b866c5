//! The options that say what a machine is like, where several commands take them.

use super::arguments;
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        keyset::{Keyset, Role},
        pki::certificate,
        predict::{
            databases::{Chain, Foreign},
            firmware::Firmware,
            profile::Machine,
            shim::Shim,
        },
        uefi::signature_list::{self, SignatureList, X509},
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Who verifies the images, and what db and dbx hold.
#[derive(Args)]
pub struct DatabaseOptions {
    /// Who verifies the images [default: direct, or shim where one is given]
    #[arg(long, value_name = "CHAIN")]
    chain: Option<Chain>,
    /// What db holds beside the keyset's certificates, such as that of a vendor whose option ROMs are to run: a certificate
    /// or a file of signature lists; may be repeated
    #[arg(long, value_name = "FILE")]
    db: Vec<PathBuf>,
    /// What dbx holds: a file of signature lists, bare (.esl), signed (.auth) or from efivarfs, empty for no dbx; may be
    /// repeated for updates that are appended [default: the SHA-256 of nothing, as a freshly enrolled OVMF has]
    #[arg(long, value_name = "FILE")]
    dbx: Vec<PathBuf>,
}

/// All of what a machine measures that is not in its keyset.
#[derive(Args)]
pub struct MachineOptions {
    #[command(flatten)]
    databases: DatabaseOptions,
    /// The shim that the machine starts [default: the 15.6 that earlier keysets were used with]
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
    /// The SbatLevel that the machine has, where it is newer than the one that its shim brings
    #[arg(long, value_name = "FILE")]
    sbat_level: Option<PathBuf>,
    /// An event log of such a machine (binary_bios_measurements in /sys/kernel/security/tpm0), for what its firmware
    /// measures beside the keyset's keys; where those are enrolled already, for db and dbx, too
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl DatabaseOptions {
    /// Who verifies the images.
    pub fn chain(&self) -> Chain {
        self.chain.unwrap_or(Chain::Direct)
    }

    /// Who verifies the images, if that is given.
    pub fn given_chain(&self) -> Option<Chain> {
        self.chain
    }

    /// What they hold that is not the keyset's.
    pub fn foreign(&self, keyset: &Keyset) -> Result<Foreign> {
        let mut dbx: Option<Vec<_>> = None;
        for path in &self.dbx {
            let lists = arguments::parsed(path, signature_list::parse_file)?;
            note_unreadable(path, &lists);
            dbx = Some(dbx.map_or_else(|| lists.clone(), |dbx| signature_list::append(&dbx, &lists)));
        }
        Ok(Foreign { db: entries(&self.db, keyset)?, dbx })
    }
}

impl MachineOptions {
    /// Whether any of them is given.
    pub fn given(&self) -> bool {
        let Self { databases: DatabaseOptions { chain, db, dbx }, shim, sbat_level, log } = self;
        let files = [shim, sbat_level, log].into_iter().any(Option::is_some);
        chain.is_some() || !db.is_empty() || !dbx.is_empty() || files
    }

    /// Who verifies the images.
    pub fn chain(&self) -> Chain {
        self.databases.chain.unwrap_or(if self.about_shim() { Chain::Shim } else { Chain::Direct })
    }

    fn about_shim(&self) -> bool {
        self.shim.is_some() || self.sbat_level.is_some()
    }

    /// The file of its shim, if that is given.
    pub fn shim(&self) -> Option<&Path> {
        self.shim.as_deref()
    }

    /// The machine of a keyset that they describe.
    pub fn machine(&self, keyset: &Keyset) -> Result<Machine> {
        let chain = self.chain();
        if chain == Chain::Direct && self.about_shim() {
            return Err(Error::new(Kind::Usage, "use --shim and --sbat-level", "the chain is direct, without a shim")
                .remedy("give --chain shim, or none of them"));
        }
        let shim = self.shim.as_ref().map(|path| arguments::parsed(path, Shim::parse)).transpose()?;
        let sbat_level = self.sbat_level.as_ref().map(|path| arguments::image(path)).transpose()?;
        let firmware = match &self.log {
            Some(path) => arguments::parsed(path, Firmware::of_log)?,
            None => Firmware::edk2(),
        };
        for doubt in &firmware.doubts {
            console::note(&format!("warning: on the machine of the event log, {doubt}"));
        }
        Ok(Machine { firmware, chain, foreign: self.databases.foreign(keyset)?, shim, sbat_level })
    }
}

/// The entries in these files for db or dbx; certificates get the owner of the keyset's own.
pub fn entries(paths: &[PathBuf], keyset: &Keyset) -> Result<Vec<SignatureList>> {
    let mut lists = Vec::new();
    for path in paths {
        let owner = keyset.guid(Role::UefiDb)?;
        let more = arguments::parsed(path, |bytes| match certificate::all(bytes)? {
            none if none.is_empty() => signature_list::parse_file(bytes),
            found => found
                .into_iter()
                .map(|der| certificate::readable(&der).map(|()| SignatureList::x509(owner, der)))
                .collect(),
        })?;
        if more.is_empty() {
            return Err(Error::new(Kind::Usage, format!("use {}", path.display()), "there is nothing in it")
                .remedy("give a certificate, or a file of signature lists"));
        }
        note_unreadable(path, &more);
        lists = signature_list::append(&lists, &more);
    }
    Ok(lists)
}

/// Says which certificates nothing can be verified with. They stay in the list: a firmware measures all of its bytes.
fn note_unreadable(path: &Path, lists: &[SignatureList]) {
    let certificates = lists.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
    for (number, entry) in (1..).zip(certificates) {
        if certificate::readable(&entry.data).is_err() {
            console::note(&format!(
                "certificate {number} in {} cannot be read: nothing is verified with it, but a firmware that has it \
                 measures it, so that it is taken along",
                path.display()
            ));
        }
    }
}
