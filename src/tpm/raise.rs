//! The policy version raised: what has been signed for an older one is withdrawn.

use super::{
    layout::Index,
    nv::Access,
    store::{Admission, TpmStore},
};
use crate::{
    error::{Error, Kind, Result},
    policy::{
        boot_kind::BootKind,
        version::{self, Version},
    },
};
use std::cmp::Ordering;
use tss_esapi::{handles::ObjectHandle, interface_types::session_handles::HmacSession};

impl TpmStore {
    /// Reads the TPM admin password, which this boot has been found to be allowed; in this session it then speaks for the
    /// owner.
    pub(super) fn owner_session(&mut self, open: &Admission) -> Result<HmacSession> {
        let session = self.policy_session()?;
        let nv = self.index(Index::AdminPassword, Some(&open.opens.digest()))?;
        let password = self.tpm.read_nv(&nv, Access::Policy(session), &mut |tpm| open.assert(tpm, session))?;
        // A policy session speaks for the owner by the owner's policy, which lets administration do nothing.
        let session = self.hmac_session()?;
        self.tpm.use_password(ObjectHandle::Owner, &password)?;
        Ok(session)
    }

    /// Puts `version`, four digits, in the place of the policy version, with the TPM admin password, which this boot must
    /// be allowed to read. One write: cut off, the version is the old one or the new one. Whether it was lower before.
    ///
    /// # Errors
    /// [`Kind::Refused`] where this is no TPM administration boot, and where the version is higher: what has been
    /// withdrawn stays withdrawn; else as [`crate::store::Truststore::read`].
    pub fn raise_policy_version(&mut self, version: Version) -> Result<bool> {
        const WHAT: &str = "raise the policy version";
        let open = self.admit(BootKind::Admin)?;
        let session = self.owner_session(&open)?;
        let nv = self.index(Index::PolicyVersion, None)?;
        // The owner reads it, too: the index' own password would be a use that dictionary attack protection minds.
        let current = self.tpm.read_nv(&nv, Access::Owner(session), &mut |_| Ok(()))?;
        let current = str::from_utf8(current.expose()).ok().and_then(version::parse).ok_or_else(|| {
            Error::new(Kind::Corrupt, WHAT, "what the TPM holds for one is not four digits")
                .remedy("write it as the TPM's owner: printf 0001 | tpm2_nvwrite -C o -P PASSWORD -i - 0x1500020")
        })?;
        match current.cmp(&version) {
            Ordering::Less => self.tpm.write_nv(&nv, &version, Access::Owner(session), &mut |_| Ok(())).map(|()| true),
            Ordering::Equal => Ok(false),
            Ordering::Greater => {
                let current = String::from_utf8_lossy(&current);
                Err(Error::new(Kind::Refused, WHAT, format!("it is {current} already"))
                    .remedy("nothing was changed; sign policies for this version or a higher one"))
            }
        }
    }
}
