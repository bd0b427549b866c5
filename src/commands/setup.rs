//! `setup`: every boot.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec},
    init::END,
    options::{ALSO_AS, EventLog, KEEP_POLICIES, KEY_TIMEOUT, SECRETS_DIR, SRK_SIGNATURE, Store},
    phases,
};
use crate::{
    console, early,
    error::{Error, Kind, Result},
    files,
    luks::handover,
    measure_log, memory, process,
    publish::{self, Published, passphrase, policies},
    secret::Secret,
    store::{SecretItem, Truststore, read_then_lock},
};
use std::{
    ffi::OsString,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

pub const COMMAND: Command = Command {
    name: "setup",
    alias: Some("initrd-setup"),
    about: "Read the passphrase, certificate and key from the TPM, lock PCR 7, then publish them for this boot.",
    heading: Heading::Boot,
    calls: Some(&[
        phases::TPM,
        phases::LOCK,
        phases::CHECK_SIGNATURE,
        phases::ADD_KEYS,
        phases::ATTACH_FILES,
        phases::KEEP_POLICIES,
    ]),
    new: || Box::new(Setup::default()),
};

/// Upper bound of a file in bytes.
const MAX_FILE: usize = 64 * 1024;

/// The names that the files are published under.
pub const CERTIFICATE: &str = "server.crt";
pub const KEY: &str = "server.key";
pub const MANIFEST_CA: &str = "manifestCA.pem";

#[derive(Default)]
struct Setup {
    store: Store,
    srk_signature: PathBuf,
    event_log: EventLog,
    secrets_dir: PathBuf,
    manifest_ca: PathBuf,
    keep_policies: bool,
    also_as: Vec<String>,
    key_timeout: Option<u32>,
    /// Taken out by [`super::init::up_to_the_end`].
    end: bool,
    /// The program to become, with its arguments.
    exec: Vec<OsString>,
}

impl Run for Setup {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.store.declare(arguments);
        arguments.add(&SRK_SIGNATURE, &mut self.srk_signature);
        self.event_log.declare(arguments);
        arguments.add(&SECRETS_DIR, &mut self.secrets_dir);
        arguments.add(
            &Spec {
                name: "--manifest-ca",
                value: "FILE",
                default: "/manifestCA.pem",
                help: "a certificate to be published beside them, if it is there",
            },
            &mut self.manifest_ca,
        );
        arguments.add(&KEEP_POLICIES, &mut self.keep_policies);
        arguments.add(&ALSO_AS, &mut self.also_as);
        arguments.add(&KEY_TIMEOUT, &mut self.key_timeout);
        arguments.add(&END, &mut self.end);
        arguments.rest(
            &Spec {
                name: "--exec",
                value: "PROGRAM ARG...",
                default: "",
                help: "become this program when all is done; as the first process of all, first mount /dev, /proc, /sys and securityfs",
            },
            &mut self.exec,
        );
    }

    fn run(&self) -> Result<()> {
        self.event_log.explained(self.hand_over(), &self.store.tpm).map_err(|error| {
            if error.kind() != Kind::Refused || !Path::new(measure_log::OF_PREDECESSOR).exists() {
                return error;
            }
            error
                .because("this system was started by kexec")
                .remedy("restart the machine: secrets are for what the firmware starts")
        })
    }
}

impl Setup {
    fn hand_over(&self) -> Result<()> {
        // Whatever fails from here on, PCR 7 is locked if there is a TPM to lock.
        let becomes = !self.exec.is_empty();
        let mounted = if process::is_first() && becomes { early::mount_all() } else { Ok(()) };
        // The next program must be able to do more.
        let hardened = if becomes { process::harden() } else { COMMAND.harden(&self.store.tpm) };
        let mut store = self.store.open(self.srk_signature.clone())?;
        let ((before, released), locked) = read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            mounted?;
            let before = hardened?;
            let released =
                if handover::is_there() { Released::by_predecessor() } else { Released::by(store, &self.manifest_ca) };
            Ok((before, released?))
        })?;
        drop(store);
        if self.keep_policies {
            policies::keep(&self.store.tpm.pcr7data)?;
        }
        let files: Vec<_> = released.files.iter().map(|(name, content)| (*name, content)).collect();
        let key_options = passphrase::KeyOptions { also_as: &self.also_as, timeout: self.key_timeout };
        publish::publish(
            &locked,
            &Published {
                passphrase: released.passphrase.as_ref(),
                key: key_options,
                files: &files,
                directory: &self.secrets_dir,
            },
        )?;
        drop(released);
        if !becomes {
            return Ok(());
        }
        // The stack goes with the process, but not before the next program has its own.
        memory::wipe_stack();
        let failed = before.exec(&self.exec);
        // No program is there to use it, and what is started next has not been signed for it.
        publish::withdraw(&key_options, Some(&self.secrets_dir))?;
        Err(failed)
    }
}

/// What this boot publishes.
struct Released {
    passphrase: Option<Secret>,
    files: Vec<(&'static str, Secret)>,
}

impl Released {
    /// All that the store has, and the manifest CA's certificate, which is no secret, but goes the same way.
    fn by(store: &mut impl Truststore, manifest_ca: &Path) -> Result<Self> {
        let manifest_ca = read(manifest_ca)?;
        let passphrase = Some(store.read(SecretItem::OsPassphrase)?);
        let certificate = store.read(SecretItem::Certificate)?;
        let key = store.read(SecretItem::PrivateKey)?;
        let mut files = vec![(CERTIFICATE, certificate), (KEY, key)];
        files.extend(manifest_ca.map(|ca| (MANIFEST_CA, ca)));
        Ok(Self { passphrase, files })
    }

    /// What the system before this one has handed over: the TPM has nothing for a successor.
    fn by_predecessor() -> Result<Self> {
        console::note("started by kexec, and handed over what it needs: the TPM is not asked");
        let mut files = Vec::new();
        for name in [CERTIFICATE, KEY, MANIFEST_CA] {
            files.extend(read(&Path::new(handover::IDENTITY).join(name))?.map(|content| (name, content)));
        }
        Ok(Self { passphrase: None, files })
    }
}

/// A file that is published; `None`: there is none.
fn read(path: &Path) -> Result<Option<Secret>> {
    let what = || format!("read {}", path.display());
    let (mut file, size) = match files::open(path, MAX_FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Error::system(what(), error))?,
    };
    Secret::filled(size, |buffer| file.read_exact(buffer).map_err(|error| Error::system(what(), error))).map(Some)
}
