//! `finish`: after the file systems are mounted, and before any prompt.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Handle, Spec},
    options::{ALSO_AS, KEEP_POLICIES, SECRETS_DIR, SRK_SIGNATURE, TpmOptions},
    phases,
    setup::{CERTIFICATE, KEY},
};
use crate::{
    authority, console,
    error::{Error, Kind, Result},
    files,
    identity::Identity,
    luks::{backing, handover},
    policy::pcr7data::Pcr7Data,
    process,
    publish::{self, Withdrawn, passphrase, policies, tmpfs},
    seccomp::call::Call,
    tpm2::key_file,
};
use std::{io::Read, path::PathBuf};

pub const COMMAND: Command = Command {
    name: "finish",
    alias: None,
    about: "Withdraw what setup has published: revoke the passphrase, remove the certificate and the key.",
    heading: Heading::Boot,
    calls: Some(&[phases::REVOKE_KEYS, phases::REMOVE_FILES]),
    new: || Box::new(Finish::default()),
};

/// What `--key-to-tpm` adds, beside how the TPM is reached.
const KEY_TO_TPM: [&[Call]; 3] = [phases::TPM, phases::LOCK, phases::CHECK_SIGNATURE];

#[derive(Default)]
struct Finish {
    tpm: TpmOptions,
    srk_signature: PathBuf,
    secrets_dir: PathBuf,
    also_as: Vec<String>,
    root: Option<PathBuf>,
    keep_files: bool,
    keep_policies: bool,
    key_to_tpm: bool,
    parent: Handle,
}

impl Run for Finish {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.tpm.declare(arguments);
        arguments.add(&SRK_SIGNATURE, &mut self.srk_signature);
        arguments.add(&SECRETS_DIR, &mut self.secrets_dir);
        arguments.add(&ALSO_AS, &mut self.also_as);
        arguments.add(
            &Spec {
                name: "--root",
                value: "DIR",
                default: "",
                help: "first make sure that all that is mounted there stands on volumes that luks open has opened in this boot; if not, withdraw all and fail",
            },
            &mut self.root,
        );
        arguments.add(
            &Spec { name: "--keep-files", value: "", default: "", help: "withdraw the passphrase alone" },
            &mut self.keep_files,
        );
        arguments.add(&KEEP_POLICIES, &mut self.keep_policies);
        arguments.add(
            &Spec {
                name: "--key-to-tpm",
                value: "",
                default: "",
                help: "withdraw the passphrase, and put one that this TPM alone can use in the place of the private key; if that fails, withdraw all",
            },
            &mut self.key_to_tpm,
        );
        arguments.add(
            &Spec {
                name: "--parent",
                value: "HANDLE",
                default: "0x81000001",
                help: "the storage key in the TPM that holds that key",
            },
            &mut self.parent,
        );
    }

    fn run(&self) -> Result<()> {
        let kept: &[Call] = if self.keep_policies { phases::KEEP_POLICIES } else { &[] };
        // Whatever becomes of it, nothing stays published.
        let hardened = if self.key_to_tpm {
            let calls = [phases::link(&self.tpm.tcti), kept].into_iter().chain(KEY_TO_TPM);
            process::harden().and_then(|_| COMMAND.confine(&calls.collect::<Vec<_>>()))
        } else {
            COMMAND.confine(&[kept])
        };
        let key = passphrase::KeyOptions { also_as: &self.also_as, timeout: None };
        let everything = || publish::withdraw(&key, Some(&self.secrets_dir));
        let hardened = handover::forget().and(hardened);
        // Nothing is left to a root that an attacker has brought.
        if let Some(Err(error)) = self.root.as_deref().map(backing::check) {
            let withdrawn = everything();
            return Err(match hardened.and(withdrawn) {
                Ok(_) => error,
                Err(left) => left.because(&error.cause()),
            });
        }
        let withdrawn = if self.key_to_tpm {
            // The passphrase goes first: a TPM may be slow.
            let passphrase = publish::withdraw(&key, None);
            let outcome = hardened.and(passphrase).and_then(|withdrawn| self.key_to_tpm().map(|()| withdrawn));
            outcome.map_err(|error| match everything() {
                Ok(_) => error,
                Err(left) => left.because(&error.cause()),
            })?
        } else {
            let withdrawn = if self.keep_files { publish::withdraw(&key, None) } else { everything() };
            hardened.and(withdrawn)?
        };
        if self.keep_policies {
            policies::keep(&self.tpm.pcr7data)?;
        }
        if self.tpm.verbose {
            let Withdrawn { keys, mounts } = withdrawn;
            console::note(&format!("{keys} keys revoked, {mounts} mounts removed"));
        }
        Ok(())
    }
}

impl Finish {
    /// Puts a key that the TPM alone can use in the place of the one in the clear.
    fn key_to_tpm(&self) -> Result<()> {
        let directory = &self.secrets_dir;
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
        // In the booted system there may be none: then no authority is asked.
        let authorities =
            Pcr7Data::open(&self.tpm.pcr7data).map_or_else(|_| Ok(Vec::new()), |data| data.srk_authorities())?;
        let mut tpm = self.tpm.connect()?;
        let file = tpm.bind_key(&identity, self.parent.0, |parent| {
            authority::vouches_for(&authorities, &self.srk_signature, Some(parent))
        })?;
        drop((tpm, identity));
        tmpfs::replace(directory, KEY, file.as_bytes())
    }
}
