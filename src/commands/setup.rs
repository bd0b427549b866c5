//! `setup`: every boot.

use super::{harden, open_store, options::Options};
use crate::{
    early,
    error::{Error, Result},
    files, memory, process,
    publish::{self, Published, keyring},
    seccomp::calls,
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
    let first = process::is_first() && !options.exec.is_empty();
    let mounted = if first { early::mount_all() } else { Ok(()) };
    let hardened = harden(options, &[calls::CHECK_SIGNATURE, calls::ADD_KEYS, calls::ATTACH_FILES]);
    let mut store = open_store(options)?;
    let ((before, passphrase, certificate, key, manifest_ca), locked) =
        read_then_lock(&mut store, options.on_lock_failure, |store| {
            mounted?;
            let before = hardened?;
            let manifest_ca = read_manifest_ca(&options.manifest_ca)?;
            let passphrase = store.read(Item::OsPassphrase)?;
            let certificate = store.read(Item::Certificate)?;
            let key = store.read(Item::PrivateKey)?;
            Ok((before, passphrase, certificate, key, manifest_ca))
        })?;
    drop(store);
    let mut files = vec![("server.crt", &certificate), ("server.key", &key)];
    files.extend(manifest_ca.iter().map(|ca| ("manifestCA.pem", ca)));
    let key_options = keyring::Options { also_as: &options.also_as, timeout: options.key_timeout };
    publish::publish(
        &locked,
        &Published { passphrase: &passphrase, key: key_options, files: &files, directory: &options.secrets_dir },
    )?;
    drop((passphrase, certificate, key));
    if options.exec.is_empty() {
        return Ok(());
    }
    // The stack goes with the process, but not before the next program has its own.
    memory::wipe_stack();
    let failed = before.exec(&options.exec);
    // Nobody is there to use it, and whoever comes next has not been signed for it.
    publish::withdraw(&key_options, Some(&options.secrets_dir))?;
    Err(failed)
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
