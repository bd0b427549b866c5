//! `setup`: every boot.

use super::{open_store, options::Options};
use crate::{
    error::{Error, Result},
    files, process,
    publish::{self, Published, keyring},
    secret::Secret,
    store::{Item, Truststore, read_then_lock},
};
use std::{
    io::{ErrorKind, Read},
    path::Path,
};

/// More is no certificate.
const MAX_MANIFEST_CA: usize = 64 * 1024;

pub fn run(options: &Options) -> Result<()> {
    // Whatever fails from here on, PCR 7 is locked if there is a TPM to lock.
    let hardened = process::harden();
    let mut store = open_store(options)?;
    let ((passphrase, certificate, key, manifest_ca), locked) =
        read_then_lock(&mut store, options.on_lock_failure, |store| {
            hardened?;
            let manifest_ca = read_manifest_ca(&options.manifest_ca)?;
            let passphrase = store.read(Item::OsPassphrase)?;
            let certificate = store.read(Item::Certificate)?;
            let key = store.read(Item::PrivateKey)?;
            Ok((passphrase, certificate, key, manifest_ca))
        })?;
    drop(store);
    let mut files = vec![("server.crt", &certificate), ("server.key", &key)];
    files.extend(manifest_ca.iter().map(|ca| ("manifestCA.pem", ca)));
    publish::publish(
        &locked,
        &Published {
            passphrase: &passphrase,
            key: keyring::Options { also_as: &options.also_as, timeout: options.key_timeout },
            files: &files,
            directory: &options.secrets_dir,
        },
    )
}

/// The manifest CA's certificate; it is no secret, but goes the same way. Absent is fine.
fn read_manifest_ca(path: &Path) -> Result<Option<Secret>> {
    let what = || format!("read {}", path.display());
    let (mut file, size) = match files::open(path, MAX_MANIFEST_CA) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Error::system(what(), error))?,
    };
    Secret::filled(size, |buffer| file.read_exact(buffer).map_err(|error| Error::system(what(), error))).map(Some)
}
