//! The TPM's hierarchies: whether the firmware has left them switched on, and which policies they have.

#[cfg(feature = "host")]
use super::{
    assert::{Approval, Grounds},
    unseal::Evidence,
};
use super::{connection::Tpm, session::Protect, store::TpmStore};
#[cfg(feature = "host")]
use crate::policy::verdict::Judgement;
use crate::{
    error::{Error, Kind, Result},
    policy::{Policy, boot_kind::BootKind, delegation, pcr7data::Entry},
    tpm2::constants::{pt, startup_clear::STORAGE_ENABLED},
};
#[cfg(feature = "host")]
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::{
    interface_types::{algorithm::HashingAlgorithm, reserved_handles::HierarchyAuth, session_handles::HmacSession},
    structures::Digest,
};

impl Tpm {
    /// Refuses a TPM without these hierarchies: what belongs to one that is switched off seems not to be there.
    ///
    /// # Errors
    /// [`Kind::NoTpm`].
    pub(super) fn check_hierarchies(&mut self, needed: u32) -> Result<()> {
        const WHAT: &str = "ask for the TPM's hierarchies";
        let enabled = self.property(WHAT, pt::STARTUP_CLEAR)?.unwrap_or(needed);
        if enabled & needed == needed {
            return Ok(());
        }
        let which = if enabled & STORAGE_ENABLED == 0 { "storage" } else { "endorsement" };
        Err(Error::new(Kind::NoTpm, "use the TPM", format!("the firmware has switched its {which} hierarchy off"))
            .remedy("switch it on in the firmware setup; do not clear the TPM, which would destroy what it holds"))
    }

    /// Gives the owner's hierarchy this policy, and leaves none to the endorsement and lockout hierarchies: an attacker who
    /// has set one has the hierarchy's rights by it, whatever its password is. The passwords must still be empty.
    pub(super) fn set_policies(&mut self, owner: &Policy, session: HmacSession) -> Result<()> {
        self.set_policy(HierarchyAuth::Endorsement, None, session)?;
        self.set_policy(HierarchyAuth::Lockout, None, session)?;
        self.set_policy(HierarchyAuth::Owner, Some(owner), session)
    }

    /// Gives a hierarchy this policy in the place of the one that it has, with the password that ESYS knows.
    fn set_policy(&mut self, hierarchy: HierarchyAuth, policy: Option<&Policy>, session: HmacSession) -> Result<()> {
        self.run_protected("set a policy of the TPM's", session, Protect::Command, |c| {
            let (digest, hash) = match policy {
                Some(policy) => (Digest::from_bytes(&policy.digest())?, HashingAlgorithm::Sha256),
                None => (Digest::default(), HashingAlgorithm::Null),
            };
            c.execute_with_session(Some(session.into()), |c| c.set_primary_policy(hierarchy, digest, hash))
        })
    }
}

/// The owner's policy on machines of this entry's keyset.
pub(super) fn owners_policy(entry: &Entry) -> Result<Policy> {
    entry.public_key(BootKind::Production.into()).map(|key| delegation::policy(key.name()))
}

impl TpmStore {
    /// Sets the owner's policy that `provision` sets, with the TPM admin password, which this boot must be allowed to read.
    /// One command: cut off, the policy is the old one or the new one.
    ///
    /// # Errors
    /// [`Kind::Refused`] where this is no TPM administration boot; else as [`crate::store::Truststore::read`].
    pub fn delegate(&mut self) -> Result<()> {
        let open = self.admit(BootKind::Admin)?;
        let policy = owners_policy(&self.entry()?)?;
        let session = self.owner_session(&open)?;
        self.tpm.set_policy(HierarchyAuth::Owner, Some(&policy), session)
    }
}

/// That the owner's password is needed for something that is delegated elsewhere: its policy is another one, or none.
#[cfg(feature = "host")]
pub(super) fn delegates_nothing(what: &'static str) -> Error {
    Error::new(Kind::Refused, what, "the TPM's owner has a password, and delegates nothing to this running system")
        .remedy(
            "have it delegate: `trust admin delegate` in an administration boot; or give the password: \
         --owner-password-file FILE",
        )
}

#[cfg(feature = "host")]
impl Tpm {
    /// Asserts the owner's policy for one of the commands that it delegates, by what is signed for this running system.
    ///
    /// # Errors
    /// [`Kind::Refused`]: what is signed does not hold, and why.
    pub(super) fn assert_delegated(
        &mut self,
        what: &'static str,
        session: PolicySession,
        approval: &Approval,
        command: u32,
    ) -> Result<()> {
        let choice = delegation::COMMANDS.iter().position(|code| *code == command).unwrap_or_default();
        let grounds = Grounds { approvals: &[approval], choices: &[choice], evidence: None };
        let asserted = self.assert(session, &delegation::policy(approval.signer()), grounds);
        let Err(error) = asserted else { return Ok(()) };
        if error.kind() == Kind::Refused
            && let Judgement::Fails(why) = self.judge_policy(approval.policy(), &Evidence::default())?
        {
            let why = format!("what is signed for this running system does not hold: {why}");
            return Err(Error::new(Kind::Refused, what, why).remedy(
                "start an image that was built with the keyset's newest pcr7data, or give the owner's password: \
                 --owner-password-file FILE",
            ));
        }
        Err(error)
    }
}
