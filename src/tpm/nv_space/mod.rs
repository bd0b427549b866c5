//! NV memory for the running system: any index listed, defined, read, written and removed.
//!
//! What is secret is in salted sessions that encrypt it. Lists are not authenticated: they are shown, and nothing is
//! decided by them.

mod certify;
mod content;
mod entrance;
mod failure;
mod once;

pub use certify::NvCertificate;

use super::{
    connection::Tpm,
    delegation::{Delegation, delegates_nothing},
    nv::{Access, Nv, NvPlace},
    nv_content::HEADER,
    nv_indices, response_code,
    unseal::Evidence,
};
use crate::{
    error::{Error, Kind, Result},
    policy::statements::PolicyRecipe,
    secret::Secret,
    tpm2::{
        NvPublic,
        constants::{cc, permanent, pt},
        nv::attribute,
        nv_registry,
    },
};
use failure::{LIST, PLATFORM, auth, named};
use tss_esapi::{
    handles::ObjectHandle,
    interface_types::session_handles::{HmacSession, PolicySession},
    structures::Auth,
};

/// How often a free index is looked for while other programs take them.
const ATTEMPTS: u32 = 8;

/// How the password of the TPM's owner is got where there is one.
pub type OwnerPassword<'a> = Box<dyn FnMut() -> Result<Secret> + 'a>;

/// The NV memory of a TPM.
pub struct NvSpace<'a> {
    tpm: Tpm,
    ask_owner: OwnerPassword<'a>,
    /// What protects, and what passwords open.
    session: Option<HmacSession>,
    /// What policies open.
    policy_session: Option<PolicySession>,
    /// Whether the owner has a password, once that has been asked for.
    owner_has_password: Option<bool>,
    owner_is_known: bool,
    /// What is signed for this running system, by which it may define indices without the owner's password.
    delegation: Option<Delegation>,
}

/// What opens an index, beside the owner.
#[derive(Clone, Copy, Default)]
pub struct NvKey<'a> {
    /// Its policy, and what that is judged by.
    pub policy: Option<(&'a PolicyRecipe, &'a Evidence)>,
    /// How its own password is got, which is the PIN of its policy.
    pub pin: Option<&'a dyn Fn() -> Result<Secret>>,
}

/// An index to be defined.
#[derive(Clone, Copy)]
pub struct NvDefinition<'a> {
    /// Which; `None`: one that is free.
    pub index: Option<u32>,
    /// `TPMA_NV`.
    pub attributes: u32,
    /// Its policy, and what that is judged by where it is to be written by it.
    pub policy: Option<(&'a PolicyRecipe, &'a Evidence)>,
    /// Its own password.
    pub password: Option<&'a Secret>,
}

/// How much there is room for, as far as the TPM tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvRoom {
    /// Bytes of an index at most.
    pub largest: Option<u32>,
    /// How many more persistent keys there is room for, as the TPM estimates; it tells no bytes.
    pub keys: Option<u32>,
}

/// How an index is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvForm {
    /// Behind a header, by which half of it is told from the whole.
    Framed,
    /// As it is.
    Raw,
}

impl NvForm {
    /// Bytes of an index for a content of `size` bytes.
    #[must_use]
    pub fn index_size(self, size: usize) -> usize {
        size + if self == Self::Framed { usize::from(HEADER) } else { 0 }
    }
}

/// What has been read.
pub struct NvRead {
    /// The content.
    pub content: Secret,
    /// In which form it was there.
    pub form: NvForm,
}

impl<'a> NvSpace<'a> {
    /// That of `tpm`. Sends nothing yet.
    #[must_use]
    pub fn new(tpm: Tpm, ask_owner: OwnerPassword<'a>) -> Self {
        let (owner_has_password, owner_is_known, delegation) = (None, false, None);
        Self { tpm, ask_owner, session: None, policy_session: None, owner_has_password, owner_is_known, delegation }
    }

    /// Has indices defined by what is signed for this running system, where the owner has a password.
    #[must_use]
    pub fn delegated_by(mut self, delegation: Option<Delegation>) -> Self {
        self.delegation = delegation;
        self
    }

    /// The TPM, for what needs no session of this.
    pub const fn tpm(&mut self) -> &mut Tpm {
        &mut self.tpm
    }

    /// All indices, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Tpm::nv_indices`].
    pub fn indices(&mut self) -> Result<Vec<NvPublic>> {
        self.tpm.nv_indices()
    }

    /// How much there is room for.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn room(&mut self) -> Result<NvRoom> {
        const WHAT: &str = "ask how much room there is in the TPM";
        let largest = self.tpm.property(WHAT, pt::NV_INDEX_MAX)?;
        Ok(NvRoom { largest, keys: self.tpm.property(WHAT, pt::HR_PERSISTENT_AVAIL)? })
    }

    /// Defines an index for `content`, and writes it; returns its number. What fails leaves no index.
    ///
    /// # Errors
    /// As [`Self::define`] and [`Self::write`].
    pub fn define_with(&mut self, definition: &NvDefinition<'_>, content: &Secret, form: NvForm) -> Result<u32> {
        let nv = self.define_nv(definition, form.index_size(content.len()))?;
        // ESYS knows its password from when it was defined.
        let written = self.write_nv(&nv, content, form, NvKey { policy: definition.policy, pin: None });
        if written.is_err()
            && let Ok(owner) = self.owner()
        {
            let _ = self.tpm.undefine_nv(&nv, owner);
        }
        written.map(|()| nv.public.index)
    }

    /// Defines an index for `size` bytes of content, and leaves it empty; returns its number.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is there already, or larger than any; [`Kind::System`]: there is no room; [`Kind::Refused`]: not
    /// with this password of the owner's.
    pub fn define(&mut self, definition: &NvDefinition<'_>, size: usize, form: NvForm) -> Result<u32> {
        Ok(self.define_nv(definition, form.index_size(size))?.public.index)
    }

    /// As [`Self::define`], of this many bytes.
    fn define_nv(&mut self, definition: &NvDefinition<'_>, bytes: usize) -> Result<Nv> {
        const WHAT: &str = "define an index";
        let largest = self.tpm.property("ask how large an NV index may be", pt::NV_INDEX_MAX)?.unwrap_or(u32::MAX);
        let size = u16::try_from(bytes).ok().filter(|size| u32::from(*size) <= largest).ok_or_else(|| {
            let why = format!("it would have {bytes} bytes, and an index of this TPM has at most {largest}");
            Error::new(Kind::Usage, WHAT, why).remedy("seal it, which takes any size: `trust seal`")
        })?;
        let policy = definition.policy.map(|(recipe, _)| recipe.policy.digest());
        let password = definition.password.map(|password| auth(password, "the index' password")).transpose()?;
        let owner = if self.is_delegated()? { None } else { Some(self.owner()?) };
        let mut attempts = if definition.index.is_some() { 1 } else { ATTEMPTS };
        loop {
            let index = definition.index.map_or_else(|| self.free_index(), Ok)?;
            let public = NvPublic::new(index, definition.attributes, policy.as_ref(), size);
            let defined = match owner {
                Some(owner) => {
                    self.tpm.define_nv_by(Access::Owner(owner), NvPlace::Other(index), password.as_ref(), public)
                }
                None => self.define_as_delegated(public, password.as_ref()),
            };
            attempts -= 1;
            match defined {
                // Another program has taken it in between.
                Err(_) if attempts > 0 && self.tpm.last_code() == response_code::NV_DEFINED => {}
                Err(error) => return Err(self.explained("define index", index, owner.map(Access::Owner), error)),
                Ok(nv) => return Ok(nv),
            }
        }
    }

    /// Whether the owner has a password, and this running system may define indices without it.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn is_delegated(&mut self) -> Result<bool> {
        Ok(self.delegation.is_some() && self.owner_has_password()?)
    }

    /// Defines an index by the owner's policy. Another session encrypts: the owner's password, which is not known here, has
    /// a part in what the first one would encrypt with.
    fn define_as_delegated(&mut self, public: NvPublic, password: Option<&Auth>) -> Result<Nv> {
        const WHAT: &str = "define an index by what the TPM's owner delegates";
        let missing = || Error::new(Kind::Refused, WHAT, "nothing is signed for this running system");
        let delegation = self.delegation.clone().ok_or_else(missing)?;
        let (session, beside) = (self.policy_session()?, self.session()?);
        let access = Access::PolicyBeside(session, beside);
        let (defined, _) = self.tpm.as_delegated(WHAT, session, &delegation, cc::NV_DEFINE_SPACE, |tpm| {
            tpm.define_nv_by(access, NvPlace::Other(public.index), password, public)
        })?;
        let defined = defined.ok_or_else(|| delegates_nothing(WHAT));
        self.tpm.expect_power_cut();
        defined
    }

    /// An index that is not defined, of those of the owner's that we look for one in.
    fn free_index(&mut self) -> Result<u32> {
        let taken = self.tpm.nv_handles()?;
        let mut free = nv_registry::FIRST_FREE..=nv_registry::OWNER.1;
        free.find(|index| !taken.contains(index))
            .ok_or_else(|| Error::new(Kind::System, "find a free index", "all are defined"))
    }

    /// Removes an index.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is none; [`Kind::Refused`]: it is the firmware's, or not with this password.
    pub fn remove(&mut self, index: u32) -> Result<()> {
        const WHAT: &str = "remove index";
        let nv = self.find(WHAT, index)?;
        if nv.public.attributes & attribute::POLICY_DELETE != 0 {
            let why = "only the platform removes it, by the index' policy";
            return Err(named(Kind::Refused, WHAT, index, why).remedy(PLATFORM));
        }
        let owner = self.owner()?;
        let removed = self.tpm.undefine_nv(&nv, owner);
        removed.map_err(|error| match self.tpm.last_code() {
            response_code::NV_AUTHORIZATION => error,
            _ => self.explained(WHAT, index, Some(Access::Owner(owner)), error),
        })
    }

    /// An index that there is.
    fn find(&mut self, what: &'static str, index: u32) -> Result<Nv> {
        if !(nv_indices::FIRST..=nv_indices::LAST).contains(&index) {
            return Err(named(Kind::Usage, what, index, "indices are from 0x01000000 to 0x01ffffff").remedy(LIST));
        }
        let found = self.tpm.find_nv(NvPlace::Other(index))?;
        found.ok_or_else(|| named(Kind::Usage, what, index, "the TPM has no such index").remedy(LIST))
    }

    /// Whether the owner has a password.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn owner_has_password(&mut self) -> Result<bool> {
        if let Some(known) = self.owner_has_password {
            return Ok(known);
        }
        let attributes = self.tpm.property("ask who owns the TPM", pt::PERMANENT)?.unwrap_or(0);
        let has = attributes & permanent::OWNER_AUTH_SET != 0;
        self.owner_has_password = Some(has);
        Ok(has)
    }

    /// A session for what the owner authorizes, whose password is asked for once, if there is one.
    fn owner(&mut self) -> Result<HmacSession> {
        if self.owner_has_password()? && !self.owner_is_known {
            let auth = auth(&(self.ask_owner)()?, "the owner's password")?;
            self.tpm.run("use the owner's password", |c| c.tr_set_auth(ObjectHandle::Owner, auth.clone()))?;
            self.owner_is_known = true;
        }
        self.session()
    }

    fn session(&mut self) -> Result<HmacSession> {
        let session = self.session.map_or_else(|| self.tpm.start_session().map(|salted| salted.session), Ok)?;
        self.session = Some(session);
        Ok(session)
    }

    fn policy_session(&mut self) -> Result<PolicySession> {
        let session = self.policy_session.map_or_else(|| self.tpm.start_session().map(|salted| salted.session), Ok)?;
        self.policy_session = Some(session);
        Ok(session)
    }
}

/// The sessions end with it, wherever that is.
impl Drop for NvSpace<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = self.tpm.end_session(session);
        }
        if let Some(session) = self.policy_session.take() {
            let _ = self.tpm.end_session(session);
        }
    }
}
