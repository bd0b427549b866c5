//! `provision CERT KEY`: once in a machine's life.

use super::{harden, open_store, options::Options};
use crate::{
    console,
    error::{Error, Kind, Result},
    identity::Identity,
    store::read_then_lock,
    tpm::Outcome,
    tpm2::StorageKey,
};
use std::{fs, path::Path};

pub fn run(options: &Options) -> Result<()> {
    harden(options, &[])?;
    // A wrong file is found before the TPM is touched: then there is nothing to lock yet.
    let [certificate, key] = options.operands.as_slice() else {
        return Err(Error::new(Kind::Usage, "run provision", "it needs CERT and KEY"));
    };
    let identity = Identity::load(Path::new(certificate), Path::new(key))?;
    let mut store = open_store(options)?.with_certifiable_root(options.srk_public.is_some());
    let ((outcome, key), _locked) = read_then_lock(&mut store, options.on_lock_failure, |store| {
        store.provision(&identity).map(|outcome| (outcome, store.storage_root_key()))
    })?;
    console::note(match outcome {
        Outcome::Provisioned => "provisioned; the secrets can be read from the next boot on",
        Outcome::AlreadyProvisioned => "already provisioned with this certificate; nothing was changed",
    });
    show_storage_root_key(key, options.srk_public.as_deref())
}

/// Says what an authority may vouch for, and writes it into a file if one is given.
fn show_storage_root_key(key: Option<StorageKey>, file: Option<&Path>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    console::note(&format!("the name of the storage root key is {}", key.name()));
    let Some(file) = file else { return Ok(()) };
    fs::write(file, key.to_tpm2b()).map_err(|why| Error::system(format!("write {}", file.display()), why))
}
