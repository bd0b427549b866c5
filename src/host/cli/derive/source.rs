//! Where a key comes from: the service, or the TPM itself.

use super::super::{
    owner_password::OwnerPasswordOptions, system_policies::SystemPolicyOptions, tpm_options::TpmArguments,
};
use crate::{
    error::{Error, Kind, Result},
    host::derive::{
        DerivedKey, Executable, ForeignNamespace, KeyRequest, Mode, Prf, Requester, client,
        varlink::{Delivery, KeyCall},
    },
    tpm::{derive::DerivationKey, primary::HierarchyAccess},
};
use clap::{Args, ValueHint};
use rustix::process::geteuid;
use std::path::{Path, PathBuf};

/// For whom, and who is asked.
#[derive(Args)]
pub struct KeySource {
    /// For this executable, and not for the one that has started this program (root, from the TPM itself)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    exe: Option<PathBuf>,
    /// For this user, by number, and not for the one that runs this program (root, from the TPM itself)
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// Ask the service at this socket [default: /run/trust/derive if it is there, else the TPM]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["tcti", "exe", "uid", "owner_password_file", "pcr7data"])]
    socket: Option<PathBuf>,
    #[command(flatten)]
    key: PrimaryOptions,
}

/// What the TPM's key is made with.
#[derive(Args)]
pub struct PrimaryOptions {
    #[command(flatten)]
    owner: OwnerPasswordOptions,
    #[command(flatten)]
    system: SystemPolicyOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl PrimaryOptions {
    /// Opens the TPM, and makes the key.
    ///
    /// # Errors
    /// As [`DerivationKey::make`].
    pub fn make(&self, bound: bool) -> Result<DerivationKey> {
        let mut tpm = self.tpm.connect()?;
        let password = if self.owner.is_given() { Some(self.owner.get()?) } else { None };
        let delegation = self.system.delegation(&mut tpm);
        DerivationKey::make(tpm, &HierarchyAccess { password, delegation }, bound)
    }
}

impl KeySource {
    /// The key that is asked for.
    ///
    /// # Errors
    /// [`Kind::Usage`]: only root may ask for others; those of the service and the TPM.
    pub fn derive(&self, request: &KeyRequest) -> Result<DerivedKey> {
        if let Some(socket) = self.service() {
            // Whoever has connected is this program.
            let parent = !matches!(request.mode, Mode::Label(_));
            return client::ask(&socket, &KeyCall { request: request.clone(), parent, deliver: Delivery::Key });
        }
        if (self.exe.is_some() || self.uid.is_some()) && !geteuid().is_root() {
            return Err(Error::new(Kind::Usage, "derive a key for another program or user", "only root may")
                .remedy("run it as root, or leave --exe and --uid out"));
        }
        let uid = self.uid.unwrap_or_else(|| geteuid().as_raw());
        let context = match (&request.mode, &self.exe) {
            (Mode::Label(label), _) => request.context(uid, label.as_bytes())?,
            (_, Some(exe)) => request.context_for(uid, &Executable::at(exe)?)?,
            (_, None) => {
                let parent = Requester::of_this_parent()?;
                let context = request.context_for(uid, &parent.executable(ForeignNamespace::Refused)?)?;
                parent.is_still_there()?;
                context
            }
        };
        let key = self.key.make(request.bound)?;
        let of = *key.name();
        DerivedKey::new(request, &context, &Prf { value: key.derive_last(&context.message())?, of })
    }

    fn service(&self) -> Option<PathBuf> {
        let usual = Path::new(client::SOCKET);
        let asks_tpm = self.exe.is_some() || self.uid.is_some() || self.key.tpm.is_given() || self.key.owner.is_given();
        self.socket.clone().or_else(|| (!asks_tpm && usual.exists()).then(|| usual.to_path_buf()))
    }
}
