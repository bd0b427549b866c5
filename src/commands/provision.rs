//! `provision CERT KEY`: once in a machine's life.

use super::{harden, open_store, options::Options};
use crate::{
    console,
    error::{Error, Kind, Result},
    identity::Identity,
    store::{Outcome, Provision, read_then_lock},
};

use std::path::Path;

pub fn run(options: &Options) -> Result<()> {
    harden(options, &[])?;
    // A wrong file is found before the TPM is touched: then there is nothing to lock yet.
    let [certificate, key] = options.operands.as_slice() else {
        return Err(Error::new(Kind::Usage, "run provision", "it needs CERT and KEY"));
    };
    let identity = Identity::load(Path::new(certificate), Path::new(key))?;
    let mut store = open_store(options)?;
    let (outcome, _locked) = read_then_lock(&mut store, options.on_lock_failure, |store| store.provision(&identity))?;
    console::note(match outcome {
        Outcome::Provisioned => "provisioned; the secrets can be read from the next boot on",
        Outcome::AlreadyProvisioned => "already provisioned with this certificate; nothing was changed",
    });
    Ok(())
}
