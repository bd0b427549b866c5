//! `provision CERT KEY`: once in a machine's life.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec},
    options::{SRK_SIGNATURE, Store},
    phases,
};
use crate::{
    console,
    error::{Error, Result},
    identity::Identity,
    store::read_then_lock,
    tpm::Outcome,
    tpm2::StorageKey,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub const COMMAND: Command = Command {
    name: "provision",
    alias: None,
    about: "Take ownership of the TPM and store the machine's certificate and private key in it.",
    heading: Heading::Tpm,
    calls: Some(&[phases::TPM, phases::LOCK]),
    new: || Box::new(Provision::default()),
};

#[derive(Default)]
struct Provision {
    store: Store,
    certificate: PathBuf,
    key: PathBuf,
    srk_public: Option<PathBuf>,
}

impl Run for Provision {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments.add(
            &Spec { name: "CERT", value: "", default: "", help: "the machine's certificate, in PEM" },
            &mut self.certificate,
        );
        arguments.add(
            &Spec { name: "KEY", value: "", default: "", help: "its private key, in PEM and not encrypted" },
            &mut self.key,
        );
        self.store.declare(arguments);
        arguments.add(
            &Spec {
                name: "--srk-public",
                value: "FILE",
                default: "",
                help: "write the public area of the TPM's storage root key to this file, for `trust sudi certify-tpm`",
            },
            &mut self.srk_public,
        );
    }

    fn run(&self) -> Result<()> {
        COMMAND.harden(&self.store.tpm)?;
        // A wrong file is found before the TPM is touched: then there is nothing to lock yet.
        let identity = Identity::load(&self.certificate, &self.key)?;
        let store = self.store.open(SRK_SIGNATURE.default.into())?;
        let mut store = store.with_certifiable_root(self.srk_public.is_some());
        let ((outcome, key), _locked) = read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            store.provision(&identity).map(|outcome| (outcome, store.storage_root_key()))
        })?;
        console::note(match outcome {
            Outcome::Provisioned => "provisioned; the secrets can be read from the next boot on",
            Outcome::AlreadyProvisioned => "already provisioned with this certificate; nothing was changed",
        });
        show_storage_root_key(key, self.srk_public.as_deref())
    }
}

/// Says what an authority may vouch for, and writes it into a file if one is given.
fn show_storage_root_key(key: Option<StorageKey>, file: Option<&Path>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    console::note(&format!("the name of the storage root key is {}", key.name()));
    let Some(file) = file else { return Ok(()) };
    fs::write(file, key.to_tpm2b()).map_err(|why| Error::system(format!("write {}", file.display()), why))
}
