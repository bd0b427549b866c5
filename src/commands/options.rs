//! Options that several commands take: small groups, of which a command is composed.

use super::arguments::{Arguments, Spec};
use crate::{
    error::{Kind, Result},
    files,
    guard::OnLockFailure,
    measure::explain,
    measure_log,
    policy::pcr7data::Pcr7Data,
    tpm::{self, Address, TpmStore},
};
use std::{path::PathBuf, time::Duration};

/// Upper bound of an event log in bytes.
const MAX_EVENT_LOG: usize = 1 << 20;

/// The TPM, and the policies that are signed for it.
#[derive(Default)]
pub struct TpmOptions {
    pub tcti: Address,
    pub wait: Duration,
    pub pcr7data: PathBuf,
    pub verbose: bool,
}

impl TpmOptions {
    pub fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments.add(
            &Spec {
                name: "--tcti",
                value: "TCTI",
                default: "",
                help: "where the TPM is: device[:PATH] (the default: /dev/tpmrm0, else /dev/tpm0), swtpm:path=SOCKET, swtpm:host=IP,port=N or mssim:host=IP,port=N",
            },
            &mut self.tcti,
        );
        arguments.add(
            &Spec {
                name: "--wait",
                value: "SECONDS",
                default: "10",
                help: "how long to wait for the TPM to appear, 0 to 3600, and three times as long for each of its answers, but at least 3 s",
            },
            &mut self.wait,
        );
        arguments.add(
            &Spec {
                name: "--pcr7data",
                value: "DIR",
                default: "/pcr7data",
                help: "the directory that holds policy-N with the signed policies",
            },
            &mut self.pcr7data,
        );
        arguments.add(
            &Spec {
                name: "--verbose",
                value: "",
                default: "",
                help: "show every step with the time it took; never a secret",
            },
            &mut self.verbose,
        );
    }

    /// Opens a connection. Sends nothing yet.
    ///
    /// # Errors
    /// [`Kind::NoTpm`].
    pub fn connect(&self) -> Result<tpm::Tpm> {
        tpm::Tpm::connect(&self.tcti, self.wait, self.verbose)
    }
}

/// The store in the TPM, which is locked in the end.
#[derive(Default)]
pub struct Store {
    pub tpm: TpmOptions,
    pub on_lock_failure: OnLockFailure,
}

impl Store {
    pub fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.tpm.declare(arguments);
        arguments.add(
            &Spec {
                name: "--on-lock-failure",
                value: "poweroff|exit",
                default: "poweroff",
                help: "what to do when PCR 7 cannot be proven locked",
            },
            &mut self.on_lock_failure,
        );
    }

    /// Opens the store; where an authority must vouch for the TPM, its signature is in this file. Sends nothing yet.
    ///
    /// # Errors
    /// [`Kind::NoTpm`].
    pub fn open(&self, srk_signature: PathBuf) -> Result<TpmStore> {
        let store = TpmStore::new(self.tpm.connect()?, self.tpm.pcr7data.clone(), srk_signature);
        Ok(store.recording_in(measure_log::PLACE.into()))
    }
}

/// Where an authority vouches for the TPM.
pub const SRK_SIGNATURE: Spec = Spec {
    name: "--srk-signature",
    value: "FILE",
    default: "/.extra/global_credentials/trust.srk.cred",
    help: "where an authority vouches for the TPM's storage root key, if the keyset asks for it",
};

/// Where certificate and key are published.
pub const SECRETS_DIR: Spec = Spec {
    name: "--secrets-dir",
    value: "DIR",
    default: "/priv/factory/secure",
    help: "where the tmpfs with certificate and key is attached",
};

/// Whether the running system gets its signed policies.
pub const KEEP_POLICIES: Spec = Spec {
    name: "--keep-policies",
    value: "",
    default: "",
    help: "leave the running system its signed policies, in /run/trust/pcr7data",
};

/// Further names of the passphrase.
pub const ALSO_AS: Spec = Spec {
    name: "--also-as",
    value: "DESCRIPTION",
    default: "",
    help: "the passphrase is there under this description too, beside machine:luks; may be repeated",
};

/// How long the passphrase is published.
pub const KEY_TIMEOUT: Spec = Spec {
    name: "--key-timeout",
    value: "SECONDS",
    default: "",
    help: "have the kernel drop the passphrase after this time (never)",
};

/// The firmware's event log, which explains a refusal.
#[derive(Default)]
pub struct EventLog(PathBuf);

impl EventLog {
    pub fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments.add(
            &Spec {
                name: "--event-log",
                value: "FILE",
                default: "/sys/kernel/security/tpm0/binary_bios_measurements",
                help: "where the firmware's event log is, which explains a refusal",
            },
            &mut self.0,
        );
    }

    /// Has the log say why this boot was refused. The store is locked by now.
    pub fn explained(&self, outcome: Result<()>, tpm: &TpmOptions) -> Result<()> {
        outcome.map_err(|error| {
            if error.kind() != Kind::Refused {
                return error;
            }
            let log = files::read_to_end(&self.0, MAX_EVENT_LOG).unwrap_or_default();
            let lists = Pcr7Data::open(&tpm.pcr7data).map(|data| data.events()).unwrap_or_default();
            error.because(&explain::explain(&log, &lists))
        })
    }
}
