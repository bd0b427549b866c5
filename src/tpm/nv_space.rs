//! NV memory for the running system: any index listed, defined, read, written and removed.
//!
//! What is secret is in salted sessions that encrypt it. Lists are not authenticated: they are shown, and nothing is
//! decided by them.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    nv::{Access, Nv, NvPlace},
    nv_content::{self, HEADER, NvContent},
    nv_indices, response_code,
    unseal::{Approvals, Evidence},
};
use crate::{
    error::{Error, Kind, Result},
    policy::{Assertion, Policy, approved::ApprovedPolicy, statements::PolicyRecipe, verdict::Judgement},
    secret::Secret,
    tpm2::{
        NvPublic,
        constants::{cc, permanent, pt},
        nv::{attribute, kind},
        nv_registry,
    },
};
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
    delegation: Option<ApprovedPolicy>,
}

/// What opens an index, beside the owner.
#[derive(Clone, Copy, Default)]
pub struct NvKey<'a> {
    /// Its policy, and what that is judged by.
    pub policy: Option<(&'a PolicyRecipe, &'a Evidence)>,
    /// How its own password is got, which is the PIN of its policy.
    pub pin: Option<&'a dyn Fn() -> Result<Secret>>,
}

/// An access, and what its policy is asserted with.
struct Entrance<'a> {
    access: Access,
    policy: Option<&'a Policy>,
    approvals: Vec<Approval>,
    /// Which of its alternatives is taken.
    choice: usize,
}

impl From<Access> for Entrance<'_> {
    fn from(access: Access) -> Self {
        Self { access, policy: None, approvals: Vec::new(), choice: 0 }
    }
}

impl Entrance<'_> {
    /// Asserts the policy, where that is what authorizes.
    fn authorize(&self, tpm: &mut Tpm) -> Result<()> {
        let (Some(session), Some(policy)) = (self.access.policy(), self.policy) else { return Ok(()) };
        let approvals: Vec<&Approval> = self.approvals.iter().collect();
        tpm.assert(session, policy, Grounds { approvals: &approvals, choices: &[self.choice] })
    }
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

/// Whether an index is to be read or written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Read,
    Write,
}

impl Deed {
    const fn what(self) -> &'static str {
        match self {
            Self::Read => "read index",
            Self::Write => "write index",
        }
    }

    /// The attributes that allow it to the owner, to whoever has the index' password, and by its policy.
    const fn allowed_to(self) -> (u32, u32, u32) {
        match self {
            Self::Read => (attribute::OWNERREAD, attribute::AUTHREAD, attribute::POLICYREAD),
            Self::Write => (attribute::OWNERWRITE, attribute::AUTHWRITE, attribute::POLICYWRITE),
        }
    }
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
    pub fn delegated_by(mut self, delegation: Option<ApprovedPolicy>) -> Self {
        self.delegation = delegation;
        self
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
        let signed = self.delegation.clone().ok_or_else(missing)?;
        let approval = self.tpm.approve(signed)?;
        let (session, beside) = (self.policy_session()?, self.session()?);
        self.tpm.assert_delegated(WHAT, session, &approval, cc::NV_DEFINE_SPACE)?;
        let access = Access::PolicyBeside(session, beside);
        let nv = self.tpm.define_nv_by(access, NvPlace::Other(public.index), password, public)?;
        self.tpm.expect_power_cut();
        Ok(nv)
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

    /// Reads an index: its content where it has our header, and where it has none, or `form` is raw, all of it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is none, or it is empty; [`Kind::Corrupt`]: it was not written to its end, or has been changed;
    /// [`Kind::Refused`]: not with this password or policy.
    pub fn read(&mut self, index: u32, form: NvForm, key: NvKey<'_>) -> Result<NvRead> {
        const WHAT: &str = "read index";
        let nv = self.find(WHAT, index)?;
        if !nv.is_written() {
            return Err(self.never_written(WHAT, index));
        }
        let entrance = self.entrance(&nv, Deed::Read, key)?;
        let access = entrance.access;
        let read = self.tpm.read_nv(&nv, access, &mut |tpm| entrance.authorize(tpm));
        let read = read.map_err(|error| self.explained(WHAT, index, Some(access), error));
        self.expect_power_cut(&nv, access);
        let bytes = read?;
        if form == NvForm::Raw {
            return Ok(NvRead { content: bytes, form });
        }
        let corrupt = |why| named(Kind::Corrupt, WHAT, index, why).remedy(WRITE_AGAIN);
        match nv_content::open(bytes)? {
            NvContent::Whole(content) => Ok(NvRead { content, form }),
            NvContent::Bare(content) => Ok(NvRead { content, form: NvForm::Raw }),
            NvContent::Unfinished => {
                Err(corrupt("it is incomplete: while it was written the power failed, or the program was ended"))
            }
            NvContent::Damaged => Err(corrupt("its content is not what its header says")),
        }
    }

    /// Writes a content, in place of the one that is there. In one command, where the TPM takes it in one; else the index
    /// is said to be unfinished first, and whole in the end.
    ///
    /// # Errors
    /// As [`Self::read`]; and [`Kind::Usage`]: it does not fit, or would replace what another program keeps there.
    pub fn write(&mut self, index: u32, content: &Secret, form: NvForm, key: NvKey<'_>) -> Result<()> {
        let nv = self.find("write index", index)?;
        self.write_nv(&nv, content, form, key)
    }

    fn write_nv(&mut self, nv: &Nv, content: &Secret, form: NvForm, key: NvKey<'_>) -> Result<()> {
        const WHAT: &str = "write index";
        let index = nv.public.index;
        let refuse = |why: String| named(Kind::Usage, WHAT, index, &why);
        if kind(nv.public.attributes) != "ordinary" {
            let why = format!("it is of the type {}, which has no content to write", kind(nv.public.attributes));
            return Err(refuse(why).remedy("use tpm2_nvincrement, tpm2_nvsetbits or tpm2_nvextend"));
        }
        let (needed, size) = (form.index_size(content.len()), usize::from(nv.public.size));
        if needed > size {
            let why = format!("it has {size} bytes, and {needed} are needed");
            return Err(refuse(why).remedy("define a larger one, and remove this one when it is written"));
        }
        let entrance = self.entrance(nv, Deed::Write, key)?;
        let access = entrance.access;
        let written = if form == NvForm::Raw {
            self.write_at(nv, content.expose(), 0, &entrance)
        } else {
            self.refuse_foreign_content(nv, access)?;
            self.write_framed(nv, content, &entrance)
        };
        let written = written.map_err(|error| self.explained(WHAT, index, Some(access), error));
        self.expect_power_cut(nv, access);
        written
    }

    fn write_framed(&mut self, nv: &Nv, content: &Secret, by: &Entrance<'_>) -> Result<()> {
        let framed = nv_content::framed(content)?;
        if framed.len() <= usize::from(self.tpm.chunk(framed.len())?) {
            return self.write_at(nv, framed.expose(), 0, by);
        }
        let (header, content) = framed.expose().split_at(usize::from(HEADER));
        self.write_at(nv, &nv_content::unfinished(), 0, by)?;
        self.write_at(nv, content, HEADER, by)?;
        self.write_at(nv, header, 0, by)
    }

    /// Writes `data` from an offset on.
    fn write_at(&mut self, nv: &Nv, data: &[u8], offset: u16, by: &Entrance<'_>) -> Result<()> {
        let chunk = self.tpm.chunk(data.len())?;
        let mut offset = offset;
        for part in data.chunks(usize::from(chunk)) {
            let write = |tpm: &mut Tpm| tpm.write_nv_chunk(nv, part, offset, by.access);
            self.tpm.authorized(by.access, &mut |tpm| by.authorize(tpm), write)?;
            offset = offset.saturating_add(u16::try_from(part.len()).unwrap_or(chunk));
        }
        Ok(())
    }

    /// Refuses to put our header where another program's content is, as far as whoever writes may read.
    fn refuse_foreign_content(&mut self, nv: &Nv, access: Access) -> Result<()> {
        let readable = match access {
            Access::Owner(_) => attribute::OWNERREAD,
            Access::Index(_) => attribute::AUTHREAD,
            _ => return Ok(()),
        };
        if !nv.is_written() || nv.public.attributes & readable == 0 {
            return Ok(());
        }
        let start = self.tpm.read_nv_chunk(nv, nv.public.size.min(HEADER), 0, access);
        let start = start.map_err(|error| self.explained("read index", nv.public.index, Some(access), error))?;
        if nv_content::is_framed(&start) {
            return Ok(());
        }
        let why = "it holds what another program has written, without a header";
        Err(named(Kind::Usage, "write index", nv.public.index, why).remedy("give --raw to write as that program does"))
    }

    /// An index that there is.
    fn find(&mut self, what: &'static str, index: u32) -> Result<Nv> {
        if !(nv_indices::FIRST..=nv_indices::LAST).contains(&index) {
            return Err(named(Kind::Usage, what, index, "indices are from 0x01000000 to 0x01ffffff").remedy(LIST));
        }
        let found = self.tpm.find_nv(NvPlace::Other(index))?;
        found.ok_or_else(|| named(Kind::Usage, what, index, "the TPM has no such index").remedy(LIST))
    }

    /// Who is to read or write it: by its policy or its password, if that is given; else the owner without a password, or
    /// anybody; and if neither may, the owner with one.
    fn entrance<'k>(&mut self, nv: &Nv, deed: Deed, key: NvKey<'k>) -> Result<Entrance<'k>> {
        let (owner, password, policy) = deed.allowed_to();
        let may = |bit: u32| nv.public.attributes & bit != 0;
        if let Some((recipe, evidence)) = key.policy
            && may(policy)
        {
            return self.by_policy(nv, deed, recipe, evidence, key.pin);
        }
        if let Some(pin) = key.pin
            && may(password)
        {
            self.use_pin(nv, pin)?;
            return self.session().map(|session| Access::Index(session).into());
        }
        if may(owner) && (!may(password) || !self.owner_has_password()?) {
            return self.owner().map(|session| Access::Owner(session).into());
        }
        if may(password) {
            return self.session().map(|session| Access::Index(session).into());
        }
        let refuse = |why| named(Kind::Refused, deed.what(), nv.public.index, why);
        Err(if may(policy) {
            refuse("only its policy allows that").remedy("give the policy that it was defined with")
        } else {
            refuse("only the platform may").remedy(PLATFORM)
        })
    }

    /// By the first of the alternatives that may hold.
    fn by_policy<'k>(
        &mut self,
        nv: &Nv,
        deed: Deed,
        recipe: &'k PolicyRecipe,
        evidence: &Evidence,
        pin: Option<&dyn Fn() -> Result<Secret>>,
    ) -> Result<Entrance<'k>> {
        let refuse = |why: String| named(Kind::Refused, deed.what(), nv.public.index, &why);
        let policy = &recipe.policy;
        if nv.public.policy != policy.digest() {
            let why = "its policy is another one than is given, or PCRs have changed since".to_owned();
            return Err(refuse(why).remedy("give the policy that it was defined with, in a boot in which that holds"));
        }
        let mut reasons = Vec::new();
        for (choice, (alternative, name)) in recipe.alternatives().enumerate() {
            match self.tpm.judge_policy(alternative, evidence)? {
                Judgement::Fails(why) => reasons.push(name.map_or(why.clone(), |name| format!("{name}: {why}"))),
                _ => {
                    let Approvals { sound, forged } = self.tpm.approvals_of(alternative, evidence)?;
                    if sound.is_empty() && !forged.is_empty() {
                        reasons.extend(forged);
                        continue;
                    }
                    if alternative.assertions().contains(&Assertion::AuthValue)
                        && let Some(pin) = pin
                    {
                        self.use_pin(nv, pin)?;
                    }
                    let access = Access::PolicyBeside(self.policy_session()?, self.session()?);
                    return Ok(Entrance { access, policy: Some(policy), approvals: sound, choice });
                }
            }
        }
        Err(refuse(format!("its policy does not hold: {}", reasons.join("; ")))
            .remedy("give the policy that it was defined with, in a boot in which that holds"))
    }

    /// Has ESYS know the password of an index. Nothing is sent.
    fn use_pin(&mut self, nv: &Nv, pin: &dyn Fn() -> Result<Secret>) -> Result<()> {
        let pin = auth(&pin()?, "the index' password")?;
        let handle = ObjectHandle::from(nv.handle);
        self.tpm.run("use the index' password", |c| c.tr_set_auth(handle, pin.clone()))
    }

    fn owner_has_password(&mut self) -> Result<bool> {
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

    /// Where the index is protected against guessing, a TPM would count the next power cut as a failed attempt.
    fn expect_power_cut(&mut self, nv: &Nv, access: Access) {
        let counts = nv.public.attributes & attribute::NO_DA == 0 && matches!(access, Access::Index(_));
        if counts || access.policy().is_some() {
            self.tpm.expect_power_cut();
        }
    }

    fn never_written(&self, what: &str, index: u32) -> Error {
        named(Kind::Usage, what, index, "nothing has been written to it yet").remedy("write it first: `trust nv write`")
    }

    /// What a failure means for an index.
    fn explained(&self, what: &str, index: u32, by: Option<Access>, error: Error) -> Error {
        let is = |kind, why: &str| named(kind, what, index, why);
        match self.tpm.last_code() {
            response_code::AUTH_FAIL | response_code::BAD_AUTH => match by {
                Some(Access::Owner(_)) => is(Kind::Refused, "the owner's password is wrong")
                    .remedy("give the right one; where Trust provisioned the machine, its TPM admin password"),
                _ => is(Kind::Refused, "the index has another password, or PIN")
                    .remedy("give it with --pin-file; do not guess, since that locks the TPM out"),
            },
            response_code::NV_UNINITIALIZED => self.never_written(what, index),
            response_code::NV_LOCKED => is(Kind::Refused, "it is locked until the machine is restarted")
                .remedy("restart the machine; where it was locked for good, remove it and define it anew"),
            response_code::NV_DEFINED => is(Kind::Usage, "it is defined already")
                .remedy("choose another index, or none; or remove that one first: `trust nv remove`"),
            response_code::NV_SPACE => is(Kind::System, "the TPM's NV memory is full, and nothing was changed")
                .remedy("remove what is not needed: `trust nv list`, `trust nv remove`"),
            response_code::HANDLE => is(Kind::Usage, "the TPM has no such index").remedy(LIST),
            _ => error.within(format!("{what} {index:#010x}")),
        }
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

/// See which there are.
const LIST: &str = "see which there are: `trust nv list`";
/// For an index without its whole content.
const WRITE_AGAIN: &str = "write it again: `trust nv write`";
/// For what only the platform may.
const PLATFORM: &str = "leave it to the firmware, whose it is";

/// A failure with the index that it is about.
fn named(kind: Kind, what: &str, index: u32, why: &str) -> Error {
    Error::new(kind, format!("{what} {index:#010x}"), why.to_owned())
}

/// A password as ESYS takes it.
fn auth(password: &Secret, what: &'static str) -> Result<Auth> {
    Auth::from_bytes(password.expose()).map_err(|_| {
        Error::new(Kind::Usage, format!("use {what}"), "it is longer than a TPM takes").remedy("give the right one")
    })
}
