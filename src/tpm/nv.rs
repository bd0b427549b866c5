//! NV indices: found, read and written in chunks, defined, removed.

use super::{connection::Tpm, esys_resource, layout::Index, response_code, session::Protect};
use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
    secret::{MAX_SECRET, Secret},
    tpm2::{
        NvPublic,
        constants::{alg, pt},
        nv::attribute,
    },
};
use std::time::Instant;
use tss_esapi::{
    attributes::NvIndexAttributes,
    handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        reserved_handles::{NvAuth, Provision},
        session_handles::{AuthSession, HmacSession, PolicySession},
    },
    structures::{self, Auth, MaxNvBuffer, NvPublicBuilder},
};

/// What `NV_Read` and `NV_Write` move at most where the TPM does not say (part 2, annex A).
const SMALLEST_BUFFER: u16 = 512;

/// What every TPM moves at once: a digest.
const LEAST_BUFFER: u16 = 64;

/// How long PCRs may keep changing, in times that a response is waited for.
const STORM: u32 = 6;

/// Where an index is: in the layout, or somewhere else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NvPlace {
    Layout(Index),
    /// By its handle.
    #[cfg(feature = "host")]
    Other(u32),
}

impl From<Index> for NvPlace {
    fn from(index: Index) -> Self {
        Self::Layout(index)
    }
}

impl NvPlace {
    const fn handle(self) -> u32 {
        match self {
            Self::Layout(index) => index.handle(),
            #[cfg(feature = "host")]
            Self::Other(handle) => handle,
        }
    }
}

/// An index that the TPM has.
#[derive(Clone)]
pub(super) struct Nv {
    pub index: NvPlace,
    pub handle: NvIndexHandle,
    pub public: NvPublic,
}

impl Nv {
    /// Whether anything was ever written to it.
    pub const fn is_written(&self) -> bool {
        self.public.attributes & attribute::WRITTEN != 0
    }

    /// Refuses it unless it is as the layout has it, opened by `policy` and by nothing else. What an attacker can read or
    /// write in a way of their own must not hold a secret.
    pub fn check(&self, policy: Option<&Digest>) -> Result<()> {
        let found = &self.public;
        #[cfg_attr(
            not(feature = "host"),
            allow(clippy::infallible_destructuring_match, reason = "the host program has others")
        )]
        let index = match self.index {
            NvPlace::Layout(index) => index,
            #[cfg(feature = "host")]
            NvPlace::Other(_) => {
                return Err(Error::new(Kind::Refused, "use an index of the TPM", "it is not of the layout"));
            }
        };
        // The Name of the policy version is part of every policy; the old tool's other indices have no NO_DA.
        let either = if index == Index::PolicyVersion { 0 } else { attribute::NO_DA } | attribute::WRITTEN;
        let is_laid_out = (found.attributes ^ index.attributes()) & !either == 0
            && found.name_algorithm == alg::SHA256
            && found.policy == *policy.map_or(&[][..], |digest| digest)
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

/// What authorizes an access, and the session that protects the data on the bus.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// The owner, by the session.
    Owner(HmacSession),
    /// The index' policy, by what has been asserted in the session.
    Policy(PolicySession),
    /// Anyone: the index has AUTHREAD and an empty password.
    Anyone(AuthSession),
    /// Whoever knows the index' own password, which the session proves.
    #[cfg(feature = "host")]
    Index(HmacSession),
    /// As [`Self::Policy`], with another session that protects: one that authorizes an index encrypts with the index'
    /// password besides, which a policy need not ask for.
    #[cfg(feature = "host")]
    PolicyBeside(PolicySession, HmacSession),
}

impl Access {
    pub(super) fn session(self) -> AuthSession {
        match self {
            Self::Owner(session) => session.into(),
            Self::Policy(session) => session.into(),
            Self::Anyone(session) => session,
            #[cfg(feature = "host")]
            Self::Index(session) | Self::PolicyBeside(_, session) => session.into(),
        }
    }

    /// The session in which a policy is asserted.
    pub const fn policy(self) -> Option<PolicySession> {
        match self {
            Self::Policy(session) => Some(session),
            #[cfg(feature = "host")]
            Self::PolicyBeside(session, _) => Some(session),
            _ => None,
        }
    }

    pub(super) const fn auth(self, nv: &Nv) -> NvAuth {
        if matches!(self, Self::Owner(_)) { NvAuth::Owner } else { NvAuth::NvIndex(nv.handle) }
    }

    /// The command's sessions: the one that authorizes it, then the one that only protects it.
    pub(super) fn sessions(self) -> (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>) {
        match self {
            Self::Owner(_) | Self::Policy(_) => (Some(self.session()), None, None),
            Self::Anyone(session) => (Some(AuthSession::Password), Some(session), None),
            #[cfg(feature = "host")]
            Self::Index(_) => (Some(self.session()), None, None),
            #[cfg(feature = "host")]
            Self::PolicyBeside(policy, session) => (Some(policy.into()), Some(session.into()), None),
        }
    }
}

impl Tpm {
    /// Looks an index up; `None` when it is not defined. One command.
    pub(super) fn find_nv(&mut self, index: impl Into<NvPlace>) -> Result<Option<Nv>> {
        let index = index.into();
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

    /// How many bytes one command moves at most, of `size`; the TPM is asked at most once, and not for what every TPM moves.
    pub(super) fn chunk(&mut self, size: usize) -> Result<u16> {
        if size <= usize::from(LEAST_BUFFER) {
            return Ok(LEAST_BUFFER);
        }
        if let Some(known) = self.nv_buffer {
            return Ok(known);
        }
        let largest = MaxNvBuffer::MAX_SIZE as u32;
        let stated = self.property("ask how much the TPM reads at once", pt::NV_BUFFER_MAX)?;
        let chunk = stated.filter(|size| *size > 0).unwrap_or_else(|| SMALLEST_BUFFER.into()).min(largest);
        let chunk = u16::try_from(chunk).unwrap_or(SMALLEST_BUFFER);
        self.nv_buffer = Some(chunk);
        Ok(chunk)
    }

    /// Reads a whole index, with `authorize` called before every chunk.
    ///
    /// # Errors
    /// As [`response_code::error`] has them.
    pub(super) fn read_nv(&mut self, nv: &Nv, access: Access, authorize: Authorize<'_>) -> Result<Secret> {
        let size = usize::from(nv.public.size);
        if size > MAX_SECRET {
            return Err(Error::new(Kind::Corrupt, "read an index of the TPM", "it is too large"));
        }
        let chunk = self.chunk(size)?;
        Secret::filled(size, |buffer| {
            let mut offset: u16 = 0;
            for part in buffer.chunks_mut(usize::from(chunk)) {
                let length = u16::try_from(part.len()).unwrap_or(chunk);
                let read = |tpm: &mut Self| tpm.read_nv_chunk(nv, length, offset, access);
                let data = self.authorized(access, authorize, read)?;
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
    pub(super) fn authorized<T>(
        &mut self,
        by: Access,
        authorize: Authorize<'_>,
        mut access: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let patience = self.patience() * STORM;
        let start = Instant::now();
        loop {
            let outcome = authorize(self).and_then(|()| access(self));
            match outcome {
                Err(_) if self.last_code() == response_code::PCR_CHANGED && start.elapsed() < patience => {
                    if let Some(session) = by.policy() {
                        self.restart_policy(session)?;
                    }
                }
                other => return other,
            }
        }
    }

    pub(super) fn read_nv_chunk(&mut self, nv: &Nv, length: u16, offset: u16, access: Access) -> Result<MaxNvBuffer> {
        self.run_protected(read_what(nv.index), access.session(), Protect::Response, |c| {
            c.execute_with_sessions(access.sessions(), |c| c.nv_read(access.auth(nv), nv.handle, length, offset))
        })
    }

    /// Writes all of `data` from offset 0 on, with `authorize` called before every chunk.
    pub(super) fn write_nv(&mut self, nv: &Nv, data: &[u8], access: Access, authorize: Authorize<'_>) -> Result<()> {
        let chunk = self.chunk(data.len())?;
        let mut offset: u16 = 0;
        for part in data.chunks(usize::from(chunk)) {
            let write = |tpm: &mut Self| tpm.write_nv_chunk(nv, part, offset, access);
            self.authorized(access, authorize, write)?;
            offset = offset.saturating_add(u16::try_from(part.len()).unwrap_or(chunk));
        }
        Ok(())
    }

    pub(super) fn write_nv_chunk(&mut self, nv: &Nv, part: &[u8], offset: u16, access: Access) -> Result<()> {
        self.run_protected(write_what(nv.index), access.session(), Protect::Command, |c| {
            let part = MaxNvBuffer::from_bytes(part)?;
            c.execute_with_sessions(access.sessions(), |c| c.nv_write(access.auth(nv), nv.handle, part, offset))
        })
    }

    /// Defines an index, with owner authorization. The TPM itself says when it is written.
    pub(super) fn define_nv(&mut self, index: Index, public: NvPublic, owner: HmacSession) -> Result<Nv> {
        self.define_nv_by(Access::Owner(owner), index.into(), None, public)
    }

    /// The same anywhere, with a password of its own, and by the owner's policy as well.
    pub(super) fn define_nv_by(
        &mut self,
        owner: Access,
        index: NvPlace,
        password: Option<&Auth>,
        public: NvPublic,
    ) -> Result<Nv> {
        const WHAT: &str = "define an index of the TPM";
        let handle = self.run_protected(WHAT, owner.session(), Protect::Command, |c| {
            let area = NvPublicBuilder::new()
                .with_nv_index(NvIndexTpmHandle::new(index.handle())?)
                .with_index_name_algorithm(HashingAlgorithm::Sha256)
                .with_index_attributes(NvIndexAttributes::try_from(public.attributes & !attribute::WRITTEN)?)
                .with_index_auth_policy(structures::Digest::from_bytes(&public.policy)?)
                .with_data_area_size(usize::from(public.size))
                .build()?;
            c.execute_with_sessions(owner.sessions(), |c| c.nv_define_space(Provision::Owner, password.cloned(), area))
        })?;
        Ok(Nv { index, handle, public })
    }

    /// Removes an index, with owner authorization.
    pub(super) fn undefine_nv(&mut self, nv: &Nv, owner: HmacSession) -> Result<()> {
        const WHAT: &str = "remove an index of the TPM";
        let removed = self.run_protected(WHAT, owner, Protect::Command, |c| {
            c.execute_with_session(Some(owner.into()), |c| c.nv_undefine_space(Provision::Owner, nv.handle))
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
const fn read_what(index: NvPlace) -> &'static str {
    match index {
        NvPlace::Layout(Index::AdminPassword) => "read the TPM admin password",
        NvPlace::Layout(Index::LayoutVersion) => "read the layout version",
        NvPlace::Layout(Index::PolicyVersion) => "read the policy version",
        NvPlace::Layout(Index::Certificate) => "read the certificate",
        NvPlace::Layout(Index::PrivateKey) => "read the private key",
        NvPlace::Layout(Index::Proof) => "read the proof of its provisioning",
        NvPlace::Layout(Index::SbsPassphrase | Index::OsPassphrase) => "read the passphrase",
        #[cfg(feature = "host")]
        NvPlace::Other(_) => "read an index of the TPM",
    }
}

/// What is being written, as messages say it.
const fn write_what(index: NvPlace) -> &'static str {
    match index {
        NvPlace::Layout(Index::AdminPassword) => "write the TPM admin password",
        NvPlace::Layout(Index::LayoutVersion) => "write the layout version",
        NvPlace::Layout(Index::PolicyVersion) => "write the policy version",
        NvPlace::Layout(Index::Certificate) => "write the certificate",
        NvPlace::Layout(Index::PrivateKey) => "write the private key",
        NvPlace::Layout(Index::Proof) => "write the proof of its provisioning",
        NvPlace::Layout(Index::SbsPassphrase | Index::OsPassphrase) => "write the passphrase",
        #[cfg(feature = "host")]
        NvPlace::Other(_) => "write an index of the TPM",
    }
}
