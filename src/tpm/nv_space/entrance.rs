//! Who reads or writes an index: the owner, its password, its policy, or anybody.

use super::{
    NvKey, NvSpace,
    failure::{PLATFORM, auth, named},
};
use crate::{
    error::{Kind, Result},
    policy::{Assertion, Policy, statements::PolicyRecipe, verdict::Judgement},
    secret::Secret,
    tpm::{
        assert::{Approval, Grounds},
        connection::Tpm,
        nv::{Access, Nv},
        unseal::{Approvals, Evidence},
    },
    tpm2::nv::attribute,
};
use tss_esapi::handles::ObjectHandle;

/// An access, and what its policy is asserted with.
pub(super) struct Entrance<'a> {
    pub(super) access: Access,
    policy: Option<&'a Policy>,
    evidence: Option<&'a Evidence>,
    approvals: Vec<Approval>,
    /// Which of its alternatives is taken.
    choice: usize,
}

impl From<Access> for Entrance<'_> {
    fn from(access: Access) -> Self {
        Self { access, policy: None, evidence: None, approvals: Vec::new(), choice: 0 }
    }
}

impl Entrance<'_> {
    /// Asserts the policy, where that is what authorizes.
    pub(super) fn authorize(&self, tpm: &mut Tpm) -> Result<()> {
        let (Some(session), Some(policy)) = (self.access.policy(), self.policy) else { return Ok(()) };
        let approvals: Vec<&Approval> = self.approvals.iter().collect();
        let grounds = Grounds { approvals: &approvals, choices: &[self.choice], evidence: self.evidence };
        tpm.assert(session, policy, grounds)
    }
}

/// Whether an index is to be read or written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Read,
    Write,
}

impl Deed {
    pub(super) const fn what(self) -> &'static str {
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

impl NvSpace<'_> {
    /// Who is to read or write it: by its policy or its password, if that is given; else the owner without a password, or
    /// anybody; and if neither may, the owner with one.
    pub(super) fn entrance<'k>(&mut self, nv: &Nv, deed: Deed, key: NvKey<'k>) -> Result<Entrance<'k>> {
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
        evidence: &'k Evidence,
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
                    return Ok(Entrance {
                        access,
                        policy: Some(policy),
                        evidence: Some(evidence),
                        approvals: sound,
                        choice,
                    });
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
}
