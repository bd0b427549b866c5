//! `finish`: after the file systems are mounted, and before anybody is asked anything.

use super::{harden, options::Options};
use crate::{
    authority, console,
    error::{Error, Kind, Result},
    files,
    identity::Identity,
    luks::backing,
    policy::pcr7data::Pcr7Data,
    publish::{self, Withdrawn, keyring, tmpfs},
    seccomp::{self, calls},
    tpm::Tpm,
    tpm2::key_file,
};
use std::io::Read;

/// The names that `setup` gives to certificate and key.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

pub fn run(options: &Options) -> Result<()> {
    let phases = [calls::REVOKE_KEYS, calls::REMOVE_FILES];
    // Whatever becomes of it, nothing stays published.
    let hardened = if options.key_to_tpm {
        harden(options, &[&[calls::CHECK_SIGNATURE], &phases[..]].concat()).map(|_| ())
    } else {
        seccomp::confine(&[&[calls::PROCESS], &phases[..]].concat())
    };
    let key = keyring::Options { also_as: &options.also_as, timeout: None };
    let everything = || publish::withdraw(&key, Some(&options.secrets_dir));
    // Nothing is left to a root that somebody else has brought.
    if let Some(Err(error)) = options.root.as_deref().map(backing::check) {
        let withdrawn = everything();
        return Err(match hardened.and(withdrawn) {
            Ok(_) => error,
            Err(left) => left.because(&error.cause()),
        });
    }
    let withdrawn = if options.key_to_tpm {
        // The passphrase goes first: a TPM may be slow.
        let passphrase = publish::withdraw(&key, None);
        let outcome = hardened.and(passphrase).and_then(|withdrawn| key_to_tpm(options).map(|()| withdrawn));
        outcome.map_err(|error| match everything() {
            Ok(_) => error,
            Err(left) => left.because(&error.cause()),
        })?
    } else {
        let withdrawn = if options.keep_files { publish::withdraw(&key, None) } else { everything() };
        hardened.and(withdrawn)?
    };
    if options.verbose {
        let Withdrawn { keys, mounts } = withdrawn;
        console::note(&format!("{keys} keys revoked, {mounts} mounts removed"));
    }
    Ok(())
}

/// Puts a key that the TPM alone can use in the place of the one in the clear.
fn key_to_tpm(options: &Options) -> Result<()> {
    let directory = &options.secrets_dir;
    let key = directory.join(KEY);
    if !tmpfs::is_attached(directory)? {
        let why = format!("nothing is published at {}", directory.display());
        return Err(Error::new(Kind::Refused, "move the private key into the TPM", why)
            .remedy("run `trust setup` first, and say where with --secrets-dir"));
    }
    let mut beginning = Vec::new();
    let read = files::open(&key, usize::MAX).and_then(|(file, _)| file.take(32).read_to_end(&mut beginning));
    read.map_err(|why| Error::system(format!("read {}", key.display()), why))?;
    if key_file::is_one(&beginning) {
        return Ok(());
    }
    let identity = Identity::load(&directory.join(CERTIFICATE), &key)?;
    // In the booted system there may be none, and nobody is asked.
    let authorities =
        Pcr7Data::open(&options.pcr7data).map_or_else(|_| Ok(Vec::new()), |data| data.srk_authorities())?;
    let mut tpm = Tpm::connect(&options.tcti, options.wait, options.verbose)?;
    let file = tpm.bind_key(&identity, options.parent, |parent| {
        authority::vouches_for(&authorities, &options.srk_signature, Some(parent))
    })?;
    drop((tpm, identity));
    tmpfs::replace(directory, KEY, file.as_bytes())
}
