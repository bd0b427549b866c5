//! NV indices: found, read and written in chunks, defined, removed.

use super::{
    connection::{PT_NV_BUFFER_MAX, Tpm},
    esys_resource::{self, ALG_SHA256, NvPublic},
    response_code,
    session::Protect,
};
use crate::{
    error::{Error, Kind, Result},
    layout::{Index, attribute},
    secret::{MAX_SECRET, Secret},
};
use std::time::Instant;
use tss_esapi::{
    attributes::NvIndexAttributes,
    handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        reserved_handles::{NvAuth, Provision},
        session_handles::AuthSession,
    },
    structures::{Digest, MaxNvBuffer, NvPublicBuilder},
};

/// What `NV_Read` and `NV_Write` move at most where the TPM does not say (part 2, annex A).
const SMALLEST_BUFFER: u16 = 512;

/// How long PCRs may keep changing, in times that an answer is waited for.
const STORM: u32 = 6;

/// An index that the TPM has.
#[derive(Clone)]
pub(super) struct Nv {
    pub index: Index,
    pub handle: NvIndexHandle,
    pub public: NvPublic,
}

impl Nv {
    /// Whether anything was ever written to it.
    pub const fn is_written(&self) -> bool {
        self.public.attributes & attribute::WRITTEN != 0
    }

    /// Refuses it unless it is as the layout has it, opened by `policy` and by nothing else. What an attacker can read or
    /// write in a way of their own is no place for a secret.
    pub fn check(&self, policy: &[u8]) -> Result<()> {
        let (index, found) = (self.index, &self.public);
        // The Name of the policy version is part of every policy; the old tool's other indices have no NO_DA.
        let either = if index == Index::PolicyVersion { 0 } else { attribute::NO_DA } | attribute::WRITTEN;
        let is_laid_out = (found.attributes ^ index.attributes()) & !either == 0
            && found.name_algorithm == ALG_SHA256
            && found.policy == policy
            && index.sizes().contains(&found.size);
        is_laid_out.then_some(()).ok_or_else(|| {
            let why = format!(
                "the TPM has another owner: index {:#x} is not laid out as for this machine's keyset",
                index.handle()
            );
            Error::new(Kind::Refused, format!("use {}", index.title()), why).remedy(CLEAR)
        })
    }
}

/// What is done before every chunk of an access: nothing, or the policy asserted. Called by way of a pointer: what reads and
/// writes is there once, not once for each caller.
pub(super) type Authorize<'a> = &'a mut dyn FnMut(&mut Tpm) -> Result<()>;

/// What to do about an index that only the firmware may remove; clearing the TPM leaves it.
const PLATFORM: &str = "switch off in the firmware setup what needs it, or use another TPM: a clear does not remove it; where \
                        the platform's authorization is empty, tpm2_nvundefine -C p does";
/// What to do about a TPM that is an attacker's.
pub(super) const CLEAR: &str =
    "clear the TPM in the firmware setup, which destroys what it holds, then provision and install the machine anew";

/// Who authorizes an access, and how the data are protected on the bus.
#[derive(Clone, Copy)]
pub(super) struct Access {
    /// The owner, or the index itself by policy or by its empty password.
    pub by: By,
    /// The session that encrypts, and that authorizes where it is the owner's or the policy's.
    pub session: AuthSession,
}

/// Who authorizes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The session, for the owner.
    Owner,
    /// The session, by what has been asserted in it.
    Policy,
    /// Anyone: the index has AUTHREAD and an empty password.
    Anyone,
}

impl Access {
    fn auth(self, nv: &Nv) -> NvAuth {
        if self.by == By::Owner { NvAuth::Owner } else { NvAuth::NvIndex(nv.handle) }
    }

    fn sessions(self) -> (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>) {
        match self.by {
            By::Owner | By::Policy => (Some(self.session), None, None),
            By::Anyone => (Some(AuthSession::Password), Some(self.session), None),
        }
    }
}

impl Tpm {
    /// Looks an index up; `None` when it is not defined. One command.
    pub(super) fn find_nv(&mut self, index: Index) -> Result<Option<Nv>> {
        let what = "look up an index of the TPM";
        let found = self.run(what, |c| {
            let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(index.handle())?);
            c.execute_without_session(|c| c.tr_from_tpm_public(handle))
        });
        let object = match found {
            Err(_) if self.last_code() == response_code::HANDLE => return Ok(None),
            other => other?,
        };
        let resource = self.run(what, |c| c.tr_serialize(object))?;
        let public = esys_resource::nv_public(&resource)
            .ok_or_else(|| Error::new(Kind::Corrupt, what, "its public area is malformed"))?;
        Ok(Some(Nv { index, handle: object.into(), public }))
    }

    /// How many bytes one command moves at most. One command, asked once.
    pub(super) fn nv_buffer_size(&mut self) -> Result<u16> {
        let largest = MaxNvBuffer::MAX_SIZE as u32;
        let stated = self.property("ask how much the TPM reads at once", PT_NV_BUFFER_MAX)?;
        let size = stated.filter(|size| *size > 0).unwrap_or_else(|| SMALLEST_BUFFER.into()).min(largest);
        Ok(u16::try_from(size).unwrap_or(SMALLEST_BUFFER))
    }

    /// Reads a whole index, with `authorize` called before every chunk.
    ///
    /// # Errors
    /// As [`response_code::error`] has them.
    pub(super) fn read_nv(&mut self, nv: &Nv, chunk: u16, access: Access, authorize: Authorize<'_>) -> Result<Secret> {
        let size = usize::from(nv.public.size);
        if size > MAX_SECRET {
            return Err(Error::new(Kind::Corrupt, "read an index of the TPM", "it is too large"));
        }
        Secret::filled(size, |buffer| {
            let mut offset: u16 = 0;
            for part in buffer.chunks_mut(usize::from(chunk.max(1))) {
                let length = u16::try_from(part.len()).unwrap_or(chunk);
                let read = |tpm: &mut Self| tpm.read_nv_chunk(nv, length, offset, access);
                let data = self.authorized(access.session, authorize, read)?;
                if data.len() != part.len() {
                    return Err(Error::new(Kind::Corrupt, "read an index of the TPM", "the TPM gave fewer bytes"));
                }
                part.copy_from_slice(&data);
                offset = offset.saturating_add(length);
            }
            Ok(())
        })
    }

    /// Does `access` after `authorize`, and both again when PCRs have changed in between, which they do while IMA
    /// measures. Nothing keeps IMA away; but it measures every file once, and then there is time.
    fn authorized<T>(
        &mut self,
        session: AuthSession,
        authorize: Authorize<'_>,
        mut access: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let patience = self.patience() * STORM;
        let start = Instant::now();
        loop {
            let outcome = authorize(self).and_then(|()| access(self));
            match outcome {
                Err(_) if self.last_code() == response_code::PCR_CHANGED && start.elapsed() < patience => {
                    self.restart_policy(session)?;
                }
                other => return other,
            }
        }
    }

    fn read_nv_chunk(&mut self, nv: &Nv, length: u16, offset: u16, access: Access) -> Result<MaxNvBuffer> {
        self.run(read_what(nv.index), |c| {
            Self::protect(c, access.session, Protect::Answer)?;
            c.execute_with_sessions(access.sessions(), |c| c.nv_read(access.auth(nv), nv.handle, length, offset))
        })
    }

    /// Writes all of `data` from offset 0 on, with `authorize` called before every chunk.
    pub(super) fn write_nv(
        &mut self,
        nv: &Nv,
        data: &[u8],
        chunk: u16,
        access: Access,
        authorize: Authorize<'_>,
    ) -> Result<()> {
        let mut offset: u16 = 0;
        for part in data.chunks(usize::from(chunk.max(1))) {
            let write = |tpm: &mut Self| {
                tpm.run(write_what(nv.index), |c| {
                    let part = MaxNvBuffer::from_bytes(part)?;
                    Self::protect(c, access.session, Protect::Command)?;
                    c.execute_with_sessions(access.sessions(), |c| c.nv_write(access.auth(nv), nv.handle, part, offset))
                })
            };
            self.authorized(access.session, authorize, write)?;
            offset = offset.saturating_add(u16::try_from(part.len()).unwrap_or(chunk));
        }
        Ok(())
    }

    /// Defines an index, with owner authorization. The TPM itself says when it is written.
    pub(super) fn define_nv(&mut self, index: Index, public: NvPublic, owner: AuthSession) -> Result<Nv> {
        let handle = self.run("define an index of the TPM", |c| {
            let area = NvPublicBuilder::new()
                .with_nv_index(NvIndexTpmHandle::new(index.handle())?)
                .with_index_name_algorithm(HashingAlgorithm::Sha256)
                .with_index_attributes(NvIndexAttributes::try_from(public.attributes & !attribute::WRITTEN)?)
                .with_index_auth_policy(Digest::from_bytes(&public.policy)?)
                .with_data_area_size(usize::from(public.size))
                .build()?;
            Self::protect(c, owner, Protect::Command)?;
            c.execute_with_session(Some(owner), |c| c.nv_define_space(Provision::Owner, None, area))
        })?;
        Ok(Nv { index, handle, public })
    }

    /// Removes an index, with owner authorization.
    pub(super) fn undefine_nv(&mut self, nv: &Nv, owner: AuthSession) -> Result<()> {
        const WHAT: &str = "remove an index of the TPM";
        let removed = self.run(WHAT, |c| {
            Self::protect(c, owner, Protect::Command)?;
            c.execute_with_session(Some(owner), |c| c.nv_undefine_space(Provision::Owner, nv.handle))
        });
        removed.map_err(|error| match self.last_code() {
            response_code::NV_AUTHORIZATION => {
                let why =
                    format!("the platform has made {:#x}: it is the firmware's, not the owner's", nv.index.handle());
                Error::new(Kind::Refused, WHAT, why).remedy(PLATFORM)
            }
            _ => error,
        })
    }
}

/// What is being read, as messages say it.
const fn read_what(index: Index) -> &'static str {
    match index {
        Index::AdminPassword => "read the TPM admin password",
        Index::LayoutVersion => "read the layout version",
        Index::PolicyVersion => "read the policy version",
        Index::Certificate => "read the certificate",
        Index::PrivateKey => "read the private key",
        Index::Proof => "read the proof of its provisioning",
        Index::SbsPassphrase | Index::OsPassphrase => "read the passphrase",
    }
}

/// What is being written, as messages say it.
const fn write_what(index: Index) -> &'static str {
    match index {
        Index::AdminPassword => "write the TPM admin password",
        Index::LayoutVersion => "write the layout version",
        Index::PolicyVersion => "write the policy version",
        Index::Certificate => "write the certificate",
        Index::PrivateKey => "write the private key",
        Index::Proof => "write the proof of its provisioning",
        Index::SbsPassphrase | Index::OsPassphrase => "write the passphrase",
    }
}
