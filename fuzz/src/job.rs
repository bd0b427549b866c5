//! What a command asks of the TPM, from the connection to the proven lock.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use trust::{
    error::Result,
    guard::OnLockFailure,
    store::{SecretItem, Truststore, read_then_lock},
    tpm::{Address, Tpm, TpmStore},
};

/// Long enough for whatever else this machine has to do: nobody is silent here.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that comes before the publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Setup,
    Preinit,
    Lock,
}

impl Job {
    /// By the first byte of an input.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Preinit, Self::Lock];

    /// Does it with the TPM at `socket`, and returns the sizes of the secrets that would be published.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, socket: &Path) -> Result<Vec<usize>> {
        let tpm = Tpm::connect(&Address::SwtpmUnix(socket.to_owned()), PATIENCE, false)?;
        // No authority is asked: whoever it does not vouch for is heard no further.
        let mut store = TpmStore::new(tpm, Self::pcr7data(), PathBuf::new());
        let (sizes, _locked) = read_then_lock(&mut store, OnLockFailure::Exit, |store| match self {
            Self::Setup => [SecretItem::OsPassphrase, SecretItem::Certificate, SecretItem::PrivateKey]
                .into_iter()
                .map(|item| store.read(item).map(|secret| secret.len()))
                .collect(),
            Self::Preinit => store.renew_os_passphrase().map(|secret| vec![secret.len()]),
            Self::Lock => store.probe().map(|()| Vec::new()),
        })?;
        Ok(sizes)
    }

    /// The policies of the machine whose TPM was recorded.
    #[must_use]
    pub fn pcr7data() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pcr7data")
    }
}
