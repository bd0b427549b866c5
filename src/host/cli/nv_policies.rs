//! Policies in indices of the TPM: where their files are, and whether an index is the one of its file.

use crate::{
    error::{Error, Kind, Result},
    host::nv_policy::NvPolicyFile,
    tpm::Tpm,
    tpm2::NvPublic,
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// Where they are kept.
const PLACE: &str = "/var/lib/trust/nv-policies";

/// Where the files of indices are that hold policies.
#[derive(Args)]
pub struct NvPolicyPlace {
    /// The files of policies in NV indices [default: /var/lib/trust/nv-policies]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    nv_policies: Option<PathBuf>,
}

impl NvPolicyPlace {
    /// The directory.
    pub fn dir(&self) -> &Path {
        self.nv_policies.as_deref().unwrap_or_else(|| Path::new(PLACE))
    }

    /// The file of an index, if there is one.
    ///
    /// # Errors
    /// As [`NvPolicyFile::read`].
    pub fn read(&self, index: u32) -> Result<Option<NvPolicyFile>> {
        NvPolicyFile::read(self.dir(), index)
    }

    /// An index, to seal something with the policy that it holds.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is no file of it; [`Kind::Refused`]: the TPM's is another one, or holds something else.
    pub fn index(&self, index: u32, tpm: &mut Tpm) -> Result<NvPublic> {
        let what = format!("use the policy in index {index:#010x}");
        let file = self.read(index)?.ok_or_else(|| {
            let why = format!("{} is not there", NvPolicyFile::path(self.dir(), index).display());
            Error::new(Kind::Usage, what.clone(), why)
                .remedy("store a policy in it first: `trust policy store`; or say where its file is: --nv-policies DIR")
        })?;
        if let Err(why) = tpm.stored_set(&file.index, &[file.known()])? {
            return Err(Error::new(Kind::Refused, what, why)
                .remedy("find out who wrote or defined it; then store a policy in an index of its own"));
        }
        Ok(file.index)
    }
}
